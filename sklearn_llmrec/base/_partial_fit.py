"""Learning from more users, part after part."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.utils import canonical, check_targets, restored_on_error


class PartialFitMixin(BaseRecommender):
    """Adds `partial_fit` to a recommender that implements `_learn(X, first)`.

    Fitting part after part equals one fit on all rows; `_fit` is the first part.
    """

    # Dtype of the matrix given to the first fit; later parts are cast to it.
    _dtype_: np.dtype[Any]

    def _learn(self, X: sp.csr_array, first: bool) -> None:
        """Learn from more rows; `first` forgets what was learned before."""
        raise NotImplementedError

    def _check_X(self, X: Any, *, reset: bool) -> sp.csr_array:
        X = super()._check_X(X, reset=reset)
        if reset:
            self._dtype_ = X.dtype
        return X

    def _fit(self, X: sp.csr_array) -> None:
        self._learn(X, True)

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
            the dtype of the model. The estimator then is as it was before.
        """
        with restored_on_error(self):
            self._validate_params()
            first = not hasattr(self, "n_users_fit_")
            X = self._check_X(X, reset=first)
            check_targets(y, X.shape)
            X = canonical(X)
            if X.dtype != self._dtype_:
                X = self._check_X(X.astype(self._dtype_), reset=False)
            counts = np.bincount(X.indices, minlength=X.shape[1]).astype(np.float64)
            self.item_popularity_ = counts if first else self.item_popularity_ + counts
            self.n_users_fit_ = X.shape[0] + (0 if first else self.n_users_fit_)
            self._learn(X, first)
        return self


class StackingMixin(PartialFitMixin):
    """Adds `partial_fit` to a recommender that implements `_fit_all(X)`, by keeping the rows.

    `fit` keeps them too, as they were given: what a part adds (document frequencies, norms, means)
    changes every similarity.
    """

    _rows_: sp.csr_array

    def _fit_all(self, X: sp.csr_array) -> None:
        """Learn from all rows at once."""
        raise NotImplementedError

    def _learn(self, X: sp.csr_array, first: bool) -> None:
        if first:
            X = X.copy()  # the rows are kept, and the arrays may be the caller's
        else:
            X = sp.csr_array(sp.vstack([self._rows_, X], format="csr"))
        self._rows_ = X
        self._fit_all(X)
