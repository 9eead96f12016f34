"""Baselines of ratings: the mean and the deviations of users and items from it."""

from copy import copy
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import entry_rows

Center = Literal["user", "item", "baseline"]


def _shrunken_means(
    of: NDArray[Any], values: NDArray[np.float64], n: int, regularization: float
) -> NDArray[np.float64]:
    """Return the sums of `values` per group, divided by the group's size plus `regularization`; 0 for empty groups."""
    sums = np.bincount(of, weights=values, minlength=n)
    sizes = np.bincount(of, minlength=n) + regularization
    return sums / np.where(sizes == 0, 1, sizes)


class Biases:
    r"""The baseline :math:`b_{ui} = \mu + b_u + b_i` of a matrix of ratings.

    "user" is the mean of the row, "item" the mean of the column, "baseline" both deviations from
    the mean, each shrunken towards 0, solved by alternating least squares. The deviation of a row
    needs nothing but the row, so users that were not fitted have one too.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
    kind : {"user", "item", "baseline"}
    user_regularization, item_regularization : float
        How many ratings of no deviation every user and every item is given ("baseline" only).
    max_iter : int
        Sweeps over items and users.
    """

    def __init__(
        self,
        X: sp.csr_array,
        kind: Center = "baseline",
        *,
        user_regularization: float = 15.0,
        item_regularization: float = 10.0,
        max_iter: int = 10,
    ) -> None:
        self.kind = kind
        self.user_regularization = user_regularization if kind == "baseline" else 0.0
        self.item_regularization = 0.0 if kind == "item" else item_regularization
        self.n_sweeps = max_iter if kind == "baseline" else 1
        self._start(float(X.data.astype(np.float64).mean()), X.shape[1])
        for _ in range(self.n_sweeps):
            self._improve(self.sums(X))

    def _start(self, mean: float, n_items: int) -> None:
        """Set the mean, and no deviations."""
        self.mean = mean
        self.item = np.zeros(n_items)
        # What is known of an item without knowing the user, also where `kind` leaves items alone.
        self.fallback = np.full(n_items, mean)

    def _improve(self, sums: NDArray[np.float64]) -> None:
        deviations, sizes = sums
        sizes = sizes + self.item_regularization
        means = deviations / np.where(sizes == 0, 1, sizes)
        self.item = self.item if self.kind == "user" else means
        self.fallback = self.mean + means

    @classmethod
    def before_sweeps(cls, mean: float, n_items: int, kind: Center = "baseline") -> Self:
        """Return a baseline of no deviations, to be `improved` by `n_sweeps` sums over all users."""
        biases = cls(sp.csr_array(np.ones((1, 1))), kind)
        biases._start(mean, n_items)
        return biases

    def sums(self, X: sp.csr_array) -> NDArray[np.float64]:
        """Return what rows add to the deviations of items: their sums and numbers, shape (2, n_items)."""
        deviations, rows = X.data.astype(np.float64) - self.mean, entry_rows(X)
        if self.kind == "baseline":
            deviations -= self._user(X, deviations, rows)[rows]
        n = X.shape[1]
        return np.stack([np.bincount(X.indices, deviations, n), np.bincount(X.indices, None, n)])

    def improved(self, sums: NDArray[np.float64]) -> Self:
        """Return the baseline after a sweep, from the `sums` of all rows."""
        result = copy(self)
        result._improve(sums)
        return result

    def _user(
        self, X: sp.csr_array, deviations: NDArray[np.float64], rows: NDArray[Any]
    ) -> NDArray[np.float64]:
        if self.kind == "item":
            return np.zeros(X.shape[0])
        residuals = deviations - self.item[X.indices]
        return _shrunken_means(rows, residuals, X.shape[0], self.user_regularization)

    def of_users(self, X: sp.csr_array) -> NDArray[np.float64]:
        """Return the deviation of every row."""
        return self._user(X, X.data.astype(np.float64) - self.mean, entry_rows(X))

    def dense(self, X: sp.csr_array) -> NDArray[np.float64]:
        """Return the baseline of every row and every item."""
        baseline: NDArray[np.float64] = self.of_users(X)[:, None] + (self.mean + self.item)
        return baseline

    def residuals(self, X: sp.csr_array) -> NDArray[np.float64]:
        """Return the values of X minus their baseline, in storage order."""
        users = self.of_users(X)[entry_rows(X)]
        residuals: NDArray[np.float64] = X.data - (self.mean + users + self.item[X.indices])
        return residuals
