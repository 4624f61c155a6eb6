"""What was measured, in words and as a list of settings."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from transference.spec import RunSpec, TaskSet
from transference.store import Run

_STEPS = {
    "sgd": "one step of gradient descent",
    "normalised": "one step along the gradient, of the length α,",
    "adam": "one step of Adam with the moments of the checkpoint",
    "outer": "one step of the checkpoint's own outer optimizer",
}
_NAMES = {"firstorder": "first order", "calibrated": "first order", "quadratic": "the quadratic"}
_READINGS = {
    "exact": "Every loss after a step was computed.",
    "firstorder": "The losses after a step are estimates of first order, from one gradient per task; a sample of pairs was computed too.",
    "quadratic": "The losses after a step of the largest size were computed; those of smaller sizes are estimates, by a "
    "parabola through it and the slope at θ. A sample of pairs was computed at these too.",
    "calibrated": "The losses after a step are estimates of first order, corrected by a random sample of pairs that were computed.",
}


def learner_name(run: Run) -> str:
    """Return the learner's registered name, else its class."""
    names = {str(checkpoint.get("learner") or "") for checkpoint in run.about().get("checkpoints", [])}
    (name,) = names if len(names) == 1 else ("",)
    return name or str(run.spec.learner.get("class", "learner")).rpartition(".")[2]


def title(run: Run) -> str:
    """Return a heading: the learner, from which modes to which."""
    sources, targets = (_listed(dict.fromkeys(run.modes(role))) for role in ("source", "target"))
    return f"{learner_name(run)}, from {sources} to {targets}"


def alpha_names(alphas: Iterable[float]) -> dict[float, str]:
    """Return what step sizes are called: in six digits, in all where these do not tell them apart."""
    different = dict.fromkeys(alphas)
    short = [f"{alpha:g}" for alpha in different]
    return {
        alpha: name if short.count(name) == 1 else repr(alpha) for alpha, name in zip(different, short, strict=True)
    }


def measured(run: Run, failed: Mapping[str, int]) -> str:
    """Return in plain words what was measured.

    Args:
        run: the run.
        failed: cells without a ratio, by status.
    """
    spec = run.spec
    step = _STEPS.get(spec.lookahead["kind"], f"one step of {spec.lookahead['kind']}")
    alphas = f"of size α = {_listed(alpha_names(spec.alphas).values())}"
    checkpoints = f"{_counted(len(run.steps), 'checkpoint')} of {learner_name(run)} ({_steps(run.steps)})"
    lost = ", ".join(f"{n:,} {status}" for status, n in failed.items())
    again = f", each measured with {spec.replicates} draws of their episodes" if spec.replicates > 1 else ""
    n_pairs, n_ratios = spec.n_source * spec.n_target, spec.n_cells // spec.replicates
    over = f", {n_ratios:,} ratios over checkpoints and {spec.amount.plural}" if n_ratios > n_pairs else ""
    known = f"of which some have no ratio: {lost}" if lost else "all of them measured"
    if spec.updates:
        return (
            f"From {checkpoints}, {_listed(f'{k:,}' for k in spec.updates)} updates of {spec.lookahead.get('meta_batch')} tasks "
            f"were taken, as in training, on each of {_tasks(spec.samplers, 'draw')} {_combinations(spec)}and the loss of each of "
            f"{_tasks(spec.targets, 'target task')} compared with its loss before. The number of updates is K. "
            f"That makes {_counted(n_pairs, 'pair')} of a draw and a target task{again}{over}, {known}. {_readings(spec)}"
        )
    return (
        f"From {checkpoints}, {step} {alphas} was taken on each of {_tasks(spec.samplers, 'source task')}, {_combinations(spec)}"
        f"and the loss of each of {_tasks(spec.targets, 'target task')} compared with its loss before. "
        f"That makes {_counted(n_pairs, 'pair')} of tasks{again}{over}, {known}. {_readings(spec)}"
    )


def _combinations(spec: RunSpec) -> str:
    """Return what was stepped on together."""
    if not spec.combine:
        return ""
    names, (first, *_) = _listed(str(one["name"]) for one in spec.combine), spec.samplers
    if spec.updates:
        return f"and of modes together ({names}), "
    return f"on each {first.n:,} times one task of every mode together, their gradients combined by {names}, "


