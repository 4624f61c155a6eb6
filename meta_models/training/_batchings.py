"""How the tasks of a meta-batch are evaluated."""

from transference.engines import BATCHINGS

__all__ = ["BATCHINGS"]
