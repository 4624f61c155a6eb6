"""Networks that several learners share, as functions of a dictionary of parameters."""
