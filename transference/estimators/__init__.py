"""How the consequence of a displacement is read: one estimator a file."""

from typing import Any

from transference.estimators._protocol import Estimator, ExactSample, Prepared, Readings, with_engine
from transference.estimators._tangents import Tangents, TangentsOnDemand
from transference.estimators.calibrated import Calibrated
from transference.estimators.exact import Exact
from transference.estimators.first_order import FirstOrder

ESTIMATORS: dict[str, Any] = {"exact": Exact, "first-order": FirstOrder, "calibrated": Calibrated}
"""By the names that the command knows: dataclasses, whose fields are their settings."""

__all__ = [
    "ESTIMATORS",
    "Calibrated",
    "Estimator",
    "Exact",
    "ExactSample",
    "FirstOrder",
    "Prepared",
    "Readings",
    "Tangents",
    "TangentsOnDemand",
    "with_engine",
]
