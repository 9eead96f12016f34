"""Metrics beyond accuracy, per user: diversity, novelty, serendipity and calibration.

Public functions that check their input; the arithmetic is in `_exposure`, which the scorers call too. All cost
O(n_users k) times the number of features of an item, where features are read.
"""

from numbers import Integral, Real
from typing import Any

import numpy as np

from sklearn_llmrec.metrics._exposure import (
    check_features,
    check_popularity,
    cold_items,
    diversity,
    make_lists,
    mean_popularity,
    miscalibration,
    new_items,
    novelty,
    serendipity,
)
from sklearn_llmrec.metrics._hits import Floats, Ranking, make_ranking
from sklearn_llmrec.metrics._inputs import checked_csr
from sklearn_llmrec.utils import Interval, validate_parameter_constraints

__all__ = [
    "cold_items_at_k",
    "diversity_at_k",
    "miscalibration_at_k",
    "new_items_at_k",
    "novelty_at_k",
    "popularity_at_k",
    "serendipity_at_k",
]


def _result(values: Floats, per_user: Any) -> Any:
    validate_parameter_constraints(
        {"per_user": ["boolean"]}, {"per_user": per_user}, caller_name="Beyond-accuracy metrics"
    )
    if per_user:
        return values
    if np.isnan(values).all():
        raise ValueError("The metric is not defined for any row: there is nothing to average.")
    return float(np.nanmean(values))


def diversity_at_k(items: Any, item_features: Any, *, k: int = 10, per_user: bool = False) -> Any:
    """Compute intra-list diversity: the mean cosine distance of the pairs of items in a list.

    Parameters
    ----------
    items, k
        As in `item_coverage_at_k`.
    item_features : {array-like, sparse} of shape (n_items, n_features)
        What items are compared by: genres, text embeddings, or ``X.T`` for the users they share. An item without
        any feature has distance 1 to every other.
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1] for features >= 0, else up to 2. Rows with fewer than two items are left out (NaN).

    Notes
    -----
    O(n_users * k * n_features), not of the number of pairs: the cosines of all pairs add up to the squared length of
    the sum of the unit vectors.

    References
    ----------
    .. [1] C.-N. Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import diversity_at_k
    >>> genres = np.array([[1, 0], [1, 0], [0, 1]])
    >>> diversity_at_k([[0, 1], [0, 2]], genres, k=2, per_user=True)
    array([0., 1.])
    """
    n_items = np.shape(item_features)[0]
    features = check_features(item_features, n_items)
    ranking = make_lists(items, n_items, k)
    ranking.item_features = features
    return _result(diversity(ranking, k), per_user)


def novelty_at_k(
    items: Any,
    popularity: Any,
    *,
    n_users: int | None = None,
    k: int = 10,
    per_user: bool = False,
) -> Any:
    """Compute novelty: the mean self-information of the recommended items, ``-log2(popularity / n_users)`` in bits.

    Parameters
    ----------
    items, k
        As in `item_coverage_at_k`.
    popularity : array-like of shape (n_items,)
        How many users had each item (`item_popularity_` of a fitted recommender). An item that nobody had counts as
        one that a single user had.
    n_users : int, default=None
        How many users there were (`n_users_fit_` of a fitted recommender). None takes the sum of `popularity`, which
        measures against the chance to meet the item in a random interaction.
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        0 or more; higher is less popular.

    References
    ----------
    .. [1] T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS, 2010.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import novelty_at_k
    >>> novelty_at_k([[0, 1]], [4, 1, 2], n_users=4, k=2)
    1.0
    """
    validate_parameter_constraints(
        {"n_users": [None, Interval(Integral, 1, None, closed="left")]},
        {"n_users": n_users},
        caller_name="novelty_at_k",
    )
    ranking = make_lists(items, len(popularity), k)
    ranking.popularity = check_popularity(popularity, len(popularity))
    ranking.n_users = n_users
    return _result(novelty(ranking, k), per_user)


def popularity_at_k(items: Any, popularity: Any, *, k: int = 10, per_user: bool = False) -> Any:
    """Compute the average popularity of the recommended items.

    Parameters
    ----------
    items, k
        As in `item_coverage_at_k`.
    popularity : array-like of shape (n_items,)
        How many users had each item.
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In the unit of `popularity`.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import popularity_at_k
    >>> popularity_at_k([[0, 1]], [4, 1, 2], k=2)
    2.5
    """
    ranking = make_lists(items, len(popularity), k)
    ranking.popularity = check_popularity(popularity, len(popularity))
    return _result(mean_popularity(ranking, k), per_user)


