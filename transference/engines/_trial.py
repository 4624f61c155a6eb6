"""Which engine is the fastest here: a short trial on the learner's own episodes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transference.devices import out_of_memory
from transference.engines._engines import ENGINES, Evaluate, find_engine
from transference.episodes import Episode, Params, has_images
from transference.errors import UsageError
from transference.learners import EpisodeError, Learner, told

_ROUNDS = 5
_EPISODES = 16
_SHORT = 10.0
"""Seconds of work ahead up to which the plain loop does: there is little to gain, and small runs repeat to the last digit."""

_WORTH = 60.0
"""Seconds of work ahead from which on an engine that has to be compiled first is tried: compiling takes five to twenty."""

_HOPELESS = 1.5
"""An engine that took so many times the least time in one round is not timed again."""

_CLEARLY = 0.9
"""A less plain engine is taken if it needs less than this share of the time, so that noise seldom decides."""

_TOLERANCE = 0.05
"""Relative difference of losses beyond which an engine is wrong. Five inner steps at 84 pixels magnify float32 rounding to a per cent."""


_NEEDS = {
    "vmap": "It batches episodes by torch.vmap, which allows no int(tensor), .item(), branch or shape that depends on values. ",
    **dict.fromkeys(
        ("compiled", "compiled-threads"),
        "torch.compile has to make one graph of the loss, which allows no int(tensor), .item() or branch that depends on values. ",
    ),
}
"""What an engine asks of a learner beyond what the plain loop does."""


@dataclass(frozen=True)
class Trial:
    """What was found.

    Attributes:
        chosen: the engine to take.
        milliseconds: for one episode, by engine; those that failed, disagreed or were not worth trying are left out.
    """

    chosen: str
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        """Say it in one line."""
        others = ", ".join(f"{name} {took:.3g}" for name, took in self.milliseconds.items() if name != self.chosen)
        return f"engine {self.chosen}: {self.milliseconds[self.chosen]:.3g} ms a pair" + (
            f" ({others})" if others else ""
        )


def trial(learner: Learner, params: Params, episodes: Sequence[Episode], n_pairs: int) -> Trial:
    """Time the engines that could suit these episodes, in turn, and choose one.

    Args:
        learner: the learner.
        params: θ, where the pairs will be computed.
        episodes: some targets.
        n_pairs: how many pairs there are to compute.
    """
    few = list(episodes[:_EPISODES])
    ready = {"loop": ENGINES["loop"](learner, few)}
    expected = ready["loop"](params)
    ahead = _seconds(ready, params, expected)["loop"] / len(few) * n_pairs
    for name in _candidates(few[0]) if ahead > _SHORT else ():
        if name.startswith("compiled") and ahead < _WORTH:
            continue
        try:
            evaluate = ENGINES[name](learner, few)
            found = evaluate(params)
            ENGINES[name].gradients(learner, params, few[:1], list(params))  # the steps on sources are taken by it too
        except Exception:  # not every learner can be compiled, batched or laid out otherwise; the plain loop serves all
            continue
        if _same(found, expected):
            ready[name] = evaluate
    took = {name: seconds / len(few) for name, seconds in _seconds(ready, params, expected).items()}
    chosen = "loop"
    for name, seconds in took.items():
        if seconds < _CLEARLY * took[chosen]:
            chosen = name
    return Trial(chosen, {name: 1e3 * seconds for name, seconds in took.items()})


def check_engine(name: str, learner: Learner, params: Params, episode: Episode) -> None:
    """Make sure that an engine can evaluate a learner and take its gradient, of which it is known that the plain loop can.

    Raises:
        UsageError: it cannot.
    """
    if name == "loop":
        return
    try:
        find_engine(name)(learner, [episode])(params)
        find_engine(name).gradients(learner, params, [episode], list(params))
    except Exception as error:
        if out_of_memory(error):
            raise
        reason = str(error) if isinstance(error, EpisodeError) else told(error)
        raise UsageError(
            f"The engine {name!r} was asked for, but cannot evaluate this learner, though the loop can: {reason}. {_NEEDS.get(name, '')}"
            "Take --engine auto, loop or threads."
        ) from error


def _candidates(episode: Episode) -> tuple[str, ...]:
    if episode.device.type != "cpu":
        return ("vmap", "compiled")
    return ("threads", "vmap", "compiled", "compiled-threads") if has_images(episode) else ("threads", "vmap")


def _seconds(ready: Mapping[str, Evaluate], params: Params, expected: Tensor) -> dict[str, float]:
    """Return the least of several times of each, taken in turn, without those that once answered otherwise.

    An evaluation ends in host memory, so a device has finished.
    """
    least = dict.fromkeys(ready, math.inf)
    for k in range(_ROUNDS):
        fair = _HOPELESS * min(least.values()) if k else math.inf
        for name in [name for name, took in least.items() if took <= fair or name == "loop"]:
            begun = time.perf_counter()
            found = ready[name](params)
            least[name] = min(least[name], time.perf_counter() - begun)
            if name != "loop" and not _same(found, expected):
                del least[name]
    return least


def _same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found[:, 0], expected[:, 0], rtol=_TOLERANCE, atol=1e-6, equal_nan=True)
