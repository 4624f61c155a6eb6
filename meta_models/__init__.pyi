"""The public names of this room, and where each is defined: the only list of them."""

from .experts import ProductOfExperts as ProductOfExperts
from .kml import KML as KML
from .kml import kml_maml as kml_maml
from .kml import kml_protonet as kml_protonet
from .maml import MAML as MAML
from .mmaml import FiLM as FiLM
from .mmaml import film_maml as film_maml
from .mmaml import film_protonet as film_protonet
from .multi import Multi as Multi
from .multi import multi_maml as multi_maml
from .multi import multi_protonet as multi_protonet
from .protonet import ProtoNet as ProtoNet
from .regression import RegressionMAML as RegressionMAML
from .regression import RegressionMMAML as RegressionMMAML
from .regression import regression_multi_maml as regression_multi_maml
from .shared_latent import SharedLatent as SharedLatent
from .training import Recipe as Recipe
from .training import Training as Training
from .training import evaluate as evaluate
from .training import summary as summary
from .training import train as train