def cold_items_at_k(items: Any, popularity: Any, *, k: int = 10, per_user: bool = False) -> Any:
    """Compute the share of recommended items that nobody had when the recommender was fitted.

    Parameters
    ----------
    items, popularity, k, per_user
        As in `popularity_at_k`.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1].

    Examples
    --------
    >>> from sklearn_llmrec.metrics import cold_items_at_k
    >>> cold_items_at_k([[0, 1]], [4, 0, 2], k=2)
    0.5
    """
    ranking = make_lists(items, len(popularity), k)
    ranking.popularity = check_popularity(popularity, len(popularity))
    return _result(cold_items(ranking, k), per_user)


def _with_profile(items: Any, profile: Any, k: Any, name: str) -> Ranking:
    profile = checked_csr(profile, name)
    ranking = make_lists(items, profile.shape[1], k)
    if profile.shape[0] != ranking.n_rows:
        raise ValueError(
            f"{name} has {profile.shape[0]} rows and there are {ranking.n_rows} lists: both have one row per user."
        )
    ranking.profile = profile
    return ranking


def new_items_at_k(items: Any, profile: Any, *, k: int = 10, per_user: bool = False) -> Any:
    """Compute the share of recommended items that are new to the user.

    Parameters
    ----------
    items, k
        As in `item_coverage_at_k`.
    profile : {array-like, sparse} of shape (n_users, n_items)
        What every user had before.
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1]; 1 wherever seen items are excluded.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import new_items_at_k
    >>> new_items_at_k([[0, 1]], np.array([[1, 0, 0]]), k=2)
    0.5
    """
    return _result(new_items(_with_profile(items, profile, k, "profile"), k), per_user)


def serendipity_at_k(
    y_true: Any,
    y_pred: Any,
    popularity: Any,
    *,
    k: int = 10,
    seen: Any = None,
    per_user: bool = False,
) -> Any:
    """Compute the share of the k places that are both right and unexpected.

    Right is a target; unexpected is what a list of the k most popular items (without those in `seen`) lacks.

    Parameters
    ----------
    y_true, y_pred, k, seen, per_user
        As in `ndcg_at_k`.
    popularity : array-like of shape (n_items,)
        How many users had each item.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1], at most precision at k; 0 for the popularity ranking itself.

    References
    ----------
    .. [1] M. Ge, C. Delgado-Battenfeld and D. Jannach, "Beyond accuracy: evaluating recommender systems by coverage
       and serendipity", RecSys 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import serendipity_at_k
    >>> y_true = np.array([[1, 0, 1]])
    >>> serendipity_at_k(y_true, np.array([[0, 2]]), [4, 3, 1], k=2)
    0.5
    """
    ranking = make_ranking(y_true, y_pred, k, seen)
    ranking.popularity = check_popularity(popularity, ranking.n_items)
    return _result(serendipity(ranking, k), per_user)


def miscalibration_at_k(
    items: Any,
    profile: Any,
    item_features: Any,
    *,
    k: int = 10,
    alpha: float = 0.01,
    per_user: bool = False,
) -> Any:
    r"""Measure how far the mix of groups in a list is from the mix in the user's own profile.

    .. math:: \mathrm{KL}(p \,\|\, \tilde q) = \sum_g p(g) \ln \frac{p(g)}{(1 - \alpha) q(g) + \alpha p(g)}

    with p(g) the share of group g in the profile and q(g) in the list; an item of several groups is divided among them.

    Parameters
    ----------
    items, k
        As in `item_coverage_at_k`.
    profile : {array-like, sparse} of shape (n_users, n_items)
        What every user had before; only which items, not how often.
    item_features : {array-like, sparse} of shape (n_items, n_groups)
        Weights >= 0 of groups, such as genres.
    alpha : float, default=0.01
        Smoothing, in (0, 1).
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In nats, from 0 (same mix) to ``-ln(alpha)``. Lower is better calibrated. Rows without a profile or a list
        that has groups are left out (NaN).

    References
    ----------
    .. [1] H. Steck, "Calibrated recommendations", RecSys 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import miscalibration_at_k
    >>> genres = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    >>> miscalibration_at_k([[2, 3]], np.array([[1, 1, 0, 0]]), genres, k=2)
    0.0
    """
    validate_parameter_constraints(
        {"alpha": [Interval(Real, 0, 1, closed="neither")]},
        {"alpha": alpha},
        caller_name="miscalibration_at_k",
    )
    ranking = _with_profile(items, profile, k, "profile")
    ranking.item_features = check_features(item_features, ranking.n_items)
    return _result(miscalibration(ranking, k, alpha), per_user)
