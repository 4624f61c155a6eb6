"""The public names of this room, and where each is defined: the only list of them."""

from ._gradients import combined as combined
from ._gradients import flat as flat
from ._parse import COMBINATIONS as COMBINATIONS
from ._parse import form as form
from ._parse import parse_combination as parse_combination
from ._protocol import Combination as Combination
from ._protocol import check_number as check_number
from ._protocol import describe as describe
from ._protocol import needs_joint as needs_joint
from ._protocol import parts_of as parts_of
from .mean import Mean as Mean
from .mgda import MGDA as MGDA
from .pcgrad import PCGrad as PCGrad
from .precision import Precision as Precision
from .smooth_worst import SmoothWorst as SmoothWorst
from .sum import Sum as Sum
from .together import Together as Together
from .uniform import Uniform as Uniform
