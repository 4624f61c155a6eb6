"""Pairs per second of the exact measurement, beside what one would write without this package and beside the network alone.

    python -m benchmarks.measuring [--learners protonet,kml-protonet,maml-1,maml-5] [--sides 28,84] [--rounds 5] [--json FILE]

A pair is one adaptation and one query loss at θ + d; 5-way 1-shot episodes with 15 queries, drawn and laid out beforehand by all. The ways
take turns, and medians are printed:

straightforward   the network in plain torch, and ``autograd.grad``, in a plain loop (`benchmarks.peers`)
higher, TorchOpt  the same inner loop with these libraries, where they are installed (``pip install '.[peers]'``)
vmap              our learner, all targets in one ``torch.vmap``
kept              the straightforward loop once more, with our memory settings
ours              the engine that `transference.engines.trial` chooses for a large run
limit             the learner's own network on the same images and nothing else (for MAML forwards and backwards on the support set), by
                  the engine that is the fastest for it
ceiling           on a CPU, the four convolutions alone, in oneDNN's own layouts: no batch norm, no inner loop, no loss

The last four run in a process of their own, with the memory settings that ``transference compute`` makes
(`transference.devices.keep_freed_memory`); what others would write runs as it would in theirs. Ratios are taken round by round, and told as
median, least and most, to the straightforward loop as it is and with our memory settings.

``gradient`` is the time of one source's gradient, second order for MAML. With CUDA everything runs on the GPU, and memory is told.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import transference as tr
from benchmarks import peers
from benchmarks.timing import all_in_turn, in_turn, machine, matrix_product, peak_memory, times_as_fast
from meta_models.backbones import conv4
from meta_models.maml import MAML
from meta_models.protonet import ProtoNet
from transference.devices import full_precision, keep_freed_memory
from transference.engines import ENGINES, trial
from transference.episodes import stack

LEARNERS = ("protonet", "kml-protonet", "maml-1", "maml-5")


@dataclass(frozen=True)
class NetworkAlone:
    """The images through the network of a learner, and back once for each inner step."""

    learner: Any

    def episode_loss(self, params: tr.Params, episode: tr.Episode) -> Tensor:
        """Return a number that depends on all feature maps."""
        if isinstance(self.learner, ProtoNet):
            made = self.learner.modulation.modulators(params, episode.support_x) if self.learner.modulation else ()
            maps = [self._features(params, images, made) for images in (episode.support_x, episode.query_x)]
            return torch.stack([each.mean() for each in maps]).sum()
        for _ in range(self.learner.inner_steps):
            gradient = torch.func.grad(lambda fast: self._features(fast, episode.support_x, ()).square().mean())(params)
            params = {name: value - 0.01 * gradient[name] for name, value in params.items()}
        return self._features(params, episode.query_x, ()).mean()

    def _features(self, params: tr.Params, images: Tensor, made: tuple[Tensor, ...]) -> Tensor:
        modulation = self.learner.modulation
        return modulation.features(params, images, made) if modulation else conv4.features(params, images)


def main() -> None:
    """Time every learner at every side, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", default=",".join(LEARNERS))
    parser.add_argument("--sides", default="28,84")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=90_000, help="of the run that the engine is chosen for")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    about = machine(device) | {"matrix_product_gflops": matrix_product(device)}
    print(json.dumps(about))
    rows: list[dict[str, Any]] = []
    with full_precision():
        for side in map(int, asked.sides.split(",")):
            for name in asked.learners.split(","):
                rows += _time(name, side, asked, device)
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


def _subject(name: str, side: int, device: torch.device) -> tuple[Any, tr.Params, list[tr.Episode]]:
    config = {"inner_steps": int(name[5:])} if name.startswith("maml") else {}
    learner: Any = tr.load_learner(name.partition("-")[0] if config else name, config)
    params = {key: value.to(device) for key, value in learner.init_params(0).items()}
    tasks = tr.few_shot("textures:test", side=side, device=device)
    return learner, params, [tasks[k] for k in range(8 if side > 40 else 48)]


