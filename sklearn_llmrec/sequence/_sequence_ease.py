"""EASE in which events close in time count more than events far apart."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import dense_product, gram, with_data
from sklearn_llmrec.base import BaseRecommender, ExplainMixin, SimilarItemsMixin, Tags, columns_of
from sklearn_llmrec.interactions import ORDERS, Sequences, event_sequences, fit_sequences
from sklearn_llmrec.linear_model import (
    noise_level,
    popularity_factors,
    require_gram_memory,
    weights_of_gram,
)
from sklearn_llmrec.utils import Interval, StrOptions, threads_for


class SequenceEASE(SimilarItemsMixin, ExplainMixin, BaseRecommender):
    r"""EASE whose Gram matrix counts pairs of events by their distance in time.

    In plain `EASE` every pair of a user's items counts equally. So a user of n items has n² votes, and items chosen
    in one evening count no more than items chosen years apart. Here the pair of
    events p and q of a user of n events counts

    .. math:: n^{-a} \, \bigl(b + \gamma^{d} \, \max(0, 1 - d / (w + 1))\bigr),

    where d is the number of steps between them, :math:`\gamma` is `decay`, w is `window`, b is `whole`, a is
    `user_exponent`. The weights are those of `EASE` from the sum G of these over all users, with the same penalties and
    the same bound on the diagonal. A history is scored by the sum of its items' weights: it says what
    belongs to the history as a whole, not what comes next.

    Parameters
    ----------
    regularization : float or "auto", default="auto"
        The L2 penalty :math:`\lambda`, in the unit of the weighted counts of pairs. "auto" takes it from the rows given
        to `fit`, see Notes.
    dropout : float, default=0.4
        The share p of interactions whose dropout the penalty imitates; it adds :math:`p / (1 - p) G_{jj}` to the
        penalty of item j. 0 adds nothing.
    max_self_weight : float, default=0.4
        The bound on what an item may add to its own score. 0 as in plain EASE; a larger bound raises the scores of
        items with few interactions. The diagonal itself is not kept: `coef_` has zeros there.
    popularity_exponent : float, default=0.0
        Scores of an item with c interactions are divided by c to this power. Larger recommends less popular items.
    window : int, default=100
        How many steps apart two events may be to count as neighbours; the count falls to 0 behind it, which keeps G
        positive definite.
    decay : float, default=0.95
        How much less a pair counts for every step between its events.
    whole : float, default=0.5
        What a pair counts at any distance.
    user_exponent : float, default=0.6
        How much less the pairs of users of many events count; 0 counts all alike, as `EASE` does.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them. Ratings and weights are no times: beside timestamps, values of X are ignored.
    n_jobs : int, default=None
        Threads of ranking (BLAS takes its own at `fit`). None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    coef_ : ndarray of shape (n_items, n_items), dtype of X
        The weights B: row i is what item i of a history adds to the score of every item. Zero on the diagonal.
    regularization_ : float
        The penalty :math:`\lambda` used.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.linear_model.EASE : The same without times.
    SequenceKNN : What comes next, by distance in time.

    Notes
    -----
    Fit is O(n_events * window + n_items^3) time and O(n_items^2) memory, refused with its size where it would not fit.
    Defaults were chosen on validation parts of MovieLens-1M and, those that `EASE` has too, of three more data sets.

    ``regularization="auto"`` is :math:`t \, (1 / \sqrt{n_U} + 1 / \sqrt{n_I})^2` with t the trace of G,
    :math:`n_U` users and :math:`n_I` items that have events, as in `EASE`.

    References
    ----------
    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; the others of `EASE`.
    M. Choi et al., "Session-aware Linear Item-Item Models for Session-based Recommendation", WWW 2021, weighs sessions
    and times in such models otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import SequenceEASE
    >>> X = np.array([[1, 2, 8, 9], [1, 2, 9, 8], [9, 8, 1, 2]])  # values are times
    >>> items, scores = SequenceEASE(1.0, window=1, whole=0.0).fit(X).recommend([[1, 0, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "regularization": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_self_weight": [Interval(Real, 0, 1, closed="left")],
        "popularity_exponent": [Interval(Real, 0, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="both")],
        "whole": [Interval(Real, 0, None, closed="left")],
        "user_exponent": [Interval(Real, 0, None, closed="left")],
        "order": [StrOptions(set(ORDERS))],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        regularization: float | str = "auto",
        *,
        dropout: float = 0.4,
        max_self_weight: float = 0.4,
        popularity_exponent: float = 0.0,
        window: int = 100,
        decay: float = 0.95,
        whole: float = 0.5,
        user_exponent: float = 0.6,
        order: str = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.regularization = regularization
        self.dropout = dropout
        self.max_self_weight = max_self_weight
        self.popularity_exponent = popularity_exponent
        self.window = window
        self.decay = decay
        self.whole = whole
        self.user_exponent = user_exponent
        self.order = order
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        require_gram_memory(X.shape[1], X.dtype)
        sequences = fit_sequences(X, self.order, type(self).__name__)
        trust = np.maximum(sequences.lengths, 1).astype(np.float64) ** -self.user_exponent
        counts = sequences.counts(X.dtype)
        scale = np.repeat(np.sqrt(self.whole * trust), np.diff(counts.indptr))
        G = gram(with_data(counts, (counts.data * scale).astype(X.dtype)), X.dtype)
        _add_neighbours(G, sequences, trust, self.decay, self.window)
        n_users, n_items = (
            np.count_nonzero(sequences.lengths),
            np.count_nonzero(self.item_popularity_),
        )
        self.regularization_ = (
            noise_level(float(np.trace(G, dtype=np.float64)), n_users, n_items)
            if self.regularization == "auto"
            else float(self.regularization)
        )
        self.coef_ = weights_of_gram(
            G,
            self.regularization_,
            dropout=self.dropout,
            max_self_weight=self.max_self_weight,
            factors=popularity_factors(self.item_popularity_, self.popularity_exponent),
        ).coef

    def _history(self, X: sp.csr_array) -> sp.csr_array:
        return event_sequences(X, self.order).counts(X.dtype)

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        return self.coef_[:, items].T.copy()

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        history = self._history(X)
        return sp.csr_array(history * columns_of(self.coef_, history, items))

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        return dense_product(
            self._history(X), self.coef_, n_threads=threads_for(self.n_jobs, X.shape[0])
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        return tags


def _add_neighbours(
    G: NDArray[Any],
    sequences: Sequences,
    trust: NDArray[np.float64],
    decay: float,
    window: int,
) -> None:
    """Add to G, in place, the pairs of events that are at most `window` steps apart."""
    items, rows = sequences.items, sequences.rows
    trust = trust[rows]
    n_items = sequences.n_items
    added = np.bincount(items, weights=trust, minlength=n_items)
    G[np.diag_indices(n_items)] += added.astype(G.dtype)
    flat = G.reshape(-1, order="F")
    assert np.shares_memory(flat, G)
    for distance in range(1, min(window, int(sequences.lengths.max(initial=1)) - 1) + 1):
        weight = decay**distance * (1 - distance / (window + 1))
        if weight < 1e-8:
            break
        first = np.flatnonzero(rows[distance:] == rows[:-distance])
        earlier, later = items[first], items[first + distance]
        value = (weight * trust[first]).astype(G.dtype)
        np.add.at(flat, earlier * n_items + later, value)
        np.add.at(flat, later * n_items + earlier, value)
