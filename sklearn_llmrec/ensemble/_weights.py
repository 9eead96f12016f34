"""Weights of a vote, learned on hidden interactions."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from sklearn_llmrec.ensemble._hidden import Pool

# How far from the likeliest weights towards the plain ones; the choice among so few can hardly overfit.
_BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)
# How far from the likeliest weights towards each member: the likelihood reads all hidden items alike, and may pass
# over the member that is best in the first places.
_LEANS = (0.25, 0.5, 0.75)
# Among weights that are all as likely, the smallest.
_RIDGE = 1e-4
# How many standard errors a member has to be ahead to decide alone.
_LEAD = 0.5
_K = 10
# Fewer users with hidden items say nothing of the weights.
LEAST_USERS = 30


def pool_ndcg(
    pool: Pool, weights: NDArray[np.float64], rows: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return the nDCG@10 of the weighted vote over the candidates of a pool, row by row."""
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


def likeliest_weights(
    pool: Pool, rows: NDArray[np.bool_] | None = None
) -> NDArray[np.float64] | None:
    """Return the non-negative maximum-likelihood weights of the members, or None without hidden candidates.

    A candidate is drawn with probability softmax of its weighted vote; every user counts alike. The logarithm of the
    likelihood is concave: one optimum, reached from anywhere. It reads all hidden items of the pool, not only the
    first ten places. Such weights vary far less from sample to sample than those of the highest nDCG.
    """
    assert pool.hits is not None
    some = pool.hits.any(axis=1)
    if rows is not None:
        some &= rows
    if not some.any():
        return None
    empty = pool.items[some] < 0
    votes = np.where(empty[:, :, None], 0, pool.votes[some].astype(np.float64))
    hits = pool.hits[some] / pool.hits[some].sum(axis=1, keepdims=True)
    # Only differences within a row say anything, and so only they are what a member's scale is.
    votes -= (votes.sum(axis=1) / (~empty).sum(axis=1, keepdims=True))[:, None, :]
    scale = votes[~empty].std(axis=0)
    scale[scale < 1e-9] = np.inf
    votes /= scale

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = votes @ weights
        scores[empty] = -np.inf
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        total = chances.sum(axis=1, keepdims=True)
        scores[empty] = 0
        value = (np.log(total[:, 0]) - (hits * scores).sum(axis=1)).mean()
        slope = np.einsum("np,npm->m", chances / total - hits, votes) / len(votes)
        return float(value + _RIDGE / 2 * weights @ weights), slope + _RIDGE * weights

    n = votes.shape[2]
    weights = minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B", bounds=[(0, None)] * n).x
    weights = weights / scale
    return weights / weights.sum() if weights.any() else None


def learn_weights(
    pool: Pool,
    plain: NDArray[np.float64] | None = None,
    rows: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Fit weights that sum to 1 by likelihood, then choose a blend of them by nDCG@10 on the pool.

    The choices are points on the lines from the weights of maximum likelihood to the weights `plain`, and to each
    member alone. `plain` are equal weights, or, if `rows` are a group, the weights of all users; a group is not moved
    towards single members. A member gets all weight only if it is better than the best choice by more than half a
    standard error of the difference. Without this margin, a member that is as good as the vote would win half of the
    time, by chance.
    """
    n_members = pool.votes.shape[2]
    alone = [] if plain is not None else list(np.eye(n_members))
    if plain is None:
        plain = np.full(n_members, 1 / n_members)
    likeliest = likeliest_weights(pool, rows)
    if likeliest is None:
        likeliest = plain
    lines = [(t, [plain]) for t in _BLENDS] + [(t, alone) for t in _LEANS if alone]
    choices = [[(1 - t) * likeliest + t * end for end in ends] for t, ends in lines]
    blend, gains = _best(pool, choices, rows)
    if not alone:
        return blend
    member, member_gains = _best(pool, [alone], rows)
    lead = member_gains - gains
    return member if lead.mean() > _LEAD * lead.std() / np.sqrt(len(lead)) else blend


def _best(
    pool: Pool, choices: list[list[NDArray[np.float64]]], rows: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the choice of the highest mean nDCG@10 and its nDCG@10 row by row.

    Of equal choices the first group counts, and in it their mean, so that of two equal members neither is preferred.
    """
    figures = [[pool_ndcg(pool, weights, rows) for weights in group] for group in choices]
    means = [np.round([values.mean() for values in group], 9) for group in figures]
    first = int(np.argmax([group.max() for group in means]))
    best = np.flatnonzero(means[first] == means[first].max())
    return np.mean([choices[first][i] for i in best], axis=0), figures[first][best[0]]
