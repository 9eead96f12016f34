"""Validate ranking lists and find the places of the targets in them once, for all list metrics.

For each list, the lookup writes the places of the items into a table with one cell per item. Then it reads the table
at the targets. That is one write per recommended item and one read per target, without sorting or searching.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.metrics._inputs import as_lists, check_lists, checked_csr
from sklearn_llmrec.utils import canonical, check_k

Floats = NDArray[np.float64]

# Cells of the lookup table: small enough to stay in a core's cache, 64 rows at least where items are many.
_TABLE_CELLS = 2**19
_TABLE_MOST_CELLS = 2**24
# Bytes of a block of scores that is copied to be masked.
_BLOCK_BYTES = 32 * 2**20


def pattern_without(y: sp.csr_array, seen: sp.csr_array) -> sp.csr_array:
    """Return the entries of `y` where `seen` has none."""
    if y.dtype.kind == "b":
        y = y.astype(np.int8)
    ones = sp.csr_array((np.ones(seen.nnz, y.dtype), seen.indices, seen.indptr), shape=seen.shape)
    shared = y.multiply(ones)
    return canonical(sp.csr_array(y - shared)) if shared.nnz else y


def places(items: NDArray[Any], *matrices: sp.csr_array) -> list[NDArray[np.unsignedinteger[Any]]]:
    """Return the place of every stored entry in the list of its row, for each matrix, in one pass over the lists.

    The place is the length of the lists if the entry is not listed.

    It is the length of the lists where the entry is not there.

    Raises
    ------
    ValueError
        If a list names an item twice.
    """
    (n_rows, k), n_items = items.shape, matrices[0].shape[1]
    dtype = np.min_scalar_type(k)
    results = [np.empty(M.nnz, dtype=dtype) for M in matrices]
    # A row of the table is [cell of the -1s, item 0, item 1, ...].
    stride = n_items + 1
    size = max(_TABLE_CELLS // stride, min(64, _TABLE_MOST_CELLS // stride), 1)
    size = min(size, max(n_rows, 1))
    table = np.full(size * stride, k, dtype=dtype)
    numbers = np.broadcast_to(np.arange(k, dtype=dtype), (size, k)).copy()
    starts = np.arange(size, dtype=np.intp) * stride + 1
    short = bool(items.size) and items.min() < 0
    for begin in range(0, n_rows, size):
        block = items[begin : begin + size]
        end = begin + len(block)
        cells = block + starts[: len(block), None]
        table[cells] = numbers[: len(block)]
        overwritten = table.take(cells, mode="clip") != numbers[: len(block)]
        if short:
            overwritten &= block >= 0
        if overwritten.any():
            row, place = np.argwhere(overwritten)[0]
            raise ValueError(
                f"Row {begin + row} recommends item {block[row, place]} twice. Lists name every item once; scores, "
                "one column per item, must be of a floating dtype."
            )
        for M, result in zip(matrices, results):
            first, last = M.indptr[begin], M.indptr[end]
            wanted = np.repeat(starts[: len(block)], np.diff(M.indptr[begin : end + 1]))
            wanted += M.indices[first:last]
            table.take(wanted, out=result[first:last], mode="clip")
        table[cells] = k
    return results


@dataclass(frozen=True)
class Hits:
    """Targets found in the lists, ordered by row, then by place; `nth` counts them within their row from 1."""

    row: NDArray[np.intp]
    place: NDArray[np.intp]
    nth: NDArray[np.intp]
    count: NDArray[np.intp]  # of every row


@dataclass
class Ranking:
    """The lists of all users with what they are measured against."""

    items: NDArray[Any]
    n_items: int
    targets: sp.csr_array | None = None
    seen: sp.csr_array | None = None  # what may not be recommended and is no target
    profile: sp.csr_array | None = None  # what the recommender knew of the users
    scores: Callable[[slice], NDArray[Any]] | None = None
    popularity: Floats | None = None
    n_users: float | None = None  # of the training, for shares
    item_features: Any = None
    _cuts: dict[int, Hits] = field(default_factory=dict, repr=False)
    _exposures: dict[int, NDArray[np.intp]] = field(default_factory=dict, repr=False)
    _incidences: dict[int, sp.csr_array] = field(default_factory=dict, repr=False)

    @property
    def n_rows(self) -> int:
        """Number of users."""
        return self.items.shape[0]

    @cached_property
    def n_targets(self) -> NDArray[np.intp]:
        """Targets of every row."""
        assert self.targets is not None
        return np.diff(self.targets.indptr).astype(np.intp)

    @cached_property
    def target_places(self) -> NDArray[np.unsignedinteger[Any]]:
        """The place of every target in its list, or the length of the lists."""
        assert self.targets is not None
        return places(self.items, self.targets)[0]

    @cached_property
    def _keys(self) -> NDArray[np.intp]:
        """``row * length + place`` of every target in a list, in the order of the targets."""
        assert self.targets is not None
        length = self.items.shape[1]
        found = np.flatnonzero(self.target_places < length)
        rows = np.searchsorted(self.targets.indptr, found, side="right") - 1
        return rows * length + self.target_places[found]

    def hits(self, k: int) -> Hits:
        """Return the hits among the first k places."""
        if k not in self._cuts:
            length = self.items.shape[1]
            # Marking and collecting orders the keys faster than sorting them.
            marks = np.zeros(self.items.size, dtype=bool)
            marks[self._keys] = True
            if k < length:
                marks.reshape(-1, length)[:, k:] = False
            row, place = np.divmod(np.flatnonzero(marks), length)
            count = np.bincount(row, minlength=self.n_rows)
            nth = np.arange(1, len(row) + 1) - (np.cumsum(count) - count)[row]
            self._cuts[k] = Hits(row, place, nth, count)
        return self._cuts[k]

    def hit_gains(self, k: int, gain: Floats) -> Floats:
        """Return the values of `gain`, given for every target, at the hits among the first k places."""
        hits, length = self.hits(k), self.items.shape[1]
        table = np.zeros(self.items.size)
        table[self._keys] = gain[self.target_places < length]
        return table[hits.row * length + hits.place]

    def lists(self, k: int) -> NDArray[Any]:
        """Return the first k places."""
        return self.items[:, :k]

    @cached_property
    def _short(self) -> bool:
        return bool(self.items.size) and bool(self.items.min() < 0)

    def sizes(self, k: int) -> NDArray[np.intp]:
        """Return the number of items in the first k places of every row."""
        if not self._short:
            return np.full(self.n_rows, k)
        return np.asarray((self.lists(k) >= 0).sum(axis=1))

    def held(self, k: int) -> NDArray[Any]:
        """Return the items of the first k places, row after row."""
        lists = self.lists(k)
        return lists[lists >= 0] if self._short else lists.reshape(-1)

    def exposure(self, k: int) -> NDArray[np.intp]:
        """Return the number of lists that contain each item.

        Raises
        ------
        ValueError
            If all lists are empty.
        """
        if k not in self._exposures:
            counts = np.bincount(self.held(k), minlength=self.n_items)
            if not counts.any():
                raise ValueError("No list contains an item: there is no exposure to measure.")
            self._exposures[k] = counts
        return self._exposures[k]

    def incidence(self, k: int) -> sp.csr_array:
        """Return a matrix of users by items with 1 for every item of the first k places."""
        if k not in self._incidences:
            indptr, indices = np.concatenate([[0], np.cumsum(self.sizes(k))]), self.held(k)
            shape = (self.n_rows, self.n_items)
            ones = np.ones(len(indices))
            self._incidences[k] = sp.csr_array((ones, indices, indptr), shape=shape)
        return self._incidences[k]

    def rows(self, chosen: NDArray[np.intp]) -> "Ranking":
        """Return the ranking of some rows only."""

        def part(M: sp.csr_array | None) -> sp.csr_array | None:
            return None if M is None else sp.csr_array(M[chosen])

        return Ranking(
            self.items[chosen],
            self.n_items,
            part(self.targets),
            part(self.seen),
            part(self.profile),
            popularity=self.popularity,
            n_users=self.n_users,
            item_features=self.item_features,
        )


def _without_seen(
    items: NDArray[Any], seen: sp.csr_array, place: NDArray[np.unsignedinteger[Any]]
) -> NDArray[Any]:
    """Remove seen items from lists and move later items up, -1 at the end; `place` is their place in the lists."""
    length = items.shape[1]
    found = np.flatnonzero(place < length)
    if not len(found):
        return items
    rows = np.searchsorted(seen.indptr, found, side="right") - 1
    items = items.copy()
    items[rows, place[found]] = -1
    rows = np.unique(rows)
    block = items[rows]
    order = np.argsort(block < 0, axis=1, kind="stable")
    items[rows] = np.take_along_axis(block, order, axis=1)
    return items


def _top_lists(scores: NDArray[Any], seen: sp.csr_array | None, k: int) -> NDArray[np.int64]:
    """Return the top-k lists of dense scores without seen items."""
    items = np.empty((scores.shape[0], k), dtype=np.int64)
    size = max(1, _BLOCK_BYTES // max(scores.itemsize * scores.shape[1], 1))
    for begin in range(0, len(scores), size):
        block = scores[begin : begin + size]
        if np.isnan(block).any():
            row, column = np.argwhere(np.isnan(block))[0]
            raise ValueError(
                f"The scores contain NaN, first in row {begin + row}, column {column}."
            )
        if seen is not None:
            part = seen[begin : begin + len(block)]
            block = block.copy()
            block[np.repeat(np.arange(len(block)), np.diff(part.indptr)), part.indices] = -np.inf
        items[begin : begin + len(block)] = topk_dense(block, k)[0]
    return items


def make_ranking(
    y_true: Any, y_pred: Any, k: int | None, seen: Any = None, *, whole: bool = False
) -> Ranking:
    """Make the ranking of lists or scores and their targets; all functions of `y_true` and `y_pred` start here.

    Parameters
    ----------
    y_true : {array-like, sparse} of shape (n_users, n_items)
    y_pred : array-like of shape (n_users, >= k), integer, or (n_users, n_items), floating
    k : int or None
        The longest cut-off that is requested; None if lists are not needed at all.
    seen : {array-like, sparse} of shape (n_users, n_items), default=None
    whole : bool, default=False
        Whether lists are kept in full, and scores ranked as far as any row has targets (R-precision).

    Raises
    ------
    TypeError, ValueError
        As `checked_csr` and `check_lists`, and if shapes disagree, lists are too short, scores contain NaN, or no row
        has a target.
    """
    if sp.issparse(y_pred):
        raise TypeError(
            "y_pred is sparse: pass item numbers (integers, one list per row) or dense floating scores. The "
            "targets come first: metric(y_true, y_pred)."
        )
    targets = checked_csr(y_true, "y_true")
    k = 0 if k is None else check_k(k, targets.shape[1])
    if seen is not None:
        seen = checked_csr(seen, "seen")
        if seen.shape != targets.shape:
            raise ValueError(
                f"seen has shape {seen.shape} and y_true has shape {targets.shape}: both must be equal."
            )
    y_pred = as_lists(y_pred)
    if y_pred.ndim == 2 and len(y_pred) != targets.shape[0]:
        raise ValueError(
            f"y_pred has {len(y_pred)} rows and y_true has {targets.shape[0]}: both have one row per user."
        )
    scores = target_places = None
    if seen is not None:
        targets = pattern_without(targets, seen)
    if y_pred.dtype.kind == "f":
        if y_pred.shape != targets.shape:
            raise ValueError(
                f"Scores (floating) of shape {y_pred.shape} do not fit y_true of shape {targets.shape}: they need one "
                "column per item. Lists of item numbers must be of an integer dtype."
            )
        if whole:
            k = max(k, int(np.diff(targets.indptr).max(initial=0)))
        items = _top_lists(y_pred, seen, k) if k else np.empty((len(y_pred), 0), dtype=np.int64)
        scores = y_pred
    else:
        items = check_lists(y_pred, targets.shape[1])
        if items.shape[1] < k:
            raise ValueError(
                f"y_pred has {items.shape[1]} items a row, and k={k} needs more: recommend at least {k}."
            )
        items = items if whole or seen is not None else items[:, :k]
        if seen is not None:
            seen_places, target_places = places(items, seen, targets)
            kept = _without_seen(items, seen, seen_places)
            if kept is not items or (not whole and items.shape[1] > k):
                target_places = None  # places have moved
            items = kept if whole else kept[:, :k]
    if not targets.nnz:
        raise ValueError(
            "No row of y_true has a target"
            + ("" if seen is None else " that is not among the seen items")
            + ": there is nothing to measure."
        )
    ranking = Ranking(items, targets.shape[1], targets, seen, seen)
    if target_places is not None:
        ranking.target_places = target_places
    if scores is not None:
        ranking.scores = scores.__getitem__
    return ranking
