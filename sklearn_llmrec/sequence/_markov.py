"""n-grams of items with back-off."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import BaseRecommender, Tags
from sklearn_llmrec.interactions import (
    ORDER_CONSTRAINTS,
    Sequences,
    event_sequences,
    fit_sequences,
)
from sklearn_llmrec.utils import Interval


class MarkovRecommender(BaseRecommender):
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
        sequences = fit_sequences(X, self.order, type(self).__name__)
        items, n_items = sequences.items, sequences.n_items
        counts = np.bincount(items, minlength=n_items) + 1.0
        self._unigram_ = counts / counts.sum()
        position = np.arange(len(items)) - np.repeat(sequences.bounds[:-1], sequences.lengths)
        self._contexts_: list[NDArray[np.int64]] = []
        self.transitions_: list[sp.csr_array] = []
        ids = np.zeros(len(items), dtype=np.int64)  # of the context that ends at each event
        for length in range(1, self.max_length + 1):
            complete = np.flatnonzero(position >= length - 1)
            shorter = ids[complete - 1] if length > 1 else np.zeros(len(complete), dtype=np.int64)
            known, found = np.unique(shorter * n_items + items[complete], return_inverse=True)
            if not len(known):
                break
            ids = np.full(len(items), -1)
            ids[complete] = found
            before = complete[sequences.ages[complete] > 0]
            pairs = (np.ones(len(before)), (ids[before], items[before + 1]))
            self._contexts_.append(known)
            self.transitions_.append(sp.csr_array(sp.coo_array(pairs, shape=(len(known), n_items))))

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
