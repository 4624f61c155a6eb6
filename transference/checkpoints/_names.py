"""A checkpoint by other names, or without some of its tensors; frozen names and the optimizer's state follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import Tensor

from transference.checkpoints._memory import same_memory
from transference.episodes import Params
from transference.errors import CheckpointError
from transference.optimizers import OptimizerState

if TYPE_CHECKING:
    from transference.checkpoints._files import Checkpoint

_SHOWN = 4
_STATISTICS = ("running_mean", "running_var")
"""What torch's norms keep beside their parameters; no optimizer numbers it."""


def without_prefix(checkpoint: Checkpoint, prefix: str) -> Checkpoint:
    """Return the checkpoint with a prefix taken off all names.

    Raises:
        CheckpointError: some name does not begin with it, or is nothing else.
    """
    others = [name for name in checkpoint.params if not name.startswith(prefix) or name == prefix]
    if not prefix or len(others) == len(checkpoint.params):
        raise CheckpointError(
            f"{_file(checkpoint)} has no name that begins with {prefix!r}, which was to be taken off all "
            f"(--strip-prefix); there are: {_listed(checkpoint.params)}."
        )
    if others:
        raise CheckpointError(
            f"{prefix!r} was to be taken off all names of {_file(checkpoint)} (--strip-prefix), but {len(others)} of "
            f"{len(checkpoint.params)} do not begin with it: {_listed(others)}. Leave them out with --ignore, if no "
            "part of the learner."
        )

    if all(name[len(prefix)] == "." for name in checkpoint.params):
        raise CheckpointError(
            f"{prefix!r} was to be taken off all names of {_file(checkpoint)}, which would then begin with a dot; "
            f"give it with its dot, --strip-prefix {prefix}."
        )

    def short(name: str) -> str:
        return name.removeprefix(prefix)

    return replace(
        checkpoint,
        params={short(name): value for name, value in checkpoint.params.items()},
        optimizer=_renamed(checkpoint.optimizer, {name: short(name) for name in checkpoint.params}),
        frozen=None if checkpoint.frozen is None else frozenset(map(short, checkpoint.frozen)),
        overlaps=tuple((short(one), short(other)) for one, other in checkpoint.overlaps),
        stripped=checkpoint.stripped + prefix,
    )


def ignoring(checkpoint: Checkpoint, patterns: Sequence[str], prefix: str = "") -> Checkpoint:
    """Return the checkpoint without the tensors whose names a pattern matches.

    Args:
        checkpoint: which.
        patterns: of names, as in a shell, with this prefix or without.
        prefix: that will be taken off.

    Raises:
        CheckpointError: a pattern matches no name, or together they match all.
    """
    called = {name: (name, name.removeprefix(prefix)) for name in checkpoint.params}
    for pattern in patterns:
        if not any(_match(names, pattern) for names in called.values()):
            raise CheckpointError(
                f"No tensor of {_file(checkpoint)} is called {pattern!r}, which was to be left out (--ignore); there "
                f"are: {_listed(checkpoint.params)}."
            )
    left = [name for name, names in called.items() if any(_match(names, pattern) for pattern in patterns)]
    kept = {name: value for name, value in checkpoint.params.items() if name not in left}
    if not kept:
        raise CheckpointError(
            f"--ignore {' --ignore '.join(patterns)} leaves out all {len(left)} tensors of {_file(checkpoint)}; "
            "something must stay."
        )
    return replace(
        checkpoint,
        params=kept,
        optimizer=_without(checkpoint.optimizer, checkpoint.params, left, checkpoint.frozen or ()),
        frozen=None if checkpoint.frozen is None else checkpoint.frozen - set(left),
        overlaps=tuple(pair for pair in checkpoint.overlaps if not set(pair) & set(left)),
        ignored=(*checkpoint.ignored, *left),
    )


def _renamed(state: OptimizerState | None, names: Mapping[str, str]) -> OptimizerState | None:
    """Return an optimizer's state by other names of the parameters; numbers stay.

    It may know its parameters by the shorter names, as one that was made before the model was wrapped.
    """
    if state is None or state.order is not None:
        return state
    known = {*state.steps, *(name for tree in state.slots.values() for name in tree)}
    if len({names.get(name, name) for name in known}) < len(known):
        return replace(
            state, unusable="it keeps two entries for one parameter, with the prefix of its name and without"
        )
    slots = {slot: {names.get(name, name): v for name, v in tree.items()} for slot, tree in state.slots.items()}
    return replace(state, slots=slots, steps={names.get(name, name): n for name, n in state.steps.items()})


def _without(
    state: OptimizerState | None, params: Params, left: Sequence[str], frozen: Sequence[str] | frozenset[str]
) -> OptimizerState | None:
    """Return an optimizer's state without some of the parameters; where it numbers them, by names, if it can be.

    Args:
        state: whose.
        params: all tensors in the file's order, which the numbers follow.
        left: names of those to be left out.
        frozen: names of which the file says that they do not move.
    """
    if state is None or state.unusable:
        return state
    if state.order is not None:
        named = _by_name(state, params, left, frozen)
        if named is None or named.order is not None:
            return named or replace(
                state,
                unusable=f"its outer optimizer keeps {state.order} parameters by number, and which they are "
                "cannot be told beside the tensors that were left out. Save its state by name, or take --lookahead sgd",
            )
        state = named
    slots = {slot: {n: v for n, v in tree.items() if n not in left} for slot, tree in state.slots.items()}
    return replace(state, slots=slots, steps={name: n for name, n in state.steps.items() if name not in left})


def _by_name(
    state: OptimizerState, params: Params, left: Sequence[str], frozen: Sequence[str] | frozenset[str]
) -> OptimizerState | None:
    """Return the state by names; with numbers if it surely never had what is left out, None if nobody can tell."""
    if not any(state.slots.values()):  # nothing is kept, so no number matters
        return replace(state, order=None, steps={})
    tied = same_memory(params)
    floats = {name: value for name, value in params.items() if value.is_floating_point() and name not in tied}
    moving = {name: value for name, value in floats.items() if not name.endswith(_STATISTICS)}
    thawed = {name: value for name, value in moving.items() if name not in frozen}
    if not any(name in floats for name in left):
        return state
    for reading in (floats, moving, thawed):
        if not (named := state.named(reading)).unusable:
            return named
    kept = [tuple(value.shape) for name, value in floats.items() if name not in left]
    apart = not {tuple(floats[name].shape) for name in left if name in floats} & set(kept)
    whole = all(len(tree) in (0, state.order) for tree in state.slots.values())
    return state if apart and whole else None


def _match(names: Sequence[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _file(checkpoint: Checkpoint) -> str:
    return str(checkpoint.path or "the checkpoint")


def _listed(names: Mapping[str, Tensor] | Sequence[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
