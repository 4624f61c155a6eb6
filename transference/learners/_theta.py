"""θ: what an outer optimizer would move. No buffers, nothing frozen, one entry for a tensor with several names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor

from transference.checkpoints import same_memory
from transference.episodes import Episode, Params
from transference.errors import LearnerError, UsageError
from transference.learners import _evidence
from transference.learners._moves import Moves
from transference.learners._protocol import ConfiguredLearner, Learner, LogitsLearner, mode_aware, read_scores

_INTEGERS, _COMPLEX = "whole numbers", "complex numbers"
_NUMBER = re.compile(r"\d+")
_FEW = 6


@dataclass(frozen=True)
class Bound:
    """A learner that is given θ alone: constants, and the other names of shared tensors, are added before it is called.

    Autograd then sums the gradients of all names of a shared tensor.

    Args:
        learner: which takes all tensors by name.
        constants: tensors that do not move.
        tied: other names of tensors, with the name that has the value.
    """

    learner: Learner
    constants: Params
    tied: Mapping[str, str]

    @property
    def mode_aware(self) -> bool:
        """Whether the learner reads the mode of a task."""
        return mode_aware(self.learner)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Bound:
        """Return the same with its constants on ``device``, those with fractions as ``dtype``."""
        return replace(
            self,
            constants={
                name: value.to(device, dtype if value.is_floating_point() else None)
                for name, value in self.constants.items()
            },
        )

    def everything(self, params: Params) -> Params:
        """Return all tensors that the learner reads, by each of their names."""
        like = next(iter(params.values()))
        held = {
            name: v.to(like.device, like.dtype if v.is_floating_point() else v.dtype)
            for name, v in self.constants.items()
        }
        found = {**params, **held}
        return {**found, **{other: found[name] for other, name in self.tied.items()}}

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the learner's loss, ``[]``."""
        return self.learner.episode_loss(self.everything(params), episode)

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return the learner's loss and accuracy, both ``[]``; NaN for an accuracy that it does not know."""
        return read_scores(self.learner, self.everything(params), episode)

    def episode_logits(self, params: Params, episode: Episode) -> Tensor:
        """Return the learner's logits, ``[n_query, n_class]``; asked for only where it has them."""
        return cast("LogitsLearner", self.learner).episode_logits(self.everything(params), episode)


@dataclass(frozen=True)
class Theta:
    """A learner with a checkpoint's tensors, told apart.

    Attributes:
        learner: what takes ``params`` alone.
        params: θ, by name.
        constants: what does not move, by name, with what it is.
        tied: further names of a shared tensor, with the one that it has in ``params`` or ``constants``.
        implied: names of constants that the learner's class or the dtype implies, whatever the file holds.
    """

    learner: Learner
    params: Params
    constants: Mapping[str, str] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    implied: frozenset[str] = frozenset()

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Theta:
        """Return the same with its tensors on ``device`` as ``dtype``."""
        learner = self.learner.to(device, dtype) if isinstance(self.learner, Bound) else self.learner
        return replace(
            self, learner=learner, params={name: value.to(device, dtype) for name, value in self.params.items()}
        )

    def everything(self, params: Params) -> Params:
        """Return other values of θ together with the constants, shared tensors by each of their names."""
        return self.learner.everything(params) if isinstance(self.learner, Bound) else params

    def describe(self) -> dict[str, Any]:
        """Return, for a run's spec, what does not move although it could, and which names are one tensor."""
        held = {name: "" if name in self.implied else why for name, why in self.constants.items()}
        constant = {name: why for name, why in _collapsed(dict.fromkeys(self.params, "") | held).items() if why}
        told = {"constant": constant, "tied": dict(self.tied)}
        return {what: names for what, names in told.items() if names}

    def report(self, moving: Sequence[str]) -> dict[str, Any]:
        """Return, for whoever reads ``run.json``, what moves and what does not, names that differ in a number as one.

        Args:
            moving: the names in θ that the lookahead moves.
        """
        fates = {name: "" if name in moving else "not asked to move" for name in self.params} | dict(self.constants)
        told = _collapsed(fates)
        return {
            "moves": [name for name, why in told.items() if not why],
            "tensors": len(moving),
            "numbers": sum(self.params[name].numel() for name in moving),
            "constant": {name: why for name, why in told.items() if why},
            "tied": dict(self.tied),
        }

    def told(self, moving: Sequence[str]) -> str:
        """Return the same in a line.

        Args:
            moving: likewise.
        """
        found = self.report(moving)
        parts = [f"{found['tensors']} tensors move, {found['numbers']:,} numbers: {_listed(found['moves'])}"]
        if found["tied"]:
            parts.append(f"one tensor each: {_listed(f'{first} = {other}' for other, first in found['tied'].items())}")
        by_reason: dict[str, list[str]] = {}
        for name, why in found["constant"].items():
            by_reason.setdefault(why, []).append(name)
        return "; ".join([*parts, *(f"constant ({why}): {_listed(names)}" for why, names in by_reason.items())])


