"""Estimators by name."""

from __future__ import annotations

from transference.later import Choices

ESTIMATORS = Choices(
    {
        "exact": "transference.estimators.exact:Exact",
        "first-order": "transference.estimators.first_order:FirstOrder",
        "quadratic": "transference.estimators.quadratic:Quadratic",
        "calibrated": "transference.estimators.calibrated:Calibrated",
    }
)
"""By the names that the command knows: dataclasses, whose fields are their settings."""
