"""Which engine is the fastest here: a short trial on the learner's own episodes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from transference.devices import out_of_memory
from transference.engines._engines import ENGINES, Evaluate, find_engine
from transference.episodes import Episode, Params, has_images
from transference.errors import UsageError
from transference.learners import EpisodeError, Learner, told

_ROUNDS = 5
_ROUNDS_OF_GRADIENTS = 3
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
    **dict.fromkeys(
        ("vmap", "vmap-64"),
        "It batches episodes by torch.vmap, which allows no int(tensor), .item(), branch or shape that depends on values. ",
    ),
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
        gradients: milliseconds for one gradient, by engine; empty if there are none to take, or there was no choice.
    """

    chosen: str
    milliseconds: dict[str, float]
    gradients: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in one line."""
        told = [
            f"{self._told(took)} a {what}"
            for what, took in (("pair", self.milliseconds), ("gradient", self.gradients))
            if took
        ]
        return f"engine {self.chosen}: {', '.join(told)}"

    def _told(self, took: Mapping[str, float]) -> str:
        others = ", ".join(f"{name} {took[name]:.3g}" for name in took if name != self.chosen)
        return f"{took[self.chosen]:.3g} ms{f' ({others})' if others else ''}"


def n_tried(device: torch.device) -> int:
    """Return on how many targets engines are tried; on a GPU on as many as fill the largest block."""
    return 16 if device.type == "cpu" else 64


@dataclass(frozen=True)
class Gradients:
    """The gradients that a measurement takes.

    Args:
        episodes: some of the sources, as many as go together.
        names: the parameters that move.
        n: how many gradients there are to take.
    """

    episodes: Sequence[Episode]
    names: Sequence[str]
    n: int


def trial(
    learner: Learner, params: Params, episodes: Sequence[Episode], n_pairs: int, gradients: Gradients | None = None
) -> Trial:
    """Time the engines that could suit these episodes, in turn, and choose the one that needs the least for all that is ahead.

    Args:
        learner: the learner.
        params: θ, where the pairs will be computed.
        episodes: some targets.
        n_pairs: how many pairs there are to compute.
        gradients: those that there are to take beside; None for none.
    """
    few = list(episodes[: n_tried(episodes[0].device)])
    some = list(gradients.episodes) if gradients else []
    names = list(gradients.names) if gradients else list(params)

    def stepped(name: str) -> Tensor:
        scored = ENGINES[name].gradients(learner, params, some or few[:1], names)
        return torch.tensor([loss for (loss, _), _ in scored], dtype=torch.float64)

    ready = {"loop": _reading(ENGINES["loop"](learner, few), params)}
    steps = {"loop": partial(stepped, "loop")}
    expected = ready["loop"]()
    evaluating = _seconds(ready, expected)["loop"] * n_pairs
    begun = time.perf_counter()
    try:
        expected_steps = steps["loop"]()
    except Exception:  # whoever takes the first step says so, and on which task
        return Trial("loop", {"loop": 1e3 * evaluating / max(n_pairs, 1)})
    ahead = evaluating + ((time.perf_counter() - begun) / len(some) * gradients.n if gradients else 0)
    for name in _candidates(few[0]) if ahead > _SHORT else ():
        if name.startswith("compiled") and evaluating < _WORTH:  # of gradients nothing is compiled
            continue
        try:
            read = _reading(ENGINES[name](learner, few), params)
            found, found_steps = read(), stepped(name)
        except Exception:  # not every learner can be compiled, batched or laid out otherwise; the plain loop serves all
            continue
        if _same(found, expected) and _same(found_steps, expected_steps):
            ready[name], steps[name] = read, partial(stepped, name)
    took = _seconds(ready, expected)
    stepping: dict[str, float] = {}
    if gradients and len(took) > 1:
        stepping = _seconds({name: steps[name] for name in took}, expected_steps, _ROUNDS_OF_GRADIENTS)
        took = {name: seconds for name, seconds in took.items() if name in stepping}
    n_gradients = gradients.n if gradients else 0
    total = {name: seconds * n_pairs + stepping.get(name, 0.0) * n_gradients for name, seconds in took.items()}
    chosen = "loop"
    for name, seconds in total.items():
        if seconds < _CLEARLY * total[chosen]:
            chosen = name
    return Trial(chosen, *({name: 1e3 * seconds for name, seconds in times.items()} for times in (took, stepping)))


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
        return ("vmap", "vmap-64", "compiled")
    return ("threads", "vmap", "compiled", "compiled-threads") if has_images(episode) else ("threads", "vmap")


def _reading(evaluate: Evaluate, params: Params) -> Callable[[], Tensor]:
    """Return what reads the losses at as many settings as go together."""
    return lambda: torch.cat(evaluate.at([params] * evaluate.at_once))[:, 0]


def _seconds(ready: Mapping[str, Callable[[], Tensor]], expected: Tensor, rounds: int = _ROUNDS) -> dict[str, float]:
    """Return the least of several times of each for one loss, taken in turn, without those that once answered otherwise.

    An evaluation ends in host memory, so a device has finished.
    """
    least = dict.fromkeys(ready, math.inf)
    for k in range(rounds):
        fair = _HOPELESS * min(least.values()) if k else math.inf
        for name in [name for name, took in least.items() if took <= fair or name == "loop"]:
            begun = time.perf_counter()
            found = ready[name]()
            least[name] = min(least[name], (time.perf_counter() - begun) / len(found))
            if name != "loop" and not _same(found, expected):
                del least[name]
    return least


def _same(found: Tensor, expected: Tensor) -> bool:
    """Return whether losses are those that were expected, at each of several settings."""
    again = expected.repeat(len(found) // len(expected))
    return torch.allclose(found, again, rtol=_TOLERANCE, atol=1e-6, equal_nan=True)
