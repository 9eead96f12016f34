"""Sequential models without training: item-to-item weights by distance in time, and similar sessions."""

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import (
    as_rows,
    model_csr,
    product_rows,
    topk_product,
    topk_sparse,
    with_data,
)
from sklearn_llmrec.base import (
    BaseRecommender,
    BlockPlace,
    ItemBlocksMixin,
    ItemToItemRecommender,
    Phase,
    Statistics,
    Tags,
    Totals,
    first_block,
    items_of,
)
from sklearn_llmrec.interactions import (
    ORDER_CONSTRAINTS,
    Sequences,
    block_sequences,
    check_order,
    event_sequences,
    fit_sequences,
    recency_weights,
)
from sklearn_llmrec.utils import Interval, csr_of, rows_between, threads_for

# How many pairs of events are in memory at a time.
_BLOCK_PAIRS = 2**22


class SequenceKNN(ItemBlocksMixin, ItemToItemRecommender):
    r"""Nearest neighbours of items in time: what follows what, and how soon.

    With :math:`c_i` the number of users of item i, the weight of item i for a candidate j is

    .. math:: w_{ij} = \frac{1}{\sqrt{c_i c_j}} \sum_{i \text{ before } j} \frac{1}{\sqrt{d}},

    over all pairs of events of one user with i at most `window` steps (d) before j. The score of j for a history is
    the sum of :math:`\gamma^a w_{ij}` over its items, :math:`\gamma` being `decay` and a the number of events after i.
    Nothing is trained, which makes it the floor that a trained sequence model has to clear.

    It cannot model exact transitions. The score is a sum over single items of the history. It has no weight for two
    items together, so it does not find what follows a pair of items (a chain of order two). Pairs at a distance count
    too, and weights are divided by popularity, so it does not estimate the probability of the next item either. Where
    the next item depends on the last one or two alone, use `MarkovRecommender` or a trained network.

    Parameters
    ----------
    n_neighbors : int or None, default=1000
        How many predecessors a candidate keeps; None keeps all.
    window : int, default=20
        How many steps apart two events of a user may be to count as a pair.
    decay : float, default=0.8
        How much less an event of the history weighs for every event after it.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items)
        Entry (i, j) is the weight of i for the candidate j.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SessionKNN : Neighbours among sessions.
    sklearn_llmrec.neighbors.ItemKNN : The same without order.

    Notes
    -----
    Fit is O(n_events * window) time; memory is that of the weights and a block of pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import SequenceKNN
    >>> X = np.array(
    ...     [[1, 2, 3, 0], [1, 2, 0, 3], [4, 1, 2, 3]]
    ... )  # values are times: item 0 is followed by item 1
    >>> items, scores = SequenceKNN().fit(X).recommend([[1, 0, 0, 0]], k=2)
    >>> items
    array([[1, 2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "window": [Interval(Integral, 1, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="right")],
        **ORDER_CONSTRAINTS,
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_neighbors: int | None = 1000,
        *,
        window: int = 20,
        decay: float = 0.8,
        order: str = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.window = window
        self.decay = decay
        self.order = order
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        # Not by phases over one block: the events are put in order once.
        sequences = fit_sequences(X, self.order, type(self).__name__)
        scale = _scale(self.item_popularity_)
        followers = _followers(sequences, self.window)
        self._set_scaled(self._nearest(followers, sequences.items, scale), scale, X.dtype)

    def _nearest(
        self, followers: sp.csr_array, items: NDArray[Any], scale: NDArray[np.float64]
    ) -> sp.csr_array:
        """Return the predecessors of each candidate with the largest sums over its pairs, without its own scale."""
        parts = [
            product_rows(
                chosen, pairs, self._width(len(scale)), n_threads=effective_n_jobs(self.n_jobs)
            )
            for chosen, pairs in _pair_blocks(followers, items, scale)
        ]
        return sp.csr_array(sp.vstack(parts, format="csr"))

    def _width(self, n_items: int) -> int:
        return n_items if self.n_neighbors is None else min(self.n_neighbors, n_items)

    def _set_scaled(self, nearest: sp.csr_array, scale: NDArray[np.float64], dtype: Any) -> None:
        """Set the weights from the predecessors of all candidates, a row per candidate."""
        scales = np.repeat(scale, np.diff(nearest.indptr))
        self._set_weights(with_data(nearest, (nearest.data * scales).astype(dtype)).T.tocsr())

    # -- from sums over blocks of users: numbers of pairs, then sums of pairs by blocks of candidates ------------------

    def _plan(self, totals: Totals) -> Phase:
        return Phase("pairs", {"scale": _scale(totals.popularity), "dtype": totals.dtype})

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        sequences, evidence = block_sequences(X, self.order, type(self).__name__)
        if phase.name == "pairs":
            reach = np.minimum(_positions(sequences), self.window)
            n_pairs = np.bincount(sequences.items, reach, sequences.n_items)
            return {"n_pairs": n_pairs.astype(np.float64, copy=False), "evidence": evidence}
        followers = rows_between(_followers(sequences, self.window), items_of(phase))
        parts = [
            sp.csr_array(chosen @ pairs)
            for chosen, pairs in _pair_blocks(followers, sequences.items, phase.known["scale"])
        ]
        sums = sp.csr_array(sp.vstack(parts, format="csr"))
        sums.sort_indices()
        return {"sums": sums}

    def _advance(self, phase: Phase, total: Statistics) -> Phase | None:
        if phase.name == "pairs":
            check_order(total["evidence"], type(self).__name__)
            return first_block(total["n_pairs"], dict(phase.known))
        sums = total["sums"]
        nearest = topk_sparse(sums, self._width(sums.shape[1]))
        return self._next_items(phase, as_rows(nearest, sums.shape[1]))

    def _factors(self, X: sp.csr_array, phase: Phase) -> tuple[sp.csr_array, sp.csr_array]:
        """Return followers and items of the events of a block, from which tasks make their pairs.

        The factors that are multiplied would have `window` entries per event; these have one each.
        """
        sequences, _ = block_sequences(X, self.order, type(self).__name__)
        n_events, n_items = len(sequences.items), sequences.n_items
        items = csr_of(
            np.ones(n_events, dtype=np.int8),
            sequences.items.astype(np.int32),
            np.arange(n_events + 1),
            (n_events, n_items),
        )
        return _followers(sequences, self.window), items

    def _best_of_items(
        self, A: sp.csr_array, B: sp.csr_array, phase: Phase, items: slice
    ) -> sp.csr_array:
        return self._nearest(A, B.indices, phase.known["scale"])

    def _set_best(self, best: sp.csr_array, phase: Phase) -> None:
        self._set_scaled(best, phase.known["scale"], phase.known["dtype"])

    def _history(self, X: sp.csr_array) -> sp.csr_array:
        return recency_weights(event_sequences(X, self.order), self.decay, X.dtype)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any] | sp.csr_array:
        return super()._score_rows(self._history(X))

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        return super()._contributions(self._history(X), items)

    def _topk_rows(
        self,
        X: sp.csr_array,
        k: int,
        seen: sp.csr_array | None,
        candidates: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        return super()._topk_rows(self._history(X), k, seen, candidates)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        return tags


def _scale(popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor of each item in its weights: one over the root of its number of users."""
    factors: NDArray[np.float64] = 1 / np.sqrt(np.maximum(popularity, 1))
    return factors


