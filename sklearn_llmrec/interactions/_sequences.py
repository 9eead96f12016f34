"""Read the order of events from times or values and cut it into windows, for all sequential models."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.interactions._entries import exact_up_to, is_rounded
from sklearn_llmrec.interactions._interactions import Interactions
from sklearn_llmrec.utils import StrOptions, canonical

ORDERS = ("auto", "timestamps", "values")
ORDER_CONSTRAINTS: dict[str, Any] = {"order": [StrOptions(set(ORDERS))]}
# A row whose share of neighbouring events with equal values is larger carries no order; so does a matrix with a larger
# share of such rows.
_MOST = 0.5
# Few rows may tie by chance: of fewer than so many, a larger share decides.
_FEW_ROWS, _MOST_OF_FEW = 30, 0.75


@dataclass(frozen=True)
class Sequences:
    """Events of every row from earliest to latest, in one flat array.

    Attributes
    ----------
    items : ndarray of shape (n_events,), int64
        Column numbers.
    bounds : ndarray of shape (n_rows + 1,), int64
        Row r consists of ``items[bounds[r]:bounds[r + 1]]``.
    n_items : int
    """

    items: NDArray[np.int64]
    bounds: NDArray[np.int64]
    n_items: int

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of events of every row."""
        return np.diff(self.bounds)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row number of every event."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def ages(self) -> NDArray[np.int64]:
        """How many events of its row come after each event."""
        return np.repeat(self.bounds[1:], self.lengths) - 1 - np.arange(len(self.items))

    @property
    def has_repeats(self) -> bool:
        """Whether some row contains an item twice."""
        return len(np.unique(self.rows * self.n_items + self.items)) < len(self.items)

    def select(self, keep: NDArray[np.bool_]) -> "Sequences":
        """Return the events of a mask in the same rows."""
        bounds = np.append(0, np.cumsum(keep))[self.bounds]
        return Sequences(self.items[keep], bounds, self.n_items)

    def tail(self, length: int) -> "Sequences":
        """Return the last `length` events of every row."""
        return (
            self
            if not len(self) or self.lengths.max() <= length
            else self.select(self.ages < length)
        )

    def without_last(self, rows: NDArray[np.bool_]) -> tuple["Sequences", NDArray[np.int64]]:
        """Remove the last event of the rows of a mask (none of them empty); return the rest and these items."""
        last = self.bounds[1:][rows] - 1
        keep = np.ones(len(self.items), dtype=bool)
        keep[last] = False
        return self.select(keep), self.items[last]

    def take(self, rows: NDArray[np.int64]) -> "Sequences":
        """Return some rows in the order given."""
        lengths = self.lengths[rows]
        bounds = np.append(0, np.cumsum(lengths))
        positions = np.repeat(self.bounds[rows] - bounds[:-1], lengths) + np.arange(bounds[-1])
        return Sequences(self.items[positions], bounds, self.n_items)

    @classmethod
    def joined(cls, first: "Sequences", second: "Sequences") -> "Sequences":
        """Return rows that contain the events of a row of `first` and then those of the same row of `second`."""
        items = np.insert(first.items, np.repeat(first.bounds[1:], second.lengths), second.items)
        return cls(items, first.bounds + second.bounds, first.n_items)

    def padded(self, fill: int, width: int | None = None) -> NDArray[np.int64]:
        """Return the rows as an array, events first, padded on the right."""
        lengths = self.lengths
        width = int(lengths.max(initial=0)) if width is None else width
        block = np.full((len(self), width), fill, dtype=np.int64)
        block[np.arange(width) < lengths[:, None]] = self.items
        return block

    def counts(self, dtype: Any, weights: NDArray[Any] | None = None) -> sp.csr_array:
        """Return the user-by-item matrix of the number (or summed weight) of events."""
        data = (
            np.ones(len(self.items), dtype)
            if weights is None
            else weights.astype(dtype, copy=False)
        )
        return canonical(
            sp.csr_array((data, self.items, self.bounds), shape=(len(self), self.n_items))
        )


