"""Treat entries of a matrix as events in baskets, and mark which are visible or targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from sklearn_llmrec.interactions._entries import as_times, order_in_rows
from sklearn_llmrec.interactions._interactions import Interactions
from sklearn_llmrec.interactions._tables import take_rows
from sklearn_llmrec.utils import as_csr, as_numeric, canonical, entry_rows, refuse_triples


def as_events(X: Any) -> sp.csr_array:
    """Return `X` as csr_array without stored zeros, entries sorted; an Interactions keeps its repeated events.

    Raises
    ------
    ValueError
        If X is not a numeric, finite, two-dimensional matrix.
    """
    X = X if isinstance(X, Interactions) else as_numeric(X)
    if not sp.issparse(X):
        refuse_triples(X)
    elif not isinstance(X, Interactions):
        X = canonical(as_csr(X))
    M = check_array(X, accept_sparse="csr", dtype="numeric", ensure_min_samples=0)
    M = M if sp.issparse(M) else sp.csr_array(M)
    if not M.has_sorted_indices:
        M = M.copy()
        M.sort_indices()
    if len(M.data) != M.nnz or not (M.data != 0).all():
        M = M.copy()
        M.eliminate_zeros()
    return M


def like(result: sp.csr_array, X: Any) -> Any:
    """Convert a result to the type of the input: Interactions, sparse array, sparse matrix or dense array."""
    if isinstance(X, Interactions):
        return result
    if not sp.issparse(X):
        dense = result.toarray()
        return dense.astype(X.dtype, copy=False) if isinstance(X, np.ndarray) else dense
    return result if isinstance(X, sp.sparray) else sp.csr_matrix(result)


def part(M: sp.csr_array, mask: NDArray[np.bool_]) -> sp.csr_array:
    """Return the entries of the mask in a matrix of the same rows and columns."""
    kept = np.flatnonzero(mask)
    indptr = np.searchsorted(kept, M.indptr).astype(M.indptr.dtype)
    if isinstance(M, Interactions):
        return M._rebuilt(kept, M.indices[kept], indptr)
    return sp.csr_array((M.data[kept], M.indices[kept], indptr), shape=M.shape)


def hidden_in_rows(X: Any, visible: NDArray[np.bool_], rows: NDArray[np.int64]) -> Any:
    """Return X, in its type, with only the visible events of the given rows; all other rows stay whole.

    `visible` is a mask of the entries of ``as_events(X)``.
    """
    M = as_events(X)
    is_whole = np.ones(M.shape[0], dtype=bool)
    is_whole[rows] = False
    return like(part(M, visible | is_whole[entry_rows(M)]), X)


def visible_and_targets(
    M: sp.csr_array,
    X: Any,
    visible: NDArray[np.bool_],
    target: NDArray[np.bool_],
    exclude_seen: bool,
) -> tuple[Any, Any]:
    """Return matrices of the visible events and of the targets, in the type of `X`.

    With `exclude_seen`, targets whose item the visible row already contains are left out.
    """
    if exclude_seen:
        target = target & ~_pair_has(M, visible)
    return like(part(M, visible), X), like(part(M, target), X)


def first_of_pairs(M: sp.csr_array) -> NDArray[np.bool_]:
    """Return whether an entry is the first of its row and column."""
    first = np.ones(M.nnz, dtype=bool)
    np.not_equal(M.indices[1:], M.indices[:-1], out=first[1:])
    first[M.indptr[:-1][np.diff(M.indptr) > 0]] = True
    return first


def _pair_has(M: sp.csr_array, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether the row and column of an entry have an entry in the mask."""
    first = first_of_pairs(M)
    if first.all():
        return mask
    pair = np.cumsum(first) - 1
    return (np.bincount(pair, weights=mask) > 0)[pair]


def stack(blocks: list[Any]) -> Any:
    """Stack blocks of the same columns; ids and features of rows are repeated."""
    if not sp.issparse(blocks[0]):
        return np.vstack(blocks, dtype=blocks[0].dtype)
    stacked = sp.vstack(blocks, format="csr")
    first = blocks[0]
    if not isinstance(first, Interactions):
        return stacked
    result = Interactions(stacked)
    if all(block.timestamps is not None for block in blocks):
        # The blocks contain copies of the same events, each in the order of its log.
        result._timestamps = np.concatenate([block.timestamps for block in blocks])
        if all(block._log_order is not None for block in blocks):
            result._log_order = np.concatenate([block._log_order for block in blocks])
    rows = np.tile(np.arange(first.shape[0]), len(blocks))
    result.user_ids = take_rows(first.user_ids, rows)
    result.user_features = take_rows(first.user_features, rows)
    result.item_ids, result.item_features = first.item_ids, first.item_features
    result._table = first._table
    return result


