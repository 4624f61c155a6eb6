"""The learners: a file is a paper; its docstring cites it and lists its deviations.

`train` meta-trains any of them, and any learner of yours that can begin from nothing; `evaluate` tests it.
"""

from meta_models.experts import ProductOfExperts
from meta_models.kml import KML, kml_maml, kml_protonet
from meta_models.maml import MAML
from meta_models.mmaml import FiLM, film_maml, film_protonet
from meta_models.multi import Multi, multi_maml, multi_protonet
from meta_models.protonet import ProtoNet
from meta_models.regression import RegressionMAML, RegressionMMAML, regression_multi_maml
from meta_models.shared_latent import SharedLatent
from meta_models.training import Recipe, Training, evaluate, summary, train

__all__ = [
    "KML",
    "MAML",
    "FiLM",
    "Multi",
    "ProductOfExperts",
    "ProtoNet",
    "Recipe",
    "RegressionMAML",
    "RegressionMMAML",
    "SharedLatent",
    "Training",
    "evaluate",
    "film_maml",
    "film_protonet",
    "kml_maml",
    "kml_protonet",
    "multi_maml",
    "multi_protonet",
    "regression_multi_maml",
    "summary",
    "train",
]
