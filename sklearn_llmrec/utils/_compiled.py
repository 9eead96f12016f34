"""Loops compiled by numba (extra `fast`): sparse products, their top k, and regressions of sparse rows.

All have a way without numba, which decides what they do: `sklearn_llmrec.utils._sparse`, `_masked` and
`sklearn_llmrec.decomposition._row_systems`.
"""

from itertools import pairwise
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
def _sink(values, items, at, size):  # type: ignore[no-untyped-def]
    """Restore a heap, its worst entry (lowest value, then highest column) on top, below place `at`."""
    value, item = values[at], items[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            values[other] < values[child]
            or (values[other] == values[child] and items[other] > items[child])
        ):
            child = other
        if values[child] > value or (values[child] == value and items[child] < item):
            break
        values[at], items[at] = values[child], items[child]
        at = child
    values[at], items[at] = value, item


@numba.njit(nogil=True, cache=True)
def _offer(values, items, found, value, item):  # type: ignore[no-untyped-def]
    """Put an entry on the heap of those found so far, if it belongs there; returns how many there are."""
    k = len(values)
    if found < k:
        values[found], items[found] = value, item
        found += 1
        if found == k:
            for at in range(k // 2 - 1, -1, -1):
                _sink(values, items, at, k)
    elif value > values[0] or (value == values[0] and item < items[0]):
        values[0], items[0] = value, item
        _sink(values, items, 0, k)
    return found


@numba.njit(nogil=True, cache=True)
def _sort(values, items, found):  # type: ignore[no-untyped-def]
    """Best first."""
    if found < len(values):
        for at in range(found // 2 - 1, -1, -1):
            _sink(values, items, at, found)
    for end in range(found - 1, 0, -1):
        values[0], values[end] = values[end], values[0]
        items[0], items[end] = items[end], items[0]
        _sink(values, items, 0, end)


@numba.njit(nogil=True, cache=True)
def _rows(start, stop, A, B, seen, n_columns, items, values):  # type: ignore[no-untyped-def]
    """Fill rows `start` to `stop` of `items` and `values`; matrices are tuples (indptr, indices, data)."""
    Ap, Aj, Ax = A
    Bp, Bj, Bx = B
    Sp, Sj = seen
    k = items.shape[1]
    sums = np.zeros(n_columns, Bx.dtype)
    zero = sums[0]
    touched = np.empty(n_columns, np.uint32)
    for row in range(start, stop):
        work = 0
        for a in range(Ap[row], Ap[row + 1]):
            work += Bp[Aj[a] + 1] - Bp[Aj[a]]
        # A list of the columns that were touched pays where they are few.
        full = 4 * work > n_columns
        n_touched = 0
        for a in range(Ap[row], Ap[row + 1]):
            j, x = Aj[a], Ax[a]
            if full:
                for b in range(Bp[j], Bp[j + 1]):
                    sums[Bj[b]] += x * Bx[b]
            else:
                for b in range(Bp[j], Bp[j + 1]):
                    column = Bj[b]
                    old = sums[column]
                    new = old + x * Bx[b]
                    sums[column] = new
                    if old == zero and new != zero:
                        touched[n_touched] = column
                        n_touched += 1
        for s in range(Sp[row], Sp[row + 1]):
            sums[Sj[s]] = zero
        found, low = 0, zero
        if full:
            for column in range(n_columns):
                if sums[column] > low:
                    found = _offer(values[row], items[row], found, sums[column], column)
                    if found == k:
                        low = values[row, 0]
            sums[:] = zero
        else:
            for t in range(n_touched):
                column = np.int64(touched[t])
                if sums[column] > zero and sums[column] >= low:
                    found = _offer(values[row], items[row], found, sums[column], column)
                    if found == k:
                        low = values[row, 0]
                sums[column] = zero
        _sort(values[row], items[row], found)


def product_topk(
    A: Any, B: Any, seen: Any | None, k: int, *, n_threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Exact top-k of the positive entries of ``A @ B`` outside `seen`; equal values by lower column.

    Parameters
    ----------
    A, B : csr of shape (n, p) and (p, m)
        Of one floating dtype, 32-bit indices, no negative values.
    seen : csr of shape (n, m) or None
        Its pattern is left out.
    k : int
        At most m.
    n_threads : int, default=1

    Returns
    -------
    items : ndarray of shape (n, k), int64
        -1 where a row has fewer than k positive entries.
    values : ndarray of shape (n, k)
        The sums, added in the order of the row's columns.
    """
    n_rows, n_columns = A.shape[0], B.shape[1]
    items = np.full((n_rows, k), -1, dtype=np.int64)
    values = np.full((n_rows, k), -np.inf, dtype=B.dtype)
    if seen is None:
        nothing = np.zeros(n_rows + 1, dtype=np.int32)
        seen = sp.csr_array((np.zeros(0), nothing[:0], nothing), shape=(n_rows, n_columns))
    left, right, hidden = (
        (M.indptr.astype(np.int64), M.indices.view(np.uint32), M.data) for M in (A, B, seen)
    )
    edges = np.linspace(0, n_rows, 16 * n_threads + 1 if n_threads > 1 else 2).astype(int)
    Parallel(n_jobs=n_threads, prefer="threads")(
        delayed(_rows)(int(start), int(stop), left, right, hidden[:2], n_columns, items, values)
        for start, stop in pairwise(edges)
    )
    return items, values


@numba.njit(nogil=True, cache=True)
def _times_dense(Xp, Xj, Xx, W, out):  # type: ignore[no-untyped-def]
    for row in range(len(out)):
        for e in range(Xp[row], Xp[row + 1]):
            j, x = Xj[e], Xx[e]
            for c in range(out.shape[1]):
                out[row, c] += x * W[j, c]


def times_dense(X: Any, W: NDArray[Any]) -> NDArray[Any]:
    """``X @ W`` for a csr matrix of 32-bit indices and a contiguous dense one of its dtype."""
    out = np.zeros((X.shape[0], W.shape[1]), dtype=W.dtype)
    _times_dense(X.indptr.astype(np.int64), X.indices.view(np.uint32), X.data, W, out)
    return out


@numba.njit(nogil=True, cache=True)
def _add_gram(Xp, Xj, Xx, Tp, Tj, Tx, G):  # type: ignore[no-untyped-def]
    for i in range(len(G)):
        for a in range(Tp[i], Tp[i + 1]):
            row, x = Tj[a], Tx[a]
            start = Xp[row]
            b = Xp[row + 1] - 1
            # Columns are sorted: those from i on stand at the end of the row.
            while b >= start and Xj[b] >= i:
                G[i, Xj[b]] += x * Xx[b]
                b -= 1


def upper_gram(X: Any) -> NDArray[Any]:
    """Upper triangle of ``X.T @ X`` for a csr matrix of 32-bit indices with sorted columns; zeros below."""
    T = X.T.tocsr()
    G = np.zeros((X.shape[1], X.shape[1]), dtype=X.dtype)
    _add_gram(
        X.indptr.astype(np.int64),
        X.indices,
        X.data,
        T.indptr.astype(np.int64),
        T.indices,
        T.data,
        G,
    )
    return G


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
