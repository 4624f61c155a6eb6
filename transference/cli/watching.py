"""The file of ``transference train --watch``: what is measured while a training runs, in the words of ``transference compute``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from transference.cli.combinations import read_combinations
from transference.cli.compute import compute
from transference.cli.options import PathType
from transference.cli.settings import with_settings
from transference.cli.work.compute import estimator_of
from transference.errors import UsageError
from transference.estimators import Checked
from transference.learners import Learner
from transference.lookahead import LOOKAHEADS
from transference.samplers import load_tasks
from transference.watch import CHECKED, Watch

_OF_COMPUTE = {
    "sources", "targets", "combine", "n_source", "n_target", "ways", "shots", "queries", "seed", "lookahead", "alpha", "moves", "estimator",
    "share", "half_width", "engine", "controls", "replicates", "precision", "tile",
}  # fmt: skip
"""Options of ``compute`` that a watch has too; the rest are the training's."""

_DEFAULTS = {"n_source": 20, "n_target": 10, "estimator": "first-order", "controls": 0}
"""Of those that are others than in ``compute``: a watch is small."""


def read_watch(file: Path, learner: Learner, training: Mapping[str, Any], *, out: Path) -> Watch:
    """Return the watch that a file asks for.

    Args:
        file: TOML, with options of ``compute``, and ``every``, ``time-share``, ``out`` and ``page``.
        learner: that is trained.
        training: what the file may leave open, ``ways``, ``shots``, ``queries`` and ``seed``; and ``side``, ``channels``, ``data_root`` and
            ``device``, which are the training's.
        out: the run folder where the file names none.

    Raises:
        UsageError: the file is none of these options, or what it asks for cannot be.
    """
    try:
        with _options().make_context(f"train --watch {file}", ["--settings", str(file)]) as ctx:
            given = dict(ctx.params)
    except click.UsageError as error:
        raise UsageError(f"{file}: {error.format_message()}") from error
    modes, to = given["sources"], given["targets"]
    shape = {name: training[name] if given[name] is None else given[name] for name in ("ways", "shots", "queries")}
    how: dict[str, Any] = {**shape, **{name: training[name] for name in ("side", "channels", "data_root", "device")}}
    seed = training["seed"] + 1 if given["seed"] is None else given["seed"]
    estimator = estimator_of(given["estimator"], given["share"], given["half_width"], given["engine"])
    if isinstance(estimator, Checked):
        estimator = replace(estimator, checked=CHECKED)
    return Watch(
        [load_tasks(mode, n=given["n_source"], seed=seed, **how) for mode in modes],
        [load_tasks(mode, n=given["n_target"], seed=seed + 1, **how) for mode in to],
        learner=learner,
        out=given["out"] or out,
        every=given["every"],
        time_share=given["time_share"],
        page=given["page"],
        n_source=given["n_source"],
        n_target=given["n_target"],
        lookahead=LOOKAHEADS[given["lookahead"]](alpha=given["alpha"], moves=given["moves"]),
        estimator=estimator,
        combine=read_combinations(given["combine"], modes, to, data_root=training["data_root"]),
        controls=given["controls"],
        replicates=given["replicates"],
        device=str(training["device"]),
        precision=given["precision"],
        tile=given["tile"],
    )


def _options() -> click.Command:
    """Return the options of the file, as those of a command that nobody calls."""
    taken = [copy.copy(parameter) for parameter in compute.params if parameter.name in _OF_COMPUTE]
    for parameter in taken:
        parameter.default = _DEFAULTS.get(str(parameter.name), parameter.default)
    own = [
        click.Option(["--every"], type=click.IntRange(1), default=500),
        click.Option(["--time-share"], type=float, default=0.03),
        click.Option(["--out"], type=PathType()),
        click.Option(["--page"], type=PathType()),
    ]
    return with_settings(click.Command("train --watch", params=[*taken, *own], callback=lambda **_: None))
