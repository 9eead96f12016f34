"""The metrics beyond accuracy as arithmetic on lists: a number, or the value of every row, NaN where undefined."""

from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.metrics._hits import Floats, Ranking, places
from sklearn_llmrec.metrics._inputs import check_lists, checked_csr
from sklearn_llmrec.utils import Interval, check_k, validate_parameter_constraints

# Entries of a block of a sparse product.
_BLOCK_ENTRIES = 2**22
# Columns of a sparse matrix that is multiplied as a dense one.
_NARROW = 64


def _row_means(values: Floats, ranking: Ranking, k: int) -> Floats:
    """Return the mean of the items' values over every list; empty places do not count."""
    total = np.append(values, 0.0)[ranking.lists(k)].sum(axis=1)  # -1 reads the zero
    return _ratio(total, ranking.sizes(k))


def _ratio(total: NDArray[Any], base: NDArray[Any]) -> Floats:
    values = np.full(len(total), np.nan)
    np.divide(total, base, out=values, where=base > 0)
    return values


def _dense_if_narrow(features: sp.csr_array) -> Any:
    """Return a matrix of few columns as a dense array, which multiplies faster whatever its zeros."""
    return features.toarray() if features.shape[1] <= _NARROW else features


def covered_items(ranking: Ranking, k: int) -> float:
    """Return the share of the catalogue that any list shows."""
    return float(np.count_nonzero(ranking.exposure(k)) / ranking.n_items)


def covered_users(ranking: Ranking, k: int) -> float:
    """Return the share of users whose list has k items."""
    return float((ranking.sizes(k) == k).mean())


def gini(ranking: Ranking, k: int) -> float:
    """Return the Gini index of exposure."""
    counts, n = np.sort(ranking.exposure(k)), ranking.n_items
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * counts.sum()))


def entropy(ranking: Ranking, k: int) -> float:
    """Return the Shannon entropy of exposure in bits."""
    counts = ranking.exposure(k)
    share = counts[counts > 0] / counts.sum()
    return float(-(share @ np.log2(share)))


def diversity(ranking: Ranking, k: int) -> Floats:
    """Return the mean cosine distance of the pairs of a list, from the length of the sum of its unit vectors."""
    features = ranking.item_features
    if sp.issparse(features):
        norms = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
        scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        unit = _dense_if_narrow(sp.csr_array(sp.diags_array(scale) @ features))
    else:
        norms = np.linalg.norm(features, axis=1)
        unit = features / np.where(norms > 0, norms, 1.0)[:, None]
    # What a row of the lists takes: its dense sum, or at most the entries of its items.
    width = features.shape[1]
    cost = np.diff(unit.indptr) if sp.issparse(unit) else np.full(ranking.n_items, width / k)
    lists = ranking.incidence(k)
    total = np.empty(ranking.n_rows)
    # sum over pairs of cos = (|sum of unit vectors|^2 - number of unit vectors) / 2
    done = np.cumsum(lists @ cost)
    begin = 0
    while begin < ranking.n_rows:
        spent = done[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(done, spent + _BLOCK_ENTRIES, "right")))
        sums = lists[begin:end] @ unit
        if sp.issparse(sums):
            total[begin:end] = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
        else:
            total[begin:end] = np.einsum("ij,ij->i", sums, sums)
        begin = end
    size = np.diff(lists.indptr)
    total -= lists @ (norms > 0).astype(np.float64)
    return np.maximum(1 - _ratio(total, size * (size - 1)), 0)


def novelty(ranking: Ranking, k: int) -> Floats:
    """Return the mean self-information in bits; an item without users counts as one with a single user."""
    assert ranking.popularity is not None
    counts = np.maximum(ranking.popularity, 1.0)
    base = float(ranking.popularity.sum()) if ranking.n_users is None else ranking.n_users
    return _row_means(-np.log2(counts / max(base, 1.0)), ranking, k)


def mean_popularity(ranking: Ranking, k: int) -> Floats:
    """Return the mean number of users of the items."""
    assert ranking.popularity is not None
    return _row_means(ranking.popularity, ranking, k)


def cold_items(ranking: Ranking, k: int) -> Floats:
    """Return the share of items that nobody had."""
    assert ranking.popularity is not None
    return _row_means((ranking.popularity == 0).astype(np.float64), ranking, k)


def new_items(ranking: Ranking, k: int) -> Floats:
    """Return the share of items that are not in the user's profile."""
    assert ranking.profile is not None
    lists, profile = ranking.lists(k), ranking.profile
    size = ranking.sizes(k)
    if profile is ranking.seen:  # seen items have left the lists
        return _ratio(size, size)
    rows = np.repeat(np.arange(ranking.n_rows), np.diff(profile.indptr))
    known = np.bincount(rows[places(lists, profile)[0] < k], minlength=ranking.n_rows)
    return _ratio(size - known, size)


