"""Summaries of a stored table. Nothing here loads a model or an image.

A share of positive or negative transfer depends strongly on the step size, so every summary is per step size.
"""

from transference.statistics._agreement import TRUSTED, check_estimates
from transference.statistics._calibrated import calibrate, widest
from transference.statistics._contrast import contrast, flipped
from transference.statistics._controls import control_bands
from transference.statistics._crossed import intervals, variance_shares
from transference.statistics._split import split
from transference.statistics._summary import CLASSES, GROUP, NEUTRAL_BAND, QUANTILES, classify, summarise, summarise_blocks

__all__ = [
    "CLASSES",
    "GROUP",
    "NEUTRAL_BAND",
    "QUANTILES",
    "TRUSTED",
    "calibrate",
    "check_estimates",
    "classify",
    "contrast",
    "control_bands",
    "flipped",
    "intervals",
    "split",
    "summarise",
    "summarise_blocks",
    "variance_shares",
    "widest",
]
