"""How the consequence of a displacement is read: one estimator a file."""

from transference.estimators._protocol import (
    CheckedEstimator,
    Estimator,
    LinearEstimator,
    Prepared,
    Readings,
    SettlingEstimator,
    as_begun,
)
from transference.estimators.exact import Exact
from transference.estimators.first_order import FirstOrder

__all__ = [
    "CheckedEstimator",
    "Estimator",
    "Exact",
    "FirstOrder",
    "LinearEstimator",
    "Prepared",
    "Readings",
    "SettlingEstimator",
    "as_begun",
]
