"""How many digits of a log ratio float32 keeps, by engine, beside float64; and what keeping them costs.

    python -m benchmarks.digits [--learners protonet,maml,kml,kml-released] [--sides 28,84] [--engines ...] [--sources 3] [--targets 8]

Every pair of a few sources and targets (5-way 1-shot, 15 queries, generated textures) is measured in float64 by the plain loop, and in
float32 by each engine, at the step size of 1e-5, 1e-4, … at which the median log ratio comes nearest to 0.003 in size. Of the pairs whose
log ratio is at least 0.001 in size:

losses    largest error of a log ratio where the step is the same, so that only the losses differ
whole     the same where the gradient is the engine's too: MAML's jumps where a ReLU switches, which no float32 escapes

``cost`` is the median time of the evaluation beside the same one with torch's own batch norm, the two in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import transference as tr
from benchmarks.timing import in_turn, machine
from transference import _trees, exact_sums
from transference.devices import full_precision, keep_freed_memory
from transference.engines import ENGINES

RELEASED = {"residual": False, "query_modulation": "query", "transductive": True}
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "protonet": ("protonet", {}),
    "maml": ("maml", {}),
    "kml": ("kml-protonet", {}),
    "kml-released": ("kml-protonet", RELEASED),
}
_ALPHAS = [10.0**-k for k in range(1, 8)]
_TYPICAL, _SMALLEST = 3e-3, 1e-3


def main() -> None:
    """Print a row for each learner, side and engine, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", default=",".join(LEARNERS))
    parser.add_argument("--sides", default="28,84")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--sources", type=int, default=3)
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    keep_freed_memory()
    about = machine(torch.device("cpu"))
    print(json.dumps(about))
    print(
        f"{'learner':13s} {'side':>4s} {'engine':15s} {'alpha':>6s} {'pairs':>5s} {'losses':>8s} {'whole':>8s} {'cost':>5s}"
    )
    rows = []
    with full_precision():
        for side in map(int, asked.sides.split(",")):
            for name in asked.learners.split(","):
                for row in digits(name, side, asked.engines.split(","), asked.sources, asked.targets, asked.rounds):
                    print(
                        "{learner:13s} {side:4d} {engine:15s} {alpha:6.0e} {pairs:5d} {losses:8.1e} {whole:8.1e} {cost:5.2f}".format(
                            **row
                        )
                    )
                    rows.append(row)
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


def digits(
    name: str, side: int, engines: Sequence[str], n_sources: int, n_targets: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each engine: the errors of one learner at one side, and the cost."""
    learner = tr.load_learner(*LEARNERS[name])
    params = learner.init_params(0)
    sources, targets = (tr.few_shot(f"textures:{split}", side=side) for split in ("train", "test"))
    from_tasks, to_tasks = [sources[k] for k in range(n_sources)], [targets[k] for k in range(n_targets)]

    wide = {key: value.double() for key, value in params.items()}
    wide_targets = [episode.to(dtype=torch.float64) for episode in to_tasks]
    exact_gradients = _gradients("loop", learner, wide, [episode.to(dtype=torch.float64) for episode in from_tasks])
    candidates = {alpha: _log_ratios("loop", learner, wide, wide_targets, exact_gradients, alpha) for alpha in _ALPHAS}
    alpha = min(candidates, key=lambda a: abs(float(candidates[a].abs().median().log() - torch.tensor(_TYPICAL).log())))
    exact = candidates[alpha]
    counted = exact.abs() >= _SMALLEST

    for engine in engines:
        narrow = [{key: value.float() for key, value in gradient.items()} for gradient in exact_gradients]
        error = partial(_largest, exact, counted)
        yield {
            "learner": name, "side": side, "engine": engine, "alpha": alpha, "pairs": int(counted.sum()),
            "losses": error(_log_ratios(engine, learner, params, to_tasks, narrow, alpha)),
            "whole": error(_log_ratios(engine, learner, params, to_tasks, _gradients(engine, learner, params, from_tasks), alpha)),
            "cost": _cost(engine, learner, params, to_tasks, rounds),
        }  # fmt: skip


def _gradients(engine: str, learner: tr.Learner, params: tr.Params, tasks: Sequence[tr.Episode]) -> list[tr.Params]:
    return [gradient for _, gradient in ENGINES[engine].gradients(learner, params, tasks, list(params))]


def _log_ratios(
    engine: str,
    learner: tr.Learner,
    params: tr.Params,
    targets: Sequence[tr.Episode],
    gradients: Sequence[tr.Params],
    alpha: float,
) -> Tensor:
    """Return the log ratios ``[n_sources, n_targets]``, in float64 whatever the losses were computed in."""
    evaluate = ENGINES[engine](learner, targets)
    moved = [_trees.add(params, {name: -alpha * g for name, g in gradient.items()}) for gradient in gradients]
    return torch.stack([evaluate(each)[:, 0].log() for each in moved]) - evaluate(params)[:, 0].log()


def _largest(exact: Tensor, counted: Tensor, found: Tensor) -> float:
    return float((found - exact)[counted].abs().max())


def _cost(engine: str, learner: tr.Learner, params: tr.Params, targets: Sequence[tr.Episode], rounds: int) -> float:
    evaluate = partial(ENGINES[engine](learner, targets), params)
    seconds = in_turn({"exact": evaluate, "torch": partial(_as_torch, evaluate)}, rounds, torch.device("cpu"))
    return seconds["exact"] / seconds["torch"]


def _as_torch(evaluate: partial[Tensor]) -> Tensor:
    with _torch_sums():
        return evaluate()


@contextmanager
def _torch_sums() -> Iterator[None]:
    with patch.object(exact_sums, "loses_digits", lambda _: False):
        yield


if __name__ == "__main__":
    main()