def windows(
    sequences: Sequences, size: int, offset: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return begin and end of windows of at most `size` steps that together predict every event but the first.

    A window from b to e reads events b to e - 1 and predicts b + 1 to e. Rows are cut from the end; `offset` (below
    `size`) shifts the cuts of rows longer than one window, so that over epochs events meet different contexts.
    """
    steps = np.maximum(sequences.lengths - 1, 0)
    shift = np.where(steps > size, offset, 0)
    n_windows = -(-(steps + shift) // size)
    row = np.repeat(np.arange(len(sequences)), n_windows)
    rank = np.arange(len(row)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    # The last event of a row ends its window 0; a shift makes that window shorter.
    last = sequences.bounds[1:][row] - 1
    end = np.minimum(last, last - rank * size + shift[row])
    begin = np.maximum(sequences.bounds[:-1][row], last - (rank + 1) * size + shift[row])
    keep = end > begin
    return begin[keep], end[keep]


def _times(X: sp.csr_array, order: str) -> tuple[sp.csr_array, NDArray[Any], NDArray[np.int64]]:
    """Return the matrix whose entries are events, their times, and their positions in order."""
    timed = isinstance(X, Interactions) and X.timestamps is not None and order != "values"
    if timed:
        return X, X.timestamps, X.event_order()
    if not isinstance(X, Interactions):
        X = canonical(X)  # repeated entries of a plain matrix are a sum, as scipy says
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    return X, X.data, np.lexsort((X.indices, X.data, rows))


def event_sequences(X: sp.csr_array, order: str = "auto") -> Sequences:
    """Return the events of every row in order; entries of value zero are no events.

    Parameters
    ----------
    X : csr_array or Interactions
        Duplicate entries of an Interactions are repeated events.
    order : {"auto", "timestamps", "values"}
        Where the order comes from. "auto" and "timestamps" read the times where X has them, else its values; "values"
        always the values. Ties keep the order of the log, or of the columns.

    Returns
    -------
    sequences : Sequences
    """
    X, _, positions = _times(X, order)
    bounds = np.asarray(X.indptr, dtype=np.int64)
    sequences = Sequences(X.indices[positions].astype(np.int64), bounds, X.shape[1])
    present = X.data[positions] != 0
    return sequences if present.all() else sequences.select(present)


def fit_sequences(X: sp.csr_array, order: str, name: str, *, later_part: bool = False) -> Sequences:
    """Return `event_sequences` for a fit, and refuse a matrix without an order.

    Timestamps of one session or day may be equal, because the log itself has an order: they are refused only if no
    row has two different ones. Equal values are ratings or counts. A row is taken for such if more than half of its
    neighbouring events have equal values. Rows of at least three events are looked at (of two, if none has three).
    The matrix is refused if most of these rows are taken for ratings; with fewer than 30 of them, if more than three
    quarters are. `predict` refuses nothing, because a single history may have equal values by chance; nor does a
    later part of a `partial_fit` with fewer than 30 such rows.

    Raises
    ------
    ValueError
        If `order` is "timestamps" and X has none, if X carries no order, or if its values are float32 numbers too large
        to be exact.
    """
    check_order(order_evidence(X, order, name), name, later_part=later_part)
    return event_sequences(X, order)


def block_sequences(X: sp.csr_array, order: str, name: str) -> tuple[Sequences, NDArray[np.int64]]:
    """Return the events of a block of users in order, and its evidence, which is added up over all blocks.

    Raises
    ------
    ValueError
        If the block has events that `order_evidence` refuses.
    """
    if not X.data.any():  # has no order, and needs no times
        return event_sequences(X, order), np.zeros((2, 2, 2), dtype=np.int64)
    return event_sequences(X, order), order_evidence(X, order, name)


def order_evidence(X: sp.csr_array, order: str, name: str) -> NDArray[np.int64]:
    """Count the rows of X whose events are in some order, and those in none; counts of blocks of users add up.

    Returns
    -------
    evidence : ndarray of shape (2, 2, 2), int64
        ``evidence[r, p]`` are the number of rows and the number of them without order. `r` is 0 where values are read
        as times, 1 where timestamps are; `p` is 0 for rows of one pair of neighbouring events, 1 for rows of more.

    Raises
    ------
    ValueError
        If `order` is "timestamps" and X has none, or if its values are float32 numbers too large to be exact.
    """
    timed = isinstance(X, Interactions) and X.timestamps is not None
    if order == "timestamps" and not timed:
        raise ValueError(
            f'{name}(order="timestamps") needs the times of events, and X has none: build it with '
            "Interactions.from_frame(df, user=..., item=..., timestamp=...) or set Interactions(X).timestamps."
        )
    reads_times = timed and order != "values"
    if not reads_times and is_rounded(X.data):
        raise ValueError(
            f"{name} reads the values of X as times, and X contains values too large for {X.dtype}, which rounds "
            f"numbers above {exact_up_to(X.dtype)}, so that different times become equal. Pass the original times as "
            "float64, or Interactions with timestamps."
        )
    n_pairs, n_tied = _tied_pairs(X, order)
    unordered = n_tied == n_pairs if reads_times else n_tied > _MOST * n_pairs
    evidence = np.zeros((2, 2, 2), dtype=np.int64)
    for place, rows in enumerate((n_pairs == 1, n_pairs > 1)):
        evidence[int(reads_times), place] = np.count_nonzero(rows), unordered[rows].sum()
    return evidence


def check_order(evidence: NDArray[np.int64], name: str, *, later_part: bool = False) -> None:
    """Refuse events without an order, by the rules of `fit_sequences`.

    Raises
    ------
    ValueError
        If the evidence is against an order, or is partly from timestamps and partly from values.
    """
    reads_times = bool(evidence[1].any())
    if reads_times and evidence[0].any():
        raise ValueError(
            f"{name} reads the order of some shards from their timestamps, and of others from their values: give "
            "timestamps to all shards, or to none."
        )
    # Two values may be equal by chance, so rows of three events decide where there are any.
    of_more = evidence[0, 1] if evidence[0, 1, 0] else evidence[0, 0]
    n_rows, n_unordered = evidence[1].sum(axis=0) if reads_times else of_more
    if n_rows < (_FEW_ROWS if later_part else 1):
        return
    share = n_unordered / n_rows
    limit = _MOST if n_rows >= _FEW_ROWS else _MOST_OF_FEW
    if share == 1 if reads_times else share > limit:
        found = (
            "all events of every row have equal times"
            if reads_times
            else f"{share:.0%} of the rows of X have mostly equal values"
        )
        raise ValueError(
            f"{name} learns from the order of events, and {found}, so X carries no order. Pass Interactions with "
            "timestamps (Interactions.from_frame(df, user=..., item=..., timestamp=...)), or a matrix whose values are "
            "times; ratings and weights are no times."
        )


def _tied_pairs(X: sp.csr_array, order: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pairs of neighbouring events of every row, and those of equal time; zeros are no events."""
    entries, times, positions = _times(X, order)
    positions = positions[entries.data[positions] != 0]
    rows = np.repeat(np.arange(X.shape[0]), np.diff(entries.indptr))[positions]
    ordered = times[positions]
    same_row = rows[1:] == rows[:-1]
    tied = same_row & (ordered[1:] == ordered[:-1])
    n_rows = X.shape[0]
    n_pairs = np.bincount(rows[1:][same_row], minlength=n_rows)
    return n_pairs, np.bincount(rows[1:][tied], minlength=n_rows)


def recency_weights(sequences: Sequences, decay: float, dtype: Any) -> sp.csr_array:
    """Return a user-by-item matrix in which an event followed by `a` others weighs ``decay ** a``; repeats add up.

    Events whose weight is below 1e-8 are dropped.
    """
    if decay < 1:
        sequences = sequences.tail(max(1, int(np.log(1e-8) / np.log(decay)) if decay > 0 else 1))
    return sequences.counts(dtype, np.power(float(decay), sequences.ages))
