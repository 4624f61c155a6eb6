"""What the analyzer asks of a learner; every protocol but the first is optional."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from transference import _trees, exact_sums
from transference.devices import out_of_memory
from transference.episodes import Episode, Params
from transference.errors import LearnerError, TransferenceError
from transference.exact_sums import ExactSums

_LIBRARIES = str(Path(torch.__file__).parent), str(Path(__file__).parent), exact_sums.__file__
"""Folders of libraries: a learner's own code lies elsewhere."""

_LETTERS = 300


@runtime_checkable
class Learner(Protocol):
    """A meta-learner, as far as the measurement needs to know it."""

    def episode_loss(self, params: Params, episode: Episode[Any]) -> Tensor:
        """Return the query loss after adapting ``params`` on the support set, a scalar ``[]``.

        A pure function of its two arguments: no random numbers, nothing kept, nothing changed; buffers are constants inside it. It is
        called with gradients enabled and with parameters that may or may not require them; ``torch.func.grad`` serves both in an
        inner loop.
        """


@runtime_checkable
class ScoringLearner(Learner, Protocol):
    """Optional: a learner that also knows its accuracy. Both numbers come from one forward pass, which is why it is one method."""

    def episode_scores(self, params: Params, episode: Episode[Any]) -> tuple[Tensor, Tensor]:
        """Return ``episode_loss`` and the share of queries classified correctly, both ``[]``."""


@runtime_checkable
class LogitsLearner(Learner, Protocol):
    """Optional: a classifier that tells the logits behind its loss, which is then read at its best temperature too."""

    def episode_logits(self, params: Params, episode: Episode[Any]) -> Tensor:
        """Return the logits of the queries, ``[n_query, n_class]``, whose mean cross-entropy is ``episode_loss``."""


@runtime_checkable
class ConfiguredLearner(Learner, Protocol):
    """Optional: a learner that can begin from nothing, and so knows which tensors a checkpoint of it must hold."""

    def init_params(self, seed: int) -> Params:
        """Return freshly initialised float32 parameters, the same for the same seed."""


@runtime_checkable
class BufferedLearner(Learner, Protocol):
    """Optional: a learner with buffers, tensors of a checkpoint that are no parameters and never move."""

    def split_buffers(self, tensors: Params) -> tuple[Params, Params]:
        """Return ``tensors`` split into parameters and buffers."""

    def with_buffers(self, buffers: Params) -> Learner:
        """Return the learner with these buffers as constants."""


class DeclaringLearner(Learner, Protocol):
    """Optional: a learner that says which of the tensors in ``params`` an outer optimizer would move.

    Either attribute may be missing. Without them names and values tell, and where they leave a doubt the measurement stops and asks.

    Attributes:
        constants: patterns, as in a shell, of the names of tensors that never move, such as
            ``("*.running_mean", "backbone.*")``: buffers, frozen weights, averaged copies. All others move, whatever they are
            called, but for integers.
        tied: names of one tensor, a group for each, such as ``(("embed.weight", "head.weight"),)``. It moves by the sum of
            its gradients.
    """

    constants: Sequence[str]
    tied: Sequence[Sequence[str]]


@runtime_checkable
class DescribingLearner(Learner, Protocol):
    """Optional: a learner that can tell more about itself than its class and, if it is a dataclass, its fields."""

    def describe(self) -> dict[str, Any]:
        """Return what distinguishes this learner from others of its class, as plain values."""


def mode_aware(learner: Learner) -> bool:
    """Return whether a learner reads the mode of a task: tasks of different modes cannot be evaluated in one call.

    It says so by an attribute ``mode_aware = True``. What version 0.1 called it, ``told_mode``, is still read.
    """
    return bool(getattr(learner, "mode_aware", getattr(learner, "told_mode", False)))


