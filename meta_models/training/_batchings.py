"""How the tasks of a meta-batch are evaluated."""

BATCHINGS = ("apart", "together")
"""The engines of which a training may take one, and keeps it."""
