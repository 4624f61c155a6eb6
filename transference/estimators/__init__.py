"""How the consequence of a displacement is read: one estimator a file."""

from transference.estimators._protocol import (
    Estimator,
    LinearEstimator,
    Prepared,
    Readings,
    SettlingEstimator,
    as_begun,
    checked_pairs,
)
from transference.estimators.exact import Exact
from transference.estimators.first_order import FirstOrder

__all__ = [
    "Estimator",
    "Exact",
    "FirstOrder",
    "LinearEstimator",
    "Prepared",
    "Readings",
    "SettlingEstimator",
    "as_begun",
    "checked_pairs",
]
