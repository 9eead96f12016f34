"""Metrics of all lists together: coverage of the catalogue and evenness of exposure."""

from typing import Any

from sklearn_llmrec.metrics._exposure import covered_items, covered_users, entropy, gini, make_lists

__all__ = ["entropy_at_k", "gini_at_k", "item_coverage_at_k", "user_coverage_at_k"]


def item_coverage_at_k(items: Any, n_items: int, *, k: int = 10) -> float:
    """Compute the share of the catalogue that is in the first k places of any list.

    Parameters
    ----------
    items : array-like of shape (n_users, >= k), integer
        Lists of item numbers, best first, -1 for an empty place.
    n_items : int
        Size of the catalogue.
    k : int, default=10
        Number of places that count.

    Returns
    -------
    value : float
        In [0, 1].

    Examples
    --------
    >>> from sklearn_llmrec.metrics import item_coverage_at_k
    >>> item_coverage_at_k([[0, 1], [0, 2]], 4, k=2)
    0.75
    """
    return covered_items(make_lists(items, n_items, k), k)


def user_coverage_at_k(items: Any, n_items: int, *, k: int = 10) -> float:
    """Compute the share of users who get a full list of k items.

    Parameters
    ----------
    items, n_items, k
        As in `item_coverage_at_k`.

    Returns
    -------
    value : float
        In [0, 1].

    Examples
    --------
    >>> from sklearn_llmrec.metrics import user_coverage_at_k
    >>> user_coverage_at_k([[0, 1], [0, -1]], 4, k=2)
    0.5
    """
    return covered_users(make_lists(items, n_items, k), k)


def gini_at_k(items: Any, n_items: int, *, k: int = 10) -> float:
    """Compute the Gini index of exposure: how unevenly places are distributed over the items of the catalogue.

    Parameters
    ----------
    items, n_items, k
        As in `item_coverage_at_k`.

    Returns
    -------
    value : float
        0 if every item is shown equally often, towards 1 if one takes all places. Lower is more even.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import gini_at_k
    >>> gini_at_k([[0, 1], [2, 3]], 4, k=2), gini_at_k([[0, 1], [0, 1]], 4, k=2)
    (0.0, 0.5)
    """
    return gini(make_lists(items, n_items, k), k)


def entropy_at_k(items: Any, n_items: int, *, k: int = 10) -> float:
    """Compute the Shannon entropy of exposure, in bits.

    Parameters
    ----------
    items, n_items, k
        As in `item_coverage_at_k`.

    Returns
    -------
    value : float
        In [0, log2(n_items)]; higher is more even.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import entropy_at_k
    >>> entropy_at_k([[0, 1], [2, 3]], 4, k=2)
    2.0
    """
    return entropy(make_lists(items, n_items, k), k)
