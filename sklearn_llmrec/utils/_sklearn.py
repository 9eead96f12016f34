"""Collect every import of a private scikit-learn name; no other module of the package has one."""

from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.utils._metadata_requests import _raise_for_params as raise_for_params
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import (
    _check_feature_names_in as check_feature_names_in,
    _check_method_params as check_method_params,
)

__all__ = [
    "BaseComposition",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_feature_names_in",
    "check_method_params",
    "fit_context",
    "fit_single_estimator",
    "raise_for_params",
    "validate_parameter_constraints",
    "validate_params",
]


def fit_single_estimator(estimator: Any, X: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    """Fit one member as scikit-learn's ensembles do; imported late, since it brings in all of them."""
    from sklearn.ensemble._base import _fit_single_estimator

    return _fit_single_estimator(estimator, X, y, *args, **kwargs)
