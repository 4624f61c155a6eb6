"""From runs to HTML: what each section shows, handed to the templates. Whatever comes from a run is escaped there, without exception."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from transference._csv import write_csv
from transference.errors import UsageError, printable
from transference.figures import as_svg
from transference.pages import SupportSets, Task, data_uri, facts
from transference.report import _tables
from transference.report._figures import ReportFigure, figures_of, table_of
from transference.report._targets import Place, RankedSource, RankedTarget, choose_targets, find_targets, rank_sources
from transference.statistics import NEUTRAL_BAND, RATE
from transference.store import Run

_MOST_NUMBERS = 100_000
"""Rows × columns of a figure's data that go into the page; more are left to ``transference export``."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows.

    Attributes:
        data_root: the folder with the images of the tasks; generated modes and functions need none.
        targets: those shown in full, ``"MODE:INDEX"`` or an id; by default of each mode the one whose loss ratios spread most.
        alpha: the step size at which they are shown; by default the smallest of the run, which overshoots least.
        band: the neutral band.
        side: pixels along each edge of the runs' images; by default what their run.json tells.
        channels: 1 or 3, likewise.
    """

    data_root: Path | None = None
    targets: tuple[str, ...] = ()
    alpha: float | None = None
    band: tuple[float, float] = NEUTRAL_BAND
    side: int | None = None
    channels: int | None = None


def build_page(runs: Sequence[Run], options: ReportOptions) -> str:
    """Return the page of some runs.

    Raises:
        UsageError: no run was given, none has a target that was asked for, or one lacks the step size.
        StoreError: a run is incomplete or damaged.
    """
    if not runs:
        raise UsageError("A report was asked for without a run; give at least one run folder.")
    alphas = [min(run.alphas) if options.alpha is None else run.choose_alpha(options.alpha) for run in runs]
    wanted = [find_targets(run, options.targets) for run in runs]
    if unknown := [text for text in options.targets if not any(text in found for found in wanted)]:
        modes = ", ".join(dict.fromkeys(mode for run in runs for mode in run.modes("target")))
        raise UsageError(
            f"The target {', '.join(unknown)} was asked for, and no run has it. Give MODE:INDEX, or an id; the targets' modes are {modes}."
        )
    parts = zip(runs, alphas, wanted, strict=True)
    sections = [
        _section(run, k, alpha, list(dict.fromkeys(found.values())), options)
        for k, (run, alpha, found) in enumerate(parts, 1)
    ]
    shown = {"runs": sections, "comparisons": _comparisons(runs, options.band), "band": options.band}
    return _environment().get_template("page.html").render(**shown, version=version("transference"), style=_style())


def _section(run: Run, number: int, alpha: float, targets: list[int], options: ReportOptions) -> dict[str, Any]:
    """Return what the section of one run shows."""
    table = table_of(run, options.band)
    rows = _tables.summary_rows(run, table.summary(), table.intervals())
    replicates = run.spec.replicates
    statuses = Counter((table.pairs() if replicates == 1 else run.pairs(None))["status"].astype(str))
    failed = {status: n for status, n in sorted(statuses.items()) if status != "ok"}
    return {
        "number": number,
        "name": str(run.path),
        "title": facts.title(run),
        "measured": facts.measured(run, failed),
        "settings": facts.settings(run),
        "command": facts.command(run),
        "controls": _tables.rows_of(table.bands()),
        "estimated": run.spec.estimates,
        "summary": [(step, [row for row in rows if row["checkpoint_step"] == step]) for step in reversed(run.steps)],
        "replicates": replicates,
        "replicated": _tables.replicated_rows(run, options.band),
        "rate": RATE,
        "drawn": sorted({row["drawn"] for row in rows}),
        "calibrated": _tables.calibrated_rows(run, options.band),
        "check": _tables.check_rows(run),
        "figures": [_shown(drawn, f"run-{number}-figure-{k}") for k, drawn in enumerate(figures_of(table), 1)],
        "extremes": extreme_tasks(run, alpha, targets, options),
    }


def _shown(drawn: ReportFigure, name: str) -> dict[str, Any]:
    """Return a figure as the template wants it."""
    return {
        "drawn": drawn,
        "source": data_uri(as_svg(drawn.figure), "image/svg+xml"),
        "width": round(96 * drawn.figure.get_figwidth()),
        "height": round(96 * drawn.figure.get_figheight()),
        "data": _csv(drawn.data),
        "file": f"{name}.csv",
    }


def _csv(data: pd.DataFrame) -> str | None:
    """Return data as a data: URI of a CSV file; None where they are too many for a page."""
    if data.size > _MOST_NUMBERS:
        return None
    content = BytesIO()
    write_csv(data, content, digits=8)
    return data_uri(content.getvalue(), "text/csv;charset=utf-8")


def extreme_tasks(run: Run, alpha: float, targets: list[int], options: ReportOptions) -> dict[str, Any]:
    """Return the targets that are shown in full, each with the support sets of the sources of its lowest and highest ratios."""
    side, channels = facts.image_shape(run)
    draws = SupportSets(
        (*run.spec.samplers, *run.spec.targets), options.data_root, options.side or side, options.channels or channels
    )
    place = Place(run, run.tasks(), run.steps[-1], alpha)
    chosen = rank_sources(place, targets or choose_targets(place), options.band)
    modes = {role: run.modes(role) for role in ("source", "target")}

    def task(role: str, number: int) -> Task:
        found = place.tasks[(place.tasks["role"] == role) & (place.tasks["id"] == number)]
        return draws.task(found.iloc[0], modes[role][number])

    def with_tasks(sources: tuple[RankedSource, ...]) -> list[tuple[RankedSource, Task]]:
        return [(one, task("source", one.source)) for one in sources]

    def shown(one: RankedTarget) -> dict[str, Any]:
        target, sides = (
            task("target", one.target),
            {"lowest": with_tasks(one.lowest), "highest": with_tasks(one.highest)},
        )
        y = [
            y
            for drawn in (target, *(t for side in sides.values() for _, t in side))
            if drawn.points
            for y in drawn.points.y
        ]
        return {"task": target, **sides, "span": (min(y), max(y)) if y else None}

    cards = [shown(one) for one in chosen]
    return {
        "step": place.step,
        "alpha": alpha,
        "targets": cards,
        "asked": bool(targets),
        "problems": sorted(set(draws.problems.values())),
    }


def _comparisons(runs: Sequence[Run], band: tuple[float, float]) -> list[dict[str, Any]]:
    """Return each run beside the first of the same tasks before it."""
    found = []
    for k, run in enumerate(runs):
        first = next((j for j in range(k) if _tables.same_tasks(runs[j], run)), None)
        if first is not None:
            numbers = {"first": first + 1, "second": k + 1, "steps": (runs[first].steps[-1], run.steps[-1])}
            found.append({**numbers, "rows": _tables.contrast_rows(runs[first], run, band)})
    return found


def _environment() -> jinja2.Environment:
    """Return the templates, which escape whatever they show."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transference.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_writable,
    )
    environment.filters |= {"ratio": ratio, "percent": percent, "count": count, "breakable": breakable}
    return environment