def _positions(sequences: Sequences) -> NDArray[np.int64]:
    """Return the number of events before each event of a row."""
    return np.arange(len(sequences.items)) - np.repeat(sequences.bounds[:-1], sequences.lengths)


def _followers(sequences: Sequences, window: int) -> sp.csr_array:
    """Return the events of each candidate that follow others, as columns, and how many events they may follow."""
    n_events, n_items = len(sequences.items), sequences.n_items
    reach = np.minimum(_positions(sequences), window).astype(np.int32)
    follows = reach > 0
    bounds = np.append(0, np.cumsum(follows))
    by_event = sp.csr_array(
        (reach[follows], sequences.items[follows], bounds), shape=(n_events, n_items)
    )
    return sp.csr_array(by_event.T)


def _pair_blocks(
    followers: sp.csr_array, items: NDArray[Any], scale: NDArray[np.float64]
) -> Iterator[tuple[sp.csr_array, sp.csr_array]]:
    """Yield pairs of matrices whose products are consecutive rows of the weights, one row per candidate.

    The left matrix says which events are of which candidate, the right one has, for these events, the events that they
    follow, weighted. Blocks are cut between candidates, so a row is complete at once.

    Parameters
    ----------
    followers : csr_array of shape (n_candidates, n_events)
        As `_followers` returns them.
    items : ndarray of shape (n_events,)
        The item of each event.
    scale : ndarray of shape (n_items,)
    """
    n_candidates = followers.shape[0]
    # Number of pairs of all candidates up to each one.
    n_pairs = np.append(0, np.cumsum(followers.data, dtype=np.int64))[followers.indptr]
    first = 0
    while first < n_candidates:
        limit = n_pairs[first] + _BLOCK_PAIRS
        last = max(first + 1, int(np.searchsorted(n_pairs, limit, side="right")) - 1)
        block = rows_between(followers, slice(first, last))
        events, reach = block.indices, block.data
        bounds = np.append(0, np.cumsum(reach, dtype=np.int64))
        distance = np.arange(bounds[-1]) - np.repeat(bounds[:-1], reach) + 1
        before = items[np.repeat(events, reach) - distance]
        pairs = sp.csr_array(
            (scale[before] / np.sqrt(distance), before, bounds), shape=(len(events), len(scale))
        )
        chosen = sp.csr_array(
            (np.ones(len(events)), np.arange(len(events)), block.indptr),
            shape=(last - first, len(events)),
        )
        yield chosen, pairs
        first = last


