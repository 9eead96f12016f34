"""Learning from more users, part after part."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.utils import canonical, check_targets, restored_on_error


class PartialFitMixin(BaseRecommender):
    """Adds `partial_fit` to a recommender that implements `_fit(X)` and `_partial_fit(X)`.

    The first call of `partial_fit` runs `_fit`, each later one `_partial_fit`. Fitting part after part should equal one
    fit on all rows.
    """

    # Dtype of the matrix given to the first fit; later parts are cast to it.
    _dtype_: np.dtype[Any]

    def _fit_first_part(self, X: sp.csr_array) -> None:
        """Fit the first part: `_fit`, and what only later parts need."""
        self._fit(X)

    @abstractmethod
    def _partial_fit(self, X: sp.csr_array) -> None:
        """Learn from the rows of further users; `item_popularity_` and `n_users_fit_` count them already."""

    def _check_X(self, X: Any, *, reset: bool) -> sp.csr_array:
        X = super()._check_X(X, reset=reset)
        if reset:
            self._dtype_ = X.dtype
        return X

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from more users; part after part gives what one fit on all of them gives.

        Every row counts as a new user. The row of a user that was given before counts a second time, as it would if it
        stood twice in one matrix: pass only new users, or fit on all rows where histories grow. The model keeps the
        dtype of its first fit; parts of another dtype are cast to it. Rows without interactions count as users, as they
        do in one fit.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New users, over the same items.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the first part holds no interaction, or a later one has another number of columns or values too large for
            the dtype of the model; or if `compact` dropped what further training needs. The estimator then is as it
            was before.
        """
        with restored_on_error(self):
            self._validate_params()
            first = not hasattr(self, "n_users_fit_")
            if not first:
                self._check_not_compacted()
            X = self._check_X(X, reset=first)
            check_targets(y, X.shape)
            X = canonical(X)
            if X.dtype != self._dtype_:
                X = self._check_X(X.astype(self._dtype_), reset=False)
            counts = np.bincount(X.indices, minlength=X.shape[1]).astype(np.float64)
            self.item_popularity_ = counts if first else self.item_popularity_ + counts
            self.n_users_fit_ = X.shape[0] + (0 if first else self.n_users_fit_)
            learn = self._fit_first_part if first else self._partial_fit
            learn(X)
        return self


class KeepsRowsMixin(PartialFitMixin):
    """Adds `partial_fit` to a recommender whose `_fit` keeps its rows by `_keep_rows(X)`.

    A part changes what every similarity rests on (document frequencies, norms, means), so the model is fitted again on
    the kept rows and the new ones.
    """

    _training_only = ("_rows_",)
    _rows_: sp.csr_array

    def _keep_rows(self, X: sp.csr_array) -> None:
        """Keep the rows of a fit; a copy, since the arrays may be the caller's."""
        self._rows_ = X.copy()

    def _partial_fit(self, X: sp.csr_array) -> None:
        self._fit(sp.csr_array(sp.vstack([self._rows_, X], format="csr")))
