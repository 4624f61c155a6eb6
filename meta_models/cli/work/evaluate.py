"""What ``transference evaluate`` does, once its options are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from meta_models.training import evaluate as run_evaluation
from meta_models.training import summary
from transference.cli.checkpoints import open_checkpoints
from transference.cli.modes import in_order
from transference.cli.options import (
    import_from_here,
)
from transference.cli.printing import say
from transference.devices import choose_device, full_precision, keep_freed_memory
from transference.errors import UsageError, in_one_line
from transference.files import write_aside
from transference.learners import check_pure, theta
from transference.samplers import TaskSampler, episode_of, is_own, load_tasks, mode_of


def evaluate(
    checkpoints: tuple[Path, ...],
    targets: tuple[str, ...],
    n_tasks: int,
    seed: int | None,
    data_root: Path | None,
    device: str,
    json_output: bool,
    out: Path | None,
    **reading: Any,  # noqa: ANN401 - what `open_checkpoints` takes
) -> None:
    """Do what ``transference evaluate`` was asked."""
    import_from_here()
    targets = in_order(targets, data_root, "--target")
    keep_freed_memory()
    subject = open_checkpoints(checkpoints, **reading)
    seed = seed if seed is not None else subject.trained_with("seed", 0) + 2
    where = choose_device(device)
    modes = _opened(targets, data_root, {"n": n_tasks, "seed": seed, "device": where, **subject.shape})
    scores, tables = [], []
    with full_precision():
        for checkpoint in subject.checkpoints:
            on_cpu = theta(subject.learner, checkpoint)
            for mode in modes.values():
                check_pure(on_cpu.learner, on_cpu.params, episode_of(mode, 0).to("cpu"))
            placed = on_cpu.to(where)
            found = run_evaluation(placed.learner, placed.params, modes, n_tasks, progress=True)
            step, file = checkpoint.step, str(checkpoint.path)
            scores.append(found.assign(checkpoint=step, file=file))
            tables.append(summary(found).assign(checkpoint=step, file=file))
    if out is not None:
        content = BytesIO()  # given a name, pandas takes some for an address
        pd.concat(scores, ignore_index=True).to_parquet(content, index=False)
        write_aside(out, lambda aside: aside.write_bytes(content.getvalue()))
    table = pd.concat(tables, ignore_index=True)
    say(json.dumps(json.loads(table.to_json(orient="records")), indent=2) if json_output else _text(table))


def _opened(targets: Sequence[str], data_root: Path | None, settings: Mapping[str, Any]) -> dict[str, TaskSampler]:
    """Return the tasks of each target by its mode; those of a sampler of one's own by what it calls it.

    Raises:
        UsageError: two are called the same.
    """
    modes: dict[str, TaskSampler] = {}
    for text in targets:
        sampler = load_tasks(text, data_root=data_root, **settings)
        mode = mode_of(sampler) if is_own(text, data_root) else text
        if mode in modes:
            raise UsageError(
                f"{text} calls its mode {mode}, and so does another --target; give its sampler another mode or name."
            )
        modes[mode] = sampler
    return modes


def _text(table: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "checkpoint": table["checkpoint"],
            "mode": [in_one_line(mode) for mode in table["mode"]],
            "n": table["n"],
            "loss": [f"{mean:.4f} ± {half:.4f}" for mean, half in zip(table["loss"], table["loss_ci"], strict=True)],
            "accuracy": [
                "" if pd.isna(mean) else f"{mean:.2%} ± {half:.2%}"
                for mean, half in zip(table["accuracy"], table["accuracy_ci"], strict=True)
            ],
        }
    )
    if table.groupby("checkpoint")["file"].nunique().max() > 1:  # the step alone does not tell them apart
        shown.insert(0, "file", [in_one_line(file) for file in table["file"]])
    return shown.to_string(index=False)
