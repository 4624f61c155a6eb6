"""The learners: a file is a paper; its docstring cites it and lists its deviations.

`train` meta-trains any of them, and any learner of yours that can begin from nothing.
"""

from meta_models._training import Training, train
from meta_models.maml import MAML
from meta_models.protonet import ProtoNet

__all__ = ["MAML", "ProtoNet", "Training", "train"]
