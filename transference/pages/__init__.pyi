"""The public names of this room, and where each is defined: the only list of them."""

from .drawings import Drawing as Drawing
from .tasks import Points as Points
from .tasks import SupportSets as SupportSets
from .tasks import Task as Task
from .tasks import data_uri as data_uri