def tell_apart(
    learner: Learner,
    tensors: Params,
    *,
    moves: Sequence[str] | None = None,
    frozen: Collection[str] | None = None,
    overlaps: Iterable[tuple[str, str]] = (),
) -> Theta:
    """Return θ and what does not move, with the learner bound to the latter.

    A learner may declare its ``constants`` and what is ``tied`` (see `DeclaringLearner`); else names and values tell.

    Args:
        learner: which takes all of ``tensors``.
        tensors: by name.
        moves: what is asked to move; None if nobody steps, and so nobody needs to be asked what is doubtful.
        frozen: names of which the file says that they require no gradient; None where it says nothing of gradients.
        overlaps: pairs of names whose tensors share numbers in the file without being one.

    Raises:
        LearnerError: a declaration does not fit the tensors, or nothing is left to move.
        UsageError: ``moves`` ties what is not equal, or it must be said whether something moves.
    """
    said = Moves.of(moves or ())
    tied = shared(learner, tensors, said)
    own = {tied.get(name, name): tensors[name] for name in tensors}
    why = {
        name: _COMPLEX if value.is_complex() else _INTEGERS
        for name, value in own.items()
        if not value.is_floating_point()
    }
    floats = {name: value for name, value in own.items() if name not in why}
    held = _held(learner, own, frozen, tied)
    if moves is not None:
        _refuse_complex(
            [
                name
                for name, what in why.items()
                if what == _COMPLEX and name not in held and said.select(_called(name, tied))
            ]
        )
    why |= {
        name: reason for name, reason in held.items() if name in floats and not any(map(said.name, _called(name, tied)))
    }
    params = {name: value for name, value in floats.items() if name not in why}
    if not params:
        raise LearnerError(
            f"Nothing is left to move: all of {', '.join(list(own)[:5])}{' …' * (len(own) > 5)} are constants."
        )
    if moves is not None and not isinstance(learner, ConfiguredLearner):
        moving = {name: value for name, value in params.items() if said.select(_called(name, tied))}
        if declared_constants(learner) is None and frozen is None:
            _ask_whether_it_moves(moving, said)
        if declared_tied(learner) is None:
            _ask_whether_one(moving, said)
            _ask_which_is_made_of_the_other(overlaps, moving, said)
    why = {name: why[name] for name in own if name in why}
    bound = Bound(learner, {name: own[name] for name in why}, tied) if why or tied else learner
    return Theta(
        bound, params, why, tied, frozenset(name for name, reason in why.items() if reason in {_INTEGERS, _COMPLEX})
    )


def collapse(names: Iterable[str]) -> str:
    """Return a list of names in words, those that differ in a number as one, and no more than a few."""
    return _listed(_collapsed(dict.fromkeys(names, "")))


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_FEW]) + (f" and {len(shown) - _FEW} more" if len(shown) > _FEW else "")


def _collapsed(fates: Mapping[str, str]) -> dict[str, str]:
    """Return fates by name, those of names that differ in numbers alone as one where they share it."""
    alike: dict[str, set[str]] = {}
    for name, fate in fates.items():
        alike.setdefault(_NUMBER.sub("*", name), set()).add(fate)
    return {(short if len(alike[short := _NUMBER.sub("*", name)]) == 1 else name): fate for name, fate in fates.items()}


def _called(name: str, tied: Mapping[str, str]) -> list[str]:
    return [name, *(other for other, first in tied.items() if first == name)]


def _held(learner: Learner, tensors: Params, frozen: Collection[str] | None, tied: Mapping[str, str]) -> dict[str, str]:
    """Return what does not move, with the reason: as the learner declares, else as the file says, else as is evident.

    Raises:
        LearnerError: a declared pattern matches no tensor.
    """
    declared = declared_constants(learner)
    if declared is None:
        return (
            _evidence.evident(tensors)
            if frozen is None
            else {name: "frozen in the file" for name in tensors if name in frozen}
        )
    called = {name: _called(name, tied) for name in tensors}
    for pattern in declared:
        if not any(fnmatchcase(name, pattern) for names in called.values() for name in names):
            raise LearnerError(
                f"The learner declares {pattern!r} constant, but no tensor is called so; there are: {collapse(tensors)}."
            )
    said = f"a constant of {type(learner).__name__}"
    return {
        name: said
        for name, names in called.items()
        if any(fnmatchcase(n, pattern) for n in names for pattern in declared)
    }


def declared_constants(learner: Learner) -> Sequence[str] | None:
    """Return the patterns of constants that a learner declares, None if it leaves that open.

    Raises:
        LearnerError: its ``constants`` are no patterns.
    """
    found: Sequence[str] | None = _checked(
        learner, "constants", lambda value: isinstance(value, str), 'patterns of names, such as ("*.running_mean",)'
    )
    return found


