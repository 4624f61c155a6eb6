"""The run folder: parquet files that are whole or absent, and the table they make together."""

from transference.store._cells import Columns, control_table, loss_ratios, pair_rows, pairs_table
from transference.store._chosen import choose_tasks, find_mode, find_tasks
from transference.store._folder import Store, table
from transference.store._lock import Patience
from transference.store._run import Run, open_run
from transference.store._schema import CONTROL_NAMES, CONTROLS, PAIRS, STATUSES, TASKS, sources_schema
from transference.store._verify import Verification, verify

__all__ = [
    "CONTROLS",
    "CONTROL_NAMES",
    "PAIRS",
    "STATUSES",
    "TASKS",
    "Columns",
    "Patience",
    "Run",
    "Store",
    "Verification",
    "choose_tasks",
    "control_table",
    "find_mode",
    "find_tasks",
    "loss_ratios",
    "open_run",
    "pair_rows",
    "pairs_table",
    "sources_schema",
    "table",
    "verify",
]
