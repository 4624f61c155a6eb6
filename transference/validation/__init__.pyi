"""The public names of this room, and where each is defined: the only list of them."""

from ._choices import harms as harms
from ._choices import regrets as regrets
from ._lds import GROUPS as GROUPS
from ._lds import MEAN as MEAN
from ._lds import compare as compare
from ._lds import lds as lds
from ._outcomes import Outcomes as Outcomes
from ._outcomes import outcomes as outcomes
from ._outcomes import read_trainings as read_trainings
from ._predictors import Predictor as Predictor
from ._predictors import mean_of_rows as mean_of_rows
from ._predictors import own_share as own_share
from ._predictors import size as size
from ._reliability import ceiling as ceiling
from ._surrogates import Surrogate as Surrogate
from ._surrogates import surrogate as surrogate
