"""Loops compiled by numba (extra `fast`): sparse products, and the top k of sparse and dense rows.

All have a way without numba, which decides what they do: `sklearn_llmrec.utils._sparse`, `_masked` and `_topk`. Those
that make dense products stand in `_compiled_dense`, those that solve equations in `_compiled_solvers`, votes on ratings
in `_compiled_votes`.
"""

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._compiled_dense import times_dense, upper_gram
from sklearn_llmrec._kernels._compiled_solvers import elastic_nets, solve_rows, support_grams
from sklearn_llmrec._kernels._compiled_votes import means_of_nearest
from sklearn_llmrec.utils import in_threads, slices_for_threads

__all__ = [
    "block_topk",
    "elastic_nets",
    "means_of_nearest",
    "product_topk",
    "solve_rows",
    "support_grams",
    "times_dense",
    "upper_gram",
]


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


# Columns that are passed over at once where none of them is good enough.
_STRIP = 64
# A row that is added to sums is held in full from one entry in so many columns on, which also makes its sums full ones,
# and as long as all such rows take no more bytes.
_FULL_FROM = 4
_FULL_BYTES = 2**26


@numba.njit(nogil=True, cache=True)
def _below_best(own, k, maxima, half, low):  # type: ignore[no-untyped-def]
    """A value that at least k entries exceed, near the highest there is; `low` where none above it is seen.

    The maxima of groups of columns are entries, so it is enough that k of them do: halving finds where.
    """
    groups = len(maxima)
    maxima[:] = own[:groups]
    for start in range(groups, len(own) - groups + 1, groups):
        part = own[start : start + groups]
        for g in range(groups):
            maxima[g] = part[g] if part[g] > maxima[g] else maxima[g]
    reached, beyond = maxima.min(), maxima.max()
    if reached <= low:
        return low
    for _ in range(8):
        middle = reached + (beyond - reached) * half
        n = 0
        for g in range(groups):
            n += maxima[g] >= middle
        if n >= k:
            reached = middle
        else:
            beyond = middle
    return np.nextafter(reached, low)


@numba.njit(nogil=True, cache=True)
def _n_groups(k):  # type: ignore[no-untyped-def]
    return (4 * k + 15) // 16 * 16


@numba.njit(nogil=True, cache=True)
def _best_of_row(own, low, maxima, half, values, items):  # type: ignore[no-untyped-def]
    """Put the best of a dense row that are above `low` on the heap; returns how many there are."""
    k, n_columns, found = len(values), len(own), 0
    if n_columns >= 4 * len(maxima):
        low = max(low, _below_best(own, k, maxima, half, low))
    for start in range(0, n_columns, _STRIP):
        part = own[start : start + _STRIP]
        above = np.int32(0)
        for c in range(len(part)):
            above |= np.int32(part[c] > low)
        if above:
            for c in range(len(part)):
                if part[c] > low:
                    found = _offer(values, items, found, part[c], start + c)
                    if found == k:
                        low = values[0]
    return found


@numba.njit(nogil=True, cache=True)
def _many_touched(Ap, Aj, Bp, row, n_columns):  # type: ignore[no-untyped-def]
    """Whether a row of ``A @ B`` is too full for a list of its columns to pay."""
    work = 0
    for a in range(Ap[row], Ap[row + 1]):
        work += Bp[Aj[a] + 1] - Bp[Aj[a]]
    return _FULL_FROM * work > n_columns


@numba.njit(nogil=True, cache=True)
def _rows(start, stop, A, B, full_rows, seen, n_columns, items, values, half):  # type: ignore[no-untyped-def]
    """Fill rows `start` to `stop` of `items` and `values`; matrices are tuples (indptr, indices, data).

    Rows of B of `longest` entries or more stand in full in `held`, where `place` says.
    """
    Ap, Aj, Ax = A
    Bp, Bj, Bx = B
    Sp, Sj = seen
    longest, place, held = full_rows
    k = items.shape[1]
    sums = np.zeros(n_columns, Bx.dtype)
    zero = sums[0]
    touched = np.empty(n_columns, np.uint32)
    maxima = np.empty(_n_groups(k), Bx.dtype)
    for row in range(start, stop):
        full = _many_touched(Ap, Aj, Bp, row, n_columns)
        n_touched = 0
        for a in range(Ap[row], Ap[row + 1]):
            j, x = Aj[a], Ax[a]
            if Bp[j + 1] - Bp[j] >= longest:
                own = held[place[j]]
                for c in range(n_columns):
                    sums[c] += x * own[c]
            elif full:
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
            found = _best_of_row(sums, zero, maxima, half, values[row], items[row])
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


@numba.njit(nogil=True, cache=True)
def _scaled(product, shared, left, right, rest, shrinkage):  # type: ignore[no-untyped-def]
    """A similarity, as `RowIndex` makes it of a product and the number of entries that it rests on."""
    value = product / (left + right + rest * product)
    return value * (shared / (shared + shrinkage)) if shrinkage > 0 else value


