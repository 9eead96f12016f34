"""Weights of a vote, learned by a search on hidden interactions."""

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.ensemble._hidden import Pool

# What a weight is tried at, in units of the largest weight; then finer around the best.
_GRID = (0.0, 0.03, 0.1, 0.2, 0.35, 0.55, 0.8, 1.0)
_FACTORS = (0.6, 0.8, 0.9, 1.1, 1.25, 1.6)
_K = 10


def pool_ndcg(
    pool: Pool, weights: NDArray[np.float64], rows: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """nDCG@10 of the weighted vote over the candidates of a pool, row by row."""
    assert pool.hits is not None
    assert pool.n_targets is not None
    items, votes, hits, n = pool.items, pool.votes, pool.hits, pool.n_targets
    if rows is not None:
        items, votes, hits, n = items[rows], votes[rows], hits[rows], n[rows]
    scores = votes @ weights.astype(np.float32)
    scores[items < 0] = -np.inf
    k = min(_K, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < scores.shape[1] else None
    if best is None:
        best = np.tile(np.arange(k), (len(scores), 1))
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    found = np.take_along_axis(hits, np.take_along_axis(best, order, axis=1), axis=1)
    discount = 1 / np.log2(np.arange(2, _K + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n, _K)]
    result: NDArray[np.float64] = (found * discount[:k]).sum(axis=1) / ideal
    return result


def learn_weights(
    pool: Pool,
    start: NDArray[np.float64] | None = None,
    rows: NDArray[np.bool_] | None = None,
    *,
    least_gain: float = 1e-5,
) -> NDArray[np.float64]:
    """Weights that sum to 1, found by coordinate search from the best single member or from `start`.

    A step must gain `least_gain`. A member whose weight gains less than its standard error gets none.
    """
    n_members = pool.votes.shape[2]
    if start is None:
        singles = np.eye(n_members)
        starts = [*singles, np.ones(n_members)]
        start = max(starts, key=lambda w: pool_ndcg(pool, w, rows).mean())
    weights = start / start.max()
    best = float(pool_ndcg(pool, weights, rows).mean())
    for step in range(8):
        before = best
        for member in range(n_members):
            top = weights.max()
            fine = [weights[member] * factor for factor in _FACTORS] if weights[member] else []
            for value in [*(top * g for g in _GRID), *fine] if step < 2 else fine or [0.03 * top]:
                trial = weights.copy()
                trial[member] = value
                if not trial.any():
                    continue
                found = float(pool_ndcg(pool, trial, rows).mean())
                if found > best + least_gain:
                    weights, best = trial, found
        if best <= before + least_gain:
            break
    for member in np.argsort(weights):
        trial = weights.copy()
        trial[member] = 0
        if weights[member] and trial.any():
            # A weight must earn its place: within a standard error it may be chance.
            gain = pool_ndcg(pool, weights, rows) - pool_ndcg(pool, trial, rows)
            if gain.mean() <= gain.std() / np.sqrt(len(gain)):
                weights = trial
    return weights / weights.sum()
