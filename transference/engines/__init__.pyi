"""The public names of this room, and where each is defined: the only list of them."""

from ._engines import ENGINES as ENGINES
from ._engines import ONCE as ONCE
from ._engines import Engine as Engine
from ._engines import Evaluate as Evaluate
from ._engines import Scored as Scored
from ._engines import find_engine as find_engine
from ._gradient import MeanGradient as MeanGradient
from ._gradient import loss_gradient as loss_gradient
from ._graphs import Graph as Graph
from ._graphs import repeated as repeated
from ._kept import KeptGradients as KeptGradients
from ._names import ALIASES as ALIASES
from ._names import ENGINE_NAMES as ENGINE_NAMES
from ._rows import GradientRows as GradientRows
from ._trial import Gradients as Gradients
from ._trial import Trial as Trial
from ._trial import check_engine as check_engine
from ._trial import n_tried as n_tried
from ._trial import trial as trial
