"""The public names of this room, and where each is defined: the only list of them."""

from ._batchings import BATCHINGS as BATCHINGS
from ._evaluation import evaluate as evaluate
from ._evaluation import summary as summary
from ._folder import Folder as Folder
from ._loop import Training as Training
from ._loop import check_tasks as check_tasks
from ._loop import train as train
from ._recipe import Recipe as Recipe
from ._recipe import recipe_of as recipe_of
