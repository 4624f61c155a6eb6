"""What the analyzer asks of a learner, how one is found, and whether it keeps its word.

A learner is anything with ``episode_loss(params, episode)``, a pure function. Strangers' learners need not import this package.
"""

from transference.learners._binding import bind
from transference.learners._loading import learner_factory, learner_names, load_learner, offered_config
from transference.learners._module import ModuleLearner
from transference.learners._protocol import (
    BufferedLearner,
    ConfiguredLearner,
    DescribingLearner,
    EpisodeError,
    Learner,
    ScoringLearner,
    describe,
    read_scores,
    told,
)
from transference.learners._purity import check_pure
from transference.learners._turns import InTurns

__all__ = [
    "BufferedLearner",
    "ConfiguredLearner",
    "DescribingLearner",
    "EpisodeError",
    "InTurns",
    "Learner",
    "ModuleLearner",
    "ScoringLearner",
    "bind",
    "check_pure",
    "describe",
    "learner_factory",
    "learner_names",
    "load_learner",
    "offered_config",
    "read_scores",
    "told",
]
