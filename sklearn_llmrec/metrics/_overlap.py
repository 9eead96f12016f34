"""Similarity of the lists of two models."""

from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec.metrics._hits import places
from sklearn_llmrec.metrics._inputs import check_lists
from sklearn_llmrec.utils import Interval, validate_parameter_constraints

__all__ = ["rank_biased_overlap"]


def rank_biased_overlap(a: Any, b: Any, *, p: float = 0.9, per_user: bool = False) -> Any:
    r"""Compute the rank-biased overlap of the lists of two models, extrapolated beyond their ends.

    .. math:: \mathrm{RBO}_{ext} = \frac{1 - p}{p} \Big( \sum_{d=1}^{l} \frac{X_d}{d} p^d
              + \sum_{d=s+1}^{l} \frac{X_s (d - s)}{s d} p^d \Big) + \Big( \frac{X_l - X_s}{l} + \frac{X_s}{s} \Big) p^l

    where :math:`X_d` items are common to the first d places of both, and s and l are the lengths of the shorter and the
    longer list [1]_.

    Parameters
    ----------
    a, b : array-like of shape (n_users, k), integer
        Lists of item numbers of the same users, best first, -1 for an empty place at the end.
    p : float, default=0.9
        Probability that a reader continues to the next place; the first 10 places have 86 % of the weight at 0.9.
    per_user : bool, default=False
        Whether to return the value of every row instead of the mean.

    Returns
    -------
    value : float or ndarray of shape (n_users,)
        In [0, 1]; 1 for equal lists, 0 for lists without a common item. Rows where both are empty are left out (NaN).

    Raises
    ------
    ValueError
        If the two differ in their number of rows, a list repeats an item, or no row contains an item.

    References
    ----------
    .. [1] W. Webber, A. Moffat and J. Zobel, "A similarity measure for indefinite rankings", ACM TOIS, 2010.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import rank_biased_overlap
    >>> round(rank_biased_overlap([[0, 1, 2]], [[1, 0, 2]], p=0.9), 3)
    0.9
    """
    validate_parameter_constraints(
        {"p": [Interval(Real, 0, 1, closed="neither")], "per_user": ["boolean"]},
        {"p": p, "per_user": per_user},
        caller_name="rank_biased_overlap",
    )
    a, b = np.asarray(a), np.asarray(b)
    n_items = 1 + max((int(lists.max()) for lists in (a, b) if lists.size), default=0)
    a, b = check_lists(a, n_items), check_lists(b, n_items)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} rows and b has {len(b)}: both have one row per user.")
    length = max(a.shape[1], b.shape[1])
    size_a, size_b = (a >= 0).sum(axis=1), (b >= 0).sum(axis=1)
    shorter, longer = np.minimum(size_a, size_b), np.maximum(size_a, size_b)
    # An item is common from the depth on at which the later of its two places is reached.
    place_in_b = np.full(
        a.shape, length
    )  # `length` is no place: items that b lacks are never common
    filled = a >= 0
    indptr = np.append(0, np.cumsum(size_a))
    pattern = sp.csr_array((np.ones(filled.sum()), a[filled], indptr), shape=(len(a), n_items))
    found = places(b, pattern)[0]
    place_in_b[filled] = np.where(found < b.shape[1], found, length)
    places(a, pattern)  # refuses repeats in a
    depth = np.maximum(place_in_b, np.arange(a.shape[1]))
    rows = np.repeat(np.arange(len(a)), a.shape[1])
    common = np.bincount(
        rows * (length + 1) + depth.ravel(), minlength=len(a) * (length + 1)
    ).reshape(len(a), length + 1)
    common = np.cumsum(common[:, :length], axis=1)
    values = _extrapolated(common, shorter, longer, p)
    if per_user:
        return values
    if np.isnan(values).all():
        raise ValueError("No row of a or b contains an item: there is nothing to compare.")
    return float(np.nanmean(values))


def _extrapolated(common: Any, shorter: Any, longer: Any, p: float) -> Any:
    """Apply the formula to every row, from the number of common items at every depth."""
    d = np.arange(1, common.shape[1] + 1)
    at_shorter = np.where(
        shorter > 0,
        np.take_along_axis(common, np.maximum(shorter - 1, 0)[:, None], axis=1)[:, 0],
        0,
    )
    at_longer = np.take_along_axis(common, np.maximum(longer - 1, 0)[:, None], axis=1)[:, 0]
    s = np.maximum(shorter, 1)[:, None]
    agreed = common / d + np.where(
        d > shorter[:, None], at_shorter[:, None] * (d - s) / (s * d), 0.0
    )
    weights = np.where(d <= longer[:, None], (1 - p) * p ** (d - 1), 0.0)
    base = np.maximum(longer, 1)
    tail = ((at_longer - at_shorter) / base + at_shorter / s[:, 0]) * p**longer
    return np.where(longer > 0, (agreed * weights).sum(axis=1) + tail, np.nan)
