"""How often do intervals cover, p-values mislead, and single pairs get called in error? By simulation.

    python -m benchmarks.coverage [--tables 1000] [--csv docs/coverage.csv] [--into docs/statistics.md]
    python -m benchmarks.coverage --from docs/coverage.csv --into docs/statistics.md

Tables of log ratios are drawn from designs whose truth is known, and each is given to the functions of the package.
Printed are the shares of tables, in percent, with the number of simulated tables and the Monte Carlo error; of single
pairs a third as many tables are drawn. ``--into`` writes the printed tables between the markers of a page; ``--from``
reads the shares instead of simulating them anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, t, ttest_1samp

import transference as tr
from transference.statistics import CLASSES, NEUTRAL_BAND, QUANTILES, RATE
from transference.statistics._crossed import standard_errors, statistics_of

_Floats: TypeAlias = NDArray[np.float64]
_Row: TypeAlias = dict[str, object]

LEVEL = 0.95
DRAWS = 300
COMMON = 0.02
"""Standard deviation of what both tables of a contrast share."""

_MANY = 1_000_000

MARGIN = float(np.log(NEUTRAL_BAND[1]))

EFFECTS = {
    "normal": ("normal", 0.01, 0.015, 0.02),
    "skewed": ("exponential", 0.01, 0.015, 0.02),
    "one strong side": ("normal", 0.004, 0.03, 0.008),
    "one strong side, skewed": ("exponential", 0.004, 0.03, 0.008),
}
"""Kind of the effects, and the standard deviations of source, target and what belongs to neither."""

LOW_RANK = "low rank"
"""Sources and targets have gradients of three numbers, and a log ratio is their inner product, with some noise."""

DESIGNS = (*EFFECTS, LOW_RANK)
SHAPES = ((12, 5), (12, 10), (40, 8), (30, 30), (100, 20), (300, 1), (400, 1), (80, 80))
CONTRASTED = ((3, 3), (12, 5), (12, 10), (20, 15), (40, 8), (30, 30), (30, 1))
CUT = ((0.5, (4, 5, 6, 8)), (0.25, (8, 10, 13, 16)), (0.05, (20, 40, 60, 72, 90)), (0.01, (100, 200, 300, 368, 450)))
LUCK = ("normal", "t, 3 degrees", "left-skewed", "right-skewed", "rare drops")
SHARED = ("pair", "target", "source, target, pair", "pair, of unlike spread")
REPLICATED = ((5, 30, 20), (8, 30, 20), (5, 6, 4), (8, 40, 5))


def effects(random: np.random.Generator, kind: str, shape: tuple[int, ...] | int) -> _Floats:
    """Draw effects of mean 0 and standard deviation 1."""
    match kind:
        case "normal":
            return random.standard_normal(shape)
        case "exponential" | "right-skewed":
            return random.exponential(size=shape) - 1
        case "left-skewed":
            return 1 - random.exponential(size=shape)
        case "rare drops":  # one draw in ten falls by three standard deviations
            return ((0.1 - (random.random(shape) < 0.1)) / 0.3 + 0.3 * random.standard_normal(shape)) / np.sqrt(1.09)
        case _:
            return random.standard_t(3, shape) / np.sqrt(3)


def table(random: np.random.Generator, design: str, n_source: int, n_target: int) -> _Floats:
    """Draw log ratios with a mean of 0, ``[n_source, n_target]``; a single target is always the same one."""
    given = n_target == 1
    if design == LOW_RANK:
        centre = np.array([0.6, 0.0, 0.0])
        source = centre + random.standard_normal((n_source, 3))
        target = np.array([[1.2, 0.7, -0.4]]) if given else centre + random.standard_normal((n_target, 3))
        product_of_means = float(centre @ (target[0] if given else centre))
        return 0.01 * (product_of_means - source @ target.T) + 0.006 * random.standard_normal((n_source, n_target))
    kind, of_source, of_target, rest = EFFECTS[design]
    target = np.zeros((1, 1)) if given else of_target * effects(random, kind, (1, n_target))
    return (
        of_source * effects(random, kind, (n_source, 1)) + target + rest * effects(random, kind, (n_source, n_target))
    )


def independent(design: str, given: bool) -> _Floats:
    """Draw log ratios of independent pairs: what the truth is read from."""
    random, n = np.random.default_rng(99), _MANY
    if given:
        return table(random, design, n, 1)[:, 0]
    if design == LOW_RANK:
        centre = np.array([0.6, 0.0, 0.0])
        sides = (centre + random.standard_normal((2, n, 3))).prod(axis=0).sum(axis=1)
        return 0.01 * (0.36 - sides) + 0.006 * random.standard_normal(n)
    kind, *sizes = EFFECTS[design]
    return np.sum([size * effects(random, kind, n) for size in sizes], axis=0)


def _name(q: float) -> str:
    return f"q{round(100 * q):02d}"


@lru_cache
def _expected(design: str, given: bool, spread: float = 0.0) -> dict[str, float]:
    """Return every statistic of `intervals` of a design, to which a normal effect of all pairs may be added."""
    noise = spread * np.random.default_rng(98).standard_normal(_MANY)
    return truth(noise + independent(design, given) if design else noise)


def truth(logs: _Floats) -> dict[str, float]:
    """Return every statistic of `intervals` of many independent log ratios, of mean 0."""
    quartiles = np.quantile(logs, [0.25, 0.75])
    ratios = np.exp(logs)
    classes = tr.classify(ratios)
    return {
        "geometric_mean": 1.0,
        "interquartile_mean": float(np.exp(logs[(logs >= quartiles[0]) & (logs <= quartiles[1])].mean())),
        **{_name(q): float(np.quantile(ratios, q)) for q in QUANTILES},
        **{name: float((classes == name).mean()) for name in CLASSES},
    }


def block(logs: _Floats) -> tr.Block:
    """Return a table as the package takes it."""
    return tr.Block.of(np.exp(logs), source_mode="a", target_mode="b", checkpoint_step=0, alpha=0.1)


def coverage_of_intervals(
    tables: int, shapes: Iterable[tuple[int, int]] = SHAPES, designs: Iterable[str] = DESIGNS
) -> Iterator[_Row]:
    """Yield how often the intervals of each statistic cover, where they are given."""
    for shape, design in product(shapes, designs):
        random, expected = np.random.default_rng(1), _expected(design, shape[1] == 1)
        covered: dict[str, list[float]] = {name: [] for name in expected}
        for _ in range(tables):
            found = tr.intervals([block(table(random, design, *shape))], draws=DRAWS).set_index("statistic")
            for name, value in expected.items():
                low, high = found.loc[name, "low"], found.loc[name, "high"]
                covered[name].append(np.nan if np.isnan(low) else float(low <= value <= high))
        for name, hits in covered.items():
            yield {"part": "intervals", "tables_of": _sides(shape), "design": design, "of": name, **_share(hits)}


def coverage_around_the_cut(tables: int, cut: Iterable[tuple[float, Iterable[int]]] = CUT) -> Iterator[_Row]:
    """Yield how often an interval of a quantile would cover with any number of tasks of the one side that counts."""
    for q, sizes in cut:
        for n, kind in product(sizes, ("normal", "left-skewed")):  # with its tail where the quantile is
            random = np.random.default_rng(2)
            expected = float(np.quantile(np.exp(0.03 * effects(np.random.default_rng(99), kind, _MANY)), q))
            hits = []
            for _ in range(tables):
                one = block(0.03 * effects(random, kind, (n, 1)))
                errors, df, _ = standard_errors(one, DRAWS, 0)
                ends = dict(statistics_of(one, NEUTRAL_BAND, errors, float(t.ppf((1 + LEVEL) / 2, df)), df))
                low, high = ends[_name(q)][1:]
                hits.append(float(low <= expected <= high))
            yield {"part": "cut", "tables_of": str(n), "design": _name(q), "of": kind, **_share(hits)}


def coverage_of_contrasts(
    tables: int, shapes: Iterable[tuple[int, int]] = CONTRASTED, designs: Iterable[str] = DESIGNS
) -> Iterator[_Row]:
    """Yield how often a contrast covers the difference; where that is none, p ≤ 0.05 in all other tables."""
    for shape, design in product(shapes, designs):
        random = np.random.default_rng(3)
        first, second = _expected(design, shape[1] == 1, COMMON), _expected("", False, COMMON)
        expected = {name: first[name] - second[name] for name in CLASSES} | {"geometric_mean": 1.0}
        covered: dict[str, list[float]] = {name: [] for name in ("geometric_mean", *CLASSES)}
        for _ in range(tables):
            shared = COMMON * random.standard_normal(shape)
            found = tr.contrast(
                [block(shared + table(random, design, *shape))], [block(shared)], draws=DRAWS
            ).set_index("statistic")
            for name, hits in covered.items():
                low, high = found.loc[name, "low"], found.loc[name, "high"]
                hits.append(np.nan if np.isnan(low) else float(low <= expected[name] <= high))
        for name, hits in covered.items():
            yield {"part": "contrast", "tables_of": _sides(shape), "design": design, "of": name, **_share(hits)}


def luck(random: np.random.Generator, kind: str, shared: str, shape: tuple[int, int, int]) -> _Floats:
    """Draw what the episodes add to the log ratios of replicates, ``[n_replicates, n_sources, n_targets]``."""
    n, n_source, n_target = shape
    of = lambda *sides: effects(random, kind, sides)
    match shared:
        case "pair":
            return 0.06 * of(*shape)
        case "target":
            return 0.06 * of(n, 1, n_target) + 0.01 * of(*shape)
        case "source, target, pair":
            return 0.05 * of(n, n_source, 1) + 0.06 * of(n, 1, n_target) + 0.03 * of(*shape)
        case _:
            spread = random.standard_normal((n_source, 1)) + random.standard_normal((1, n_target))
            return 0.06 * of(*shape) * np.exp(0.5 * spread)


def false_discoveries(
    tables: int,
    shapes: Iterable[tuple[int, int, int]] = REPLICATED,
    kinds: Iterable[str] = LUCK,
    shared: Iterable[str] = SHARED,
) -> Iterator[_Row]:
    """Yield the shares of pairs called negative in error, of those beyond the margin that are found, and of tables not decided.

    Beside them what Student's t alone, adjusted in the same way, calls in error.
    Four pairs in five lie exactly at the margin, the others 0.05 and more beyond it.
    """
    for shape, kind, whose in product(shapes, kinds, shared):
        random = np.random.default_rng(4)
        false, alone, power, refused = [], [], [], []
        for _ in range(tables):
            null = random.random(shape[1:]) < 0.8
            logs = (
                MARGIN
                + np.where(null, 0.0, 0.05 + 0.15 * np.abs(random.standard_normal(shape[1:])))
                + luck(random, kind, whose, shape)
            )
            found = tr.single_pairs([tr.Block.of(np.exp(logs[0]), redrawn=np.exp(logs[1:]))])
            called = (found["transfer"] == "negative").to_numpy().reshape(shape[1:])
            false.append(float((called & null).sum() / max(1, called.sum())))
            p = ttest_1samp(logs, MARGIN, alternative="greater").pvalue
            student = false_discovery_control(p, axis=None).reshape(p.shape) <= RATE
            alone.append(float((student & null).sum() / max(1, student.sum())))
            decided = bool(found["q_negative"].notna().any())
            refused.append(float(not decided))
            power.append(float((called & ~null).sum() / max(1, (~null).sum())) if decided else np.nan)
        key = {"part": "single_pairs", "tables_of": f"{shape[0]} of {_sides(shape[1:])}", "design": f"{kind}; {whose}"}
        for of, values in (("false", false), ("false by t alone", alone), ("found", power), ("not decided", refused)):
            yield {**key, "of": of, **_share(values)}


def _sides(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _share(values: list[float]) -> _Row:
    known = np.array(values)[~np.isnan(values)]
    value = float(known.mean()) if len(known) else np.nan
    error = float(known.std() / np.sqrt(len(known))) if len(known) else np.nan
    return {"share": value, "error": error, "tables": len(known), "drawn": len(values)}


PARTS: dict[str, Callable[[int], Iterator[_Row]]] = {
    "intervals": coverage_of_intervals,
    "cut": coverage_around_the_cut,
    "contrast": coverage_of_contrasts,
    "single_pairs": false_discoveries,
}


_HEADINGS = {
    "intervals": ("tables", "effects"),
    "cut": ("tasks", "quantile"),
    "contrast": ("tables", "effects"),
    "single_pairs": ("replicates of tables", "noise; drawn for each"),
}
"""Of the first two columns of each part's table."""


