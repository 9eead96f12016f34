"""Loops compiled by numba (extra `fast`) for regressions: of sparse rows, elastic nets, Gram matrices of some columns.

All have a way without numba, which decides what they do: `sklearn_llmrec.decomposition._row_systems`,
`sklearn_llmrec.linear_model._slim` and `_sparse_ease`.
"""

from itertools import pairwise
from typing import Any

import numba
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _regressions(start, stop, X, w, v, Q, own, inverse, x, max_iter, tol, zero, tiny):  # type: ignore[no-untyped-def]
    """Conjugate gradients for rows `start` to `stop`, from x and into x."""
    Xp, Xj = X
    d = Q.shape[1]
    D, y, r = np.empty(d, Q.dtype), np.empty(d, Q.dtype), np.empty(d, Q.dtype)
    p, image = np.empty(d, Q.dtype), np.empty(d, Q.dtype)
    for row in range(start, stop):
        if Xp[row] == Xp[row + 1]:
            continue
        for c in range(d):
            D[c] = 1 + own[row] * inverse[c]
            y[c] = x[row, c]
            r[c] = -D[c] * y[c]
        for e in range(Xp[row], Xp[row + 1]):
            j = Xj[e]
            dot = zero
            for c in range(d):
                dot += Q[j, c] * y[c]
            rest = v[e] - w[e] * dot
            for c in range(d):
                r[c] += rest * Q[j, c]
        squares = zero
        for c in range(d):
            p[c] = r[c]
            squares += r[c] * r[c]
        for _ in range(max_iter):
            if tol > 0:
                size = zero
                for c in range(d):
                    size += y[c] * y[c]
                if squares <= tol * tol * size:
                    break
            for c in range(d):
                image[c] = D[c] * p[c]
            for e in range(Xp[row], Xp[row + 1]):
                j = Xj[e]
                dot = zero
                for c in range(d):
                    dot += Q[j, c] * p[c]
                dot *= w[e]
                for c in range(d):
                    image[c] += dot * Q[j, c]
            curvature = zero
            for c in range(d):
                curvature += p[c] * image[c]
            length = squares / max(curvature, tiny)
            now = zero
            for c in range(d):
                y[c] += length * p[c]
                r[c] -= length * image[c]
                now += r[c] * r[c]
            turn = now / max(squares, tiny)
            for c in range(d):
                p[c] = r[c] + turn * p[c]
            squares = now
        for c in range(d):
            x[row, c] = y[c]


def solve_rows(
    X: tuple[NDArray[Any], NDArray[Any]],
    w: NDArray[Any],
    v: NDArray[Any],
    Q: NDArray[Any],
    own: NDArray[Any],
    inverse: NDArray[Any],
    x: NDArray[Any],
    max_iter: int,
    tol: float,
    *,
    n_threads: int,
) -> None:
    """Improve x towards the solutions of ``(I + own_r diag(inverse) + sum w q q') x_r = sum v q``, in place.

    Parameters
    ----------
    X : tuple of (indptr, indices)
        Which rows q of Q every row sums over; indices of 32 bits.
    w, v : ndarray of shape (nnz,)
    Q : ndarray of shape (m, d)
    own : ndarray of shape (n,)
    inverse : ndarray of shape (d,)
    x : ndarray of shape (n, d)
    max_iter : int
    tol : float
    n_threads : int
    """
    place = X[0].astype(np.int64), X[1].view(np.uint32)
    zero, tiny, tol = Q.dtype.type(0), np.finfo(Q.dtype).tiny, Q.dtype.type(tol)
    edges = np.linspace(0, len(x), 16 * n_threads + 1 if n_threads > 1 else 2).astype(int)
    Parallel(n_jobs=n_threads, prefer="threads")(
        delayed(_regressions)(
            int(start), int(stop), place, w, v, Q, own, inverse, x, max_iter, tol, zero, tiny
        )
        for start, stop in pairwise(edges)
    )


@numba.njit(nogil=True, cache=True)
def _net(S, own, w, left, l1, l2, positive, max_iter, tol, zero):  # type: ignore[no-untyped-def]
    """Coordinate descent from zero for one problem; `left` comes as its right-hand side, w[own] stays zero."""
    for _ in range(max_iter):
        largest = zero
        for c in range(len(w)):
            if c == own:
                continue
            target = left[c] + S[c, c] * w[c]
            new = max((target if positive else abs(target)) - l1, zero)
            if target < zero:
                new = -new
            curvature = S[c, c] + l2
            if curvature > zero:
                new /= curvature
            change = new - w[c]
            if change != zero:
                w[c] += change
                for b in range(len(w)):
                    left[b] -= change * S[c, b]
                largest = max(largest, abs(change))
        if largest <= tol:
            break


