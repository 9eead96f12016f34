"""The space in which items and users are compared: centred, rotated, of unit length."""

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import normalize_columns, product_rows, unit_rows
from sklearn_llmrec.neighbors import without_diagonal


class Space:
    """Centring and principal components of item vectors, applied to any vector.

    Parameters
    ----------
    center : bool
        Whether the mean is taken away: what all texts share says nothing about taste.
    n_components : int or None
        Principal components to keep; None keeps the space as it is.
    whiten : bool
        Whether components get equal variance.
    """

    def __init__(self, center: bool, n_components: int | None, whiten: bool) -> None:
        self.center, self.n_components, self.whiten = center, n_components, whiten

    def fit(self, V: NDArray[Any]) -> Self:
        """Learn from the rows of V, of shape (n_items, n_values), that are not all zeros."""
        known = V[V.any(axis=1)]
        if self.n_components is not None and self.n_components > min(known.shape):
            raise ValueError(
                f"n_components={self.n_components} is more than the {known.shape[1]} dimensions of "
                f"the item vectors or the {known.shape[0]} items that have one."
            )
        self.mean_ = known.mean(axis=0) if self.center else np.zeros(V.shape[1], dtype=V.dtype)
        self.axes_: NDArray[Any] | None = None
        if self.n_components is not None or self.whiten:
            spread = known - self.mean_
            variances, axes = np.linalg.eigh(spread.T @ spread / len(known))
            order = np.argsort(-variances, kind="stable")[: self.n_components]
            order = order[variances[order] > 1e-7 * variances.max()]
            axes = axes[:, order]
            # The sign of an axis is arbitrary: fixed, so that equal input gives equal output.
            axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
            self.axes_ = axes / np.sqrt(variances[order]) if self.whiten else axes
        return self

    def transform(self, V: NDArray[Any]) -> NDArray[Any]:
        """Return unit vectors in the space; a vector of zeros stays zero."""
        known = V.any(axis=1)
        moved = V - self.mean_.astype(V.dtype, copy=False)
        moved[~known] = 0
        if self.axes_ is not None:
            moved = moved @ self.axes_.astype(V.dtype, copy=False)
        return unit_rows(moved)


# How many items an item's vector is moved towards: those whose users are most similar.
_N_COMPANIONS = 50


def smoothed(V: NDArray[Any], X: sp.csr_array, share: float) -> NDArray[Any]:
    """Move the vector of each item towards the vectors of items that the same users chose.

    Parameters
    ----------
    V : ndarray of shape (n_items, n_values)
        Unit vectors. Items whose vector is zero, and items without such others, keep theirs.
    X : csr_array of shape (n_users, n_items)
        Which items users chose.
    share : float
        The weight of the others' vectors, from 0 to 1.
    """
    columns = normalize_columns(abs(X)).T.tocsr()
    companions = product_rows(columns, columns.T.tocsr(), _N_COMPANIONS + 1)
    companions = without_diagonal(companions, _N_COMPANIONS)
    drawn = unit_rows(companions.astype(V.dtype, copy=False) @ V)
    known = drawn.any(axis=1) & V.any(axis=1)
    mixed = V.copy()
    mixed[known] = unit_rows((1 - share) * V[known] + share * drawn[known])
    return mixed
