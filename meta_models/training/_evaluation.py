"""Meta-test: loss and accuracy of a checkpoint on tasks, and the mean per mode with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from transference import Learner, Params
from transference.devices import n_workers, undisturbed, workers
from transference.engines import ONCE, Task, draw, where
from transference.errors import LearnerError
from transference.learners import EpisodeError
from transference.progress import progress_bar
from transference.samplers import TaskSampler

_FOR_EACH = 4
"""Tasks for each worker that are in memory together."""


@undisturbed()
def evaluate(
    learner: Learner, params: Params, modes: Mapping[str, TaskSampler], n: int, *, progress: bool = False
) -> pd.DataFrame:
    """Return the scores of tasks ``0 … n-1`` of every mode.

    Args:
        learner: the learner.
        params: on the device where tasks are evaluated.
        modes: a sampler for each.
        n: tasks per mode.
        progress: show a bar on stderr.

    Returns:
        One row per task: ``mode``, ``index``, ``loss``, ``accuracy`` (NaN where the learner knows none).
    """
    tasks = [(mode, (sampler, index)) for mode, sampler in modes.items() for index in range(n)]
    rows, at_once = [], _FOR_EACH * n_workers()
    with workers(), progress_bar(len(tasks), unit="task", shown=progress) as bar:
        for start in range(0, len(tasks), at_once):
            some = tasks[start : start + at_once]
            scores = _scores(learner, params, [task for _, task in some])
            for (mode, (_, index)), (loss, accuracy) in zip(some, scores, strict=True):
                rows.append({"mode": mode, "index": index, "loss": loss, "accuracy": accuracy})
            bar.update(len(some))
    return pd.DataFrame(rows)


def _scores(learner: Learner, params: Params, tasks: Sequence[Task]) -> list[list[float]]:
    """Return loss and accuracy of each task.

    Raises:
        LearnerError: the learner failed on one.
    """
    try:
        device = next(iter(params.values())).device  # a sampler of one's own may know none
        episodes = [episode.to(device) for episode in draw(tasks)]
        scores: list[list[float]] = ONCE(learner, episodes)(params).tolist()
    except EpisodeError as error:
        raise LearnerError(f"The learner failed {where(error, tasks)}: {error}.") from error
    return scores


@np.errstate(invalid="ignore")
def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean loss and accuracy per mode with the half-widths of their 95 % intervals, and the mean of the modes.

    The half-width is 1.96 s / √n with s the standard deviation over the n tasks (ddof 1). For the mean of M modes it is
    1.96 √(Σ s_m² / n_m) / M: the modes are given, only their tasks are drawn. All of it is conditional on the classes of the split.
    Where a loss is infinite, the mean is too, and has no interval.

    Args:
        scores: as `evaluate` returns them.

    Returns:
        ``mode``, ``n``, ``loss``, ``loss_ci``, ``accuracy``, ``accuracy_ci``; with several modes the last row is their mean, called
        ``mean``.
    """
    rows = []
    for mode, part in scores.groupby("mode", sort=False):
        row: dict[str, object] = {"mode": mode, "n": len(part)}
        for name in ("loss", "accuracy"):
            values = part[name].to_numpy(dtype=float)
            spread = values.std(ddof=1) if len(values) > 1 else np.nan
            row |= {name: values.mean(), f"{name}_ci": 1.96 * spread / np.sqrt(len(values))}
        rows.append(row)
    table = pd.DataFrame(rows)
    if len(table) > 1:
        mean: dict[str, object] = {"mode": "mean", "n": int(table["n"].sum())}
        for name in ("loss", "accuracy"):
            # numpy leaves no NaN out
            means, halves = (table[name].to_numpy(dtype=float), table[f"{name}_ci"].to_numpy(dtype=float))
            mean |= {name: means.mean(), f"{name}_ci": np.sqrt((halves**2).sum()) / len(table)}
        table = pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
    return table
