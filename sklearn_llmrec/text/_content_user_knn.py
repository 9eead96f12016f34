"""User-based neighbours by what users read, by what they chose, or by both."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import model_csr, normalize_rows, topk_product, unit_rows
from sklearn_llmrec.base import Tags, Totals
from sklearn_llmrec.neighbors import weighted, weighting_of
from sklearn_llmrec.text._content_neighbors import ContentNeighbors, mixed_nearest
from sklearn_llmrec.utils import canonical


class ContentUserKNN(ContentNeighbors):
    r"""User-based nearest neighbours by a mix of the texts they read and the items they chose.

    With the cosine :math:`c_{uv}` of the tf-idf weighted rows of X, and the cosine :math:`t_{uv}` of profiles in
    the space of item vectors (the sum of the vectors of the history), users are neighbours by

    .. math:: s_{uv} = (1 - w)\, c_{uv} + w\, t_{uv}, \qquad \hat{x}_{ui} = \sum_{v \in N(u)} s_{uv} x_{vi},

    where N(u) are the `n_neighbors` fitted users most similar to u, of positive similarity. With w = 1 these are
    neighbours in the embedding space alone, so users without a common item can be neighbours; with w = 0 this is
    `UserKNN`. A row that was itself fitted counts among its own neighbours, which changes the scores of seen items
    only. An item without interactions gets no votes: `ContentItemKNN` and `ContentColdStart` recommend those.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`. Without any this is `UserKNN`, with a warning.
    encoder : transformer, str or path, default=None
        From texts to vectors; see `TextEmbeddingRecommender`.
    n_neighbors : int, default=100
        How many users vote.
    text_weight : float, default=0.3
        The share w of the texts in the similarity.
    center : bool, default=True
        Whether the mean of the item vectors is taken away.
    n_jobs : int, default=None
        Threads of ranking. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    fitted_users_ : csr_array of shape (n_users, n_items)
        What the neighbours vote with: the matrix given to `fit`.
    profiles_ : ndarray of shape (n_users, n_dimensions)
        Unit vectors of the fitted users.
    item_embeddings_ : ndarray of shape (n_items, n_dimensions)
        Unit vectors of the items; zeros where there is no text.
    encoder_ : transformer or None
        The fitted encoder.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.neighbors.UserKNN : Behaviour alone.
    ContentItemKNN : The same among items.

    Notes
    -----
    Ranking a row compares it with all fitted users: O(n_users d) time, in blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import ContentUserKNN
    >>> titles = ["tea cup", "tea pot", "garden spade", "garden rake", "tea tray"]
    >>> X = np.array([[0, 1, 0, 0, 1], [0, 0, 1, 1, 0]])
    >>> model = ContentUserKNN(titles, text_weight=1.0, center=False).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0, 0, 0]], k=2)  # nobody had this cup
    >>> [titles[item] for item in items[0]]
    ['tea pot', 'tea tray']
    """

    _compares = "rows"

    def _fit_neighbors(self, X: sp.csr_array, texts: NDArray[Any], share: float) -> None:
        self._share_ = share
        self.item_embeddings_ = texts
        self._weighting_ = weighting_of(Totals.of(X), "auto", "cosine", None)
        behaviour, self.profiles_ = self._compared(X)
        self._behaviour_ = behaviour.copy()  # its pattern may be the caller's
        self.fitted_users_ = model_csr(X, copy=True)

    def _compared(self, X: sp.csr_array) -> tuple[sp.csr_array, NDArray[Any]]:
        """Return rows as they are compared: unit rows of weighted values, and unit profiles."""
        profiles = unit_rows(X @ self.item_embeddings_.astype(X.dtype, copy=False))
        return normalize_rows(weighted(X, self._weighting_)), profiles

    def _neighbors(self, X: sp.csr_array) -> sp.csr_array:
        """Return the similarities of each row to its nearest fitted users."""
        behaviour, profiles = self._compared(X)
        among = (
            self._behaviour_.astype(X.dtype, copy=False),
            self.profiles_.astype(X.dtype, copy=False),
        )
        return mixed_nearest(behaviour, profiles, among, self._share_, self.n_neighbors)

    def _score_rows(self, X: Any) -> sp.csr_array:
        X = canonical(X)
        votes = self.fitted_users_
        return sp.csr_array(self._neighbors(X).astype(votes.dtype, copy=False) @ votes)

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        return topk_product(
            self._neighbors(canonical(X)),
            self.fitted_users_,
            k,
            seen=seen,
            n_threads=effective_n_jobs(self.n_jobs),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.zero_is_unknown = True
        return tags
