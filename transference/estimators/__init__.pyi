"""The public names of this room, and where each is defined: the only list of them."""

from ._checked import Checked as Checked
from ._choices import ESTIMATORS as ESTIMATORS
from ._protocol import Estimator as Estimator
from ._protocol import ExactSample as ExactSample
from ._protocol import Prepared as Prepared
from ._protocol import PreparedRays as PreparedRays
from ._protocol import Ray as Ray
from ._protocol import RayEstimator as RayEstimator
from ._protocol import Readings as Readings
from ._protocol import exact_at as exact_at
from ._protocol import with_engine as with_engine
from ._tangents import Tangents as Tangents
from ._tangents import TangentsOnDemand as TangentsOnDemand
from .calibrated import Calibrated as Calibrated
from .exact import Exact as Exact
from .first_order import FirstOrder as FirstOrder
from .quadratic import Quadratic as Quadratic
