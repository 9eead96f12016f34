"""L3AE: EASE with a prior from item texts, in closed form.

Moon, Park and Lee (2025). First an item-to-item regression on the item vectors alone, as EASE does
on users: with the vectors as columns of F and P_F = (F'F + L I)^-1, the semantic weights are S = I
- P_F diag(1 / diag(P_F)). Then EASE on X with a penalty K ||B - S||^2 beside L2 ||B||^2: with P =
(X'X + (L2 + K) I)^-1,

    B = I + K P S - P diag((1 + K diag(P S)) / diag(P)),

which is EASE at L2 + K where S is zero.
"""

import os
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec._kernels import gram
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.linear_model import inverse_spd
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, ContentMixin
from sklearn_llmrec.text._space import Space
from sklearn_llmrec.utils import Interval, canonical, require_memory


def semantic_weights(V: NDArray[Any], regularization: float, dtype: Any) -> NDArray[Any]:
    """Return the weights of EASE between items by their vectors, the rows of `V`.

    With d dimensions the inverse is d x d, by Woodbury's identity, or n_items x n_items where that is smaller. Items
    without a vector have rows and columns of zeros.
    """
    d = V.shape[1]
    if d > len(V):
        P = np.linalg.inv(V @ V.T + regularization * np.eye(len(V)))
        S = (-P / P.diagonal()).astype(dtype)
        S[np.diag_indices(len(S))] = 0
        return S
    inner = np.linalg.inv(V.T @ V + regularization * np.eye(d))
    # L P_F = I - V inner V', whose factor L cancels between P_F and its diagonal.
    right = (V @ inner).astype(dtype)
    S = right @ V.astype(dtype).T
    diagonal = 1 - S.diagonal().copy()
    S /= diagonal
    S[np.diag_indices(len(S))] = 0
    return S


class L3AE(ContentMixin, BaseRecommender):
    r"""EASE with a prior from item texts, in closed form.

    Weights between items are first learned from the item vectors alone (S), and then from the
    interactions, drawn to the former where these say little:

    .. math:: \min_B \|X - X B\|_F^2 + \lambda \|B\|_F^2 + \kappa \|B - S\|_F^2
       \quad \text{subject to } \operatorname{diag}(B) = 0.

    An item without interactions is scored by its prior alone, so new items can be recommended.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`. Without any this is plain `EASE`, with
        a warning.
    encoder : transformer, str or path, default=None
        From texts to vectors; see `TextEmbeddingRecommender`.
    regularization : float, default=250.0
        The L2 penalty :math:`\lambda`.
    prior_strength : float, default=250.0
        How strongly weights are drawn to the prior, :math:`\kappa`. Zero gives plain `EASE`.
    text_regularization : float, default=10.0
        The L2 penalty between item vectors (of unit length).
    center : bool, default=True
        Whether the mean of the item vectors is taken away.

    Attributes
    ----------
    coef_ : ndarray of shape (n_items, n_items), dtype of X
        The weights B: row i is what item i of a history adds to the score of every item.
    encoder_ : transformer or None
        The fitted encoder.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.linear_model.EASE : The model without texts.
    ContentColdStart : Scores of new items for any collaborative model.

    Notes
    -----
    Fit is O(n_items^3) time and O(n_items^2) memory, refused with its size where it would not fit.

    References
    ----------
    J. Moon, S. Park, J. Lee, "LLM-Enhanced Linear Autoencoders for Recommendation", CIKM 2025,
    arXiv:2508.13500.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import L3AE
    >>> titles = ["tea cup", "tea pot", "garden spade", "garden rake", "tea tray"]
    >>> X = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 0, 0]])
    >>> model = L3AE(titles, regularization=1.0, prior_strength=1.0).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0, 0, 0]], k=2)
    >>> [titles[item] for item in items[0]]
    ['tea pot', 'tea tray']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONTENT_CONSTRAINTS,
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "prior_strength": [Interval(Real, 0, None, closed="left")],
        "text_regularization": [Interval(Real, 0, None, closed="neither")],
        "center": ["boolean"],
    }

    def __init__(
        self,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        regularization: float = 250.0,
        prior_strength: float = 250.0,
        text_regularization: float = 10.0,
        center: bool = True,
    ) -> None:
        self.item_texts = item_texts
        self.encoder = encoder
        self.regularization = regularization
        self.prior_strength = prior_strength
        self.text_regularization = text_regularization
        self.center = center

    def _fit(self, X: Any) -> None:
        n_items = X.shape[1]
        require_memory(
            4 * n_items**2 * X.dtype.itemsize,
            f"The weight matrix of {n_items} x {n_items} items (four times, while it is solved)",
            "Keep fewer items, pass X in float32, or use ContentColdStart with ItemKNN, whose "
            "weights are sparse.",
        )
        vectors = self._item_vectors(X, instead="is EASE")
        prior = 0.0 if vectors is None else self.prior_strength
        P = gram(canonical(X), X.dtype)
        P[np.diag_indices(n_items)] += X.dtype.type(self.regularization + prior)
        P = inverse_spd(P)
        diagonal = P.diagonal().copy()
        if vectors is None or prior == 0:
            B = P
            B /= -diagonal
        else:
            unit = Space(self.center, None, False).fit(vectors).transform(vectors)
            S = semantic_weights(
                unit.astype(np.float64, copy=False), self.text_regularization, X.dtype
            )
            B = P @ S
            B *= X.dtype.type(prior)
            P *= (1 + B.diagonal()) / diagonal
            B -= P
        B[np.diag_indices(n_items)] = 0
        self.coef_ = B

    def _score_rows(self, X: Any) -> NDArray[Any]:
        scores: NDArray[Any] = canonical(X) @ self.coef_
        return scores
