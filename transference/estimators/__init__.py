"""How the consequence of a displacement is read: one estimator a file."""

from typing import Any

from transference.estimators._checked import Checked
from transference.estimators._protocol import (
    Estimator,
    ExactSample,
    Prepared,
    PreparedRays,
    Ray,
    RayEstimator,
    Readings,
    exact_at,
    with_engine,
)
from transference.estimators._tangents import Tangents, TangentsOnDemand
from transference.estimators.calibrated import Calibrated
from transference.estimators.exact import Exact
from transference.estimators.first_order import FirstOrder
from transference.estimators.quadratic import Quadratic

ESTIMATORS: dict[str, Any] = {
    "exact": Exact,
    "first-order": FirstOrder,
    "quadratic": Quadratic,
    "calibrated": Calibrated,
}
"""By the names that the command knows: dataclasses, whose fields are their settings."""

__all__ = [
    "ESTIMATORS",
    "Calibrated",
    "Checked",
    "Estimator",
    "Exact",
    "ExactSample",
    "FirstOrder",
    "Prepared",
    "PreparedRays",
    "Quadratic",
    "Ray",
    "RayEstimator",
    "Readings",
    "Tangents",
    "TangentsOnDemand",
    "exact_at",
    "with_engine",
]
