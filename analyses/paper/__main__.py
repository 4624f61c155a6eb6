"""Does transfer become more positive as training proceeds, and with kernel modulation, at the paper's size?

    python -m analyses.paper --data-root data --runs runs/paper [--only protonet] [--stages 5000,10000] [--minutes 9] [--toy]

Trains the learners of config.toml, measures their checkpoints, and writes shares.csv and figures into the folder of --runs. The same
command goes on where it stopped, for time or otherwise. Exit code: 0 all that was asked for is there; 1 it failed; 2 usage; 3 the minutes
were over before; 130 interrupted.
"""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import torch

import transference as tr
from analyses.paper.shares import draw_all, shares
from analyses.paper.trained import Clock, Config, OutOfTime, tasks_of, trained
from analyses.pooling import save_table, shown
from analyses.subjects import Places, parser, places
from meta_models.training import Folder
from transference.devices import choose_device, keep_freed_memory
from transference.errors import TransferenceError, UsageError

HERE = Path(__file__).parent


def main() -> int:
    """Train and measure what is missing, for as long as there is time; print the shares, draw the figures."""
    made = parser(__doc__)
    made.set_defaults(runs=Path("runs/paper"))
    made.add_argument("--only", metavar="LEARNERS", help="Some of the learners, separated by commas.")
    made.add_argument("--stages", metavar="UPDATES", help="Some of the stages, separated by commas.")
    made.add_argument("--minutes", type=float, help="Stop in time, at a checkpoint.")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
    made.add_argument("--toy", action="store_true", help="toy.toml instead: generated modes, in seconds, on a CPU too.")
    asked = made.parse_args()
    keep_freed_memory()
    config = tomllib.loads((HERE / ("toy.toml" if asked.toy else "config.toml")).read_text())
    try:
        learners = _some(asked.only, "--only", config["learners"])
        stages = [int(stage) for stage in _some(asked.stages, "--stages", [*map(str, config["stages"])])]
        device = choose_device(asked.device)
        stopped = carry_out(config, learners, stages, places(asked), device, Clock(asked.minutes))
        tell(config, places(asked))
    except TransferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    if stopped:
        print(f"\nThe minutes are over: {stopped}. The same command goes on.")
    return 3 if stopped else 0


def _some(asked: str | None, option: str, offered: Sequence[str]) -> list[str]:
    """Return those of the offered that are asked for, all by default.

    Raises:
        UsageError: one is not offered.
    """
    wanted = asked.split(",") if asked else offered
    if unknown := [each for each in wanted if each not in offered]:
        raise UsageError(f"{option} {asked} was asked for; {', '.join(unknown)} is none of {', '.join(offered)}.")
    return [each for each in offered if each in wanted]


def carry_out(
    config: Config, learners: Sequence[str], stages: Sequence[int], at: Places, device: torch.device, clock: Clock
) -> str:
    """Train and measure one learner after the other; return how far it is if time is over, else nothing."""
    try:
        for name in learners:
            folder = trained(name, config, stages, at, device, clock)
            measure(name, config, stages, folder, at, device, clock)
    except OutOfTime as over:
        return str(over)
    return ""


def run_folder(name: str, at: Places) -> Path:
    """Return where the loss ratios of a learner are."""
    return at.runs / "measured" / name


def measure(
    name: str,
    config: Config,
    stages: Sequence[int],
    folder: Folder,
    at: Places,
    device: torch.device,
    clock: Clock,
) -> None:
    """Measure a learner at the stages that are asked for, into a run that may hold others, one checkpoint after the other.

    Raises:
        OutOfTime: there is no time for the next one.
    """
    out = run_folder(name, at)
    begun = tr.open_run(out) if (out / "run.json").exists() else None
    there = set(begun.steps) if begun else set()
    missing = [stage for stage in stages if stage not in there]
    if begun and begun.finished and not missing:
        return
    clock.check(0.0, f"{name} is trained, and waits to be measured")
    tasks = [
        tasks_of(f"{config[role]}:{split}", config, at, seed=config["seed"] + k)
        for k, (role, split) in enumerate({"source": "train", "target": "test"}.items(), start=1)
    ]
    took = 0.0
    for further in [[], *([stage] for stage in missing)] if there else [[stage] for stage in missing]:
        clock.check(took, f"{name} is measured at {len(there)} of {len(config['stages'])} stages")
        there, since = there | set(further), time.monotonic()
        checkpoints = [tr.load_checkpoint(folder.checkpoint(step)) for step in sorted(there)]
        tr.measure(
            tr.load_learner(checkpoints[0]),
            checkpoints,
            *tasks,
            n_source=config["n_source"],
            n_target=config["n_target"],
            lookahead=tr.SGD(tuple(config["alpha"])),
            device=str(device),
            out=out,
            progress=True,
        )
        took = time.monotonic() - since


def tell(config: Config, at: Places) -> None:
    """Print the shares of all learners whose runs are whole, as far as they go, and write table and figures."""
    folders = {name: run_folder(name, at) for name in config["learners"]}
    opened = {name: tr.open_run(folder) for name, folder in folders.items() if (folder / "run.json").exists()}
    runs = {name: run for name, run in opened.items() if run.finished}
    if missing := [name for name in folders if name not in runs]:
        print(f"not measured yet, and left out: {', '.join(missing)}")
    if not runs:
        return
    table = shares(runs)
    print(f"\n{config['source']}:train → {config['target']}:test, 95 % intervals for another draw of the tasks:")
    print(shown(table))
    save_table(table, at.runs / "shares.csv")
    print(*[at.runs / "shares.csv", *draw_all(runs, at.runs / "figures")], sep="\n")


if __name__ == "__main__":
    sys.exit(main())