def _time(name: str, side: int, asked: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Return a row for each way of one learner at one side."""
    learner, params, episodes = _subject(name, side, device)
    ways: dict[str, Callable[[], object]] = {
        key: partial(read, params) for key, read in _peers(learner, episodes).items()
    }
    together = stack(episodes)
    ways["vmap"] = lambda: torch.vmap(partial(learner.episode_loss, params))(together)
    memory = {key: peak_memory(way, device) for key, way in ways.items()}
    with _elsewhere(name, side, asked.pairs, device) as (ask, told):
        ways |= {key: partial(ask, key) for key in told["memory"]}
        memory |= told["memory"]
        _check_same(ways)
        seconds = all_in_turn(ways, asked.rounds, device)
        gradient = in_turn({"gradient": partial(ask, "gradient")}, asked.rounds, device)["gradient"]
    rows = [
        {
            "learner": name,
            "side": side,
            "way": way,
            "engine": told["engines"].get(way, ""),
            "pairs_per_second": len(episodes) / median(taken),
            "ratio": times_as_fast(seconds["straightforward"], taken),
            "ratio_to_kept": times_as_fast(seconds["kept"], taken),
            "share_of_limit": median(seconds["limit"]) / median(taken),
            "memory_MB": memory[way],
        }
        for way, taken in seconds.items()
    ]
    print(f"\n{name}, {side} pixels (gradient of a source: {1e3 * gradient:.1f} ms; trial: {told['trial']})")
    print("  way                  pairs/s  to the straightforward loop    with kept memory     of the limit")
    for row in rows:
        ratios = "".join(
            f"{middle:9.2f} [{least:.2f}, {most:.2f}]" for middle, least, most in (row["ratio"], row["ratio_to_kept"])
        )
        memory_told = f"  {row['memory_MB']:.0f} MB" if row["memory_MB"] else ""
        print(
            f"  {row['way']:16}{row['pairs_per_second']:12.1f}{ratios}{row['share_of_limit']:10.0%}"
            f"  {row['engine']}{memory_told}",
            flush=True,
        )
    return [*rows, {"learner": name, "side": side, "way": "gradient", "milliseconds": 1e3 * gradient}]


@contextmanager
def _elsewhere(
    name: str, side: int, pairs: int, device: torch.device
) -> Iterator[tuple[Callable[[str], Tensor], dict[str, Any]]]:
    """Provide what runs our ways in a process of its own, with the memory settings that our commands make.

    Yields:
        What runs a way by name and returns its scores, and what the trials chose.
    """
    here, there = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_ours, args=(there, name, side, pairs, device), daemon=True)
    process.start()
    told = here.recv()

    def ask(way: str) -> Tensor:
        here.send(way)
        return torch.tensor(here.recv())

    try:
        yield ask, told
    finally:
        here.send("")
        process.join()


def _ours(pipe: Connection, name: str, side: int, pairs: int, device: torch.device) -> None:
    """Run ways as they are asked for, until the empty name."""
    keep_freed_memory()
    learner, params, episodes = _subject(name, side, device)
    with full_precision():
        chosen, alone = trial(learner, params, episodes, pairs), NetworkAlone(learner)
        by_learner = trial(alone, params, episodes, pairs)
        engine, straightforward = ENGINES[chosen.chosen], _peers(learner, episodes)["straightforward"]
        alone_in_onednn = peers.convolutions(episodes)
        ways: dict[str, Callable[[], Tensor]] = {
            "kept": lambda: torch.tensor(straightforward(params)),
            "ours": partial(engine(learner, episodes), params),
            "limit": partial(ENGINES[by_learner.chosen](alone, episodes), params),
            "gradient": lambda: torch.tensor(
                [loss for (loss, _), _ in engine.gradients(learner, params, episodes[:1], list(params))]
            ),
        }
        if device.type == "cpu" and torch.backends.mkldnn.is_available():
            ways["ceiling"] = lambda: torch.tensor(alone_in_onednn(params))
        memory = {way: peak_memory(ways[way], device) for way in ways if way != "gradient"}
        pipe.send(
            {"trial": str(chosen), "engines": {"ours": chosen.chosen, "limit": by_learner.chosen}, "memory": memory}
        )
        while way := pipe.recv():
            pipe.send(ways[way]().tolist())


def _peers(learner: Any, episodes: Sequence[tr.Episode]) -> dict[str, peers.Reading]:  # noqa: ANN401
    """Return what others would write, by name."""
    if isinstance(learner, ProtoNet):
        return {"straightforward": peers.kml_protonet(episodes) if learner.modulation else peers.protonet(episodes)}
    assert isinstance(learner, MAML)
    settings = (learner.inner_steps, learner.inner_lr, learner.clamp)
    found: dict[str, peers.Reading] = {"straightforward": peers.maml(episodes, *settings)}
    for name, make in {"higher": peers.maml_higher, "TorchOpt": peers.maml_torchopt}.items():
        try:
            found[name] = make(episodes, *settings)
        except ImportError:
            print(f"{name} is not installed, and left out")
    return found


def _check_same(ways: dict[str, Callable[[], object]]) -> None:
    """Make sure that all give the same losses, up to what float32 makes of an inner loop."""
    losses = {}
    for name, way in ways.items():
        found = torch.as_tensor(way(), dtype=torch.float64)
        losses[name] = found[:, 0] if found.dim() == 2 else found
    for name, found in losses.items():
        if name not in ("limit", "ceiling"):
            torch.testing.assert_close(
                found, losses["straightforward"], rtol=0.1, atol=1e-2, msg=lambda text, name=name: f"{name}: {text}"
            )


if __name__ == "__main__":
    main()
