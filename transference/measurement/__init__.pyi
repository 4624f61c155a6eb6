"""The public names of this room, and where each is defined: the only list of them."""

from ._carrying_out import Measurement as Measurement
from ._carrying_out import logged as logged
from ._measure import measure as measure
from ._question import SOURCES as SOURCES
from ._question import Question as Question
from ._question import default_tile as default_tile
from ._spec import make_spec as make_spec
from ._tasks import Tasks as Tasks
from ._work import Work as Work
