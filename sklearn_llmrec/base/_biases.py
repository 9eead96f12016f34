"""Baselines of ratings: the mean and the deviations of users and items from it."""

from typing import Any, Literal

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
        values = X.data.astype(np.float64)
        self.mean = float(values.mean())
        self.item = np.zeros(X.shape[1])
        deviations, rows = values - self.mean, entry_rows(X)
        shrink = item_regularization if kind == "baseline" else 0.0
        for _ in range(max_iter if kind == "baseline" else kind == "item"):
            user = self._user(X, deviations, rows)
            self.item = _shrunken_means(X.indices, deviations - user[rows], X.shape[1], shrink)
        # What is known of an item without knowing the user, also where `kind` leaves items alone.
        self.fallback = self.mean + (
            _shrunken_means(X.indices, deviations, X.shape[1], item_regularization)
            if kind == "user"
            else self.item
        )

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
