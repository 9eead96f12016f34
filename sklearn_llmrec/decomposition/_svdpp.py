"""SVD++: biased matrix factorisation that also uses which items were rated, not only how."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import entry_rows, with_data
from sklearn_llmrec.decomposition._biased_mf import BiasedMF
from sklearn_llmrec.decomposition._factors import entry_products

# Steps of conjugate gradients in a sweep: the start is the last sweep's solution, so few do.
_GRADIENT_STEPS = 3


class SVDpp(BiasedMF):
    r"""Biased matrix factorisation that also learns about a user from which items were rated.

    Every item has a second vector y that it adds to the factors of those who rated it, N(u) being the items of the
    row. Minimised is, over the ratings that are there,

    .. math:: \sum_{u,i} \Bigl(x_{ui} - \mu - b_u - b_i
       - q_i^\top \bigl(p_u + |N(u)|^{-1/2} \sum_{j \in N(u)} y_j\bigr)\Bigr)^2
       + \lambda \sum_{u,i} \Bigl(b_u^2 + b_i^2 + \|p_u\|^2 + \|q_i\|^2 + \sum_{j \in N(u)} \|y_j\|^2\Bigr),

    Koren's objective, but by alternating least squares in place of stochastic gradients: ridge regressions for users
    and for items, conjugate gradients for the second vectors. A row, seen at `fit` or not, gets the sum of the vectors
    of its items and the regression of what is left of its ratings.

    Parameters
    ----------
    n_components : int, default=32
        Number of factors.
    regularization : float, default=0.1
        The L2 penalty :math:`\lambda`, per rating.
    max_iter : int, default=20
        Sweeps over users, items and second vectors.
    warm_start : bool, default=False
        Whether `fit` continues from the item factors, second vectors and biases of the last fit, for `max_iter` more
        sweeps over the rows that it is given: the mean and the users are solved anew.
    random_state : int, RandomState instance or None, default=None
        Initial item factors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), float64
        Item factors, one column per item.
    implicit_components_ : ndarray of shape (n_components, n_items), float64
        Contribution of an item to the factors of those who rated it, one column per item.
    item_bias_ : ndarray of shape (n_items,), float64
        How far an item's ratings lie from the mean.
    mean_ : float
        Mean of all ratings at the last `fit`; a later `partial_fit` keeps it.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    BiasedMF : The same without the second vectors.

    Notes
    -----
    A sweep is O(nnz n_components^2 + (n_users + n_items) n_components^3); the second vectors add O(nnz n_components).

    References
    ----------
    Y. Koren, "Factorization meets the neighborhood: a multifaceted collaborative filtering model", KDD 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import SVDpp
    >>> ratings = np.array([[5, 4, 0, 1], [4, 5, 1, 2], [1, 2, 5, 4], [2, 0, 4, 5], [5, 5, 1, 1]])
    >>> model = SVDpp(n_components=1, random_state=0).fit(ratings)
    >>> bool(model.predict(ratings)[0, 2] < 2)
    True
    """

    implicit_components_: NDArray[np.float64]

    def _start(self, X: sp.csr_array) -> None:
        super()._start(X)
        self.implicit_components_ = np.zeros((self.n_components, X.shape[1]))

    def _implied(self, X: sp.csr_array) -> NDArray[np.float64]:
        """Return the part of every row's factors that comes from which items it contains."""
        implied: NDArray[np.float64] = _shares(X) @ self.implicit_components_.T
        return implied

    def _user_factors(self, X: sp.csr_array) -> NDArray[np.float64]:
        implied, Q = self._implied(X), self.components_.T
        users = self._ridge(X, Q, self.item_bias_, entry_products(X, implied, Q))
        users[:, :-1] += implied
        return users

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        """Return contributions through the regression and through the second vectors, which change its targets."""
        rated = super()._contributions(X, items)
        Q, S = self.components_.T, _shares(X)
        remainders = Q[items] - with_data(X, self._leverages(X, items)) @ Q
        by_pattern = S.data * entry_products(X, remainders, self.implicit_components_.T)
        return with_data(X, rated.data + by_pattern)

    def _after_sweep(self, X: sp.csr_array, users: NDArray[np.float64]) -> None:
        """Improve the second vectors by some steps of conjugate gradients, with all else fixed."""
        S, Q, Y = _shares(X), self.components_.T, self.implicit_components_.T
        explicit = users[:, :-1] - self._implied(X)
        residuals = X.data - self.mean_ - users[entry_rows(X), -1] - self.item_bias_[X.indices]
        residuals -= entry_products(X, explicit, Q)
        penalty = self.regularization * (with_data(X, np.ones(X.nnz)).T @ np.diff(X.indptr))

        def back(values: NDArray[np.float64]) -> NDArray[np.float64]:
            spread: NDArray[np.float64] = S.T @ (with_data(X, values) @ Q)
            return spread

        def normal(Y: NDArray[np.float64]) -> NDArray[np.float64]:
            return back(entry_products(X, S @ Y, Q)) + penalty[:, None] * Y

        counts = np.bincount(X.indices, minlength=X.shape[1])
        scale = np.maximum(penalty + counts * np.mean(Q**2), 1e-12)[:, None]
        self.implicit_components_ = np.ascontiguousarray(
            _conjugate_gradients(normal, back(residuals), Y, scale).T
        )


def _shares(X: sp.csr_array) -> sp.csr_array:
    """Return the pattern of X with every row divided by the square root of its length."""
    return with_data(X, 1 / np.sqrt(np.diff(X.indptr), dtype=np.float64)[entry_rows(X)])


def _conjugate_gradients(
    normal: Any, right: NDArray[np.float64], start: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Run some conjugate gradient steps from `start` towards ``normal(Y) = right``, preconditioned by `scale`."""
    Y = start.copy()
    residual = right - normal(Y)
    scaled = residual / scale
    direction, size = scaled, np.vdot(residual, scaled)
    for _ in range(_GRADIENT_STEPS):
        if size <= 0:
            break
        image = normal(direction)
        step = size / np.vdot(direction, image)
        Y += step * direction
        residual = residual - step * image
        scaled = residual / scale
        before, size = size, np.vdot(residual, scaled)
        direction = scaled + size / before * direction
    return Y
