"""What a figure is drawn from, what comes of it, and what the report says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, TypeAlias, TypeVar, cast

import pandas as pd
from matplotlib.figure import Figure

from transference.amounts import STEP_SIZES, Amount
from transference.blocks import Block
from transference.figures._options import BINS, LIMITS, Option
from transference.statistics import (
    GROUP,
    calibrate,
    control_bands,
    intervals,
    predicted_rows,
    split,
    split_confidence,
    summarise_blocks,
)

T = TypeVar("T")
Read: TypeAlias = Callable[[], pd.DataFrame]


@dataclass(frozen=True)
class Table:
    """The tables of a run, or of a part of it. Each is made when a figure first asks for it.

    Attributes:
        name: of the run, for messages.
        steps: its checkpoints, ascending.
        alphas: its step sizes, ascending.
        band: the neutral band.
        blocks: what ``Run.blocks()`` returns.
        pairs: what ``Run.pairs()`` returns.
        self_transference: what ``Run.self_transference()`` returns.
        summary: what ``summarise_blocks`` returns.
        intervals: what ``intervals`` returns.
        parts: what ``split`` returns.
        confidence: what ``split_confidence`` returns; no rows for a run without tempered losses.
        bands: what ``control_bands`` returns; no rows for a run without controls.
        predicted: what ``predicted_rows`` returns, of a run with combinations.
        calibrated: what ``calibrate`` returns, of a calibrated run; no rows for any other.
        amount: how its step sizes are said: of a run whose sources are modes they count updates.
    """

    name: str
    steps: tuple[int, ...]
    alphas: tuple[float, ...]
    band: tuple[float, float]
    blocks: Callable[[], Iterable[Block]]
    pairs: Read
    self_transference: Read
    summary: Read
    intervals: Read
    parts: Read
    confidence: Read
    bands: Read
    predicted: Read
    calibrated: Read
    amount: Amount = STEP_SIZES

    @classmethod
    def of(
        cls,
        name: str,
        steps: Iterable[int],
        alphas: Iterable[float],
        band: tuple[float, float],
        *,
        blocks: Callable[[], Iterable[Block]],
        pairs: Read,
        self_transference: Read,
        controls: Read,
        exact_pairs: Read | None = None,
        amount: Amount = STEP_SIZES,
    ) -> Table:
        """Return the tables that belong to what the methods of a run return.

        Args:
            name: of the run.
            steps: its checkpoints.
            alphas: its step sizes.
            band: the neutral band.
            blocks: reads its blocks.
            pairs: reads its pairs.
            self_transference: reads its self-transference.
            controls: reads its controls.
            exact_pairs: reads the pairs by which it is calibrated; None where it is not.
            amount: how its step sizes are said.
        """

        def calibrated() -> pd.DataFrame:
            if exact_pairs is None:
                return pd.DataFrame(columns=[*GROUP])
            return calibrate(blocks(), exact_pairs(), band=band)

        return cls(
            name,
            tuple(sorted(steps)),
            tuple(sorted(alphas)),
            band,
            blocks=blocks,
            pairs=cache(pairs),
            self_transference=cache(self_transference),
            summary=cache(lambda: summarise_blocks(blocks(), band=band)),
            intervals=cache(lambda: intervals(blocks(), band=band)),
            parts=cache(lambda: split(blocks())),
            confidence=cache(lambda: split_confidence(blocks())),
            bands=cache(lambda: control_bands(controls())),
            predicted=cache(lambda: predicted_rows(blocks(), band=band)),
            calibrated=cache(calibrated),
            amount=amount,
        )

    @property
    def alpha_told(self) -> str:
        """The step size of a table that has one, in words."""
        return self.amount.told(self.alphas[0])

    def at(self, alpha: float | None = None, step: int | None = None) -> Table:
        """Return the part of one step size, and of one checkpoint; None for all."""

        def part(read: Read) -> Read:
            def chosen() -> pd.DataFrame:
                frame = read()
                frame = frame if alpha is None else frame[frame["alpha"] == alpha]
                return frame if step is None else frame[frame["checkpoint_step"] == step]

            return cache(chosen)

        return Table(
            self.name,
            self.steps if step is None else (step,),
            self.alphas if alpha is None else (alpha,),
            self.band,
            blocks=lambda: (
                block
                for block in self.blocks()
                if alpha in (None, block.alpha) and step in (None, block.checkpoint_step)
            ),
            pairs=part(self.pairs),
            self_transference=part(self.self_transference),
            summary=part(self.summary),
            intervals=part(self.intervals),
            parts=part(self.parts),
            confidence=part(self.confidence),
            bands=part(self.bands),
            predicted=part(self.predicted),
            calibrated=part(self.calibrated),
            amount=self.amount,
        )


@dataclass(frozen=True)
class PlotRequest:
    """What a figure is to show.

    Attributes:
        tables: one, or two that a kind compares; each of the checkpoint and step size that are drawn, or of all of them
            where the kind draws all.
        names: what tells the tables apart, one for each.
        bins: bars of a histogram.
        limits: loss ratios of its first and last edge.
        options: by name, the values of those that were chosen.
    """

    tables: tuple[Table, ...]
    names: tuple[str, ...] = ("",)
    bins: int = BINS
    limits: tuple[float, float] = LIMITS
    options: Mapping[str, object] = field(default_factory=dict)

    def __getitem__(self, option: Option[T]) -> T:
        """Return the value of an option."""
        return cast("T", self.options.get(option.name, option.default))


class Drawn(NamedTuple):
    """A figure, the data that it shows, and a note for whoever asked for it; empty if there is nothing to say."""

    figure: Figure
    data: pd.DataFrame
    note: str = ""


class Description(NamedTuple):
    """What the report says of a figure.

    Attributes:
        title: its heading.
        alt: what it shows, for who cannot see it.
        caption: how to read it.
        data: what the page offers as the figure's data; None for what was drawn.
    """

    title: str
    alt: str
    caption: str
    data: pd.DataFrame | None = None
