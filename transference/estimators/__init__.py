"""How the consequence of a displacement is read: one estimator a file."""

from transference.estimators._protocol import (
    ApieceEstimator,
    Estimator,
    LinearEstimator,
    Prepared,
    Readings,
    SampledEstimator,
    SettlingEstimator,
    as_begun,
)
from transference.estimators.calibrated import Calibrated
from transference.estimators.exact import Exact
from transference.estimators.first_order import FirstOrder

__all__ = [
    "ApieceEstimator",
    "Calibrated",
    "Estimator",
    "Exact",
    "FirstOrder",
    "LinearEstimator",
    "Prepared",
    "Readings",
    "SampledEstimator",
    "SettlingEstimator",
    "as_begun",
]
