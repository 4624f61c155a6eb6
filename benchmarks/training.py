"""Iterations per second of meta-training, beside a straightforward loop over the tasks of a meta-batch.

    python -m benchmarks.training [--side 84] [--rounds 5] [--learners protonet,maml] [--json FILE]

Both take the same tasks from the same samplers, compute the same mean gradient and take the same Adam step. The straightforward loop calls
``backward()`` task by task and leaves threads to torch; ours is what ``transference train`` does here. They take turns, and the medians are
compared.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import transference as tr
from benchmarks.timing import in_turn, machine
from meta_models.training import BATCHINGS
from transference.devices import channels_last
from transference.engines import Task, meta_gradient, repeated, usual

LEARNERS = ("maml", "multi-maml", "mmaml", "kml-maml", "protonet", "multi-protonet", "mprotonet", "kml-protonet")
MODES = ("strokes", "shapes")


def main() -> None:
    """Time every learner, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=84)
    parser.add_argument("--meta-batch", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--learners", default=",".join(LEARNERS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batching", choices=BATCHINGS, help="ours; by default what suits the device")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    tasks = [tr.few_shot(f"{mode}:train", side=asked.side, device=device) for mode in MODES]
    about = machine(device) | {"side": asked.side, "meta_batch": asked.meta_batch}
    print(json.dumps(about))
    print(f"{'learner':16}{'straightforward':>17}{'ours':>10}   ratio  batching   (iterations per second)")
    rows = []
    for name in asked.learners.split(","):
        row = {"learner": name, **_time(name, tasks, asked, device)}
        rows.append(row)
        print(
            f"{name:16}{row['straightforward']:17.2f}{row['ours']:10.2f}{row['ratio']:8.2f}  {row['batching']}",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


def _time(
    name: str, tasks: list[tr.FewShot], asked: argparse.Namespace, device: torch.device
) -> dict[str, float | str]:
    """Return iterations per second of both ways, and their ratio."""
    both = steps(name, tasks, asked.meta_batch, asked.batching, device)
    with repeated():  # as in a training
        seconds = in_turn({"straightforward": both.straightforward, "ours": both.ours}, asked.rounds, device)
    rates: dict[str, float | str] = {name: 1 / took for name, took in seconds.items()}
    return {**rates, "ratio": seconds["straightforward"] / seconds["ours"], "batching": both.batching}


@dataclass(frozen=True)
class Steps:
    """An outer step, both ways, which have been seen to find the same losses.

    Attributes:
        learner: that is trained.
        batch: the tasks of the step, not yet drawn.
        params: those that ours moves.
        batching: what ours does with the tasks.
        straightforward: draws the tasks and takes the step.
        ours: likewise.
    """

    learner: Any
    batch: Sequence[Task]
    params: tr.Params
    batching: str
    straightforward: Callable[[], None]
    ours: Callable[[], None]


def steps(
    name: str,
    tasks: Sequence[tr.FewShot],
    meta_batch: int,
    batching: str | None,
    device: torch.device,
    settings: Mapping[str, Any] | None = None,
) -> Steps:
    """Return an outer step of a fresh learner on tasks of all modes, at a rate of 0: the work of a step, without its effect.

    Args:
        name: the learner's.
        tasks: a sampler per mode, on the device.
        meta_batch: tasks in a step.
        batching: ours; None for what suits the device.
        device: where.
        settings: of the learner, beside those that it must have here.
    """
    config = {"modes": list(MODES)} if name.startswith("multi") else {}
    learner = tr.load_learner(name, config | dict(settings or {}))
    fresh = learner.init_params(0)
    batch = [(tasks[k % len(tasks)], k // len(tasks)) for k in range(meta_batch)]
    theirs = {key: value.to(device).clone().requires_grad_() for key, value in fresh.items()}
    mine = {key: channels_last(value.to(device)).clone().requires_grad_() for key, value in fresh.items()}
    optimizers = [torch.optim.Adam(params.values(), lr=0.0) for params in (theirs, mine)]

    def straightforward() -> None:
        optimizers[0].zero_grad()
        for sampler, index in batch:
            (learner.episode_loss(theirs, sampler[index]) / meta_batch).backward()
        optimizers[0].step()

    way = batching or usual(learner, mine, batch[0])

    def ours() -> None:
        found = meta_gradient(way, learner, mine, batch)
        for key, param in mine.items():
            param.grad = found.gradient.get(key)
        optimizers[1].step()

    # Both do the same work; in float32 an inner loop at 84 pixels magnifies rounding to a per cent of the loss (1e-13 in float64).
    losses = [float(learner.episode_loss(theirs, sampler[index]).detach()) for sampler, index in batch]
    found = meta_gradient(way, learner, mine, batch).losses
    torch.testing.assert_close(torch.tensor(found), torch.tensor(losses), rtol=0.1, atol=1e-2)
    return Steps(learner, batch, mine, way, straightforward, ours)


if __name__ == "__main__":
    main()
