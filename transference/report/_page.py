"""From runs to HTML: what each section shows, handed to the templates. Whatever comes from a run is escaped there, without exception."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup

from transference._csv import write_csv
from transference.amounts import STEP_SIZES, UPDATES
from transference.errors import UsageError, printable
from transference.figures import as_svg
from transference.figures.requests import Table
from transference.pages import SupportSets, Task, facts
from transference.progress import progress_bar
from transference.report import _tables
from transference.report._figures import PlannedFigure, ReportFigure, plan_figures, shared_limits, table_of
from transference.report._targets import (
    AT_MOST,
    Place,
    RankedSource,
    RankedTarget,
    choose_targets,
    rank_sources,
)
from transference.report._vector import compact
from transference.statistics import NEUTRAL_BAND, RATE
from transference.store import Run, find_tasks

_PLAIN = " !$()*+,-./:;=?@[]^_`{|}~<>'"
"""Signs that stand in an address in double quotes as they are, and the ampersand, the number sign and the percent sign not."""

_MOST_NUMBERS = 50_000
"""Rows × columns of a figure's data that go into the page; more are left to ``transference export``."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows.

    Attributes:
        data_root: the folder with the images of the tasks; generated modes and functions need none.
        targets: those shown in full, ``"MODE:INDEX"`` or an id; by default of each mode the one whose loss ratios spread most.
        alpha: the step size that the page shows first; by default the smallest of the run, which overshoots least.
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


def build_page(runs: Sequence[Run], options: ReportOptions, *, progress: bool = False) -> str:
    """Return the page of some runs.

    Args:
        runs: at least one, each complete.
        options: what is shown.
        progress: show on stderr how far it is.

    Raises:
        UsageError: no run was given, none has a target that was asked for, or one lacks the step size.
        StoreError: a run is incomplete or damaged.
    """
    if not runs:
        raise UsageError("A report was asked for without a run; give at least one run folder.")
    alphas = [min(run.alphas) if options.alpha is None else run.choose_alpha(options.alpha) for run in runs]
    wanted = [find_tasks(run, "target", options.targets) for run in runs]
    if unknown := [text for text in options.targets if not any(text in found for found in wanted)]:
        modes = ", ".join(dict.fromkeys(mode for run in runs for mode in run.modes("target")))
        raise UsageError(
            f"The target {', '.join(unknown)} was asked for, and no run has it. Give MODE:INDEX, or an id; the targets' modes are {modes}."
        )
    tables = [table_of(run, options.band) for run in runs]
    limits = shared_limits(tables)
    parts = [
        _Section(run, k, table, plan_figures(table), alpha, list(dict.fromkeys(found.values())))
        for k, (run, table, alpha, found) in enumerate(zip(runs, tables, alphas, wanted, strict=True), 1)
    ]
    n_parts = sum(part.n_parts for part in parts)
    with progress_bar(n_parts, unit="part", shown=progress) as bar:
        sections = [_section(part, limits, options, bar.update) for part in parts]
    comparisons = _comparisons(runs, options.band)
    compared = _numbers(row["alpha"] for comparison in comparisons for row in comparison["rows"])
    shown: dict[str, Any] = {
        "runs": sections,
        "comparisons": comparisons,
        "compared_alphas": compared,
        "band": options.band,
    }
    amounts = {run.spec.amount for run in runs}
    shown |= {"of_steps": STEP_SIZES in amounts, "of_updates": UPDATES in amounts}
    names = facts.alpha_names(alpha for run in runs for alpha in sorted(run.alphas))
    most = max(len(alphas) for alphas in (compared, *(section["alphas"] for section in sections)))
    return (
        _environment(names)
        .get_template("page.html")
        .render(
            **shown,
            most_alphas=most,
            version=version("transference"),
            style=_style(),
        )
    )


@dataclass(frozen=True)
class _Section:
    """What the section of one run is made of.

    Attributes:
        run: the run.
        number: its place among the runs of the page, from 1.
        table: its tables.
        plans: the figures that it may have.
        alpha: the step size that is shown first.
        targets: those that were asked for, by id.
    """

    run: Run
    number: int
    table: Table
    plans: list[PlannedFigure]
    alpha: float
    targets: list[int]

    @property
    def n_parts(self) -> int:
        """Parts of the work: the tables, each figure, each target that is shown in full."""
        return 1 + len(self.plans) + (len(self.targets) or min(AT_MOST, len(set(self.run.modes("target")))))


