"""n-grams of items with back-off."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import BlockPlace, BlockSumsMixin, Phase, Statistics, Tags, Totals
from sklearn_llmrec.interactions import (
    ORDER_CONSTRAINTS,
    Sequences,
    block_sequences,
    check_order,
    event_sequences,
    fit_sequences,
)
from sklearn_llmrec.utils import Interval


class MarkovRecommender(BlockSumsMixin):
    r"""Markov chain of items: the next item given the last few, backing off to fewer.

    With c the counts at `fit`, h the last m items and h' the last m - 1 of them, the probability of item j next is

    .. math:: p_m(j \mid h) = \frac{c(h, j) + \mu\, p_{m-1}(j \mid h')}{c(h) + \mu}, \qquad
       p_0(j) = \frac{c(j) + 1}{\sum_i (c(i) + 1)},

    :math:`\mu` being `smoothing`: a context seen rarely leaves most of the word to the shorter one.

    Parameters
    ----------
    max_length : int, default=2
        The most items of context.
    smoothing : float, default=10.0
        How many observations the shorter context counts for.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.

    Attributes
    ----------
    transitions_ : list of csr_array of shape (n_contexts, n_items)
        For each length of context, 1 to `max_length`, how often each item came next.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SequenceKNN : Counts pairs at a distance too, which is better on sparse data.

    Notes
    -----
    Fit is O(n_events * max_length) with a sort; scores are probabilities that sum to 1 over the items.

    References
    ----------
    D. MacKay, L. Peto, "A hierarchical Dirichlet language model", Natural Language Engineering, 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import MarkovRecommender
    >>> X = np.array(
    ...     [[1, 2, 3, 0], [1, 2, 0, 3], [2, 3, 1, 0]]
    ... )  # values are times: item 0 is followed by item 1
    >>> items, scores = MarkovRecommender().fit(X).recommend([[1, 0, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "smoothing": [Interval(Real, 0, None, closed="neither")],
        **ORDER_CONSTRAINTS,
    }

    def __init__(
        self, max_length: int = 2, *, smoothing: float = 10.0, order: str = "auto"
    ) -> None:
        self.max_length = max_length
        self.smoothing = smoothing
        self.order = order

    def _fit(self, X: sp.csr_array) -> None:
        # Not by phases over one block: the events are put in order once for all lengths.
        sequences = fit_sequences(X, self.order, type(self).__name__)
        self._set_counts(_counts_of_items(sequences))
        ids: NDArray[np.int64] | None = None
        while len(self.transitions_) < self.max_length:
            contexts, ids = _extended(ids, sequences)
            if not len(contexts):
                break
            self._contexts_.append(contexts)
            self.transitions_.append(_transitions(ids, len(contexts), sequences))

    def _set_counts(self, counts: NDArray[np.int64]) -> None:
        """Set what is known without a context, and begin with none."""
        smoothed = counts + 1.0
        self._unigram_ = smoothed / smoothed.sum()
        self._contexts_: list[NDArray[np.int64]] = []
        self.transitions_: list[sp.csr_array] = []

    def _next_contexts(
        self, contexts: NDArray[np.int64], transitions: sp.csr_array
    ) -> NDArray[np.int64] | None:
        """Keep what follows the contexts of one length, and return those of the next; None after the last.

        A context of one more item is a context and what followed it, so it is an entry of the transitions; both are
        in the same order.
        """
        self._contexts_.append(contexts)
        self.transitions_.append(transitions)
        if len(self.transitions_) == self.max_length or not transitions.nnz:
            return None
        n_contexts, n_items = transitions.shape
        shorter = np.repeat(np.arange(n_contexts), np.diff(transitions.indptr))
        longer: NDArray[np.int64] = shorter * n_items + transitions.indices
        return longer

    # -- from sums over blocks of users: a pass per length, whose contexts are known from the pass before -------

    def _plan(self, totals: Totals) -> Phase:
        return Phase("items")

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        sequences, evidence = block_sequences(X, self.order, type(self).__name__)
        if phase.name == "items":
            transitions = _transitions(sequences.items, sequences.n_items, sequences)
            counts = _counts_of_items(sequences)
            return {"counts": counts, "transitions": transitions, "evidence": evidence}
        ids = None
        for contexts in phase.known["contexts"]:
            own, found = _extended(ids, sequences)
            # Numbers among the contexts of all blocks. The last place is of no context: -1.
            ids = np.append(np.searchsorted(contexts, own), -1)[found]
        assert ids is not None
        return {"transitions": _transitions(ids, len(contexts), sequences)}

    def _advance(self, phase: Phase, total: Statistics) -> Phase | None:
        transitions = total["transitions"]
        if phase.name == "items":
            check_order(total["evidence"], type(self).__name__)
            self._set_counts(total["counts"])
            # Every item counted as a context; those that no user has are none.
            contexts = np.flatnonzero(total["counts"])
            longer = self._next_contexts(contexts, transitions[contexts])
        else:
            longer = self._next_contexts(phase.known["contexts"][-1], transitions)
        return (
            None if longer is None else Phase("contexts", {"contexts": [*self._contexts_, longer]})
        )

    def _context_ids(self, sequences: Sequences, length: int) -> NDArray[np.int64]:
        """Return the number of the context of `length` items that ends each row; -1 where it never occurred."""
        ids = np.where(sequences.lengths >= length, 0, -1)
        for step in range(length):
            # From the earliest of the last `length` items to the latest.
            positions = np.maximum(sequences.bounds[1:] - length + step, 0)
            item = sequences.items[np.minimum(positions, len(sequences.items) - 1)]
            known = self._contexts_[step]
            key = ids * sequences.n_items + item
            found = np.minimum(np.searchsorted(known, key), len(known) - 1)
            ids = np.where((ids >= 0) & (known[found] == key), found, -1)
        return ids

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        sequences = event_sequences(X, self.order)
        scores = np.tile(self._unigram_, (len(sequences), 1))
        if not len(sequences.items):
            return scores
        for length, transitions in enumerate(self.transitions_, start=1):
            ids = self._context_ids(sequences, length)
            rows = np.flatnonzero(ids >= 0)
            counts = transitions[ids[rows]]
            total = counts.sum(axis=1)[:, None] + self.smoothing
            scores[rows] *= self.smoothing / total
            where = np.repeat(rows, np.diff(counts.indptr))
            scores[where, counts.indices] += counts.data / np.repeat(total, np.diff(counts.indptr))
        return scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        return tags


def _counts_of_items(sequences: Sequences) -> NDArray[np.int64]:
    """Return the number of events of every item."""
    return np.bincount(sequences.items, minlength=sequences.n_items)


def _extended(
    ids: NDArray[np.int64] | None, sequences: Sequences
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the contexts of one more item, and the number of the one that ends at each event; -1 where there is none.

    `ids` are these numbers for the contexts one item shorter; None extends the context of no item. A context is the
    key ``shorter * n_items + item``, and contexts ascend.
    """
    items = sequences.items
    shorter = np.zeros(len(items), dtype=np.int64)
    if ids is not None:
        # The shorter context ends at the event before, which must be of the same row.
        shorter[1:] = ids[:-1]
        shorter[sequences.bounds[:-1][sequences.lengths > 0]] = -1
    complete = np.flatnonzero(shorter >= 0)
    contexts, found = np.unique(
        shorter[complete] * sequences.n_items + items[complete], return_inverse=True
    )
    longer = np.full(len(items), -1)
    longer[complete] = found
    return contexts, longer


def _transitions(ids: NDArray[np.int64], n_contexts: int, sequences: Sequences) -> sp.csr_array:
    """Count the items that come next, for each context that ends at an event."""
    before = np.flatnonzero((ids >= 0) & (sequences.ages > 0))
    pairs = (np.ones(len(before)), (ids[before], sequences.items[before + 1]))
    return sp.csr_array(sp.coo_array(pairs, shape=(n_contexts, sequences.n_items)))
