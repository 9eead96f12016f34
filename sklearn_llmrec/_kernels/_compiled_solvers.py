"""Loops compiled by numba (extra `fast`) for regressions: of sparse rows, elastic nets, Gram matrices of some columns.

All have a way without numba, which decides what they do: `sklearn_llmrec.decomposition._row_systems`,
`sklearn_llmrec.linear_model._slim` and `_sparse_ease`.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import in_threads, slices_for_threads


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
    arrays = (place, w, v, Q, own, inverse, x, max_iter, tol, zero, tiny)
    in_threads(
        lambda rows: _regressions(rows.start, rows.stop, *arrays),
        slices_for_threads(len(x), n_threads),
        n_threads,
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
def _nets(S, left, own, w, l1, l2, positive, max_iter, tol, zero):  # type: ignore[no-untyped-def]
    """Fill the rows of w, which come as zeros; `left` is overwritten."""
    for row in range(len(w)):
        among = S[row] if len(S) > 1 else S[0]
        _net(among, own[row], w[row], left[row], l1, l2, positive, max_iter, tol, zero)


def elastic_nets(
    S: NDArray[Any],
    g: NDArray[Any],
    own: NDArray[np.int64] | None,
    l1: Any,
    l2: Any,
    *,
    positive: bool,
    max_iter: int,
    tol: float,
) -> NDArray[Any]:
    """Elastic nets from Gram matrices.

    Parameters
    ----------
    S : ndarray of shape (n, k, k) or (1, k, k), in C order
        Symmetric; of all problems, if there is one.
    g : ndarray of shape (n, k)
        Products with the targets.
    own : ndarray of shape (n,), int64, or None
        A coefficient of each problem that stays at zero.
    l1, l2 : scalars of the dtype of S
    positive : bool
    max_iter : int
    tol : float

    Returns
    -------
    w : ndarray of shape (n, k)
        The steps are those of `sklearn_llmrec.linear_model._slim.coordinate_descent`.
    """
    own = np.full(len(g), -1) if own is None else own
    w = np.zeros_like(g)
    _nets(S, g.copy(), own, w, l1, l2, positive, max_iter, tol, S.dtype.type(0))
    return w


@numba.njit(nogil=True, cache=True)
def _add_pair(S, g, n, a, b, product):  # type: ignore[no-untyped-def]
    """Add to the products of columns a and b of a support, of which place n is the target's."""
    if a == n:
        g[b] += product
    elif b == n:
        g[a] += product
    else:
        S[a, b] += product
        S[b, a] += product


@numba.njit(nogil=True, cache=True)
def _add_shared(S, g, n, a, user, x, last, chains):  # type: ignore[no-untyped-def]
    """Add the products of entry x of column a with all entries of its user that are chained."""
    earlier, owner, value = chains
    at = last[user]
    while at >= 0:
        _add_pair(S, g, n, a, owner[at], x * value[at])
        at = earlier[at]


# Users by the last bits of their number: most that are not chained are passed over without leaving the fastest cache.
_FILTER = np.uint32(2**18 - 1)
# A row that is reached at random costs as much as going on by this many entries.
_JUMP = 150


@numba.njit(nogil=True, cache=True)
def _room(rank, Tp, places, items):  # type: ignore[no-untyped-def]
    """The most entries outside the head that a support has with its target, and at least one."""
    most = 1
    for row in range(len(items)):
        n = 0 if rank[items[row]] >= 0 else Tp[items[row] + 1] - Tp[items[row]]
        for item in places[row]:
            if item >= 0 and rank[item] < 0:
                n += Tp[item + 1] - Tp[item]
        most = max(most, n)
    return most


@numba.njit(nogil=True, cache=True)
def _support_grams(H, T, rank, head, places, items, last, S, g):  # type: ignore[no-untyped-def]
    """Fill S and g, which come as zeros; `last` comes as -1 for every user."""
    Hp, Hj, Hx = H
    Tp, Tj, Tx = T
    room = _room(rank, Tp, places, items)
    # Entries of columns outside the head, those of one user chained from the last to the first.
    chains = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, Tx.dtype)
    earlier, owner, value = chains
    users, maybe = np.empty(room, np.uint32), np.zeros(_FILTER + 1, np.bool_)
    position = np.full(len(head), -1, np.int32)
    own = np.empty(places.shape[1] + 1, np.int64)
    for row in range(len(items)):
        n = 0
        while n < places.shape[1] and places[row, n] >= 0:
            own[n] = places[row, n]
            n += 1
        own[n] = items[row]
        n_chained = n_users = by_columns = 0
        # The target first, so that it meets no chain.
        for step in range(n + 1):
            a = (n + step) % (n + 1)
            first, end = Tp[own[a]], Tp[own[a] + 1]
            if rank[own[a]] >= 0:
                by_columns += end - first
                among = head[rank[own[a]]]
                sums = S[row, a] if a < n else g[row]
                for b in range(n):
                    if rank[own[b]] >= 0:
                        sums[b] = among[rank[own[b]]]
                continue
            for e in range(first, end):
                user, x = Tj[e], Tx[e]
                before = last[user] if maybe[user & _FILTER] else -1
                if before < 0:
                    maybe[user & _FILTER] = True
                    users[n_users] = user
                    n_users += 1
                else:
                    _add_shared(S[row], g[row], n, a, user, x, last, chains)
                if a < n:
                    S[row, a, a] += x * x
                earlier[n_chained], owner[n_chained], value[n_chained] = before, a, x
                last[user] = n_chained
                n_chained += 1
        # Columns of the head meet the chains from their side, or from that of the users where it is shorter.
        if by_columns <= n_users * _JUMP:
            for a in range(n + 1):
                if rank[own[a]] >= 0:
                    for e in range(Tp[own[a]], Tp[own[a] + 1]):
                        if maybe[Tj[e] & _FILTER]:
                            _add_shared(S[row], g[row], n, a, Tj[e], Tx[e], last, chains)
        else:
            for a in range(n + 1):
                if rank[own[a]] >= 0:
                    position[rank[own[a]]] = a
            for user in users[:n_users]:
                for e in range(Hp[user], Hp[user + 1]):
                    if position[Hj[e]] >= 0:
                        a = position[Hj[e]]
                        _add_shared(S[row], g[row], n, a, user, Hx[e], last, chains)
            for a in range(n + 1):
                if rank[own[a]] >= 0:
                    position[rank[own[a]]] = -1
        for user in users[:n_users]:
            last[user] = -1
            maybe[user & _FILTER] = False


def support_grams(
    H: Any,
    T: Any,
    rank: NDArray[np.int32],
    head: NDArray[Any],
    places: NDArray[Any],
    items: NDArray[np.int64],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gram matrices of some columns each, and their products with a target column.

    Parameters
    ----------
    H : csr of shape (n_users, m)
        Some columns, best those with most entries.
    T : csr of shape (n_items, n_users)
        All columns, as rows; both with 32-bit indices.
    rank : ndarray of shape (n_items,), int32
        The place of a column in H, or -1.
    head : ndarray of shape (m, m), in C order
        ``H.T @ H``. All other pairs are met through the users of the column that is not in H.
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
    S = np.zeros((len(items), k, k), dtype=T.dtype)
    g = np.zeros((len(items), k), dtype=T.dtype)
    last = np.full(T.shape[1], -1, dtype=np.int32)
    rows, columns = ((M.indptr.astype(np.int64), M.indices.view(np.uint32), M.data) for M in (H, T))
    _support_grams(rows, columns, rank, head, places, items, last, S, g)
    return S, g
