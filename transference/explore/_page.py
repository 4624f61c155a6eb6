"""From a run to its page: what the script needs is data in the page, escaped; the script itself holds nothing of the run."""

from __future__ import annotations

import hashlib
import html
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference import figures
from transference.errors import UsageError, in_one_line
from transference.explore._command import pair_call, pair_command
from transference.explore._layers import VERDICTS, WORDS, Layer, layers, same_tasks, tells_noise
from transference.explore._packing import Coding, Shelf, coding
from transference.explore._pictures import pictures
from transference.files import write_aside
from transference.pages import SupportSets, facts
from transference.statistics import NEUTRAL_BAND
from transference.store import STATUSES, Run

_ROOM = 23_500_000
"""Bytes of a page for its tables and pictures; texts come on top, and 25 MB is what many a mail server takes."""

_CLUSTERED = 4000
"""Tasks of a role up to which they are clustered: time and memory grow with the square of their number."""

_MOST_T = 100
"""Degrees of freedom up to which the page has quantiles of Student's t."""


@dataclass(frozen=True)
class ExploreOptions:
    """What a page for exploring a run shows.

    Attributes:
        data_root: the folder with the images of the tasks; generated modes and functions need none.
        steps: the checkpoints; by default all.
        alphas: the step sizes; by default all.
        band: the neutral band.
        side: pixels along each edge of the run's images; by default what its run.json tells.
        channels: 1 or 3, likewise.
    """

    data_root: Path | None = None
    steps: tuple[int, ...] = ()
    alphas: tuple[float, ...] = ()
    band: tuple[float, float] = NEUTRAL_BAND
    side: int | None = None
    channels: int | None = None


class Explorer:
    """The page of a run, which a notebook shows by itself.

    Args:
        run: complete.
        options: what is shown.

    Raises:
        UsageError: the run lacks a checkpoint or step size that was asked for, or is too large for a page.
        StoreError: the run is incomplete or damaged.
    """

    def __init__(self, run: Run, options: ExploreOptions = ExploreOptions()) -> None:
        self._about = repr(run)
        self.page = build_page(run, options)
        """The page, as HTML."""

    def __repr__(self) -> str:
        return f"Explorer({self._about}: a page of {len(self.page) / 1e6:.1f} MB; save(path) writes it)"

    def _repr_html_(self) -> str:
        """Return the page as a frame of a notebook, in which its script sees nothing but itself."""
        return (
            '<iframe sandbox="allow-scripts" width="100%" height="820" style="border: 0" title="Loss ratios" '
            f'srcdoc="{html.escape(self.page)}"></iframe>'
        )

    def save(self, path: str | Path) -> None:
        """Write the page.

        Args:
            path: the file, ``.html``.
        """
        write_aside(Path(path), lambda aside: aside.write_text(self.page, encoding="utf-8", newline="\n"))


def build_page(run: Run, options: ExploreOptions) -> str:
    """Return the page of a run.

    Raises:
        UsageError: the run lacks a checkpoint or step size that was asked for, or is too large for a page.
        StoreError: the run is incomplete or damaged.
    """
    steps = tuple(sorted({run.choose_step(step) for step in options.steps})) or run.steps
    alphas = tuple(sorted({run.choose_alpha(alpha) for alpha in options.alphas} or run.alphas))
    spec, shelf = run.spec, Shelf(_ROOM)
    kind = coding(spec.n_source * spec.n_target * len(steps) * len(alphas))
    found, orders = _shelve(run, shelf, kind, steps, alphas, options.band)
    tasks = run.tasks().sort_values(["role", "id"], ignore_index=True)
    shape = facts.image_shape(run)
    draws = SupportSets(
        (*spec.samplers, *spec.targets), options.data_root, options.side or shape[0], options.channels or shape[1],
        drawn_modes=bool(spec.updates),
    )  # fmt: skip
    drawn, why_none = pictures(tasks, draws, shelf)
    steps_shown = sorted({one["step"] for one in found})
    data = {
        "steps": steps_shown,
        "alphas": list(alphas),
        "told": [spec.amount.told(name) for name in facts.alpha_names(alphas).values()],
        "layers": found,
        "losses": {step: _numbers(run.losses_before(step)) for step in steps_shown},
        **{f"{role}s": _tasks(run, tasks, role) for role in ("source", "target")},
        "same": same_tasks(run),
        "clusters": orders,
        "band": options.band,
        "replicates": spec.replicates,
        "statuses": STATUSES,
        "verdicts": VERDICTS,
        "student": [float(stdtrit(df, 0.975)) for df in range(1, _MOST_T + 1)],
        "command": pair_command(run),
        "call": pair_call(run),
        "noPictures": why_none,
    }
    script, style = _template("explore.js"), _template("explore.css")
    failed = dict(sorted(run.failed().items()))
    return _environment().get_template("page.html").render(
        title=facts.title(run),
        measured=facts.measured(run, failed),
        estimated=facts.told_of_estimates(run.spec),
        notes=_notes(run, steps, steps_shown, kind, shelf.left_out),
        n_source=spec.n_source,
        n_target=spec.n_target,
        path=str(run.path),
        amount=spec.amount.axis,
        data=_as_json(data),
        pictures=_as_json(drawn),
        tables=shelf.tables,
        version=version("transference"),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
    )  # fmt: skip