def _section(
    part: _Section, limits: Mapping[tuple[str, float], float], options: ReportOptions, done: Callable[[], object]
) -> dict[str, Any]:
    """Return what the section of one run shows.

    Args:
        part: the run.
        limits: where the colours of figures end that share a scale.
        options: what is shown.
        done: called after each part.
    """
    run, table, band = part.run, part.table, options.band
    rows = _tables.summary_rows(run, table.summary(), table.intervals())
    replicates = run.spec.replicates
    statuses = Counter((table.pairs() if replicates == 1 else run.pairs(None))["status"].astype(str))
    failed = {status: n for status, n in sorted(statuses.items()) if status != "ok"}
    section = {
        "number": part.number,
        "name": str(run.path),
        "title": facts.title(run),
        "measured": facts.measured(run, failed),
        "settings": facts.settings(run),
        "command": facts.command(run),
        "alphas": _numbers(run.alphas),
        "amount": run.spec.amount,
        "alpha": part.alpha,
        "controls": _tables.rows_of(table.bands()),
        "estimated": run.spec.estimates,
        "exact_at": facts.exact_steps(run.spec),
        "estimator": facts.estimator_name(run.spec),
        "summary": [(step, [row for row in rows if row["checkpoint_step"] == step]) for step in reversed(run.steps)],
        "replicates": replicates,
        "replicated": _tables.replicated_rows(run, band),
        "rate": RATE,
        "drawn": sorted({row["drawn"] for row in rows}),
        "calibrated": _tables.calibrated_rows(run, band),
        "check": _tables.check_rows(run),
    }
    done()
    figures: list[dict[str, Any]] = []
    for plan in part.plans:
        drawn = plan.draw(None if plan.alpha is None else limits.get((plan.kind.name, plan.alpha)))
        if drawn is not None:
            figures.append(_shown(drawn, f"run-{part.number}-figure-{len(figures) + 1}"))
        done()
    return {**section, "figures": figures, "extremes": extreme_tasks(run, part.alpha, part.targets, options, done)}


def _numbers(alphas: Iterable[float]) -> dict[float, int]:
    """Return the numbers by which a switch knows step sizes, from 1; none where there is nothing to switch between."""
    different = sorted(set(alphas))
    return {alpha: k for k, alpha in enumerate(different, 1)} if len(different) > 1 else {}


def _shown(drawn: ReportFigure, name: str) -> dict[str, Any]:
    """Return a figure as the template wants it."""
    return {
        "drawn": drawn,
        "id": name,
        "source": _address(compact(as_svg(drawn.figure)), "image/svg+xml"),
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
    return _address(content.getvalue().decode(), "text/csv;charset=utf-8")


def _address(text: str, kind: str) -> Markup:
    """Return a text as a data: URI for an attribute in double quotes: what an address or HTML would misread is escaped, the rest stays.

    That makes it a quarter smaller than base 64 does.
    """
    return Markup(f"data:{kind},{quote(text, safe=_PLAIN)}")


def extreme_tasks(
    run: Run, alpha: float, targets: list[int], options: ReportOptions, done: Callable[[], object]
) -> dict[str, Any]:
    """Return the targets that are shown in full, each with the support sets of the sources of its lowest and highest ratios.

    Args:
        run: the run.
        alpha: the step size by which targets are chosen.
        targets: those that were asked for.
        options: what is shown.
        done: called after each target.
    """
    side, channels = facts.image_shape(run)
    draws = SupportSets(
        (*run.spec.samplers, *run.spec.targets), options.data_root, options.side or side, options.channels or channels,
        drawn_modes=bool(run.spec.updates),
    )  # fmt: skip
    place = Place.of(run)
    chosen = targets or choose_targets(place, alpha)
    ranked = {alpha: rank_sources(place, alpha, chosen, options.band) for alpha in place.tables}
    modes = {role: run.modes(role) for role in ("source", "target")}

    @cache
    def task(role: str, number: int) -> Task:
        found = place.tasks[(place.tasks["role"] == role) & (place.tasks["id"] == number)]
        return draws.task(found.iloc[0], modes[role][number])

    def with_tasks(sources: tuple[RankedSource, ...]) -> list[tuple[RankedSource, Task]]:
        return [(one, task("source", one.source)) for one in sources]

    def shown(number: int, at: dict[float, RankedTarget]) -> dict[str, Any]:
        target = task("target", number)
        sides: list[dict[str, Any]] = [
            {"alpha": alpha, "lowest": with_tasks(one.lowest), "highest": with_tasks(one.highest)}
            for alpha, one in at.items()
        ]
        sources = (drawn for one in sides for name in ("lowest", "highest") for _, drawn in one[name])
        y = [y for drawn in (target, *sources) if drawn.points for y in drawn.points.y]
        done()
        return {"task": target, "sides": sides, "span": (min(y), max(y)) if y else None}

    cards = [shown(number, {alpha: found[k] for alpha, found in ranked.items()}) for k, number in enumerate(chosen)]
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
            found.append({**numbers, "amount": run.spec.amount, "rows": _tables.contrast_rows(runs[first], run, band)})
    return found


def _environment(names: Mapping[float, str]) -> jinja2.Environment:
    """Return the templates, which escape whatever they show.

    Args:
        names: what step sizes are called.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transference.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_writable,
    )
    environment.filters |= {
        "ratio": ratio,
        "percent": percent,
        "count": count,
        "breakable": breakable,
        "alpha": names.__getitem__,
        "begun": lambda text: text[:1].upper() + text[1:],
    }
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
