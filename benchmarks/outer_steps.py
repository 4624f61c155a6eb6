"""Outer updates a second of meta-training on one thread, beside the released programs' own step and beside a plain loop.

    python -m benchmarks.outer_steps [--sides 28,84] [--learners protonet,maml] [--beside released,plain] [--rounds 7] [--json FILE]

Each way is a process of its own with one thread, and they take turns, update by update, on the same tasks. Ours is what ``transference
train`` does, with its setting of glibc's malloc; what others write runs with the default one and, beside it, with ours. Seconds are those
of the processor, which other work on the machine moves less than it does a clock. Printed are updates a second, and the median over the
rounds of the ratio to ours, with the least and the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import transference as tr
from benchmarks import peers, released_steps
from benchmarks.timing import machine
from benchmarks.training import MODES, steps
from transference.devices import keep_freed_memory, workers

PLAIN = ("protonet", "maml")
"""Those that a plain loop is written for."""


@dataclass(frozen=True)
class Way:
    """One way to take a step, in a process of its own.

    Attributes:
        learner: whose step.
        side: pixels along each edge.
        meta_batch: tasks in a step.
        who: ``"ours"``, or who else writes it: ``"released"`` or ``"plain"``.
        beside: whose settings of the learner it has.
        kept: whether memory that is freed is kept.
    """

    learner: str
    side: int
    meta_batch: int
    who: str
    beside: str
    kept: bool

    def step(self) -> Callable[[], object]:
        """Return what draws the tasks and takes the step."""
        tasks = [tr.few_shot(f"{mode}:train", side=self.side) for mode in MODES[: self.meta_batch]]
        config = released_steps.CONFIGS[self.learner] if self.beside == "released" else {}
        if self.who == "ours":
            return steps(self.learner, tasks, self.meta_batch, None, torch.device("cpu"), config).ours
        batch = [(tasks[k % len(tasks)], k // len(tasks)) for k in range(self.meta_batch)]
        fresh = tr.load_learner(self.learner, config).init_params(0)
        if self.who == "released":
            params = {name: value.clone().requires_grad_() for name, value in fresh.items()}
            take = released_steps.Program(self.learner).step(params)
        else:
            take = plain_step(self.learner, fresh)
        return lambda: take([sampler[index] for sampler, index in batch])


def plain(name: str) -> tuple[peers.Conv4, Callable[..., Tensor]]:
    """Return the network of a plain loop, and the loss of a task from network, parameters and episode."""
    if name == "maml":
        return peers.Conv4(affine=False, ways=5), partial(peers.maml_loss, steps=5, lr=0.05, clamp=20.0)
    return peers.Conv4(affine=True), peers.protonet_loss


def plain_step(name: str, fresh: tr.Params) -> Callable[[Sequence[tr.Episode]], None]:
    """Return the step that one finds in tutorials: a module, ``functional_call``, ``backward()`` task by task, Adam at a rate of 0."""
    net, loss = plain(name)
    net.load_state_dict(fresh)
    params = dict(net.named_parameters())
    optimizer = torch.optim.Adam(net.parameters(), lr=0.0)

    def take(episodes: Sequence[tr.Episode]) -> None:
        optimizer.zero_grad()
        for episode in episodes:
            (loss(net, params, episode) / len(episodes)).backward()
        optimizer.step()

    return take


def serve(way: Way) -> None:
    """Take a step for every line on stdin, and print the seconds of processor time that it took."""
    torch.set_num_threads(1)
    if way.kept:
        keep_freed_memory()
    with workers():
        step = way.step()
        for _ in sys.stdin:
            begun = time.process_time()
            step()
            print(time.process_time() - begun, flush=True)


class Process:
    """A way in a process of its own, until it is closed."""

    def __init__(self, way: Way) -> None:
        command = [sys.executable, "-m", "benchmarks.outer_steps", "--serve", json.dumps(asdict(way))]
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | one)

    def step(self) -> float:
        """Return the seconds of one more step."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("\n")
        stdin.flush()
        return float(stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def compare(learner: str, side: int, meta_batch: int, beside: str, rounds: int) -> list[dict[str, Any]]:
    """Return how ours does beside somebody else's step, with either setting of malloc."""
    ways = {
        "ours": Way(learner, side, meta_batch, "ours", beside, kept=True),
        "default": Way(learner, side, meta_batch, beside, beside, kept=False),
        "as ours": Way(learner, side, meta_batch, beside, beside, kept=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(closing(Process(way))) for name, way in ways.items()}
        for _ in range(rounds + 1):  # the first to warm up
            for name, process in processes.items():
                seconds[name].append(process.step())
    ours = seconds["ours"][1:]
    rows = []
    for malloc in ("default", "as ours"):
        ratios = [theirs / mine for theirs, mine in zip(seconds[malloc][1:], ours, strict=True)]
        rows.append(
            {
                "learner": learner,
                "side": side,
                "beside": beside,
                "malloc": malloc,
                "theirs": 1 / statistics.median(seconds[malloc][1:]),
                "ours": 1 / statistics.median(ours),
                "ratio": statistics.median(ratios),
                "least": min(ratios),
                "largest": max(ratios),
            }
        )
    return rows


def main() -> None:
    """Time every learner beside the others, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default="28,84")
    parser.add_argument("--learners", default=",".join(released_steps.CONFIGS))
    parser.add_argument("--beside", default="released,plain")
    parser.add_argument("--meta-batch", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(Way(**json.loads(asked.serve)))
        return
    about = machine(torch.device("cpu")) | {"threads": 1, "meta_batch": asked.meta_batch, "rounds": asked.rounds}
    print(json.dumps(about))
    print(
        f"{'learner':14}{'side':>5}  {'beside':10}{'malloc':10}{'theirs':>8}{'ours':>8}{'ratio':>8}   (updates per second)"
    )
    rows: list[dict[str, Any]] = []
    for side in map(int, asked.sides.split(",")):
        for learner in asked.learners.split(","):
            for beside in asked.beside.split(","):
                if beside == "released" or learner in PLAIN:
                    found = compare(learner, side, asked.meta_batch, beside, asked.rounds)
                    rows += found
                    for row in found:
                        _tell(row)
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


def _tell(row: dict[str, Any]) -> None:
    spread = f"{row['ratio']:8.2f} ({row['least']:.2f} to {row['largest']:.2f})"
    rates = f"{row['theirs']:8.3f}{row['ours']:8.3f}"
    print(f"{row['learner']:14}{row['side']:5}  {row['beside']:10}{row['malloc']:10}{rates}{spread}", flush=True)


if __name__ == "__main__":
    main()
