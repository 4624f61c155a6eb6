"""A stored table in, matplotlib figures out. Nothing here loads a model; a figure can be redrawn on a laptop that has neither."""

from transference.figures._bars import binned, draw_histogram
from transference.figures._heat import shared_limit, span_of
from transference.figures._style import COLOURS, STYLE, as_svg, check_name, save, styled
from transference.figures.blocks import blocks, draw_blocks
from transference.figures.compare import compare
from transference.figures.contact_sheet import contact_sheet
from transference.figures.example_sheet import draw_example, example_sheet
from transference.figures.histogram import histogram
from transference.figures.matrix import arranged, clustered_order, draw_matrix, matrix
from transference.figures.rows import rows
from transference.figures.step_size import draw_step_size, step_size
from transference.figures.training import training
from transference.figures.trend import draw_trend, trend
from transference.figures.types import draw_ring, draw_types, types

__all__ = [
    "COLOURS",
    "STYLE",
    "arranged",
    "as_svg",
    "binned",
    "blocks",
    "check_name",
    "clustered_order",
    "compare",
    "contact_sheet",
    "draw_blocks",
    "draw_example",
    "draw_histogram",
    "draw_matrix",
    "draw_ring",
    "draw_step_size",
    "draw_trend",
    "draw_types",
    "example_sheet",
    "histogram",
    "matrix",
    "rows",
    "save",
    "shared_limit",
    "span_of",
    "step_size",
    "styled",
    "training",
    "trend",
    "types",
]