def read_scores(learner: Learner, params: Params, episode: Episode, *, exact: bool = True) -> tuple[Tensor, Tensor]:
    """Return loss and accuracy, both ``[]``, from one forward pass; NaN for an accuracy that the learner does not know.

    Args:
        learner: whose.
        params: where.
        episode: on which task.
        exact: let no normalisation of the learner lose digits (`ExactSums`); False where it is known that none does.

    Raises:
        EpisodeError: the learner failed, or its answer is no scalar.
        TransferenceError: it says so itself.
        KeyboardInterrupt: it was interrupted.
    """
    if torch.compiler.is_compiling():  # which could not look inside; what fails there is told by whoever asked
        return _scores(learner, params, episode)
    with asked(learner, episode, exact=exact):
        loss, accuracy = _scores(learner, params, episode)
        shapes = [tuple(score.shape) for score in (loss, accuracy)]
    if shapes != [(), ()]:
        name = "episode_scores" if isinstance(learner, ScoringLearner) else "episode_loss"
        raise EpisodeError(
            f"{name} must return scalars []; it returned the shapes {', '.join(map(str, shapes))}", episode
        )
    return loss, accuracy


@contextmanager
def asked(learner: Learner, episode: Episode, *, exact: bool = True) -> Iterator[None]:
    """Say of what the learner raises inside the block on which episode it was.

    Args:
        learner: whose code is called.
        episode: on which task.
        exact: let no normalisation of the learner lose digits (`ExactSums`).

    Raises:
        EpisodeError: the learner failed.
        TransferenceError: it says so itself.
        KeyboardInterrupt: it was interrupted.
    """
    try:
        with ExactSums() if exact else nullcontext():
            yield
    except (KeyboardInterrupt, TransferenceError):
        raise
    except BaseException as error:  # a learner that calls sys.exit, too: it would end the command as if all were done
        if out_of_memory(error):
            raise
        inputs = inputs_told(learner, episode)
        more = f"; the episode has {episode.describe()}; {inputs}" if inputs else ""
        raise EpisodeError(told(error) + more, episode) from error


def _scores(learner: Learner, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
    if isinstance(learner, ScoringLearner):
        return learner.episode_scores(params, episode)
    loss: object = learner.episode_loss(params, episode)
    if not (isinstance(loss, Tensor) and loss.is_floating_point() and loss.layout is torch.strided):
        found = f"a tensor of {loss.dtype}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise TypeError(f"episode_loss must return a scalar tensor [] of real numbers; it returned {found}")
    return loss, torch.full_like(loss.detach(), torch.nan)


class EpisodeError(LearnerError):
    """The learner failed on an episode; whoever knows which task that is says so.

    Attributes:
        episode: as the learner was given it, in whatever layout, or several as one batch; None where it is not known.
    """

    def __init__(self, message: str, episode: Episode | None = None) -> None:
        super().__init__(message)
        self.episode = episode

    def is_on(self, episode: Episode) -> bool:
        """Return whether the learner failed on this episode."""
        if self.episode is None:
            return False
        try:
            mine, theirs = dict(self.episode.items()), dict(episode.items())
            return mine.keys() == theirs.keys() and all(
                mine[name].shape == value.shape and torch.equal(mine[name], value.to(mine[name]))
                for name, value in theirs.items()
            )
        except RuntimeError:  # a batch of `torch.vmap` cannot be compared
            return False


def told(error: BaseException) -> str:
    """Return in one line what was raised, and where: in the code that is nobody's library, if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*_LIBRARIES, "<"))] or list(frames)
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text[:_LETTERS]}{' …' * (len(text) > _LETTERS)}{place}"


def inputs_told(learner: object, episode: Episode[Any]) -> str:
    """Return, for messages, what inputs are and which ones the learner knows; nothing where both may be one tensor.

    A learner says what it knows with an attribute ``modalities``, the shape of one example by name.
    """
    plain = isinstance(episode.support_x, Tensor) and isinstance(episode.query_x, Tensor)
    known = getattr(learner, "modalities", getattr(getattr(learner, "learner", None), "modalities", None))
    if isinstance(known, Mapping):
        names = [f"{name} {list(shape) if isinstance(shape, Sequence) else shape}" for name, shape in known.items()]
        return (
            f"its inputs are {'one tensor' if plain else 'tensors by name'}, and the learner knows {', '.join(names)}"
        )
    return (
        ""
        if plain
        else "its inputs are tensors by name, and the learner names none that it knows: it may want one tensor"
    )


def describe(learner: Learner) -> dict[str, Any]:
    """Return what a run's spec says of the learner: its class and its settings, as plain values."""
    told = learner.describe() if isinstance(learner, DescribingLearner) else _trees.settings(learner)
    return {"class": f"{type(learner).__module__}.{type(learner).__qualname__}", **dict(told)}
