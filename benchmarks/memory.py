"""Peak memory of a measurement, small and large.

    python -m benchmarks.memory [--estimator first-order] [--learner protonet] [--sizes 300,3000] [--side 28]

Each size, as many sources as targets, is measured in a process of its own, and summarised as `transference compute` does. Without
``--learner`` a line is fitted to points, which costs next to nothing, so that nine million exact pairs are a matter of minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

import transference as tr
from benchmarks.timing import machine
from transference.devices import keep_freed_memory

_ESTIMATORS: dict[str, tr.Estimator] = {
    "exact": tr.Exact("vmap"),
    "first-order": tr.FirstOrder(engine="threads"),
    "calibrated": tr.Calibrated(share=0.001, engine="threads"),
}


class Line:
    """A line, fitted by one step on the support points."""

    def init_params(self, seed: int) -> tr.Params:
        """Return slope and height."""
        return {"line": torch.randn(2, generator=torch.Generator().manual_seed(seed))}

    def episode_loss(self, params: tr.Params, episode: tr.Episode) -> Tensor:
        """Return the mean squared error on the query points."""
        loss = lambda line, x, y: (line["line"][0] * x + line["line"][1] - y).square().mean()
        step = torch.func.grad(loss)(params, episode.support_x, episode.support_y)
        return loss({"line": params["line"] - 0.01 * step["line"]}, episode.query_x, episode.query_y)


def main() -> None:
    """Measure every size, and print peak memory and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estimator", choices=_ESTIMATORS, default="exact")
    parser.add_argument("--learner")
    parser.add_argument("--sizes", default="300,3000")
    parser.add_argument("--side", type=int, default=28)
    asked = parser.parse_args()
    print(json.dumps(machine(torch.device("cpu"))))
    first = None
    for size in map(int, asked.sizes.split(",")):
        here, there = mp.get_context("spawn").Pipe()
        process = mp.get_context("spawn").Process(
            target=_measure, args=(there, asked.estimator, asked.learner, size, asked.side)
        )
        process.start()
        peak, seconds, with_summary = here.recv()
        process.join()
        first = first or (peak, with_summary)
        stages = zip(("measured", "and summarised"), (peak, with_summary), first, strict=True)
        told = ", ".join(f"{name} {mb:.0f} MB ({mb / of:.2f} ×)" for name, mb, of in stages)
        print(f"{asked.estimator:12} {asked.learner or 'line':12} {size} × {size}: {told}, {seconds:.0f} s", flush=True)


def _measure(pipe: Connection, estimator: str, name: str | None, size: int, side: int) -> None:
    keep_freed_memory()
    learner = tr.load_learner(name, {}) if name else Line()
    modes = ("strokes:train", "strokes:test") if name else ("sinusoid:train", "sinusoid:test")
    sources, targets = (
        tr.open_tasks(mode, ways=5, shots=1 if name else 5, queries=15, side=side, seed=k)
        for k, mode in enumerate(modes)
    )
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        checkpoint = tr.Checkpoint(learner.init_params(0), 1)
        run = tr.measure(learner, checkpoint, sources, targets, n_source=size, n_target=size, lookahead=tr.SGD(1e-3),
                         estimator=_ESTIMATORS[estimator], device="cpu", out=Path(folder) / "run")  # fmt: skip
        measured, seconds = _peak(), time.perf_counter() - begun
        tr.summarise_blocks(run.blocks())
        if estimator == "calibrated":
            tr.calibrate(run.blocks(), run.exact_pairs())
        pipe.send((measured, seconds, _peak()))


def _peak() -> float:
    """Return the most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
