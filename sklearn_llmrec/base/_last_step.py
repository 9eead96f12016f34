"""Read tags of the recommender at the end of Pipelines and searches."""

from typing import Any

from sklearn.utils import get_tags

from sklearn_llmrec.utils import last_step


def needs_order(estimator: Any) -> bool:
    """Return whether it is a sequential model, whose `score` hides the latest events."""
    model = last_step(estimator)
    tags = get_tags(model) if hasattr(model, "__sklearn_tags__") else None
    return bool(getattr(getattr(tags, "recommender_tags", None), "needs_order", False))
