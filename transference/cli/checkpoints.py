"""What commands that analyse checkpoints do first: read them, build their learner, and find out what tasks they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transference.checkpoints import MOST_STEPS, Checkpoint, load_checkpoint
from transference.cli.options import EPISODE, read_config
from transference.cli.printing import say
from transference.errors import LearnerError, UsageError
from transference.learners import Learner, collapse, fitted, load_learner


@dataclass(frozen=True)
class Subject:
    """Checkpoints of one learner.

    Attributes:
        checkpoints: in the order given.
        learner: built, with the checkpoints' settings and those of ``--config``.
        shape: of episodes: as asked, else as the checkpoints were trained, else `EPISODE`.
    """

    checkpoints: list[Checkpoint]
    learner: Learner
    shape: dict[str, Any]

    def trained_with(self, name: str, default: int) -> int:
        """Return what the checkpoints were trained with."""
        return _trained_with(self.checkpoints, name, default)


def open_checkpoints(
    paths: Sequence[Path],
    *,
    learner: str | None,
    config: Path | None,
    ways: int | None,
    shots: int | None,
    queries: int | None,
    side: int | None,
    channels: int | None,
    key: str | None,
    strip_prefix: str | None,
    ignore: Sequence[str],
    unsafe_load: bool,
    steps: Sequence[str] = (),
) -> Subject:
    """Read checkpoints and build their learner, as the options say that commands on checkpoints share.

    Args:
        paths: of the files.
        learner: a registered name or ``module:factory``; by default what the checkpoints say. For a ``module:factory`` files of other
            programs are taken for plain state_dicts.
        config: TOML file with settings that replace those of the checkpoints.
        ways: classes per task; of this and what follows of episodes, None where the checkpoints decide.
        shots: support examples per class.
        queries: query examples per class.
        side: image side in pixels.
        channels: image channels.
        key: where in the files their state_dicts are; by default a usual place, or the only one.
        strip_prefix: what is taken off all names; by default what all have in common, if they are the learner's
            without it.
        ignore: patterns of names that are left out.
        unsafe_load: let a checkpoint run code while it loads.
        steps: of the checkpoints, in their order, or each as ``PATH=N``; by default what the files say.

    Raises:
        CheckpointError: a file cannot be read, or not so.
        LearnerError: the checkpoints are of different learners, or theirs cannot be built.
        UsageError: the checkpoints were trained on different tasks, and no option decides; or ``steps`` do not fit them.
    """
    plain = learner is not None and ":" in learner
    shape = {"ways": ways, "shots": shots, "queries": queries, "side": side, "channels": channels}
    how: dict[str, Any] = {
        "unsafe": unsafe_load,
        "plain": plain,
        "key": key,
        "strip_prefix": strip_prefix,
        "ignore": ignore,
    }
    loaded = _with_steps([load_checkpoint(path, **how) for path in paths], steps)
    _check_same_learner(loaded)
    for checkpoint in loaded:
        echo_note(checkpoint)
    settings = {**loaded[0].config, **read_config(config)}
    built = load_learner(learner or loaded[0], settings)
    if strip_prefix is None:
        loaded = [_fitted(built, checkpoint) for checkpoint in loaded]
    decided = {
        name: _trained_with(loaded, name, EPISODE[name]) if value is None else value for name, value in shape.items()
    }
    return Subject(loaded, built, decided)


def echo_note(checkpoint: Checkpoint) -> None:
    """Print on stderr what was inferred of a checkpoint, and what whoever recognised it has to say of it."""
    if checkpoint.step_from:
        say(f"{checkpoint.path}: step {checkpoint.step} ({checkpoint.step_from})", err=True)
    if checkpoint.key:
        say(f"{checkpoint.path}: read: the state_dict under {checkpoint.key}", err=True)
    if checkpoint.ignored:
        say(f"{checkpoint.path}: left out: {collapse(checkpoint.ignored)}", err=True)
    if checkpoint.stripped:
        say(
            f"{checkpoint.path}: {checkpoint.stripped!r} is taken off all names ({len(checkpoint.params)} tensors)",
            err=True,
        )
    if checkpoint.unread:
        say(f"{checkpoint.path}: not read: {', '.join(checkpoint.unread)}", err=True)
    if note := checkpoint.training.get("note"):
        say(f"{checkpoint.path}: {note}. --config and the options of episodes change them.", err=True)


def _fitted(learner: Learner, checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint by the learner's names, and say on stderr if they are others."""
    found = fitted(learner, checkpoint)
    if found.stripped != checkpoint.stripped:
        prefix = found.stripped[len(checkpoint.stripped) :]
        told = f"all names ({len(found.params)} tensors) begin with {prefix!r}, which the learner does not know"
        say(f"{checkpoint.path}: {told}; it is taken off, as with --strip-prefix {prefix}", err=True)
    return found


def _with_steps(checkpoints: list[Checkpoint], given: Sequence[str]) -> list[Checkpoint]:
    """Return the checkpoints with the steps that were given.

    Raises:
        UsageError: there is not one for each, one names no checkpoint or one that has another already, or one is no step.
    """
    if not given:
        return checkpoints
    found: dict[str, int] = {}
    paths = [str(checkpoint.path) for checkpoint in checkpoints]
    named = ["=" in text for text in given]
    if not all(named) and (any(named) or len(given) != len(paths)):
        raise UsageError(
            f"--step {' --step '.join(given)} was given with {len(paths)} checkpoints; give one number for each, in their order, "
            "or PATH=N for those that need one."
        )
    for path, text in zip(paths, given, strict=False) if not all(named) else (text.rsplit("=", 1) for text in given):
        if not (text.isascii() and text.isdigit()) or len(text) > len(str(MOST_STEPS)) or int(text) > MOST_STEPS:
            raise UsageError(f"--step {text[:40]!r} was given; a step is a number of updates, from 0 to {MOST_STEPS}.")
        fitting = _fitting(path, paths)
        if len(fitting) != 1:
            raise UsageError(
                f"--step {path}={text} names {len(fitting)} of the checkpoints; they are: {', '.join(paths)}."
            )
        if found.setdefault(fitting[0], int(text)) != int(text):
            raise UsageError(f"--step was given twice for {fitting[0]}, {found[fitting[0]]} and {text}; give it once.")
    return [
        replace(checkpoint, step=found[path], step_from="given as --step") if path in found else checkpoint
        for checkpoint, path in zip(checkpoints, paths, strict=True)
    ]


def _fitting(path: str, paths: Sequence[str]) -> list[str]:
    """Return those of the paths that are the file at ``path``, else those of its bare name."""
    same = [known for known in paths if Path(known).resolve() == Path(path).resolve()]
    return same or [known for known in paths if Path(known).name == path]


def _check_same_learner(checkpoints: list[Checkpoint]) -> None:
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if (other.learner, dict(other.config)) != (first.learner, dict(first.config)):
            raise LearnerError(
                f"The checkpoints are of different learners: {first.path} of {first.learner} {dict(first.config)}, "
                f"{other.path} of {other.learner} {dict(other.config)}. Measure them in runs of their own."
            )


def _trained_with(checkpoints: Sequence[Checkpoint], name: str, default: int) -> int:
    value, *others = [checkpoint.training.get(name, default) for checkpoint in checkpoints]
    if any(other != value for other in others) or not isinstance(value, int):
        raise UsageError(f"The checkpoints do not tell one value of {name} that they were trained with; give --{name}.")
    return value
