"""What the analyzer asks of a learner, how one is found, and whether it keeps its word.

A learner is anything with ``episode_loss(params, episode)``, a pure function. Strangers' learners need not import this package.
"""

from transference.learners._binding import bind, fitted, theta
from transference.learners._loading import learner_factory, learner_names, load_learner, offered_config
from transference.learners._logits import check_logits, check_offers_logits, margins_of, read_margins
from transference.learners._module import ModuleLearner
from transference.learners._moves import chosen
from transference.learners._protocol import (
    BufferedLearner,
    ConfiguredLearner,
    DeclaringLearner,
    DescribingLearner,
    EpisodeError,
    Learner,
    LogitsLearner,
    ScoringLearner,
    describe,
    mode_aware,
    read_scores,
    told,
)
from transference.learners._purity import check_pure
from transference.learners._theta import Bound, Theta, collapse, tell_apart
from transference.learners._untouched import untouched

__all__ = [
    "Bound",
    "BufferedLearner",
    "ConfiguredLearner",
    "DeclaringLearner",
    "DescribingLearner",
    "EpisodeError",
    "Learner",
    "LogitsLearner",
    "ModuleLearner",
    "ScoringLearner",
    "Theta",
    "bind",
    "check_logits",
    "check_offers_logits",
    "check_pure",
    "chosen",
    "collapse",
    "describe",
    "fitted",
    "learner_factory",
    "learner_names",
    "load_learner",
    "margins_of",
    "mode_aware",
    "offered_config",
    "read_margins",
    "read_scores",
    "tell_apart",
    "theta",
    "told",
    "untouched",
]
