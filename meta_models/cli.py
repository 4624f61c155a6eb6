"""The command ``transference train``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from meta_models._training import Training, check_folder
from meta_models._training import train as run_training
from transference import few_shot
from transference.cli.options import episode_options, import_from_here, split_modes
from transference.devices import choose_device
from transference.errors import UsageError
from transference.learners import load_learner, offered_config


@click.command(
    short_help="Meta-train a learner, saving checkpoints.",
    epilog="""\b
Examples:
  transference train --learner protonet --modes strokes,shapes --iterations 200 --save-every 50 --out runs/toy
  transference train --learner maml --modes strokes --iterations 100 --out runs/toy-maml""",
)
@click.option("--learner", required=True, help="A registered learner (see transference learners) or module:factory.")
@click.option("--modes", required=True, help="Datasets to train on, separated by commas; tasks are shared out evenly.")
@episode_options(from_checkpoint=False)
@click.option("--iterations", type=click.IntRange(1), metavar="N", default=20_000, show_default=True, help="Outer updates in all.")
@click.option("--save-every", type=click.IntRange(1), metavar="N", default=5_000, show_default=True, help="Updates between checkpoints.")
@click.option("--meta-batch", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="Tasks per outer update.")
@click.option("--lr", type=float, metavar="X", default=1e-3, show_default=True, help="Outer learning rate (Adam).")
@click.option(
    "--halve-every",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    help="Halve the outer rate every N updates; 0 keeps it constant.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with the learner's settings.",
)
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder with NAME.parquet or NAME/ for each dataset.")
@click.option(
    "--seed", type=click.IntRange(0, 2**62), metavar="N", default=0, show_default=True, help="Of the initial parameters and the tasks."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--dry-run", is_flag=True, help="Check everything and print what would be trained.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for checkpoints and metrics.")
def train(
    learner: str,
    modes: str,
    ways: int,
    shots: int,
    queries: int,
    side: int,
    channels: int,
    iterations: int,
    save_every: int,
    meta_batch: int,
    lr: float,
    halve_every: int,
    config: Path | None,
    data_root: Path | None,
    seed: int,
    device: str,
    dry_run: bool,
    out: Path,
) -> None:
    """Meta-train a learner and save checkpoints on the way.

    Images come from the train split of each dataset. Repeating the command goes on from the last checkpoint; a larger --iterations trains
    longer. OUT/metrics is a table (parquet) with loss and accuracy per iteration and mode.
    """
    import_from_here()
    names = split_modes(modes)
    shape = {"ways": ways, "shots": shots, "queries": queries, "side": side, "channels": channels}
    settings = {**offered_config(learner, {"ways": shape["ways"], "channels": shape["channels"]}), **_settings(config)}
    where = choose_device(device)
    training = Training(
        learner=learner,
        config=settings,
        modes=names,
        **shape,
        meta_batch=meta_batch,
        lr=lr,
        halve_every=halve_every,
        seed=seed,
    )
    built = load_learner(learner, settings)
    tasks = [few_shot(f"{name}:train", data_root=data_root, **shape, seed=seed, device=where) for name in names]
    check_folder(out, training, tasks)
    if dry_run:
        click.echo(
            f"would train {learner} {settings} on {', '.join(names)} for {iterations} iterations, saving every {save_every} in {out}"
        )
        return
    for path in run_training(built, training, tasks, out=out, iterations=iterations, save_every=save_every, device=where, progress=True):
        click.echo(path)


def _settings(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        settings = tomllib.loads(config.read_text())
        json.dumps(settings)  # what a checkpoint can carry
    except (tomllib.TOMLDecodeError, TypeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{config} is no TOML file of plain settings ({error}). Write one setting a line, for example inner_steps = 1."
        ) from error
    return settings
