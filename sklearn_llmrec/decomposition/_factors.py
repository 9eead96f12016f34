"""The base class of factor models: rows become factors, items are scored by inner products."""

from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import ByNorm, entry_rows, topk_vectors, unit_rows
from sklearn_llmrec.base import InnerProductMixin, SimilarItemsMixin
from sklearn_llmrec.decomposition._known_rows import KnownRows
from sklearn_llmrec.utils import check_arguments, check_k, on_one_state, row_chunks


class FactorRecommender(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, SimilarItemsMixin, InnerProductMixin
):
    """Base of factor models.

    `_fit` sets `components_` and ends with `_remember(X)`; `_fold_in` gives the factors of rows.

    Similar items are those of the highest cosine of their factors. If folding in costs more than a product, `fit`
    folds its rows in at the end, and later calls look them up. The same code folds in both, so the scores of a row do
    not depend on whether it was in the fit.
    """

    components_: NDArray[Any]
    # What is added to the score of every item, or None.
    item_bias_: NDArray[Any] | None = None
    # False: folding in is as cheap as looking up.
    _remembers_rows: ClassVar[bool] = True
    _known_rows_: KnownRows | None
    _by_norm_: ByNorm | None = None
    # What `_derive` computes from the other attributes: a bundle leaves it out.
    _derived: ClassVar[tuple[str, ...]] = ("_by_norm_",)

    def _prepare_fold_in(self) -> None:
        """Compute what `_fold_in` needs from all item factors once, so that no single row waits for it."""

    @abstractmethod
    def _fold_in(self, X: sp.csr_array) -> NDArray[Any]:
        """Return the factors of rows by fold-in, whether or not the rows were fitted."""

    def _remember(self, X: sp.csr_array) -> None:
        """End a fit: prepare the fold-in, and keep the factors of the rows of X."""
        # One item after the other in memory: a row reads the factors of its own items only.
        self.components_ = np.asfortranarray(self.components_)
        self._derive()
        self._prepare_fold_in()
        self._known_rows_ = KnownRows(X, self._fold_in(X)) if self._remembers_rows else None

    def _derive(self) -> None:
        """Sort the items of a large catalogue by the lengths of their factors."""
        if "components_" in vars(self):
            self._by_norm_ = ByNorm.of(self.components_.T)

    def _user_factors(self, X: sp.csr_array) -> NDArray[Any]:
        """Return factors of rows in the dtype of the model: looked up for known rows, else folded in."""
        if self._known_rows_ is None:
            return self._fold_in(X).astype(self.components_.dtype, copy=False)
        place = self._known_rows_.find(X)
        new = place < 0
        if new.all():
            return self._fold_in(X).astype(self.components_.dtype, copy=False)
        factors = self._known_rows_.values[place]
        if new.any():
            factors[new] = self._fold_in(X[new])
        return factors

    def _retrieval_vectors(
        self, X: sp.csr_array
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        return self._user_factors(X), self.components_.T, self.item_bias_

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        unit = unit_rows(self.components_.T)
        similarities: NDArray[Any] = unit[items] @ unit.T
        return similarities

    @available_if(lambda self: self._remembers_rows)
    @on_one_state
    @check_arguments
    def similar_users(self, X: Any, k: int = 10) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the k users of the last fit (or `partial_fit`) with the highest cosine to the factors of each row.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n, n_items)
            Histories; the rows need not be rows given to `fit`.
        k : int, default=10
            How many, at most the users of the last fit.

        Returns
        -------
        users : ndarray of shape (n, k), int64
            Row numbers of the matrix given to it, most similar first: a row of it finds itself, and
            its equals; -1 for a row without factors.
        similarities : ndarray of shape (n, k)
            ``-inf`` beside -1.
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))
        if self._known_rows_ is None:
            raise ValueError(
                f"This {type(self).__name__} knows no users: a fit from shards or with privacy keeps no rows. Fit it "
                "on one matrix, without privacy."
            )
        known = self._known_rows_.values
        k = check_k(k, len(known))
        factors = unit_rows(self._user_factors(X))
        users, similarities = topk_vectors(factors, unit_rows(known), k, skip_zeros=False)
        without = ~factors.any(axis=1)
        users[without], similarities[without] = -1, -np.inf
        return users, similarities

    @on_one_state
    def transform(self, X: Any) -> NDArray[Any]:
        """Return the factors of every row.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.

        Returns
        -------
        factors : ndarray of shape (n_users, n_components)
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))
        return self._user_factors(X).astype(X.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def ridge_rows(
    X: sp.csr_array,
    features: NDArray[np.float64],
    targets: NDArray[np.float64],
    penalties: NDArray[np.float64],
    *,
    common: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Solve the ridge regression of every row's targets on the features of its columns.

    Parameters
    ----------
    X : csr_array of shape (n, m)
        Its pattern says which columns a row has.
    features : ndarray of shape (m, d)
    targets : ndarray of shape (nnz,)
        In the order of ``X.data``.
    penalties : ndarray of shape (n,)
    common : ndarray of shape (d, d), default=None
        Added to the normal matrix of a row as often as it has entries.

    Returns
    -------
    coefficients : ndarray of shape (n, d)
        Zeros for rows without entries and penalty.
    """
    d = features.shape[1]
    result = np.zeros((X.shape[0], d))
    for rows in row_chunks(X.shape[0], 8 * d * d):
        bounds = X.indptr[rows.start : rows.stop + 1]
        normal = np.empty((rows.stop - rows.start, d, d))
        right = np.empty((len(normal), d))
        for place, (start, stop) in enumerate(pairwise(bounds)):
            row_features = features[X.indices[start:stop]]
            normal[place] = row_features.T @ row_features
            if common is not None:
                normal[place] += (stop - start) * common
            right[place] = targets[start:stop] @ row_features
        diagonal = np.arange(d)
        normal[:, diagonal, diagonal] += np.where(np.diff(bounds) == 0, 1, penalties[rows])[:, None]
        result[rows] = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
    return result


def entry_products(
    X: sp.csr_array, users: NDArray[np.float64], items: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the inner product of user and item factors at every stored entry of X."""
    rows = entry_rows(X)
    products = np.empty(X.nnz)
    for some in row_chunks(X.nnz, 16 * users.shape[1]):
        products[some] = np.einsum("nd,nd->n", users[rows[some]], items[X.indices[some]])
    return products
