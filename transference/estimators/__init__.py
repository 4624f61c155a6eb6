"""How the consequence of a displacement is read: one estimator a file."""

from transference.estimators._protocol import Estimator, Prepared, Readings, SettlingEstimator, as_begun
from transference.estimators.exact import Exact

__all__ = ["Estimator", "Exact", "Prepared", "Readings", "SettlingEstimator", "as_begun"]
