"""Slow and obvious versions of the compiled kernels."""

import numpy as np

from sklearn_llmrec.linear_model import EASE


def plain_ease(regularization):
    """Return EASE as published first: no weights of users or values, no dropout, no diagonal."""
    return EASE(regularization, dropout=0, max_self_weight=0, user_exponent=0, value_exponent=1)


def best(scores, k):
    """Return the k best columns of dense rows by a stable sort: -1 beside -inf."""
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, items, axis=1)
    return np.where(values == -np.inf, -1, items), values


def masked(scores, seen=None, candidates=None):
    """Return scores with -inf where an item is seen or no candidate."""
    scores = scores.copy()
    if seen is not None:
        scores[seen.toarray() != 0] = -np.inf
    if candidates is not None:
        allowed = np.zeros(scores.shape, dtype=bool)
        if isinstance(candidates, np.ndarray):
            allowed[:, candidates] = True
        else:
            allowed = candidates.toarray() != 0
        scores[~allowed] = -np.inf
    return scores


def product_scores(A, B, signed=False):
    """Return ``A @ B`` with -inf where an entry is zero, or negative and not `signed`."""
    product = np.zeros((A.shape[0], B.shape[1]), dtype=B.dtype)
    for row in range(A.shape[0]):  # term by term, in the order of the columns, as the kernel adds
        for j, x in zip(A[[row]].indices, A[[row]].data.astype(B.dtype), strict=True):
            product[row] += x * B[[j]].toarray()[0]
    chosen = product != 0 if signed else product > 0
    return np.where(chosen, product, -np.inf)


def elastic_net(S, g, own, l1, l2, positive, max_iter, tol):
    """Coordinate descent for one problem, from zero."""
    w = np.zeros_like(g)
    for _ in range(max_iter):
        before = w.copy()
        for c in range(len(w)):
            if c == own or S[c, c] + l2 <= 0:
                continue
            target = g[c] - S[c] @ w + S[c, c] * w[c]
            size = max((target if positive else abs(target)) - l1, 0)
            w[c] = np.sign(target) * size / (S[c, c] + l2)
        if np.abs(w - before).max() <= tol:
            break
    return w


def mean_of_nearest(S, V, most, regularization):
    """Average the votes of the first `most` neighbours that have one."""
    out = np.zeros((S.shape[0], V.shape[1]))
    for row in range(S.shape[0]):
        n, mass = np.zeros(V.shape[1]), np.zeros(V.shape[1])
        for t, similarity in zip(S[[row]].indices, S[[row]].data, strict=True):
            vote = V[[t]]
            for column, value in zip(vote.indices, vote.data, strict=True):
                if n[column] < most:
                    n[column] += 1
                    out[row, column] += similarity * value
                    mass[column] += abs(similarity)
        out[row] = np.divide(
            out[row], mass + regularization, out=np.zeros_like(mass), where=mass > 0
        )
    return out
