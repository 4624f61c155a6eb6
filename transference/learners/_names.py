"""Names of a checkpoint that are the learner's but for a prefix, or but for some more tensors.

Programs save a network with the name of what held it in front of each name: ``module.`` (DataParallel), ``_orig_mod.``
(``torch.compile``), ``net.`` or ``model.`` (a Lightning module), ``backbone.``, or several of them. Any such beginning
is looked for.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from shlex import quote

from transference.checkpoints import Checkpoint
from transference.episodes import Params
from transference.errors import CheckpointError
from transference.learners._protocol import BufferedLearner, ConfiguredLearner
from transference.learners._theta import declared_tied

_SHOWN = 3


def without_common_prefix(checkpoint: Checkpoint, fits: Callable[[Checkpoint], bool]) -> Checkpoint:
    """Return the checkpoint without the prefix of all its names without which it fits; as it is if there is none.

    Args:
        checkpoint: which does not fit as it is.
        fits: whether the learner knows all the tensors of a checkpoint, and no other.
    """
    shorter = (checkpoint.without_prefix(prefix) for prefix in common_prefixes(checkpoint.params))
    found = [short for short in shorter if fits(short)]
    return found[0] if len(found) == 1 else checkpoint


def common_prefixes(names: Iterable[str]) -> list[str]:
    """Return the beginnings up to a dot that all names have in common, shortest first."""
    names = list(names)
    return [prefix for prefix in _prefixes(names[0]) if all(name.startswith(prefix) for name in names)] if names else []


def advice(learner: ConfiguredLearner, checkpoint: Checkpoint, fits: Callable[[Checkpoint], bool]) -> str | None:
    """Return what to take off or to leave out of a checkpoint so that it fits, in a sentence; None where nothing helps.

    Args:
        learner: whose names are wanted.
        checkpoint: which does not fit as it is.
        fits: likewise.
    """
    expected = {name: value.shape for name, value in learner.init_params(0).items()}
    groups = {name: group for group in declared_tied(learner) or () for name in group}
    prefixes = dict.fromkeys(["", *(prefix for name in checkpoint.params for prefix in _prefixes(name))])
    options = []
    for prefix in prefixes:
        inside = {name[len(prefix) :]: value for name, value in checkpoint.params.items() if name.startswith(prefix)}
        there = [
            any(one in inside and inside[one].shape == shape for one in groups.get(name, (name,)))
            for name, shape in expected.items()
        ]
        if not all(there):
            continue
        known = {prefix + name for name in inside if name in expected or name in groups} | _buffers(
            learner, inside, prefix
        )
        left = _patterns([name for name in checkpoint.params if name not in known], list(checkpoint.params))
        if _fits(checkpoint, prefix, left, fits):
            words = [f"--strip-prefix {quote(prefix)}"] if prefix else []
            options.append(" ".join([*words, *(f"--ignore {quote(pattern)}" for pattern in left)]))
    if not options:
        return None
    return f"It fits with {' or with '.join(options[:_SHOWN])} (strip_prefix, ignore of load_checkpoint)."


def _fits(checkpoint: Checkpoint, prefix: str, left: Sequence[str], fits: Callable[[Checkpoint], bool]) -> bool:
    try:
        some = checkpoint.ignoring(*left) if left else checkpoint
        return fits(some.without_prefix(prefix) if prefix else some)
    except CheckpointError:
        return False


def _buffers(learner: ConfiguredLearner, inside: Params, prefix: str) -> set[str]:
    """Return which names are those of the learner's buffers, as the file has them."""
    if not isinstance(learner, BufferedLearner):
        return set()
    return {prefix + name for name in learner.split_buffers(inside)[1]}


def _patterns(left: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return patterns that match the names in ``left`` and none of the others: those of whole parts where it can be."""
    others = set(names) - set(left)
    found = (
        next((prefix for prefix in _prefixes(name) if not any(o.startswith(prefix) for o in others)), None)
        for name in left
    )
    return list(
        dict.fromkeys(
            f"{glob.escape(prefix)}*" if prefix else glob.escape(name) for name, prefix in zip(left, found, strict=True)
        )
    )


def prefix_told(names: Iterable[str], error: BaseException) -> str:
    """Return, for messages, that a learner may know its parameters without the prefix of all names; nothing if not.

    Args:
        names: of all tensors that the learner was given.
        error: with which it failed; it may name what was looked for in vain, or a part of the prefix.
    """
    names, text = list(names), str(error)
    for prefix in reversed(common_prefixes(names)):
        sought = {name.removeprefix(prefix) for name in names} | {part for part in prefix.split(".") if part}
        if any(re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", text) for word in sought):
            return (
                f" All names of the checkpoint ({len(names)} tensors) begin with {prefix!r}: if the learner knows "
                f"them without, give --strip-prefix {quote(prefix)} (strip_prefix of load_checkpoint)."
            )
    return ""


def _prefixes(name: str) -> Iterator[str]:
    """Yield the beginnings of a name up to each of its dots, shortest first."""
    parts = name.split(".")[:-1]
    return accumulate(f"{part}." for part in parts)
