"""Ranking metrics: agreement of lists with held-out interactions.

All are defined for a user with n targets and a list of k items, of which some are hits; see docs/metrics.md for the
formulas and for the libraries that compute the same.
"""

from typing import Any

import numpy as np

from sklearn_llmrec.metrics._hits import Floats, make_ranking
from sklearn_llmrec.metrics._measures import (
    auc,
    average_precision,
    f1,
    hit_rate,
    mrr,
    ndcg,
    precision,
    r_precision_of,
    recall,
)
from sklearn_llmrec.utils import StrOptions, validate_parameter_constraints

__all__ = [
    "auc_score",
    "f1_at_k",
    "hit_rate_at_k",
    "map_at_k",
    "mrr_at_k",
    "ndcg_at_k",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
]
_GAINS = {"binary", "graded", "exponential"}
_DENOMINATORS = {"n", "min(k,n)"}


def _check_options(function: str, per_user: Any, **options: tuple[Any, set[str]]) -> None:
    """Check the parameters that are not data, with scikit-learn's wording."""
    constraints: dict[str, Any] = {"per_user": ["boolean"]}
    values = {"per_user": per_user}
    for name, (value, allowed) in options.items():
        constraints[name], values[name] = [StrOptions(allowed)], value
    validate_parameter_constraints(constraints, values, caller_name=function)


def _result(values: Floats, per_user: bool) -> Any:
    return values if per_user else float(values[~np.isnan(values)].mean())


def ndcg_at_k(
    y_true: Any,
    y_pred: Any,
    *,
    k: int = 10,
    seen: Any = None,
    gains: str = "binary",
    per_user: bool = False,
) -> Any:
    r"""Compute the normalised discounted cumulative gain of the first k places.

    .. math:: \mathrm{nDCG} = \sum_{i=1}^{k} \frac{g_i}{\log_2(i + 1)} \Big/
              \sum_{i=1}^{k} \frac{g^*_i}{\log_2(i + 1)}

    where :math:`g_i` is the gain of the item at place i (0 if it is no target) and :math:`g^*` are the gains of the
    targets, largest first.

    Parameters
    ----------
    y_true : {array-like, sparse} of shape (n_users, n_items)
        The targets: non-zero entries.
    y_pred : array-like of shape (n_users, >= k) or (n_users, n_items)
        Of an integer dtype: lists of item numbers, best first, -1 for an empty place. Of a floating dtype: scores,
        ranked with ties by lower column; ``-inf`` is never ranked.
    k : int, default=10
        Number of places that count.
    seen : {array-like, sparse} of shape (n_users, n_items), default=None
        Interactions that neither count as targets nor stay in the lists (later items move up).
    gains : {"binary", "graded", "exponential"}, default="binary"
        The gain of a target: 1, its value, or ``2**value - 1``.
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1]. The mean is taken over rows with targets; per user, other rows are NaN.

    Raises
    ------
    ValueError
        If shapes disagree, no row has a target, `k` is above the number of items or the length of the lists, a list
        repeats an item or names one that does not exist, or scores contain NaN.

    See Also
    --------
    ranking_metrics : Several metrics from one ranking.

    Notes
    -----
    Equal to `sklearn.metrics.ndcg_score` on dense scores for graded gains, but for ties, which it averages over.

    References
    ----------
    .. [1] K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import ndcg_at_k
    >>> y_true = np.array([[0, 0, 1, 1], [0, 0, 0, 0]])
    >>> lists = np.array([[0, 2], [1, 2]])
    >>> round(ndcg_at_k(y_true, lists, k=2), 4)
    0.3869
    >>> ndcg_at_k(y_true, lists, k=2, per_user=True).round(4)
    array([0.3869,    nan])
    """
    _check_options("ndcg_at_k", per_user, gains=(gains, _GAINS))
    return _result(ndcg(make_ranking(y_true, y_pred, k, seen), k, gains), per_user)


def precision_at_k(
    y_true: Any, y_pred: Any, *, k: int = 10, seen: Any = None, per_user: bool = False
) -> Any:
    """Compute the share of the first k places that are hits.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`. Empty places count as misses: the denominator is always k.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import precision_at_k
    >>> precision_at_k(np.array([[0, 0, 1, 1]]), np.array([[0, 2]]), k=2)
    0.5
    """
    _check_options("precision_at_k", per_user)
    return _result(precision(make_ranking(y_true, y_pred, k, seen), k), per_user)


def recall_at_k(
    y_true: Any,
    y_pred: Any,
    *,
    k: int = 10,
    seen: Any = None,
    denominator: str = "n",
    per_user: bool = False,
) -> Any:
    """Compute the share of a user's n targets found in the first k places.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`.
    denominator : {"n", "min(k,n)"}, default="n"
        What the hits are divided by: the targets, or as many of them as fit in k places (so that 1 can be reached).

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import recall_at_k
    >>> y_true, lists = np.array([[0, 1, 1, 1]]), np.array([[0, 2]])
    >>> (
    ...     round(recall_at_k(y_true, lists, k=2), 4),
    ...     recall_at_k(y_true, lists, k=2, denominator="min(k,n)"),
    ... )
    (0.3333, 0.5)
    """
    _check_options("recall_at_k", per_user, denominator=(denominator, _DENOMINATORS))
    return _result(recall(make_ranking(y_true, y_pred, k, seen), k, denominator), per_user)