def _shelve(
    run: Run, shelf: Shelf, kind: Coding, steps: Sequence[int], alphas: tuple[float, ...], band: tuple[float, float]
) -> tuple[list[dict[str, Any]], dict[str, list[int]] | None]:
    """Put the layers on the shelf, the last checkpoint first; return what the page needs to know of each, and the orders of clusters.

    Raises:
        UsageError: not even one checkpoint fits.
    """
    found: list[dict[str, Any]] = []
    rest: dict[str, list[tuple[int, dict[str, NDArray[Any]]]]] = {what: [] for what in WORDS.values()}
    orders = None
    for step in reversed(steps):
        here = list(layers(run, step, alphas, band))
        if not shelf.put(_named(here, kind, "log", "status"), f"checkpoint {step:,}"):
            break
        orders = orders or _orders(here[0])
        found += [_about(layer) for layer in here]
        for what, waiting in rest.items():
            names = [name for name in here[0].tables if WORDS.get(name) == what]
            waiting.append((step, _named(here, kind, *filter(partial(_known, here), names))))
    for what, waiting in rest.items():  # after the ratios of every checkpoint
        for step, tables in waiting:
            shelf.put(tables, f"{what} at checkpoint {step:,}")
    if not found:
        amount = run.spec.amount
        at = f"{len(alphas)} {amount.noun if len(alphas) == 1 else amount.plural}"
        cells = f"{run.spec.n_source:,} × {run.spec.n_target:,} pairs at {at}"
        raise UsageError(
            f"{run.path} has {cells}, which are too many for one page. Choose one {amount.noun} by --alpha, or draw them by "
            "transference plot --kind matrix."
        )
    return found, orders


def _known(here: list[Layer], name: str) -> bool:
    """Return whether a table of some layers holds any number."""
    return not all(np.isnan(layer.tables[name]).all() for layer in here)


def _named(here: list[Layer], kind: Coding, *names: str) -> dict[str, Any]:
    """Return tables of some layers under the names by which the page finds them, as they are stored."""
    return {
        f"{name}-{layer.step}-{layer.alpha!r}": table.astype(kind) if table.dtype.kind == "f" else table
        for layer in here
        for name, table in layer.tables.items()
        if name in names
    }


def _about(layer: Layer) -> dict[str, Any]:
    """Return what the page needs to know of a layer beside its tables."""
    name = f"{layer.step}-{layer.alpha!r}"
    logs = layer.tables.get("mean", layer.tables["log"])
    return {
        "step": layer.step,
        "alpha": layer.alpha,
        "name": name,
        "span": figures.span_of(logs, None),
        "noise": layer.noise,
    }


def _orders(layer: Layer) -> dict[str, list[int]] | None:
    """Return both roles' tasks with those that act alike beside each other; None where they are too many."""
    logs = layer.tables.get("mean", layer.tables["log"])
    if max(logs.shape) > _CLUSTERED:
        return None
    rows, columns = figures.clustered_order(logs)
    return {"sources": rows.tolist(), "targets": columns.tolist()}


def _tasks(run: Run, tasks: pd.DataFrame, role: str) -> dict[str, Any]:
    """Return the tasks of a role: their modes and samplers, and of each task the numbers of these, its index and its classes."""
    here = tasks[tasks["role"] == role]
    labels, samplers = run.modes(role), list(dict.fromkeys(here["sampler"].astype(str)))
    modes = list(dict.fromkeys(labels))
    classes = [[in_one_line(name) for name in names] if names is not None else [] for names in here["class_names"]]
    return {
        "modes": [in_one_line(mode) for mode in modes],
        "samplers": [in_one_line(name) for name in samplers],
        "mode": [modes.index(label) for label in labels],
        "sampler": [samplers.index(str(name)) for name in here["sampler"]],
        "index": here["index"].tolist(),
        "classes": classes,
    }


def _notes(run: Run, steps: Sequence[int], shown: Sequence[int], kind: Coding, left_out: Sequence[str]) -> list[str]:
    """Return what a reader must know of the page's numbers."""
    notes = []
    if run.spec.replicates == 1 and not tells_noise(run):
        controls = "no control of resampled images," if run.spec.controls else "neither controls"
        notes.append(
            f"The run has {controls} nor replicates: how far resampling noise moves a ratio is not known, and no cell is drawn faint."
        )
    if run.spec.replicates > 1:
        notes.append(f"A cell is the geometric mean of {run.spec.replicates} draws of the pair's episodes.")
    if kind is np.float16:
        notes.append("To keep the page small, log ratios are rounded to 1/2048 of their size at most.")
    if missing := [f"{step:,}" for step in steps if step not in shown]:
        notes.append(f"For their size left out: the checkpoints {', '.join(missing)}; --step chooses others.")
    if gone := [what for what in left_out if not what.startswith("checkpoint ")]:
        notes.append(f"For their size left out: {', '.join(gone)}.")
    return notes


def _numbers(values: Any) -> list[float | None]:  # noqa: ANN401 - an array
    """Return numbers as JSON holds them, with seven digits; None for what is not finite."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def _environment() -> jinja2.Environment:
    """Return the template, which escapes whatever it shows."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("transference.explore"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: in_one_line(value) if type(value) is str and len(value) < 10_000 else value,
    )


def _template(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a content security policy knows a script or a style sheet."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _as_json(data: object) -> str:
    """Return data as JSON that cannot end the element that holds it, whatever its names are."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
