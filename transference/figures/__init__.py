"""A stored table in, matplotlib figures out. Nothing here loads a model; a figure can be redrawn on a laptop that has neither."""

from transference.figures._style import as_svg, save
from transference.figures.contact_sheet import contact_sheet
from transference.figures.histogram import draw_histogram, histogram, training
from transference.figures.matrix import draw_matrix, matrix

__all__ = ["as_svg", "contact_sheet", "draw_histogram", "draw_matrix", "histogram", "matrix", "save", "training"]
