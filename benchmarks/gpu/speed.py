"""Pairs a second, by everything that could be quick on a GPU.

straightforward       the backbone as an ``nn.Module`` in a plain loop (`benchmarks.peers`); for KML our learner in one
loop, vmap, compiled  our engines; ``vmap N`` has blocks of N targets
graph, vmap N         such a block as one CUDA graph
sources S × N         S settings of θ and N targets in one call; ``products``: convolutions as matrix products
compiled, vmap N      such a block compiled, also with ``mode="reduce-overhead"``
limit                 the learner's own network on the same images and nothing else, by the quickest of these that are not compiled

What is no engine yet is a trial, and may fail. Where memory runs out, the row says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import transference as tr
from benchmarks import peers
from benchmarks.gpu.stages import OUT_OF_MEMORY, OUT_OF_TIME, Asked, Row, in_a_line
from benchmarks.gpu.ways import Blocks, Way, by_engine, compiled, graphed, sources_together, targets_together
from benchmarks.measuring import NetworkAlone
from benchmarks.timing import in_turn, matrix_product, peak_memory
from transference.devices import out_of_memory
from transference.engines import ENGINES, loss_gradient

_ALPHA = 1e-4
_SAME = {"maml": 0.05}
"""Relative difference of float32 losses beyond which one of our ways is wrong, by the learner's family. MAML's inner loop at 84 pixels
magnifies rounding to a per cent; what a user would write may, with ``torch.cdist``, lose as much."""


@dataclass(frozen=True)
class Plan:
    """How much is read.

    Attributes:
        cases: learners and image sides, the most important first.
        n_few: targets of the plain loops, which are as quick for a few.
        n_targets: of all other ways.
        blocks: targets in one call.
        sources: settings and targets in one call.
        queries: a class.
        rounds: of which the median is taken.
        compile: whether compilers are tried.
    """

    cases: Sequence[tuple[str, int]]
    n_few: int
    n_targets: int
    blocks: Sequence[int]
    sources: Sequence[tuple[int, int]]
    queries: int
    rounds: int
    compile: bool


_LEARNERS = ("protonet", "kml-protonet", "maml-5", "maml-1")
FULL = Plan(
    [(name, side) for pair in (_LEARNERS[:2], _LEARNERS[2:]) for side in (84, 28) for name in pair],
    n_few=16, n_targets=64, blocks=(16, 64), sources=((4, 16), (16, 16), (4, 64)), queries=15, rounds=5, compile=True,
)  # fmt: skip
TOY = Plan(
    [("protonet", 16), ("maml-1", 16)],
    n_few=2,
    n_targets=4,
    blocks=(2, 4),
    sources=((2, 2),),
    queries=3,
    rounds=1,
    compile=False,
)


@dataclass(frozen=True)
class Candidate:
    """A way, not yet made.

    Attributes:
        name: what rows call it.
        n_settings: of θ, that it is timed on.
        n_targets: likewise.
        make: makes it, for a learner and so many episodes.
        limit: whether it is tried for the network alone too.
    """

    name: str
    n_settings: int
    n_targets: int
    make: Callable[[Any, Sequence[tr.Episode]], Way]
    limit: bool = False


@dataclass
class Case:
    """A learner at a size, and what has been found of it.

    Attributes:
        name: the learner's, with its inner steps.
        side: of the images.
        learner: the learner.
        episodes: the targets.
        settings: θ + d of several sources.
        expected: losses by the loop on a few targets, ``[n_few]``, by the number of the setting: the first, and the last of each way.
        flops: of a pair.
        rates: pairs a second of ``straightforward`` and ``limit``.
    """

    name: str
    side: int
    learner: Any
    episodes: Sequence[tr.Episode]
    settings: Sequence[tr.Params]
    expected: dict[int, Tensor]
    flops: float
    rates: dict[str, float] = field(default_factory=dict)


def speed(asked: Asked) -> Iterator[Row]:
    """Yield a row for each way and case; all that need no compiler first."""
    plan = TOY if asked.toy else FULL
    product = 1e9 * matrix_product(asked.where, 256 if asked.toy else 4096)
    cases: list[Case] = []
    for name, side in plan.cases:
        if not asked.in_time():
            yield {"learner": name, "side": side, "status": OUT_OF_TIME}
            continue
        cases.append(_case(name, side, plan, asked.where))
        yield from _timed(cases[-1], _limits(cases[-1], plan), plan, asked, product)
        yield from _timed(cases[-1], _eager(cases[-1], plan, asked.where), plan, asked, product)
    for case in cases if plan.compile else ():
        yield from _timed(case, _with_compiler(plan), plan, asked, product)


def _case(name: str, side: int, plan: Plan, device: torch.device) -> Case:
    config = {"inner_steps": int(name[5:])} if name.startswith("maml") else {}
    learner: Any = tr.load_learner(name.partition("-")[0] if config else name, config)
    params = {key: value.to(device) for key, value in learner.init_params(0).items()}
    sources, targets = _tasks(side, plan.queries, device)
    settings = [_moved(learner, params, sources[k]) for k in range(max(n for n, _ in plan.sources))]
    episodes = [targets[k] for k in range(plan.n_targets)]
    read = ENGINES["loop"](learner, episodes[: plan.n_few])
    expected = {k: read(settings[k])[:, 0] for k in {0, *(n - 1 for n, _ in plan.sources)}}
    with FlopCounterMode(display=False) as counter:
        learner.episode_loss(params, episodes[0])
    return Case(name, side, learner, episodes, settings, expected, float(counter.get_total_flops()))


@cache
def _tasks(side: int, queries: int, device: torch.device) -> tuple[tr.FewShot, ...]:
    """Return source and target tasks; drawing the images anew for every learner would take longer than all else."""
    return tuple(
        tr.few_shot(f"textures:{split}", side=side, queries=queries, device=device) for split in ("val", "test")
    )


def _moved(learner: Any, params: tr.Params, source: tr.Episode) -> tr.Params:  # noqa: ANN401 - any of the shipped ones
    _, gradient = loss_gradient(learner, params, source, list(params))
    return {name: value - _ALPHA * gradient[name] if name in gradient else value for name, value in params.items()}


def _limits(case: Case, plan: Plan) -> list[Candidate]:
    """Return the plain loop, and the network alone by all that may be quick."""
    alone = NetworkAlone(case.learner)
    quick = [each for each in _eager(case, plan, case.episodes[0].device) if each.limit]
    plain = Candidate("straightforward", 1, plan.n_few, partial(_straightforward, case.name))
    return [plain, *(replace(each, name=f"limit, {each.name}", make=partial(_of, alone, each.make)) for each in quick)]


def _of(learner: Any, make: Callable[..., Way], _: Any, episodes: Sequence[tr.Episode]) -> Way:  # noqa: ANN401
    return make(learner, episodes)


def _straightforward(name: str, learner: Any, episodes: Sequence[tr.Episode]) -> Way:  # noqa: ANN401
    """Return what a user would write; for KML, whose network nobody would write again, a loop over our learner."""
    if name == "protonet":
        read = peers.protonet(episodes)
    elif name.startswith("maml"):
        read = peers.maml(episodes, learner.inner_steps, learner.inner_lr, learner.clamp)
    else:
        read = lambda params: [float(learner.episode_loss(params, episode)) for episode in episodes]
    return lambda settings: torch.tensor([read(params) for params in settings], dtype=torch.float64)


def _eager(case: Case, plan: Plan, device: torch.device) -> list[Candidate]:
    """Return the ways that need no compiler."""
    n, vmap = len(case.episodes), ENGINES["vmap"]
    found = [Candidate("loop", 1, plan.n_few, partial(by_engine, ENGINES["loop"]), limit=True)]
    for block in plan.blocks:
        engine: Any = replace(vmap, block=block)  # type: ignore[type-var]
        found.append(Candidate(f"vmap {block}", 1, n, partial(by_engine, engine), limit=True))
    for n_sources, block in plan.sources:
        for products in (False, True):
            name = f"sources {n_sources} × {block}{', products' * products}"
            make = partial(_blocks, partial(sources_together, products=products), block, n_sources, None)
            found.append(Candidate(name, n_sources, n, make, limit=True))
    if device.type == "cuda":
        block, (n_sources, few) = plan.blocks[-1], plan.sources[0]
        found += [
            Candidate(f"graph, vmap {block}", 1, n, partial(_blocks, targets_together, block, 0, graphed), limit=True),
            Candidate(
                f"graph, sources {n_sources} × {few}",
                n_sources,
                n,
                partial(_blocks, sources_together, few, n_sources, graphed),
            ),
        ]
    return found


def _with_compiler(plan: Plan) -> list[Candidate]:
    block = plan.blocks[-1]
    overhead = partial(compiled, mode="reduce-overhead")
    return [
        Candidate(f"compiled, vmap {block}", 1, plan.n_targets, partial(_blocks, targets_together, block, 0, compiled)),
        Candidate(
            f"reduce-overhead, vmap {block}", 1, plan.n_targets, partial(_blocks, targets_together, block, 0, overhead)
        ),
        Candidate("compiled", 1, plan.n_few, partial(by_engine, ENGINES["compiled"])),
    ]


def _blocks(make: Any, n_targets: int, n_sources: int, wrap: Any, learner: Any, episodes: Sequence[tr.Episode]) -> Way:  # noqa: ANN401
    return Blocks(partial(make, learner), episodes, n_targets, n_sources, wrap)


def _timed(case: Case, candidates: Sequence[Candidate], plan: Plan, asked: Asked, product: float) -> Iterator[Row]:
    """Time the candidates that run, in turn.

    Yields:
        A row for each; of those for the limit for the quickest alone.
    """
    rows: dict[str, Row] = {}
    ready: dict[str, tuple[Callable[[], object], Candidate]] = {}
    for each in candidates:
        rows[each.name] = {"learner": case.name, "side": case.side, "way": each.name}
        if asked.in_time():
            ready |= _tried(case, each, plan, rows[each.name])
        else:
            rows[each.name]["status"] = OUT_OF_TIME
    short: set[str] = set()
    ways = {name: partial(_if_memory_lasts, name, way, short) for name, (way, _) in ready.items()}
    seconds = in_turn(ways, plan.rounds, asked.where) if ready else {}
    rates = {
        name: each.n_settings * each.n_targets / seconds[name] for name, (_, each) in ready.items() if name not in short
    }
    for name in short:
        rows[name]["status"] = OUT_OF_MEMORY
    limits = {name: rate for name, rate in rates.items() if name.startswith("limit")}
    case.rates |= {"limit": max(limits.values())} if limits else {}
    case.rates |= {"straightforward": rates["straightforward"]} if "straightforward" in rates else {}
    for name, row in rows.items():
        if name not in limits or limits[name] == case.rates["limit"]:
            yield _COLUMNS | row | (_rated(case, rates[name], product) if name in rates else {})
    del ready
    if asked.where.type == "cuda":
        torch.cuda.empty_cache()


def _if_memory_lasts(name: str, way: Callable[[], object], short: set[str]) -> None:
    """Call a way that did fit; beside the graphs of others, each of which has memory of its own, it may no longer, and is noted.

    Raises:
        RuntimeError: something else went wrong.
    """
    if name in short:
        return
    try:
        way()
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        short.add(name)
        torch.cuda.empty_cache()


_COLUMNS: Row = dict.fromkeys(
    (
        "learner",
        "side",
        "way",
        "pairs_per_second",
        "ratio",
        "share_of_limit",
        "share_of_product",
        "memory_MB",
        "difference",
        "first_call_s",
    )
)


def _rated(case: Case, rate: float, product: float) -> Row:
    limit, plain = case.rates.get("limit"), case.rates.get("straightforward")
    return {
        "pairs_per_second": rate,
        "ratio": plain and rate / plain,
        "share_of_limit": limit and rate / limit,
        "share_of_product": rate * case.flops / product,
    }


def _tried(case: Case, each: Candidate, plan: Plan, row: Row) -> dict[str, tuple[Callable[[], object], Candidate]]:
    """Make a way and call it once; note in its row what it needed and how far its losses are off, or why it cannot be timed."""
    device = case.episodes[0].device
    before = torch.cuda.memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    torch.cuda.empty_cache()  # a graph can take none of what others have left
    begun = time.perf_counter()
    try:
        way = partial(each.make(case.learner, case.episodes[: each.n_targets]), case.settings[: each.n_settings])
        found = way()
        row["memory_MB"] = peak_memory(way, device) - before
    except Exception as error:  # a trial may fail; the others go on
        row["status"] = OUT_OF_MEMORY if out_of_memory(error) else f"failed: {in_a_line(error)}"
        return {}
    row["first_call_s"] = time.perf_counter() - begun
    if not each.name.startswith("limit"):
        checked = {0, each.n_settings - 1}
        row["difference"] = max(float((found[k, : plan.n_few] / case.expected[k] - 1).abs().max()) for k in checked)
        most = 0.05 if each.name == "straightforward" else _SAME.get(case.name.partition("-")[0], 1e-3)
        if not row["difference"] <= most:
            row["status"] = f"wrong: its losses differ by more than {most:g}"
    return {each.name: (way, each)}
