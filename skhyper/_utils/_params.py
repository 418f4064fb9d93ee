"""Declarative parameter checks: the one file that imports scikit-learn's private ones.

scikit-learn documents neither these names nor their stability, so they stay behind
this door. Estimators declare ``_parameter_constraints`` and call `check_params`.
"""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = ["Interval", "Options", "StrOptions", "check_params"]


def check_params(estimator: BaseEstimator) -> None:
    """Raise InvalidParameterError, a ValueError, for a parameter out of range."""
    validate_parameter_constraints(
        estimator._parameter_constraints,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )
