"""Every kind of figure, in the order of ``transference plot --help`` and of the report."""

from transference.figures._kind import BINS, LIMITS, Description, Drawn, InReport, Kind, Option, PlotRequest, Table
from transference.figures.blocks import BLOCKS
from transference.figures.compare import COMPARE
from transference.figures.histogram import HISTOGRAM
from transference.figures.matrix import MATRIX
from transference.figures.rows import ROWS
from transference.figures.step_size import STEP_SIZE
from transference.figures.training import TRAINING
from transference.figures.types import TYPES

__all__ = ["BINS", "KINDS", "LIMITS", "Description", "Drawn", "InReport", "Kind", "Option", "PlotRequest", "Table"]

KINDS: tuple[Kind, ...] = (HISTOGRAM, TYPES, BLOCKS, STEP_SIZE, TRAINING, MATRIX, ROWS, COMPARE)