@numba.njit(nogil=True, cache=True)
def _similar_rows(start, stop, A, B, scaling, items, values):  # type: ignore[no-untyped-def]
    """`_rows` of similarities: products, each scaled by the number of its terms and by the norms of both sides."""
    Ap, Aj, Ax = A
    Bp, Bj, Bx = B
    left, right, rest, shrinkage = scaling
    k, n_columns = items.shape[1], len(right)
    # The number of terms stands beside their sum, in the same line of the cache. In float32 it stops at 2^24, where
    # shrinkage does nothing.
    sums = np.zeros((n_columns, 2), Bx.dtype)
    zero = sums[0, 0]
    one = zero + 1
    touched = np.empty(n_columns, np.uint32)
    for row in range(start, stop):
        full = _many_touched(Ap, Aj, Bp, row, n_columns)
        n_touched = 0
        for a in range(Ap[row], Ap[row + 1]):
            j, x = Aj[a], Ax[a]
            if full:
                for b in range(Bp[j], Bp[j + 1]):
                    column = Bj[b]
                    sums[column, 0] += x * Bx[b]
                    sums[column, 1] += one
            else:
                for b in range(Bp[j], Bp[j + 1]):
                    column = Bj[b]
                    if sums[column, 1] == zero:
                        touched[n_touched] = column
                        n_touched += 1
                    sums[column, 0] += x * Bx[b]
                    sums[column, 1] += one
        found, low = 0, zero
        for t in range(n_columns if full else n_touched):
            column = np.int64(t) if full else np.int64(touched[t])
            product, shared = sums[column, 0], sums[column, 1]
            sums[column, 0], sums[column, 1] = zero, zero
            if product > zero:
                value = _scaled(product, shared, left[row], right[column], rest, shrinkage)
                if value > zero and value >= low:
                    found = _offer(values[row], items[row], found, value, column)
                    if found == k:
                        low = values[row, 0]
        _sort(values[row], items[row], found)


def _full_rows(B: Any) -> tuple[int, NDArray[np.int32], NDArray[Any]]:
    """The rows of B that it pays to add in full: their least length, their places, and the rows."""
    n_rows, n_columns = B.shape
    lengths = np.diff(B.indptr)
    longest = n_columns // _FULL_FROM + 1
    fit = _FULL_BYTES // (n_columns * B.dtype.itemsize)
    if np.count_nonzero(lengths >= longest) > fit:
        longest = max(longest, int(np.partition(lengths, n_rows - fit - 1)[n_rows - fit - 1]) + 1)
    rows = np.flatnonzero(lengths >= longest)
    place = np.zeros(n_rows, dtype=np.int32)
    place[rows] = np.arange(len(rows))
    held = np.zeros((len(rows), n_columns), dtype=B.dtype)
    for row, at in enumerate(rows):
        own = slice(B.indptr[at], B.indptr[at + 1])
        held[row, B.indices[own]] = B.data[own]
    return longest, place, held


def product_topk(
    A: Any,
    B: Any,
    seen: Any | None,
    k: int,
    *,
    n_threads: int = 1,
    scaling: tuple[NDArray[Any], NDArray[Any], float, float] | None = None,
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
    scaling : tuple (left, right, rest, shrinkage) or None
        With it, and without `seen`, the entries that are compared are
        ``p / (left[i] + right[j] + rest * p) * n / (n + shrinkage)`` for a product p of n terms.

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
    full_rows = _full_rows(B) if scaling is None else None
    half = values.dtype.type(0.5)

    def fill(rows: slice) -> None:
        start, stop = rows.start, rows.stop
        if scaling is None:
            _rows(start, stop, left, right, full_rows, hidden[:2], n_columns, items, values, half)
        else:
            _similar_rows(start, stop, left, right, scaling, items, values)

    in_threads(fill, slices_for_threads(n_rows, n_threads), n_threads)
    return items, values


@numba.njit(nogil=True, cache=True)
def _best(scores, Sp, Sj, items, values, half):  # type: ignore[no-untyped-def]
    """Fill `items` and `values` with the best of each row of `scores`, which loses what is seen."""
    maxima = np.empty(_n_groups(items.shape[1]), scores.dtype)
    for row in range(len(scores)):
        own, low = scores[row], values[row, 0]
        for s in range(Sp[row], Sp[row + 1]):
            own[Sj[s]] = low
        found = _best_of_row(own, low, maxima, half, values[row], items[row])
        _sort(values[row], items[row], found)


def block_topk(
    scores: NDArray[Any], seen: Any | None, k: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Top k of a dense block outside `seen`; equal values by lower column.

    Parameters
    ----------
    scores : ndarray of shape (n, m), in C order
        No NaN. What is seen becomes ``-inf``.
    seen : csr of shape (n, m) or None
    k : int
        At most m.

    Returns
    -------
    items : ndarray of shape (n, k), int64
        -1 where fewer than k entries are above ``-inf``.
    values : ndarray of shape (n, k)
    """
    items = np.full((len(scores), k), -1, dtype=np.int64)
    values = np.full(items.shape, -np.inf, dtype=scores.dtype)
    bounds = np.zeros(len(scores) + 1, dtype=np.int64) if seen is None else seen.indptr
    columns = bounds[:0] if seen is None else seen.indices
    _best(
        scores,
        bounds.astype(np.int64, copy=False),
        columns.astype(np.int64, copy=False),
        items,
        values,
        scores.dtype.type(0.5),
    )
    return items, values