@dataclass
class Baskets:
    """Events of every row in a sequence of baskets, which are hidden whole."""

    order: NDArray[np.int64]  # entries, basket by basket
    rows: NDArray[np.int64]  # row of every basket, ascending
    sizes: NDArray[np.int64]  # events in every basket

    @property
    def of_event(self) -> NDArray[np.int64]:
        """Return the basket of every event in `order`."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def shuffled(self, rng: np.random.RandomState) -> "Baskets":
        """Return the baskets of every row in random order."""
        keys = self.rows + 0.5 * rng.uniform(size=len(self.rows))
        chosen = np.argsort(keys, kind="stable")
        if (self.sizes == 1).all():
            return Baskets(self.order[chosen], self.rows, self.sizes)
        starts, sizes = np.cumsum(self.sizes) - self.sizes, self.sizes[chosen]
        new_starts = np.cumsum(sizes) - sizes
        events = np.repeat(starts[chosen] - new_starts, sizes) + np.arange(len(self.order))
        return Baskets(self.order[events], self.rows, sizes)

    def rank(self) -> NDArray[np.int64]:
        """Return the place of every basket in its row, from 0."""
        counts = np.bincount(self.rows)
        return np.arange(len(self.rows)) - (np.cumsum(counts) - counts)[self.rows]

    def last(self, n_hidden: NDArray[Any], *, spare_first: bool = True) -> NDArray[np.bool_]:
        """Return the mask of the last baskets of every row: whole ones, as few as contain `n_hidden` events.

        The first basket of a row is never among them, unless not `spare_first`.
        """
        ends = np.cumsum(self.sizes)
        row_ends = (
            ends[np.searchsorted(self.rows, self.rows, side="right") - 1] if len(ends) else ends
        )
        hidden = row_ends - ends < n_hidden[self.rows]
        if spare_first:
            hidden &= self.rank() > 0
        return self.mask(hidden)

    def mask(self, baskets: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask of the entries of the given baskets."""
        result = np.zeros(len(self.order), dtype=bool)
        result[self.order] = np.repeat(baskets, self.sizes)
        return result


def entry_times(M: sp.csr_array, order: str) -> NDArray[Any]:
    """Return the times of the entries: timestamps, or values read as times.

    Raises
    ------
    ValueError
        If timestamps are requested and absent, or `order` is unknown.
    """
    if order not in ("timestamps", "values", "auto"):
        raise ValueError(f"order must be 'timestamps' or 'values', got {order!r}.")
    times = getattr(M, "timestamps", None)
    if times is not None and order != "values":
        return times
    if order == "timestamps":
        raise ValueError(
            "This split needs times, and X has none: build X with Interactions.from_frame(..., timestamp=...), set "
            "X.timestamps, or, if the values of X are times, pass order='values'."
        )
    return as_times(M.data.astype(np.int8) if M.data.dtype.kind == "b" else M.data)


def baskets_in_time(M: sp.csr_array, order: str, keep_baskets: bool) -> Baskets:
    """Return baskets in the order of time; without `keep_baskets` every event is a basket, ties in log order."""
    times = entry_times(M, order)
    rows = entry_rows(M)
    if isinstance(M, Interactions) and times is M.timestamps:
        events = M.event_order()
    else:
        events = order_in_rows(rows, times)
    if not keep_baskets:
        return Baskets(events, rows, np.ones(len(rows), dtype=np.int64))
    sorted_times = times[events]
    starts = np.ones(len(events), dtype=bool)
    starts[1:] = (sorted_times[1:] != sorted_times[:-1]) | (rows[1:] != rows[:-1])
    # A basket starts where the time or the row changes; its size is the distance to the next start.
    first_events = np.flatnonzero(starts)
    return Baskets(events, rows[first_events], np.diff(np.append(first_events, len(events))))


def random_baskets(M: sp.csr_array, keep_baskets: bool, rng: np.random.RandomState) -> Baskets:
    """Return the baskets of every row in random order; without timestamps every entry is a basket."""
    if keep_baskets and getattr(M, "timestamps", None) is not None:
        return baskets_in_time(M, "timestamps", True).shuffled(rng)
    # Repeated events of unknown time stay together.
    first_events = np.flatnonzero(first_of_pairs(M)) if keep_baskets else np.arange(M.nnz)
    sizes = np.diff(np.append(first_events, M.nnz))
    return Baskets(np.arange(M.nnz), entry_rows(M)[first_events], sizes).shuffled(rng)
