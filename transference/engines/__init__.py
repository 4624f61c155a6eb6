"""How a learner is evaluated on many episodes, and its gradients: several engines that agree, of which the fastest here is taken.

Which one that is depends on device, learner and image side: convolutions of large images want their channels last and a compiler to fuse
what lies between them, tiny networks want all episodes in one call. So it is measured (`trial`), briefly, on the learner's own episodes.
"""

from transference.devices import out_of_memory
from transference.engines._engines import ALIASES, ENGINES, Engine, Evaluate, Scored, find_engine
from transference.engines._gradient import MeanGradient, loss_gradient
from transference.engines._kept import KeptGradients
from transference.engines._rows import GradientRows
from transference.engines._trial import Trial, check_engine, trial

__all__ = [
    "ALIASES",
    "ENGINES",
    "Engine",
    "Evaluate",
    "GradientRows",
    "KeptGradients",
    "MeanGradient",
    "Scored",
    "Trial",
    "check_engine",
    "find_engine",
    "loss_gradient",
    "out_of_memory",
    "trial",
]
