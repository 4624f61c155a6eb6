"""The definition, carried out: adapt and evaluate every target at θ + d."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transference import _trees
from transference.episodes import Episode, Params
from transference.estimators._protocol import Readings
from transference.learners import Learner, read_scores


@dataclass(frozen=True)
class _Targets:
    learner: Learner
    params: Params
    episodes: Sequence[Episode]
    before: Readings


@dataclass(frozen=True)
class Exact:
    """``L_j(θ + d)`` by evaluating it, one target after the other, so that no number depends on which targets share a tile."""

    def prepare(self, learner: Learner, params: Params, targets: Sequence[Episode]) -> _Targets:
        """Evaluate every target at θ."""
        return _Targets(learner, params, targets, _read(learner, params, targets))

    def after(self, prepared: _Targets, displacement: Params) -> Readings:
        """Evaluate every target at ``θ + displacement``."""
        return _read(prepared.learner, _trees.add(prepared.params, displacement), prepared.episodes)


def _read(learner: Learner, params: Params, targets: Sequence[Episode]) -> Readings:
    scores = [[score.detach() for score in read_scores(learner, params, episode)] for episode in targets]
    # One transfer for all targets: a GPU is not made to wait after each.
    loss, accuracy = torch.stack([torch.stack([score.double() for score in pair]) for pair in scores]).cpu().unbind(1)
    return Readings(loss, accuracy.float())