def _style() -> str:
    """Return the style sheet of the page."""
    return (Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")


def _writable(value: Any) -> Any:  # noqa: ANN401 - whatever a template shows
    """Return a text as a file can hold it and a reader sees it; Markup, which is escaped already, as it is."""
    return printable(value) if type(value) is str else value


def ratio(value: float, *others: float) -> str:
    """Return a ratio with the digits that tell it from 1.

    Args:
        value: the ratio.
        others: the ends of its interval, which decide the digits too.
    """
    if not math.isfinite(value):
        return "–"
    if value >= 100:
        return f"{value:.3g}"
    away = max((abs(x - 1) for x in (value, *others) if math.isfinite(x)), default=0.0)
    return f"{value:.{min(9, max(3, 1 - math.floor(math.log10(away))) if away > 0 else 3)}f}"


def count(n: int | None) -> str:
    """Return a number with its thousands set apart, a dash for none."""
    return "–" if n is None or pd.isna(n) else f"{n:,}"


def percent(share: float) -> str:
    """Return a share as whole percent."""
    return f"{share:.0%}" if math.isfinite(share) else "–"


def breakable(name: str) -> Markup:
    """Return a name that may be broken after its strokes and underscores, escaped."""
    return Markup("<wbr>").join(re.split(r"(?<=[/_])", printable(name)))
