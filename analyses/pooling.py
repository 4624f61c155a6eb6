"""From runs to the tables that the analyses print: mode pairs within and across modes, and three trainings together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import t

import transference as tr
from transference.blocks import Block
from transference.files import write_aside
from transference.statistics import CLASSES

GROUPS = ("within modes", "across modes")


def pooled(run: tr.Run) -> dict[tuple[int, float, str], Block]:
    """Return, for each checkpoint, step size and group of `GROUPS`, the mode pairs of the group as one table; NaN elsewhere.

    Intervals then know that all pairs of one task share it, whatever the mode of the other.
    """
    found: dict[tuple[int, float], dict[tuple[str, str], Block]] = {}
    for block in run.blocks():
        if block.combination:
            continue  # a step on tasks of several modes is of none
        found.setdefault((block.checkpoint_step, block.alpha), {})[block.source_mode, block.target_mode] = block
    tables = {}
    for (step, alpha), blocks in found.items():
        for group in GROUPS:
            inside = {pair: (pair[0] == pair[1]) == (group == GROUPS[0]) for pair in blocks}
            accuracy = np.concatenate(
                [block.accuracy_before for (source, _), block in blocks.items() if source == next(iter(blocks))[0]]
            )
            ratio, change, slope = (_joined(blocks, name, inside) for name in ("loss_ratio", "change", "first_order"))
            tables[step, alpha, group] = Block(step, alpha, "pairs", group, ratio, change, slope, accuracy)
    return tables


def _joined(blocks: dict[tuple[str, str], Block], name: str, inside: dict[tuple[str, str], bool]) -> np.ndarray:
    sources = dict.fromkeys(source for source, _ in blocks)
    targets = dict.fromkeys(target for _, target in blocks)
    part = lambda pair: np.where(inside[pair], getattr(blocks[pair], name), np.nan)
    return np.block([[part((source, target)) for target in targets] for source in sources])


def paired(mine: Block, others: Block) -> dict[str, float]:
    """Return how two tables of the same tasks differ: ``mean_log``, the three shares, and ``p_…`` of each share."""
    found = tr.contrast([mine], [others]).set_index("statistic")
    told = {"mean_log": float(np.log(found.loc["geometric_mean", "value"]))}
    told |= {name: float(found.loc[name, "value"]) for name in CLASSES}
    return told | {f"p_{name}": float(found.loc[name, "p"]) for name in CLASSES}


def over_seeds(frame: pd.DataFrame, by: Sequence[str], values: Iterable[str], level: float = 0.95) -> pd.DataFrame:
    """Return the mean over trainings of each value, with Student's t interval: another training, on other tasks, is what it covers.

    Args:
        frame: one row per seed and group.
        by: the columns that make a group.
        values: the columns.
        level: of the intervals.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, observed=True):
        row: dict[str, object] = {**dict(zip(by, key, strict=True)), "seeds": len(group)}
        for name in values:
            mean, error = group[name].mean(), group[name].std(ddof=1) / np.sqrt(len(group))
            half = float(t.ppf((1 + level) / 2, len(group) - 1)) * error
            row |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
        rows.append(row)
    return pd.DataFrame(rows)


def mark_beyond(ax: Axes, at: pd.Series, low: pd.Series, high: pd.Series, colour: str) -> None:
    """Mark with a triangle where an interval goes on beyond the lower or upper edge of a panel, whose limits are set."""
    for marker, edge, beyond in (("v", ax.get_ylim()[0], low), ("^", ax.get_ylim()[1], high)):
        here = at[(beyond < edge) if marker == "v" else (beyond > edge)]
        if len(here):
            style = {"color": colour, "markersize": 3, "linestyle": "none", "clip_on": False}
            ax.plot(here, [edge] * len(here), marker=marker, **style)


def save_table(frame: pd.DataFrame, path: Path) -> None:
    """Write the data of a figure, to six digits."""
    write_aside(path, lambda aside: frame.to_csv(aside, index=False, float_format="%.6g"))


def shown(frame: pd.DataFrame, form: str = "{:.3f}") -> str:
    """Return a table as text, each value with its interval in brackets."""
    names = [name for name in frame if f"{name}_low" in frame]
    rest = [name for name in frame if not str(name).endswith(("_low", "_high")) and name not in names]
    told = frame[rest].copy()
    for name in names:
        ends = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
        told[name] = [f"{form.format(v)} [{form.format(a)}, {form.format(b)}]" for v, a, b in ends]
    return told.to_string(index=False)
