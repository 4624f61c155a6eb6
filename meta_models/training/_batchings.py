"""How the tasks of a meta-batch are evaluated."""

from transference.engines import BATCHINGS as BATCHINGS
