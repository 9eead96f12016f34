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

    def _learn(self, X: sp.csr_array, first: bool) -> None:
        """Learn from more rows; `first` forgets what was learned before."""
        raise NotImplementedError

    def _fit(self, X: sp.csr_array) -> None:
        self._learn(X, True)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from more users; part after part gives what one fit on all of them gives.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New users, over the same items.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object
        """
        with restored_on_error(self):
            self._validate_params()
            first = not hasattr(self, "n_users_fit_")
            X = self._check_X(X, reset=first)
            check_targets(y, X.shape)
            X = canonical(X)
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
            dtype = self._rows_.dtype
            X = sp.csr_array(sp.vstack([self._rows_, X.astype(dtype, copy=False)], format="csr"))
        self._rows_ = X
        self._fit_all(X)
