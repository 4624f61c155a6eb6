"""The public names of this room, and where each is defined: the only list of them."""

from ._cells import Columns as Columns
from ._cells import control_table as control_table
from ._cells import loss_ratios as loss_ratios
from ._cells import pair_rows as pair_rows
from ._cells import pairs_table as pairs_table
from ._cells import tempered_columns as tempered_columns
from ._chosen import choose_tasks as choose_tasks
from ._chosen import find_mode as find_mode
from ._chosen import find_tasks as find_tasks
from ._folder import Store as Store
from ._folder import table as table
from ._lock import Patience as Patience
from ._run import Run as Run
from ._run import open_run as open_run
from ._schema import CONTROL_NAMES as CONTROL_NAMES
from ._schema import CONTROLS as CONTROLS
from ._schema import PAIRS as PAIRS
from ._schema import STATUSES as STATUSES
from ._schema import TASKS as TASKS
from ._schema import pairs_schema as pairs_schema
from ._schema import sources_schema as sources_schema
from ._verify import Verification as Verification
from ._verify import verify as verify
