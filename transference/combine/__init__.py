"""Ways to combine the gradients of several tasks into one step: a file each, one seam (`Combination`).

It serves the source side of a measurement (``compute --combine``) and the outer step of training (``train --combine``) alike,
for modalities of one dataset and for modes of several.
"""

from transference.combine._gradients import combined, flat
from transference.combine._parse import COMBINATIONS, form, parse_combination
from transference.combine._protocol import Combination, check_number, describe, needs_joint, parts_of
from transference.combine.mean import Mean
from transference.combine.mgda import MGDA
from transference.combine.pcgrad import PCGrad
from transference.combine.precision import Precision
from transference.combine.smooth_worst import SmoothWorst
from transference.combine.sum import Sum
from transference.combine.uniform import Uniform

__all__ = [
    "COMBINATIONS",
    "MGDA",
    "Combination",
    "Mean",
    "PCGrad",
    "Precision",
    "SmoothWorst",
    "Sum",
    "Uniform",
    "check_number",
    "combined",
    "describe",
    "flat",
    "form",
    "needs_joint",
    "parse_combination",
    "parts_of",
]