def as_markdown(found: pd.DataFrame, part: str) -> str:
    """Return the shares of one part as a table, in percent, a dash where nothing was given."""
    mine = found[found["part"] == part]
    columns, rows = (
        list(dict.fromkeys(mine["of"])),
        list(dict.fromkeys(zip(mine["tables_of"], mine["design"], strict=True))),
    )
    told = {
        (a, b, of): _told(share)
        for a, b, of, share in mine[["tables_of", "design", "of", "share"]].itertuples(index=False)
    }
    lines = [[*_HEADINGS[part], *columns], ["---"] * (2 + len(columns))]
    lines += [[*row, *(told.get((*row, of), "") for of in columns)] for row in rows]
    largest, drawn = 100 * mine["error"].max(), mine["drawn"].max()
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\nPercent of {drawn} simulated tables each; the Monte Carlo error is {largest:.1f} points at most."


def _told(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f}"


def put_into(page: Path, found: pd.DataFrame) -> None:
    """Write the tables between the markers of a page."""
    text = page.read_text()
    for part in found["part"].unique():
        begin, end = f"<!-- coverage: {part} -->\n", "<!-- end of coverage -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{as_markdown(found, part)}\n\n{end}{rest.partition(end)[2]}" if rest else text
    page.write_text(text)


def main() -> None:
    """Simulate, or read, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--into", type=Path)
    asked = parser.parse_args()
    rows: list[_Row] = []
    if asked.source is None:
        for part in asked.parts.split(","):
            rows += PARTS[part](max(1, asked.tables // 3) if part == "single_pairs" else asked.tables)
    found = pd.DataFrame(rows) if asked.source is None else pd.read_csv(asked.source, dtype={"tables_of": str})
    for part in found["part"].unique():
        print(f"{part}\n{as_markdown(found, part)}\n", flush=True)
    if asked.csv:
        found.to_csv(asked.csv, index=False, float_format="%.4f")
    if asked.into:
        put_into(asked.into, found)


if __name__ == "__main__":
    main()