@numba.njit(nogil=True, cache=True)
def _nets(G, places, items, w, l1, l2, positive, max_iter, tol, zero):  # type: ignore[no-untyped-def]
    """Fill the rows of w; `places` without columns lets all items in."""
    k = w.shape[1]
    left = np.empty(k, G.dtype)
    S = np.empty((places.shape[1], places.shape[1]), G.dtype)
    for row in range(len(items)):
        j = items[row]
        if places.shape[1] == 0:
            left[:] = G[j]
            _net(G, j, w[row], left, l1, l2, positive, max_iter, tol, zero)
            continue
        n = 0
        while n < k and places[row, n] >= 0:
            n += 1
        for a in range(n):
            left[a] = G[j, places[row, a]]
            for b in range(n):
                S[a, b] = G[places[row, a], places[row, b]]
        _net(S, -1, w[row, :n], left[:n], l1, l2, positive, max_iter, tol, zero)


def elastic_nets(
    G: NDArray[Any],
    places: NDArray[Any] | None,
    items: NDArray[np.int64],
    l1: Any,
    l2: Any,
    *,
    positive: bool,
    max_iter: int,
    tol: float,
) -> NDArray[Any]:
    """Elastic nets of some items on the others, from their Gram matrix.

    Parameters
    ----------
    G : ndarray of shape (n_items, n_items), in C order
        Symmetric.
    places : ndarray of shape (n, k), integers, or None
        The items that each of the n is regressed on, filled with -1; None for all others.
    items : ndarray of shape (n,), int64
    l1, l2 : scalars of the dtype of G
    positive : bool
    max_iter : int
    tol : float

    Returns
    -------
    w : ndarray of shape (n, k) or (n, n_items)
        In the order of `places`; the steps are those of `sklearn_llmrec.linear_model._slim.coordinate_descent`.
    """
    own = np.empty((len(items), 0), dtype=np.int32) if places is None else places
    w = np.zeros((len(items), len(G) if places is None else places.shape[1]), dtype=G.dtype)
    _nets(G, own, items, w, l1, l2, positive, max_iter, tol, G.dtype.type(0))
    return w


@numba.njit(nogil=True, cache=True)
def _support_grams(X, T, rank, head, places, items, position, S, g):  # type: ignore[no-untyped-def]
    """Fill S and g, which come as zeros; `position` comes and goes as -1 for every column."""
    Xp, Xj, Xx = X
    Tp, Tj, Tx = T
    for row in range(len(items)):
        own, target, n = places[row], items[row], 0
        while n < len(own) and own[n] >= 0:
            position[own[n]] = n
            n += 1
        position[target] = n
        for a in range(n + 1):
            item = own[a] if a < n else target
            sums = S[row, a] if a < n else g[row]
            if rank[item] >= 0:
                among = head[rank[item]]
                for b in range(n):
                    if rank[own[b]] >= 0:
                        sums[b] = among[rank[own[b]]]
                continue
            for e in range(Tp[item], Tp[item + 1]):
                for f in range(Xp[Tj[e]], Xp[Tj[e] + 1]):
                    b = position[Xj[f]]
                    if b >= 0 and b < n:
                        sums[b] += Tx[e] * Xx[f]
                    elif b == n and rank[target] >= 0:
                        g[row, a] += Tx[e] * Xx[f]
        for a in range(n):
            if rank[own[a]] >= 0:
                for b in range(n):
                    if rank[own[b]] < 0:
                        S[row, a, b] = S[row, b, a]
            position[own[a]] = -1
        position[target] = -1


def support_grams(
    X: Any,
    T: Any,
    rank: NDArray[np.int32],
    head: NDArray[Any],
    places: NDArray[Any],
    items: NDArray[np.int64],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gram matrices of some columns each, and their products with a target column.

    Parameters
    ----------
    X : csr of shape (n_users, n_items)
    T : csr of shape (n_items, n_users)
        The transpose; both with 32-bit indices.
    rank : ndarray of shape (n_items,), int32
        The place of a column in `head`, or -1.
    head : ndarray of shape (m, m), in C order
        The Gram matrix of some columns, best those with most entries; all others are met through their users' rows.
    places : ndarray of shape (n, k), integers
        Columns, each once, filled with -1.
    items : ndarray of shape (n,), int64
        Targets, not among their own columns.

    Returns
    -------
    S : ndarray of shape (n, k, k)
        Zeros beyond the columns there are.
    g : ndarray of shape (n, k)
    """
    k = places.shape[1]
    S = np.zeros((len(items), k, k), dtype=X.dtype)
    g = np.zeros((len(items), k), dtype=X.dtype)
    position = np.full(len(rank), -1, dtype=np.int32)
    rows, columns = ((M.indptr.astype(np.int64), M.indices, M.data) for M in (X, T))
    _support_grams(rows, columns, rank, head, places, items, position, S, g)
    return S, g
