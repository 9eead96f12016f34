"""Shared tools: the contract checks for recommenders and their discovery."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_llmrec.utils.discovery import all_recommenders
    from sklearn_llmrec.utils.estimator_checks import check_recommender

__all__ = ["all_recommenders", "check_recommender"]

_WHERE = {"all_recommenders": "discovery", "check_recommender": "estimator_checks"}


def __getattr__(name: str) -> Any:
    # Lazily: the base class imports from here, and the checks import the base class.
    if name in _WHERE:
        return getattr(_import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
