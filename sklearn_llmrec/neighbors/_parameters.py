"""Define and check the parameters that both neighbour models share."""

from numbers import Integral, Real
from typing import Any

from sklearn_llmrec.neighbors._similarity import METRICS, WEIGHTINGS
from sklearn_llmrec.utils import Interval, StrOptions

NEIGHBOR_CONSTRAINTS: dict[str, Any] = {
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "metric": [StrOptions(set(METRICS))],
    "metric_params": [dict, None],
    "shrinkage": [Interval(Real, 0, None, closed="left")],
    "weighting": [StrOptions(set(WEIGHTINGS)), None],
    "center": [StrOptions({"user", "item", "baseline"}), None],
    "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    "regularization": [Interval(Real, 0, None, closed="left")],
    "n_jobs": [None, Integral],
}


def check_max_neighbors(max_neighbors: int | None, center: str | None) -> None:
    """Refuse `max_neighbors` if no ratings are predicted."""
    if max_neighbors is not None and center is None:
        raise ValueError(
            f"max_neighbors={max_neighbors} chooses who votes on a rating, and center=None ranks: give center, or "
            "leave max_neighbors None and choose n_neighbors."
        )
