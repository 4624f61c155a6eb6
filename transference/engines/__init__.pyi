"""The public names of this room, and where each is defined: the only list of them."""

from ._engines import ENGINES as ENGINES
from ._engines import ONCE as ONCE
from ._engines import Engine as Engine
from ._engines import Evaluate as Evaluate
from ._engines import Scored as Scored
from ._engines import find_engine as find_engine
from ._gradient import MeanGradient as MeanGradient
from ._gradient import loss_gradient as loss_gradient
from ._kept import KeptGradients as KeptGradients
from ._meta_batches import Task as Task
from ._meta_batches import combined_gradient as combined_gradient
from ._meta_batches import draw as draw
from ._meta_batches import meta_batch as meta_batch
from ._meta_batches import meta_gradient as meta_gradient
from ._meta_batches import update_gradient as update_gradient
from ._meta_batches import usual as usual
from ._meta_batches import where as where
from ._names import ALIASES as ALIASES
from ._names import BATCHINGS as BATCHINGS
from ._names import ENGINE_NAMES as ENGINE_NAMES
from ._rows import GradientRows as GradientRows
from ._trial import Gradients as Gradients
from ._trial import Trial as Trial
from ._trial import check_engine as check_engine
from ._trial import trial as trial
