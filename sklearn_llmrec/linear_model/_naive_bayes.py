"""Naive Bayes: the probability of an item given a history, as if its items were independent."""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import entry_rows, with_data
from sklearn_llmrec.base import (
    BlockPlace,
    BlockSumsMixin,
    PartialFitMixin,
    Phase,
    Statistics,
    Totals,
)
from sklearn_llmrec.utils import Interval


class NaiveBayesRecommender(BlockSumsMixin, PartialFitMixin):
    r"""The probability of an item given the history, its items taken as independent given the item.

    With :math:`n_{ij}` users who have i and j, :math:`N_j = \sum_{i \ne j} n_{ij}` and
    :math:`\pi_i = N_i / \sum_l N_l`,

    .. math:: \hat{x}_j = \log n_j + \sum_{i \in x} \log P(i \mid j),
       \qquad P(i \mid j) = \frac{n_{ij} + \alpha \bar N \pi_i}{N_j + \alpha \bar N},

    less a term that is the same for all j. Values of X are ignored, only which items
    a row contains counts: a negative value (a dislike) is an interaction like any other.

    Parameters
    ----------
    smoothing : float, default=1.0
        How much average taste is added to what is known of every item, :math:`\alpha`: 1 is as
        much as is known of an item on average, :math:`\bar N`.

    Attributes
    ----------
    counts_ : csr_array of shape (n_items, n_items), float64
        Users who have both items; on the diagonal, users who have the item.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.dummy.PopularityRecommender : The prior alone.

    Notes
    -----
    Fit is one sparse product, O(sum of squared row lengths) time; memory is that of the pairs of
    items that any user has. Written with what a pair that never met contributes taken out, scores
    are a sparse product. `partial_fit` adds up the counts.

    References
    ----------
    K. Miyahara, M. Pazzani, "Collaborative filtering with the simple Bayesian classifier", PRICAI
    2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.linear_model import NaiveBayesRecommender
    >>> X = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]])
    >>> items, scores = NaiveBayesRecommender().fit(X).recommend([[1, 0, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "smoothing": [Interval(Real, 0, None, closed="neither")]
    }

    _training_only = ("counts_",)
    counts_: sp.csr_array

    def __init__(self, smoothing: float = 1.0) -> None:
        self.smoothing = smoothing

    def _plan(self, totals: Totals) -> Phase:
        return Phase("pairs")

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        return {"counts": _pair_counts(X)}

    def _advance(self, phase: Phase, total: Statistics) -> None:
        self._set_counts(sp.csr_array(total["counts"]))

    def _extend_items(self, X: sp.csr_array) -> None:
        counts = self.counts_.copy()
        counts.resize((X.shape[1], X.shape[1]))
        self.counts_ = counts

    def _partial_fit(self, X: sp.csr_array) -> None:
        self._set_counts(sp.csr_array(self.counts_ + _pair_counts(X)))

    def _forget(self, X: sp.csr_array) -> None:
        counts = sp.csr_array(self.counts_ - _pair_counts(X))
        counts.eliminate_zeros()
        self._set_counts(counts)

    def _set_counts(self, counts: sp.csr_array) -> None:
        """Derive the weights from how many users have each pair of items."""
        counts.sort_indices()
        self.counts_ = counts
        met = counts.copy()
        met.setdiag(0)
        met.eliminate_zeros()
        evidence = np.bincount(met.indices, weights=met.data, minlength=met.shape[0])
        added = self.smoothing * (evidence.mean() or 1.0)
        # log P(i | j) of a pair that never met, less log pi_i, which is the same for all j.
        self._never_met_ = np.log(added) - np.log(evidence + added)
        # An item that nobody has is as likely as half a user.
        self._prior_ = np.log(np.maximum(self.item_popularity_, 0.5))
        share = evidence / max(evidence.sum(), 1.0)
        self._met_ = with_data(met, np.log1p(met.data / (added * share[entry_rows(met)])))

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        scores: NDArray[np.float64] = (with_data(X, np.ones(X.nnz)) @ self._met_).toarray()
        scores += np.diff(X.indptr)[:, None] * self._never_met_
        scores += self._prior_
        return scores


def _pair_counts(X: sp.csr_array) -> sp.csr_array:
    """Count the users of each pair of items."""
    pattern = with_data(X, np.ones(X.nnz))
    return sp.csr_array(pattern.T.tocsr() @ pattern)