def declared_tied(learner: Learner) -> Sequence[Sequence[str]] | None:
    """Return the groups of names that a learner declares to be one tensor each, None if it leaves that open.

    Raises:
        LearnerError: its ``tied`` are no groups of names.
    """
    groups = lambda value: (
        isinstance(value, tuple | list) and len(value) > 1 and all(isinstance(name, str) for name in value)
    )
    found: Sequence[Sequence[str]] | None = _checked(
        learner, "tied", groups, 'groups of names, such as (("embed.weight", "head.weight"),)'
    )
    return found


def _checked(learner: Learner, member: str, fits: Callable[[Any], bool], wanted: str) -> Any:  # noqa: ANN401 - a stranger's attribute
    value = getattr(learner, member, None)
    if value is not None and not (isinstance(value, tuple | list) and all(map(fits, value))):
        raise LearnerError(f"The learner's {member} must be a tuple of {wanted}; it is {value!r:.80}.")
    return value


def shared(learner: Learner, tensors: Params, said: Moves) -> dict[str, str]:
    """Return the further names of shared tensors, with the first: as declared, or as the memory shows, and as asked.

    Raises:
        LearnerError: what the learner declares to be one tensor has several values.
        UsageError: what was asked to be one tensor has several values, or does not exist.
    """
    declared = declared_tied(learner)
    found = same_memory(tensors) if declared is None else {}
    for group in declared or ():
        there = [name for name in group if name in tensors]
        if any(not torch.equal(tensors[there[0]], tensors[name]) for name in there[1:]):
            raise LearnerError(
                f"{' and '.join(there)} are one tensor in the learner, but the checkpoint has other values for each."
            )
        found |= {name: group[0] for name in group[1:] if there}
    for first, *others in said.tied:
        if missing := [name for name in (first, *others) if name not in tensors]:
            raise UsageError(
                f"{'='.join((first, *others))} was asked for, but there is no {missing[0]!r}; there are: {collapse(tensors)}."
            )
        if any(not torch.equal(tensors[first], tensors[name]) for name in others):
            raise UsageError(
                f"{'='.join((first, *others))} was asked for, but their values differ: they are no shared tensor."
            )
        root = found.get(first, first)
        joined = {found.get(name, name) for name in others} - {root}
        found |= dict.fromkeys(joined, root) | {name: root for name, old in found.items() if old in joined}
    return {name: first for name, first in found.items() if not (said.name(name) and said.name(first))}


def _refuse_complex(names: Sequence[str]) -> None:
    """Make sure that no complex numbers are asked to move.

    Raises:
        UsageError: some are.
    """
    if names:
        raise UsageError(
            f"{collapse(names)} would move, but holds complex numbers, which cannot be stepped on here. Hold it constant with "
            f"--moves '!{names[0]}', or keep it as real numbers (torch.view_as_real)."
        )


def _ask_whether_it_moves(moving: Params, said: Moves) -> None:
    """Make sure that nothing moves of which it is not known whether it should.

    Raises:
        UsageError: it must be said.
    """
    doubts = {name: why for name, why in _evidence.doubtful(moving).items() if not said.name(name)}
    if doubts:
        first, why = next(iter(doubts.items()))
        raise UsageError(
            f"Does {collapse(doubts)} move? The file does not tell ({why}). Give --moves '!{first}' if it does not (a "
            f"pattern will do), --moves '*' --moves {first} if it does (each name in full); in Python, the "
            "lookahead's moves or the learner's constants, () if all move."
        )


def _ask_whether_one(moving: Params, said: Moves) -> None:
    """Make sure that tensors of equal values that move are known to be one tensor or several.

    Raises:
        UsageError: it must be said.
    """
    pairs = [pair for pair in _evidence.equal_pairs(moving) if not any(map(said.name, pair))]
    if pairs:
        first, other = pairs[0]
        rest = f" (and {len(pairs) - 1} more pairs)" * (len(pairs) > 1)
        raise UsageError(
            f"Are {first} and {other}{rest} one tensor? Their values are equal, and the file does not tell. Give --moves "
            f"{first}={other} if they are, --moves '*' --moves {first} --moves {other} if each moves by itself, --moves "
            f"'!{other}' if it is a copy that does not move; in Python, the lookahead's moves or the learner's tied."
        )


def _ask_which_is_made_of_the_other(overlaps: Iterable[tuple[str, str]], moving: Params, said: Moves) -> None:
    """Make sure that tensors with numbers in common do not move apart unless that was asked for.

    Raises:
        UsageError: it must be said.
    """
    pairs = [pair for pair in overlaps if all(name in moving for name in pair) and not all(map(said.name, pair))]
    if pairs:
        first, other = pairs[0]
        rest = f" (and {len(pairs) - 1} more pairs)" * (len(pairs) > 1)
        raise UsageError(
            f"Do {first} and {other}{rest} move apart? They overlap in the file, as a view and its tensor do, and a step on "
            f"one cannot be followed by the other. Leave one out of the file and let the learner make it, or give --moves "
            f"'!{other}' if it is a copy that does not move, --moves '*' --moves {first} --moves {other} if each moves by "
            "itself; in Python, the lookahead's moves or the learner's tied."
        )
