"""Item-based neighbours by content, by behaviour, or by both."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import normalize_columns
from sklearn_llmrec.base import ItemToItemRecommender
from sklearn_llmrec.text._content_neighbors import ContentNeighbors, mixed_nearest
from sklearn_llmrec.text._space import Space
from sklearn_llmrec.utils import canonical


class ContentItemKNN(ContentNeighbors, ItemToItemRecommender):
    r"""Item-based nearest neighbours by a mix of text similarity and co-occurrence.

    With the cosine :math:`c_{ij}` of the columns of X and the cosine :math:`t_{ij}` of the item
    vectors, items are neighbours by

    .. math:: s_{ij} = (1 - w)\, c_{ij} + w\, t_{ij}, \qquad \hat{x}_j = \sum_{i \in N(j)} x_i
       s_{ij},

    where N(j) are the `n_neighbors` items most similar to the candidate j, of positive similarity.
    With w = 1 these are neighbours in the embedding space alone; with w = 0 this is `ItemKNN` of as many
    neighbours with ``weighting=None`` and ``shrinkage=0``. An item without interactions has neighbours by its text.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`. Without any w is 0, with a warning.
    encoder : transformer, str or path, default=None
        From texts to vectors; see `TextEmbeddingRecommender`.
    n_neighbors : int, default=100
        How many neighbours an item keeps.
    text_weight : float, default=0.3
        The share w of the texts in the similarity.
    center : bool, default=True
        Whether the mean of the item vectors is taken away.
    n_jobs : int, default=None
        Threads of ranking. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items)
        Entry (i, j) is the similarity of i to the candidate j if i is a neighbour of j.
    encoder_ : transformer or None
        The fitted encoder.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.neighbors.ItemKNN : Behaviour alone.
    ContentUserKNN : The same among users.
    TextEmbeddingRecommender : Compares every item with the whole history.

    Notes
    -----
    Fit is O(n_items^2 d) time, in blocks of items, and O(n_items n_neighbors) memory.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import ContentItemKNN
    >>> titles = ["tea cup", "tea pot", "garden spade", "garden rake", "tea cup tray"]
    >>> X = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]])
    >>> model = ContentItemKNN(titles).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0, 0, 0]], k=2)
    >>> [titles[item] for item in items[0]]
    ['tea pot', 'tea cup tray']
    """

    _compares = "columns"

    def _fit_neighbors(self, X: sp.csr_array, texts: NDArray[Any], share: float) -> None:
        behaviour = normalize_columns(X).T.tocsr()
        nearest = mixed_nearest(
            behaviour, texts, (behaviour, texts), share, self.n_neighbors, skip_self=True
        )
        self._set_weights(nearest.T.tocsr())

    def _score_rows(self, X: Any) -> NDArray[Any] | sp.csr_array:
        return super()._score_rows(canonical(X))

    def _topk_rows(
        self,
        X: Any,
        k: int,
        seen: sp.csr_array | None,
        candidates: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        return super()._topk_rows(canonical(X), k, seen, candidates)

    def _content_terms(
        self, X: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[sp.csr_array, NDArray[Any], Any]:
        """Split the scores of pairs of a row and an item into a term per feature and what behaviour adds."""
        features = self._features_of_columns(X)
        dense = features.toarray() if sp.issparse(features) else features
        unit = Space(self.center, None, False).fit(dense).transform(dense).astype(np.float64)
        X = canonical(X)
        terms = np.zeros((len(rows), unit.shape[1]))
        totals = np.zeros(len(rows))
        for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
            history = slice(X.indptr[row], X.indptr[row + 1])
            weights = self.weights_[X.indices[history], [column]]
            weights = np.asarray(weights.todense() if sp.issparse(weights) else weights).ravel()
            values = X.data[history].astype(np.float64)
            neighbours = values * (weights != 0)
            terms[place] = self.text_weight * (neighbours @ unit[X.indices[history]]) * unit[column]
            totals[place] = values @ weights
        return sp.csr_array(terms), totals - terms.sum(axis=1), features
