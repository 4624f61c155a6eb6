"""The commands that meta_models adds to ``transference``."""
