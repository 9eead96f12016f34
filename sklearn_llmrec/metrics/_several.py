"""Several metrics by name from one ranking."""

from numbers import Integral
from typing import Any

from sklearn_llmrec.metrics._exposure import check_features, check_popularity
from sklearn_llmrec.metrics._hits import make_ranking
from sklearn_llmrec.metrics._registry import parse_all
from sklearn_llmrec.utils import Interval, validate_parameter_constraints

__all__ = ["ranking_metrics"]


def ranking_metrics(
    y_true: Any,
    y_pred: Any,
    metrics: Any = ("ndcg@10", "recall@10", "map@10"),
    *,
    seen: Any = None,
    per_user: bool = False,
    popularity: Any = None,
    n_users: int | None = None,
    item_features: Any = None,
) -> dict[str, Any]:
    """Compute several metrics of one ranking, by the names that `ranking_scorer` takes.

    Parameters
    ----------
    y_true, y_pred, seen
        As in `ndcg_at_k`. `seen` is also the profile that calibration and new items are measured against.
    metrics : str or list of str, default=("ndcg@10", "recall@10", "map@10")
        Names with cut-offs; `get_ranking_scorer_names` lists them.
    per_user : bool, default=False
        Whether to return the values of every row (NaN where not defined) instead of means.
    popularity : array-like of shape (n_items,), default=None
        How many training users had each item: what novelty, serendipity and popularity read.
    n_users : int, default=None
        How many training users there were; see `novelty_at_k`.
    item_features : {array-like, sparse} of shape (n_items, n_features), default=None
        What diversity and calibration read. Without it, diversity compares the columns of `seen`.

    Returns
    -------
    values : dict of str to float or ndarray of shape (n_users,)
        One entry per name, none negated.

    Raises
    ------
    ValueError
        If a name is unknown or lacks what it needs, or as in `ndcg_at_k`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import ranking_metrics
    >>> y_true, lists = np.array([[0, 0, 1, 1]]), np.array([[0, 2]])
    >>> ranking_metrics(y_true, lists, ["recall@2", "mrr@2", "item_coverage@2"])
    {'recall@2': 0.5, 'mrr@2': 0.5, 'item_coverage@2': 0.5}
    """
    validate_parameter_constraints(
        {"per_user": ["boolean"], "n_users": [None, Interval(Integral, 1, None, closed="left")]},
        {"per_user": per_user, "n_users": n_users},
        caller_name="ranking_metrics",
    )
    requested = parse_all(metrics)
    whole = any(request.metric.name == "r_precision" for request in requested)
    ranking = make_ranking(
        y_true, y_pred, max(request.k for request in requested) or None, seen, whole=whole
    )
    if popularity is not None:
        ranking.popularity = check_popularity(popularity, ranking.n_items)
    ranking.n_users = n_users
    if item_features is not None:
        ranking.item_features = check_features(item_features, ranking.n_items)
    elif ranking.profile is not None and any(
        request.metric.name == "diversity" for request in requested
    ):
        ranking.item_features = ranking.profile.T.tocsr()
    if not per_user:
        return {request.label: request.value(ranking) for request in requested}
    for request in requested:
        if not request.metric.per_user:
            raise ValueError(
                f"{request.label!r} is one number for all users: it has no value per user."
            )
    return {request.label: request.values(ranking) for request in requested}
