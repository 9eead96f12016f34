"""What ranks in the end, behind Pipelines and searches."""

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags


def last_step(estimator: Any) -> Any:
    """The recommender at the end of Pipelines and searches, fitted or not."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions"):
            estimator = estimator.estimator
        else:
            return estimator


def needs_order(estimator: Any) -> bool:
    """Return whether it is a sequential model, whose `score` hides the latest events."""
    model = last_step(estimator)
    tags = get_tags(model) if hasattr(model, "__sklearn_tags__") else None
    return bool(getattr(getattr(tags, "recommender_tags", None), "needs_order", False))
