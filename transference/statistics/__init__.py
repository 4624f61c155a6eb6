"""Summaries of a stored table. Nothing here loads a model or an image.

A share of positive or negative transfer depends strongly on the step size, so every summary is per step size.
"""

from transference.statistics._agreement import TRUSTED, check_estimates
from transference.statistics._calibrated import calibrate, widest
from transference.statistics._contrast import contrast
from transference.statistics._controls import control_bands
from transference.statistics._crossed import enough_for, intervals
from transference.statistics._predicted import predicted_rows
from transference.statistics._replicates import RATE, single_pairs, summarise_replicates
from transference.statistics._split import split
from transference.statistics._summary import (
    CLASSES,
    GROUP,
    NEUTRAL_BAND,
    QUANTILES,
    classify,
    measured,
    summarise,
    summarise_blocks,
)
from transference.statistics._variance import variance_shares

__all__ = [
    "CLASSES",
    "GROUP",
    "NEUTRAL_BAND",
    "QUANTILES",
    "RATE",
    "TRUSTED",
    "calibrate",
    "check_estimates",
    "classify",
    "contrast",
    "control_bands",
    "enough_for",
    "intervals",
    "measured",
    "predicted_rows",
    "single_pairs",
    "split",
    "summarise",
    "summarise_blocks",
    "summarise_replicates",
    "variance_shares",
    "widest",
]