def f1_at_k(
    y_true: Any, y_pred: Any, *, k: int = 10, seen: Any = None, per_user: bool = False
) -> Any:
    """Compute the harmonic mean of a user's precision and recall at k: ``2 hits / (k + n)``.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1]; the mean of the users' F1, not the F1 of the mean precision and recall.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import f1_at_k
    >>> f1_at_k(np.array([[0, 0, 1, 1]]), np.array([[0, 2]]), k=2)
    0.5
    """
    _check_options("f1_at_k", per_user)
    return _result(f1(make_ranking(y_true, y_pred, k, seen), k), per_user)


def hit_rate_at_k(
    y_true: Any, y_pred: Any, *, k: int = 10, seen: Any = None, per_user: bool = False
) -> Any:
    """Compute the share of users with at least one target in the first k places.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1]; 0 or 1 per user.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import hit_rate_at_k
    >>> hit_rate_at_k(np.array([[0, 0, 1], [0, 1, 0]]), np.array([[0, 2], [0, 2]]), k=2)
    0.5
    """
    _check_options("hit_rate_at_k", per_user)
    return _result(hit_rate(make_ranking(y_true, y_pred, k, seen), k), per_user)


def mrr_at_k(
    y_true: Any, y_pred: Any, *, k: int = 10, seen: Any = None, per_user: bool = False
) -> Any:
    """Compute the mean reciprocal rank: one over the place of the first hit, 0 without one in k places.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import mrr_at_k
    >>> mrr_at_k(np.array([[0, 0, 1, 1]]), np.array([[0, 2, 3]]), k=3)
    0.5
    """
    _check_options("mrr_at_k", per_user)
    return _result(mrr(make_ranking(y_true, y_pred, k, seen), k), per_user)


def map_at_k(
    y_true: Any,
    y_pred: Any,
    *,
    k: int = 10,
    seen: Any = None,
    denominator: str = "min(k,n)",
    per_user: bool = False,
) -> Any:
    """Compute the mean average precision.

    It is the precision at the place of every hit, summed over the first k places and divided.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`.
    denominator : {"min(k,n)", "n"}, default="min(k,n)"
        What the sum is divided by: the number of targets that fit in k places, so that a perfect list has 1
        (LensKit, skrecsys), or all n targets (ranx, RecTools).

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import map_at_k
    >>> y_true, lists = np.array([[0, 1, 1, 1]]), np.array([[0, 2]])
    >>> map_at_k(y_true, lists, k=2), round(map_at_k(y_true, lists, k=2, denominator="n"), 4)
    (0.25, 0.1667)
    """
    _check_options("map_at_k", per_user, denominator=(denominator, _DENOMINATORS))
    ranking = make_ranking(y_true, y_pred, k, seen)
    return _result(average_precision(ranking, k, denominator), per_user)


def r_precision(y_true: Any, y_pred: Any, *, seen: Any = None, per_user: bool = False) -> Any:
    """Compute the precision at n, the number of targets of the user; there it equals recall.

    Parameters
    ----------
    y_true, y_pred, seen, per_user
        As in `ndcg_at_k`; lists must be as long as the longest row of targets.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import r_precision
    >>> r_precision(np.array([[0, 0, 1, 1]]), np.array([[0.1, 0.9, 0.8, 0.2]]))
    0.5
    """
    _check_options("r_precision", per_user)
    return _result(r_precision_of(make_ranking(y_true, y_pred, None, seen, whole=True)), per_user)


def auc_score(y_true: Any, scores: Any, *, seen: Any = None, per_user: bool = False) -> Any:
    """Compute the probability that a target scores above an unseen item that is no target; ties count half.

    Parameters
    ----------
    y_true, seen, per_user
        As in `ndcg_at_k`.
    scores : array-like of shape (n_users, n_items), floating
        Lists do not do: the metric reads the order of all items.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1], 0.5 for chance. Rows without targets, or with nothing but targets, are left out (NaN).

    Notes
    -----
    Equal to `sklearn.metrics.roc_auc_score` of each row over its unseen items.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import auc_score
    >>> auc_score(np.array([[0, 0, 1, 1]]), np.array([[0.1, 0.9, 0.8, 0.2]]))
    0.5
    """
    _check_options("auc_score", per_user)
    ranking = make_ranking(y_true, scores, None, seen)
    if ranking.scores is None:
        raise ValueError(
            "auc_score needs scores of all items (floating, one column per item); lists do not contain them."
        )
    values = auc(ranking)
    if np.isnan(values).all():
        raise ValueError("No row has both a target and another unseen item: AUC compares the two.")
    return _result(values, per_user)
