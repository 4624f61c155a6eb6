"""Is what a transference matrix knows enough to choose by?"""