def _tasks(sets: Sequence[TaskSet], what: str) -> str:
    """Return how many tasks there are, and how many are of which sampler."""
    of_each = _listed(f"{tasks.n:,} of {tasks.sampler.partition('/')[0]}" for tasks in sets)
    return f"{_counted(sum(tasks.n for tasks in sets), what)} ({of_each})"


def _readings(spec: RunSpec) -> str:
    """Return how the losses after a step were read."""
    if "estimates" not in spec.estimator:
        return _READINGS.get(spec.estimator["kind"], "")
    but = f", those at {exact_steps(spec)} computed" if spec.estimates and spec.exact_at else ""
    return f"The losses after a step were {'estimated' if spec.estimates else 'read'} by {spec.estimator['kind']}{but}."


def estimator_name(spec: RunSpec) -> str:
    """Return what a run's estimates are called, such as ``"first order"``."""
    kind = str(spec.estimator["kind"])
    return _NAMES.get(kind, kind)


def exact_steps(spec: RunSpec) -> str:
    """Return the step sizes at which every loss was evaluated, such as ``"α = 0.01"``; empty if there is none."""
    names = alpha_names(spec.alphas)
    return spec.amount.told(_listed(names[alpha] for alpha in spec.exact_at)) if spec.exact_at else ""


def told_of_estimates(spec: RunSpec) -> str:
    """Return what made a run's estimates, and at which step sizes there are none; empty of a run that is exact."""
    if not spec.estimates:
        return ""
    return str(spec.estimator["kind"]) + (f"; those at {exact_steps(spec)} are exact" if spec.exact_at else "")


def settings(run: Run) -> dict[str, list[str]]:
    """Return what distinguishes the run from others, as name and lines."""
    spec, about = run.spec, run.about()
    rest = [name for name in spec.learner if name != "class"]
    versions = {**about.get("versions", {}), "Python": about.get("python", "unknown")}
    listed = {
        "Learner": [
            str(spec.learner.get("class", "")),
            ", ".join(f"{name} {_plain(spec.learner[name])}" for name in rest),
        ],
        "Checkpoints": [f"step {ref.step:,}, digest {ref.digest}" for ref in spec.checkpoints],
        "Source tasks": [
            f"{tasks.sampler}, {'draws' if spec.updates else 'tasks'} 0 to {tasks.n - 1}" for tasks in spec.samplers
        ],
        "Combinations": [", ".join(f"{name} {_plain(value)}" for name, value in one.items()) for one in spec.combine],
        "Target tasks": [f"{tasks.sampler}, tasks 0 to {tasks.n - 1}" for tasks in spec.targets],
        "Step": [", ".join(f"{name} {_plain(value)}" for name, value in spec.lookahead.items())],
        "Estimator": [", ".join(f"{name} {_plain(value)}" for name, value in spec.estimator.items())],
        "Numbers": [
            f"{spec.precision} on {about.get('device', spec.device)}, threads {about.get('threads', 'unknown')}",
            "losses also read at the best temperature of each target mode" if spec.tempered else "",
        ],
        "Versions": [", ".join(f"{name} {number}" for name, number in versions.items())],
        "Digest of the run": [spec.digest],
    }
    return {name: [line for line in lines if line] for name, lines in listed.items()}


def command(run: Run) -> str | None:
    """Return the command that made the run, None where it was called from Python."""
    words = run.about().get("command")
    return shlex.join(["transference", *words[1:]]) if words else None


def image_shape(run: Run) -> tuple[int, int]:
    """Return side and channels of the run's images, as its command says, else the training of its checkpoints, else 28 and 3."""
    about = run.about()
    training = (about.get("checkpoints") or [{}])[0].get("training", {})
    words = about.get("command") or []
    return _number("side", words, training, 28), _number("channels", words, training, 3)


def _number(name: str, words: Sequence[str], training: Mapping[str, Any], default: int) -> int:
    """Return a setting as the run's command says it, else as the training does, else the default."""
    said = [value for word, value in pairwise(words) if word == f"--{name}"]
    said += [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    found = str(said[-1] if said else training.get(name, default))
    return int(found) if found.isdecimal() and len(found) < 5 else default


def _steps(steps: Sequence[int]) -> str:
    """Return the steps of checkpoints, in words."""
    return f"at step {_listed(f'{step:,}' for step in steps)}"


def _counted(n: int, what: str) -> str:
    """Return a number with what it counts, in the plural unless it is 1."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _listed(parts: Iterable[str]) -> str:
    """Return parts with commas, and an "and" before the last."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON value without its quotes and brackets."""
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)
