"""Continue factor models from their current item factors."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.base import PartialFitMixin

# Scale of the factors that a new item starts from: as small as those that a fit of ALS starts from.
_NEW_FACTORS = 0.01


class ContinuedFitMixin(PartialFitMixin):
    """Adds `warm_start` and `partial_fit` to a factor model that implements `_sweep(X, continued, kept)`.

    It learns from X, from a new start or from what there is. `kept` are the items whose factors stay as they are, in a
    `partial_fit`; None in a `fit`.
    """

    warm_start: bool
    n_components: int
    components_: NDArray[Any]
    random_state: Any
    _remember: Callable[..., None]
    _sweep: Callable[..., None]

    def _fit(self, X: sp.csr_array) -> None:
        continued = self.warm_start and hasattr(self, "components_")
        if continued:
            self._check_continuable(X)
        self._sweep(X, continued, None)

    def _extend_items(self, X: sp.csr_array) -> None:
        """Start new items of X with small random factors, or with zeros if X has no interaction of them."""
        known = self.components_
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        new = _NEW_FACTORS * rng.standard_normal((len(known), X.shape[1] - known.shape[1]))
        new[:, np.bincount(X.indices, minlength=X.shape[1])[known.shape[1] :] == 0] = 0
        self.components_ = np.hstack([known, new.astype(known.dtype)])
        for name in ("item_bias_", "implicit_components_"):
            values = getattr(self, name, None)
            if values is not None:
                zeros = np.zeros((*values.shape[:-1], new.shape[1]), dtype=values.dtype)
                setattr(self, name, np.concatenate([values, zeros], axis=-1))

    def _partial_fit(self, X: sp.csr_array) -> None:
        self._check_continuable(X)
        if X.nnz:  # users without interactions would be regressions on nothing
            self._sweep(X, True, np.setdiff1d(np.arange(X.shape[1]), X.indices))
        else:
            self._keep_known_rows(X.shape[1])

    def _keep_known_rows(self, n_items: int) -> None:
        """Prepare the fold-in for a catalogue with added items that have no interactions."""
        known = getattr(self, "_known_rows_", None)
        if known is not None and known.rows.shape[1] != n_items:
            rows = known.rows
            shape = rows.shape[0], n_items
            self._remember(sp.csr_array((rows.data, rows.indices, rows.indptr), shape=shape))

    def _check_continuable(self, X: sp.csr_array) -> None:
        n_components, n_items = self.components_.shape
        if (n_components, n_items) != (self.n_components, X.shape[1]):
            raise ValueError(
                f"A fit continues with {n_components} factors of {n_items} items; n_components={self.n_components} and "
                f"X has {X.shape[1]} columns. Fit a new estimator for another catalogue or number of factors."
            )

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Continue from the current factors and biases of the items, on the rows given; the first call is a fit.

        A later call makes `max_iter` more sweeps over these rows alone, whatever `warm_start` is. The factors of their
        users are solved anew. Items that X lacks keep their factors exactly; the factors of the others change. The
        result depends on the order of the parts; popularity adds up. The model keeps the dtype of its first fit. A part
        without interactions changes nothing but the number of users.

        A user seen before is a user like any other, and the earlier row is not replaced. In `ALSRecommender` a
        quadratic penalty summarises all earlier rows, weighted by their number: a small batch does not overwrite them,
        and a row given twice counts twice. The other models have no such penalty. They move towards the rows of the
        last part, so a row given again counts as more sweeps over it: pass old rows beside the new ones where these are
        few.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New users, over the same items; of models that forget, known ones too.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If X has another number of columns than at the first call, or `n_components` was changed. The estimator then
            is as it was before.
        """
        return super().partial_fit(X, y)


def held(new: NDArray[Any], old: NDArray[Any], kept: NDArray[np.int64] | None) -> NDArray[Any]:
    """Return `new` with its rows `kept` replaced by those of `old`; None replaces none."""
    if kept is not None:
        new[kept] = old[kept]
    return new
