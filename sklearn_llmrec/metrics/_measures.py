"""The list metrics as arithmetic on hits: the value of every row, NaN for rows without targets.

n is a row's number of targets. Formulas and sources are in docs/metrics.md. `_ranking` (one function per metric),
`_several` and the scorers call these functions. They share the hits of one `Ranking`, so each costs O(number of hits)
beside finding these; AUC alone reads all scores.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.metrics._hits import Floats, Ranking


def _per_target_row(
    total: NDArray[Any], base: NDArray[Any] | int, n_targets: NDArray[Any]
) -> Floats:
    """Return ``total / base`` where a row has targets, else NaN."""
    values = np.full(len(n_targets), np.nan)
    np.divide(total, base, out=values, where=n_targets > 0)
    return values


def _gain(ranking: Ranking, gains: str) -> Floats:
    """Return the gain of every target."""
    assert ranking.targets is not None
    gain = ranking.targets.data.astype(np.float64)
    if gain.min() < 0:
        raise ValueError(
            f"gains={gains!r} needs y_true >= 0, and it contains {gain.min():g}; gains='binary' reads only "
            "which entries are there."
        )
    if gains == "exponential":
        # Above, sums of 2**y lose the small gains to rounding; such values are counts, not grades.
        if gain.max() > 100:
            raise ValueError(
                f"gains='exponential' is 2**y - 1, and y_true contains {gain.max():g}: it is meant for grades "
                "of a few steps; use gains='graded'."
            )
        gain = np.exp2(gain) - 1
    return gain


def ndcg(ranking: Ranking, k: int, gains: str = "binary") -> Floats:
    """Return the normalised discounted cumulative gain."""
    hits, n = ranking.hits(k), ranking.n_targets
    discount = 1 / np.log2(np.arange(2, k + 2))
    if gains == "binary":
        found = np.bincount(hits.row, discount[hits.place], ranking.n_rows)
        # The ideal list of a row has min(n, k) hits in front: the prefix sums of the discount contain its gain.
        best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n, k)]
        return _per_target_row(found, best, n)
    assert ranking.targets is not None
    gain = _gain(ranking, gains)
    found = np.bincount(hits.row, ranking.hit_gains(k, gain) * discount[hits.place], ranking.n_rows)
    rows = np.repeat(np.arange(ranking.n_rows), n)
    # The gains of every row, largest first: the order in which an ideal list would show the targets.
    gain = gain[np.lexsort((-gain, rows))]
    rank = np.arange(len(gain)) - np.repeat(ranking.targets.indptr[:-1].astype(np.intp), n)
    top = rank < k
    best = np.bincount(rows[top], gain[top] * discount[rank[top]], ranking.n_rows)
    return _per_target_row(found, best, n)


def precision(ranking: Ranking, k: int) -> Floats:
    """Return the hits divided by k."""
    return _per_target_row(ranking.hits(k).count, k, ranking.n_targets)


def recall(ranking: Ranking, k: int, denominator: str = "n") -> Floats:
    """Return the hits divided by the number of targets, or by the length of the list if that is smaller."""
    n = ranking.n_targets
    base = n if denominator == "n" else np.minimum(n, k)
    return _per_target_row(ranking.hits(k).count, base, n)


def f1(ranking: Ranking, k: int) -> Floats:
    """Return the harmonic mean of precision and recall: ``2 hits / (k + n)``."""
    n = ranking.n_targets
    return _per_target_row(2 * ranking.hits(k).count, n + k, n)


def hit_rate(ranking: Ranking, k: int) -> Floats:
    """Return 1 where there is a hit, else 0."""
    return _per_target_row(ranking.hits(k).count > 0, 1, ranking.n_targets)


def mrr(ranking: Ranking, k: int) -> Floats:
    """Return one over the place of the first hit, counted from 1."""
    hits = ranking.hits(k)
    first = hits.nth == 1  # at most one per row, so the assignment below meets no row twice
    total = np.zeros(ranking.n_rows)
    total[hits.row[first]] = 1 / (hits.place[first] + 1)
    return _per_target_row(total, 1, ranking.n_targets)


def average_precision(ranking: Ranking, k: int, denominator: str = "min(k,n)") -> Floats:
    """Return the sum of the precision at every hit over the number of targets, or over the length of the list."""
    hits, n = ranking.hits(k), ranking.n_targets
    total = np.bincount(hits.row, hits.nth / (hits.place + 1), ranking.n_rows)
    return _per_target_row(total, n if denominator == "n" else np.minimum(n, k), n)


def r_precision_of(ranking: Ranking, k: int = 0) -> Floats:
    """Return the hits among the first n places divided by n; k is ignored."""
    n, length = ranking.n_targets, ranking.items.shape[1]
    if n.max() > length:
        raise ValueError(
            f"r_precision reads as many places as a user has targets: up to {n.max()}, and the lists contain "
            f"{length} items. Recommend at least {n.max()}, or pass scores."
        )
    hits = ranking.hits(length)
    inside = hits.place < n[hits.row]
    return _per_target_row(np.bincount(hits.row[inside], minlength=ranking.n_rows), n, n)


def auc(ranking: Ranking, k: int = 0) -> Floats:
    """Return the share of pairs (target, unseen other item) in the right order; ties count half, k is ignored."""
    assert ranking.targets is not None
    assert ranking.scores is not None
    values = np.full(ranking.n_rows, np.nan)
    # Scores are read in blocks of about 4 million, since the whole matrix may not fit.
    size = max(1, 2**22 // ranking.n_items)
    for begin in range(0, ranking.n_rows, size):
        rows = slice(begin, min(begin + size, ranking.n_rows))
        block = np.asarray(ranking.scores(rows))
        if np.isnan(block).any():
            row, column = np.argwhere(np.isnan(block))[0]
            raise ValueError(
                f"The scores contain NaN, first in row {begin + row}, column {column}."
            )
        for row, scores in enumerate(block, start=begin):
            targets = _columns(ranking.targets, row)
            left_out = targets
            if ranking.seen is not None:
                left_out = np.concatenate([targets, _columns(ranking.seen, row)])
            # Without a target or without another item there is no pair: the value stays NaN.
            if not len(targets) or len(left_out) == ranking.n_items:
                continue
            others = np.sort(np.delete(scores, left_out))
            wanted = scores[targets]
            # Pairs in order: the others strictly below count from both sides, the equal ones from one: half each.
            below = np.searchsorted(others, wanted, "left") + np.searchsorted(
                others, wanted, "right"
            )
            values[row] = below.mean() / (2 * len(others))
    return values


def _columns(M: Any, row: int) -> NDArray[Any]:
    columns: NDArray[Any] = M.indices[M.indptr[row] : M.indptr[row + 1]]
    return columns
