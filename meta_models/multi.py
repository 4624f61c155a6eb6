"""One learner per mode, the mode of every task known: the paper's Multi-MAML and Multi-ProtoNet.

    L(θ; task of mode m) = L_base(θ_m; task),    θ = (θ_m for each mode m)

Nothing is shared between modes, so a step on a task of one mode leaves the tasks of every other as they were (their loss ratio is exactly
1). Trained on all modes together this is the same as training each learner on its own mode, since Adam works element by element (but
for a ``clip_norm``, which limits the norm over all modes at once, as the released regression program does).

Source: the comparison in Vuorio et al. (NeurIPS 2019) and Abdollahzadeh et al. (NeurIPS 2021), who train one program per dataset and
average the accuracies. The released settings differ by dataset (Omniglot: inner rate 0.4, one step; the others: 0.01, five steps), hence
``per_mode``; in a settings file

    [per_mode.omniglot]
    inner_lr = 0.4
    inner_steps = 1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from meta_models.maml import MAML
from meta_models.protonet import ProtoNet
from meta_models.training import Recipe, recipe_of
from transference import Episode, Params
from transference.errors import LearnerError
from transference.learners import ConfiguredLearner, LogitsLearner, ScoringLearner


@dataclass(frozen=True)
class Multi:
    """Learners by mode; parameters are called ``MODE/NAME``.

    Args:
        learners: one per mode.
        alone: how each of them is trained; by default, as it would be on one mode.

    Raises:
        ValueError: there is none.
    """

    learners: Mapping[str, ConfiguredLearner]
    alone: Recipe | None = None
    mode_aware: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.learners:
            raise ValueError("modes is empty; name the modes that the learners are for")

    @classmethod
    def of(
        cls,
        kind: Callable[..., ConfiguredLearner],
        modes: Sequence[str],
        shared: Mapping[str, Any],
        per_mode: Mapping[str, Mapping[str, Any]] | None = None,
        alone: Recipe | None = None,
    ) -> Multi:
        """Build one learner per mode with the shared settings, and a mode's own ones where it has any.

        Raises:
            ValueError: ``modes`` are no list of different names, or ``per_mode`` names a mode that is none.
        """
        if isinstance(modes, str) or len(set(modes)) != len(modes):
            raise ValueError(f"modes is {modes!r}; it must be a list of different names")
        own = per_mode or {}
        if unknown := sorted(set(own) - set(modes)):
            raise ValueError(f"per_mode has settings for {', '.join(unknown)}, but the modes are {', '.join(modes)}")
        return cls({mode: kind(**{**shared, **own.get(mode, {})}) for mode in modes}, alone)

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters of every learner, each begun from the same seed as it would be alone."""
        return {
            f"{mode}/{name}": value
            for mode, learner in self.learners.items()
            for name, value in learner.init_params(seed).items()
        }

    def recipe(self, modes: int) -> Recipe:
        """Return the recipe of a single learner, with its meta-batch for every mode."""
        alone = self.alone or recipe_of(next(iter(self.learners.values())), 1)
        return dataclasses.replace(alone, meta_batch=alone.meta_batch * modes)

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the loss of the learner for the episode's mode, ``[]``."""
        learner, own = self._of(params, episode.mode)
        return learner.episode_loss(own, episode)

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy of the learner for the episode's mode, both ``[]``; NaN for an accuracy that it does not know."""
        learner, own = self._of(params, episode.mode)
        if isinstance(learner, ScoringLearner):
            return learner.episode_scores(own, episode)
        loss = learner.episode_loss(own, episode)
        return loss, torch.full_like(loss, torch.nan)

    def episode_logits(self, params: Params, episode: Episode) -> Tensor:
        """Return the queries' logits ``[n_query, n_class]`` of the learner for the episode's mode.

        Raises:
            LearnerError: that learner has none.
        """
        learner, own = self._of(params, episode.mode)
        if not isinstance(learner, LogitsLearner):
            raise LearnerError(
                f"The learner of mode {episode.mode} has no episode_logits(params, episode): leave tempered "
                "(--tempered) out."
            )
        return learner.episode_logits(own, episode)

    def _of(self, params: Params, mode: str | None) -> tuple[ConfiguredLearner, Params]:
        """Return the mode's learner, and its parameters.

        Raises:
            ValueError: there is none for this mode.
        """
        if mode is None or mode not in self.learners:
            raise ValueError(
                f"The task is of mode {mode!r}, but there are learners for {', '.join(self.learners)} only."
            )
        prefix = f"{mode}/"
        return self.learners[mode], {
            name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)
        }


def multi_maml(
    modes: Sequence[str],
    ways: int = 5,
    channels: int = 3,
    inner_steps: int = 5,
    inner_lr: float = 0.01,
    clamp: float = 20.0,
    second_order: bool = True,
    per_mode: Mapping[str, Mapping[str, Any]] | None = None,
) -> Multi:
    """Multi-MAML: one MAML per mode. Settings are those of MAML; ``per_mode`` has other ones for single modes."""
    shared = {
        "ways": ways,
        "channels": channels,
        "inner_steps": inner_steps,
        "inner_lr": inner_lr,
        "clamp": clamp,
        "second_order": second_order,
    }
    return Multi.of(MAML, modes, shared, per_mode, Recipe(iterations=80_000, meta_batch=4))


def multi_protonet(modes: Sequence[str], channels: int = 3, transductive: bool = False) -> Multi:
    """Multi-ProtoNet: one prototypical network per mode, without modulation."""
    return Multi.of(ProtoNet, modes, {"channels": channels, "transductive": transductive})
