"""Item-based neighbours by content, by behaviour, or by both."""

import os
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sklearn_llmrec._item_to_item import ItemToItemRecommender
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, ContentMixin
from sklearn_llmrec.text._space import Space
from sklearn_llmrec.utils._sparse import normalize_columns
from sklearn_llmrec.utils._topk import topk
from sklearn_llmrec.utils._validation import canonical

# Entries of a block of similarities.
_BLOCK_ENTRIES = 2**22


class ContentItemKNN(ContentMixin, ItemToItemRecommender):
    r"""Item-based nearest neighbours whose similarity mixes what is written with who chose.

    With the cosine :math:`c_{ij}` of the columns of X and the cosine :math:`t_{ij}` of the item
    vectors, items are neighbours by

    .. math:: s_{ij} = (1 - w)\, c_{ij} + w\, t_{ij}, \qquad \hat{x}_j = \sum_{i \in N(j)} x_i
       s_{ij},

    where N(j) are the `n_neighbors` items most similar to the candidate j, of positive similarity.
    With w = 1 these are neighbours in the embedding space alone; with w = 0 this is `ItemKNN`. An
    item without interactions has neighbours by its text.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`. Without any this is `ItemKNN`,
        with a warning.
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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONTENT_CONSTRAINTS,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "text_weight": [Interval(Real, 0, 1, closed="both")],
        "center": ["boolean"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        n_neighbors: int = 100,
        text_weight: float = 0.3,
        center: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.item_texts = item_texts
        self.encoder = encoder
        self.n_neighbors = n_neighbors
        self.text_weight = text_weight
        self.center = center
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> None:
        vectors = self._item_vectors(X, instead="compares columns of X alone")
        behaviour = normalize_columns(canonical(X)).T.tocsr()
        share = 0.0
        texts = np.zeros((X.shape[1], 1), dtype=X.dtype)
        if vectors is not None:
            share = float(self.text_weight)
            space = Space(self.center, None, False).fit(vectors)
            texts = space.transform(vectors).astype(X.dtype, copy=False)
        nearest = mixed_nearest(
            behaviour, texts, (behaviour, texts), share, self.n_neighbors, skip_self=True
        )
        self._set_weights(nearest.T.tocsr())

    def _score_rows(self, X: Any) -> NDArray[Any]:
        return super()._score_rows(canonical(X))

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        return super()._topk_rows(canonical(X), k, seen)


def mixed_nearest(
    behaviour: sp.csr_array,
    texts: NDArray[Any],
    among: tuple[sp.csr_array, NDArray[Any]],
    share: float,
    n_neighbors: int,
    *,
    skip_self: bool = False,
) -> sp.csr_array:
    """Similarities of every row to its nearest rows of `among`, by the mixed similarity, block by block.

    Both sides are unit rows: of behaviour (sparse) and of texts (dense).
    """
    other_behaviour, other_texts = among
    n_rows, n_others = behaviour.shape[0], other_behaviour.shape[0]
    transposed = other_behaviour.T.tocsr()
    size = max(1, _BLOCK_ENTRIES // n_others)
    found, values = [], []
    for start in range(0, n_rows, size):
        stop = min(start + size, n_rows)
        block = (behaviour[start:stop] @ transposed).toarray()
        block *= behaviour.dtype.type(1 - share)
        if share:
            block += behaviour.dtype.type(share) * (texts[start:stop] @ other_texts.T)
        if skip_self:
            block[np.arange(stop - start), np.arange(start, stop)] = 0
        block[block <= 0] = -np.inf
        items, similarities = topk(block, min(n_neighbors, n_others))
        found.append(items)
        values.append(similarities)
    items, similarities = np.vstack(found), np.vstack(values)
    kept = items >= 0
    indptr = np.append(0, np.cumsum(kept.sum(axis=1)))
    return sp.csr_array((similarities[kept], items[kept], indptr), shape=(n_rows, n_others))