def serendipity(ranking: Ranking, k: int) -> Floats:
    """Return the share of places with a target that is not among the k most popular unseen items."""
    assert ranking.popularity is not None
    hits, n_items = ranking.hits(k), ranking.n_items
    rank = np.empty(n_items, dtype=np.int64)
    rank[np.argsort(-ranking.popularity, kind="stable")] = np.arange(n_items)
    ahead = rank[ranking.items[hits.row, hits.place]]
    if ranking.seen is not None:
        # A seen item makes room: the item behind it moves up one place in the user's popularity list.
        seen = ranking.seen
        rows = np.repeat(np.arange(ranking.n_rows), np.diff(seen.indptr))
        keys = np.sort(rows * n_items + rank[seen.indices])
        first = np.searchsorted(keys, hits.row * n_items)
        ahead = ahead - (np.searchsorted(keys, hits.row * n_items + ahead) - first)
    found = np.bincount(hits.row[ahead >= k], minlength=ranking.n_rows)
    return np.where(ranking.n_targets > 0, found / k, np.nan)


def miscalibration(ranking: Ranking, k: int, alpha: float = 0.01) -> Floats:
    """Return the Kullback-Leibler divergence of the list's groups from the profile's, in nats."""
    assert ranking.profile is not None
    features = sp.csr_array(ranking.item_features, dtype=np.float64)
    if features.nnz and features.data.min() < 0:
        raise ValueError("Calibration needs item_features >= 0: weights of groups such as genres.")
    total = np.asarray(features.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    shares = _dense_if_narrow(sp.csr_array(sp.diags_array(scale) @ features))
    profile = ranking.profile
    histories = sp.csr_array(
        (np.ones(profile.nnz), profile.indices, profile.indptr), shape=profile.shape
    )
    lists = ranking.incidence(k)
    values = np.full(ranking.n_rows, np.nan)
    # Shares of groups are dense, one per row and group, so rows are taken in blocks.
    size = max(1, _BLOCK_ENTRIES // max(features.shape[1], 1))
    for begin in range(0, ranking.n_rows, size):
        rows = slice(begin, begin + size)
        wanted, got = (M[rows] @ shares for M in (histories, lists))
        if sp.issparse(wanted):
            wanted, got = wanted.toarray(), got.toarray()
        weight, weight_got = wanted.sum(axis=1), got.sum(axis=1)
        fine = (weight > 0) & (weight_got > 0)
        p = wanted[fine] / weight[fine, None]
        q = (1 - alpha) * got[fine] / weight_got[fine, None] + alpha * p
        ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
        values[begin : begin + len(fine)][fine] = (p * np.log(ratio)).sum(axis=1)
    return values


def check_popularity(popularity: Any, n_items: int) -> Floats:
    """Check that popularity has one finite number >= 0 per item.

    Raises
    ------
    ValueError
        If it is not that.
    """
    popularity = np.asarray(popularity, dtype=np.float64)
    if popularity.shape != (n_items,):
        raise ValueError(
            f"popularity must contain one number per item, shape ({n_items},); got shape {popularity.shape}."
        )
    if not (np.isfinite(popularity).all() and (popularity >= 0).all()):
        raise ValueError("popularity must be finite and >= 0: the number of users of every item.")
    return popularity


def check_features(features: Any, n_items: int) -> Any:
    """Return features as a numeric matrix, dense or sparse, with one row per item.

    Raises
    ------
    TypeError, ValueError
        If it is not that.
    """
    features = (
        checked_csr(features, "item_features").astype(np.float64)
        if sp.issparse(features)
        else np.asarray(features)
    )
    if features.dtype.kind not in "biuf":
        raise TypeError(
            f"item_features must be numbers, got dtype {features.dtype}: encode text and categories first."
        )
    if features.ndim != 2 or features.shape[0] != n_items:
        raise ValueError(
            f"item_features must have one row per item, {n_items}; got shape {features.shape}. For the columns "
            "of an interaction matrix X, pass X.T."
        )
    if not sp.issparse(features):
        features = features.astype(np.float64)
        if not np.isfinite(features).all():
            raise ValueError("item_features contains NaN or infinity.")
    return features


def make_lists(items: Any, n_items: Any, k: Any) -> Ranking:
    """Return a ranking without targets, for the functions that need lists only.

    Raises
    ------
    TypeError, ValueError
        As `check_lists`, and if lists are shorter than k or repeat an item.
    """
    validate_parameter_constraints(
        {"n_items": [Interval(Integral, 1, None, closed="left")]},
        {"n_items": n_items},
        caller_name="Beyond-accuracy metrics",
    )
    items, k = check_lists(items, n_items), check_k(k, n_items)
    if items.shape[1] < k:
        raise ValueError(f"The lists have {items.shape[1]} items, and k={k} needs more.")
    places(items, sp.csr_array((len(items), n_items)))  # refuses repeats
    return Ranking(items[:, :k], n_items)