class SessionKNN(BaseRecommender):
    r"""Nearest sessions: what was in the sessions most similar to the current one.

    A session is one row of X; fitted rows longer than `max_length` are cut into several. The current session is a
    vector that weighs an event by :math:`\gamma^a`, :math:`\gamma` being `decay` and a the number of events after it.
    Its similarity to a fitted session is a sum over the items of both: weight times inverse document frequency. The sum
    is divided by the root of the length of the fitted session. The score of an item is the sum of the similarities of
    the `n_neighbors` most similar sessions that contain it.

    Parameters
    ----------
    n_neighbors : int, default=100
        How many sessions vote.
    max_length : int, default=50
        The longest piece of a fitted history that counts as one session.
    decay : float, default=0.8
        How much less an event of the current session weighs for every event after it.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    sessions_ : csr_array of shape (n_sessions, n_items)
        The fitted sessions; 1 where a session contains the item.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SequenceKNN : Neighbours among items in time.
    sklearn_llmrec.neighbors.UserKNN : Neighbours among users, without order.

    Notes
    -----
    Fit is O(nnz); ranking finds the neighbours of every row by a sparse product with the fitted sessions.

    References
    ----------
    M. Ludewig, D. Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018 (V-SKNN).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import SessionKNN
    >>> X = np.array([[1, 2, 0, 0], [2, 1, 0, 0], [0, 0, 1, 2], [0, 2, 1, 3]])
    >>> items, scores = SessionKNN(n_neighbors=2).fit(X).recommend([[0, 0, 0, 1]], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="right")],
        **ORDER_CONSTRAINTS,
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_neighbors: int = 100,
        *,
        max_length: int = 50,
        decay: float = 0.8,
        order: str = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.max_length = max_length
        self.decay = decay
        self.order = order
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        sequences = fit_sequences(X, self.order, type(self).__name__)
        ends_piece = sequences.ages % self.max_length == 0
        pieces = Sequences(
            sequences.items, np.append(0, np.flatnonzero(ends_piece) + 1), sequences.n_items
        )
        sessions = pieces.counts(X.dtype)
        sessions.data[:] = 1
        holders = np.maximum(np.bincount(sessions.indices, minlength=X.shape[1]), 1)
        idf = np.log1p(sessions.shape[0] / holders)
        size = np.diff(sessions.indptr)
        weight = idf[sessions.indices] / np.sqrt(np.repeat(size, size))
        self.sessions_ = model_csr(sessions)
        self._by_item_ = model_csr(with_data(sessions, weight.astype(X.dtype)).T)

    def _neighbors(self, X: sp.csr_array) -> sp.csr_array:
        """Return the similarities of each row to its nearest sessions."""
        return product_rows(
            recency_weights(event_sequences(X, self.order), self.decay, X.dtype),
            self._by_item_,
            self.n_neighbors,
            n_threads=threads_for(self.n_jobs, X.shape[0]),
        )

    def _score_rows(self, X: sp.csr_array) -> sp.csr_array:
        neighbors = self._neighbors(X).astype(self.sessions_.dtype, copy=False)
        return sp.csr_array(neighbors @ self.sessions_)

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        return topk_product(
            self._neighbors(X),
            self.sessions_,
            k,
            seen=seen,
            n_threads=threads_for(self.n_jobs, X.shape[0]),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        tags.recommender_tags.zero_is_unknown = True
        return tags
