"""Determinantal point processes: the list whose items span the largest volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.ensemble._mmr import DiversityReranker, greedy
from sklearn_llmrec.ensemble._reranker import relevance

# Share of the identity in the kernel: what is new in an item that repeats the list. Without it a list longer than the
# rank of the features would have no volume, and nothing left to choose by.
_RIDGE = 0.01
# Similarities in memory at once.
_BLOCK_VALUES = 2**22
# A matrix of items up to this size is kept dense: products of small sparse ones are all overhead.
_DENSE_VALUES = 2**20


class DPPReranker(DiversityReranker):
    r"""Diversify the first items of a recommender by a determinantal point process.

    The list S is the one, of those that grow greedily, with the largest

    .. math:: (1 - d) \sum_{i \in S} r_i + d \, \log \det K_S,

    with r the base scores of the candidates brought to [0, 1], d the `diversity`, and K the
    similarity of items, :math:`(1 + \cos(i, j)) / 2`, with a hundredth of the identity mixed in. The
    determinant is the squared volume that the items span: it looks at the list as a whole, where
    `MMRReranker` compares an item with its nearest neighbour in the list.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    diversity : float, default=0.1
        Weight of the volume, from 0 (the order of the base) to 1 (relevance decides ties only).
    item_features : {array-like, sparse} of shape (n_items, n_features), default=None
        What similarity is measured on, by cosine: genres, embeddings. None compares the columns of X: items are alike
        that the same users had.
    n_candidates : int, default=100
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    MMRReranker : Relevance against the nearest item of the list.
    CalibratedReranker : Match the user's own mix of categories instead.

    Notes
    -----
    A row costs O(k^2 n_candidates) for a list of k: the Cholesky factor of the chosen items grows by
    one row a step, and the gain of every candidate is updated, not computed anew (Chen et al.).
    Similarities of the candidates come before it, O(n_candidates^2 n_features). The paper divides the
    log-likelihood in the same way between relevance and volume.

    References
    ----------
    L. Chen, G. Zhang and H. Zhou, "Fast greedy MAP inference for determinantal point process to
    improve recommendation diversity", NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import DPPReranker
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]])
    >>> genres = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    >>> dpp = DPPReranker(PopularityRecommender(), diversity=0.5, item_features=genres).fit(X)
    >>> items, _ = dpp.recommend([[1, 0, 0, 0]], k=3)
    >>> items
    array([[1, 3, 2]])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        diversity: float = 0.1,
        item_features: ArrayLike | Any | None = None,
        n_candidates: int = 100,
        exclude_seen: bool = True,
    ) -> None:
        self.estimator = estimator
        self.diversity = diversity
        self.item_features = item_features
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _fit_items(self, items: Any) -> None:
        self._unit_ = unit_items(items)

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        result = np.empty_like(items)
        size = max(1, _BLOCK_VALUES // items.shape[1] ** 2)
        for start in range(0, len(items), size):
            rows = slice(start, start + size)
            gain = relevance(items[rows], values[rows], 1 - self.diversity)
            volume = _Volume(candidate_similarities(self._unit_, items[rows]))

            def objective(
                chosen: NDArray[np.int64] | None, gain: Any = gain, volume: Any = volume
            ) -> NDArray[np.float64]:
                if chosen is not None:
                    volume.add(chosen)
                # Rounded: a trace of rounding must not decide between equal items.
                return np.round(gain + self.diversity * np.log(volume.left), 9)

            result[rows] = greedy(items[rows], objective, depth)
        return result


def unit_items(matrix: Any) -> Any:
    """Scale the rows of a dense array or csr_array to length 1; empty rows stay empty."""
    norms = np.sqrt(np.asarray((matrix * matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0)
    if sp.issparse(matrix) and matrix.shape[0] * matrix.shape[1] > _DENSE_VALUES:
        return sp.csr_array(sp.diags_array(scale) @ matrix)
    dense: Any = matrix.toarray() if sp.issparse(matrix) else matrix
    return dense * scale[:, None]


def candidate_similarities(unit: Any, items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return similarities (n, m, m) of the candidates of every row; those of item -1 are meaningless.

    All pairs are exact: with the small ones dropped a similarity matrix may have no volume to speak of, because it is
    not positive definite any more.
    """
    safe = np.maximum(items, 0)
    if sp.issparse(unit):
        parts = [unit[line] for line in safe]
        cosine = np.stack([(part @ part.T).toarray() for part in parts])
    else:
        cosine = unit[safe] @ unit[safe].transpose(0, 2, 1)
    similar = (1 - _RIDGE) * (1 + cosine) / 2
    diagonal = np.arange(items.shape[1])
    similar[:, diagonal, diagonal] = 1
    return similar


class _Volume:
    """Volume that every candidate would add to the list of its row; Algorithm 1 of Chen et al."""

    def __init__(self, similar: NDArray[np.float64]) -> None:
        self.similar = similar
        # Squared distance of every candidate to the span of the list.
        self.left = np.ones(similar.shape[:2])
        self.factors: list[NDArray[np.float64]] = []

    def add(self, chosen: NDArray[np.int64]) -> None:
        """Add the candidate at one position per row to the lists."""
        rows = np.arange(len(chosen))
        shared = self.similar[rows, chosen]
        for factor in self.factors:
            shared = shared - factor * factor[rows, chosen][:, None]
        factor = shared / np.sqrt(self.left[rows, chosen])[:, None]
        # A candidate keeps at least its ridge; those of the list are not used again.
        self.left = np.maximum(self.left - factor**2, 1e-12)
        self.factors.append(factor)
