"""Weighted ridge regressions of all rows of a sparse matrix at once, by preconditioned conjugate gradients.

For row r of X, find the x that solves ``(G + penalty_r I + sum_i w_ri q_i q_i') x = sum_i v_ri q_i``. The sums run
over the columns i that the row contains. All rows share ``G + penalty I`` = V S V'. In the basis of ``V S^-1/2``
this part is the identity. Conjugate gradients then solve a row of n entries in at most n + 1 steps, mostly in far
fewer. A step costs two products with the q_i of the row; no matrix of n_components^2 is formed.

Called by `ALSRecommender` in both sweeps of a fit and to fold users in, and by `BPRRecommender` to fold users in. A
step costs O(nnz d), the change of basis O(d^3 + (n + m) d^2).
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._arrays import bounds, plain
from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec.utils import in_threads, slices_for_threads


def columns_in_use(
    indices: NDArray[Any], n_columns: int
) -> tuple[slice | NDArray[Any], NDArray[Any]]:
    """Return the columns that few rows contain and the places of the entries among them; all columns for many rows."""
    if len(indices) >= n_columns:
        return slice(None), indices
    if len(indices) < 2 or bool((indices[1:] > indices[:-1]).all()):
        return indices, np.arange(len(indices), dtype=indices.dtype)  # those of a single row
    used, places = np.unique(indices, return_inverse=True)
    return used.astype(np.int64), places.astype(indices.dtype)


class CommonPart:
    """The basis in which the part shared by all rows is the identity: one eigendecomposition for many solutions.

    Parameters
    ----------
    gram : ndarray of shape (d, d)
        What all rows have in their normal matrix, without penalty; positive semi-definite.
    penalty : float
        The least L2 penalty of a row.
    dtype : dtype
        Of the factors.
    """

    def __init__(self, gram: NDArray[Any], penalty: float, dtype: Any) -> None:
        values, V = np.linalg.eigh(gram.astype(np.float64))
        # Rounding is all there is in directions that neither data nor penalty fill: the floor keeps it small.
        floor = len(gram) * np.finfo(dtype).eps * max(float(values[-1]), 1e-20)
        scale = np.sqrt(np.maximum(values + penalty, floor))
        self.penalty = penalty
        self.into, self.back = (V / scale).astype(dtype), (V * scale).astype(dtype)
        # What a unit of penalty above the least of all is in this basis: still a diagonal.
        self.inverse = (1 / scale**2).astype(dtype)


class RowSystems:
    """The regressions of the rows of a matrix on factors of its columns, to be solved for many sets of factors.

    Parameters
    ----------
    X : csr_array of shape (n, m)
        Its pattern says which columns a row has.
    weights : ndarray of shape (nnz,)
        What an entry adds to the normal matrix of its row, at least 0.
    right : ndarray of shape (nnz,)
        What it adds to the right-hand side.
    penalties : float or ndarray of shape (n,)
        The L2 penalty of all rows or of each.
    n_threads : int, default=1
    """

    def __init__(
        self,
        X: sp.csr_array,
        weights: NDArray[Any],
        right: NDArray[Any],
        penalties: float | NDArray[Any],
        *,
        n_threads: int = 1,
    ) -> None:
        self.n_rows = X.shape[0]
        self.indptr, self.indices = X.indptr, X.indices
        self.weights = weights
        self.right = right
        self.penalties = np.broadcast_to(np.asarray(penalties, dtype=np.float64), X.shape[0])
        self.n_threads = n_threads

    def solve(
        self,
        Q: NDArray[Any],
        gram: NDArray[Any] | CommonPart,
        *,
        start: NDArray[Any] | None = None,
        max_iter: int,
        tol: float = 0.0,
    ) -> NDArray[Any]:
        """Return the solutions of all rows.

        Parameters
        ----------
        Q : ndarray of shape (m, d)
            Factors of the columns.
        gram : ndarray of shape (d, d), or CommonPart
            What all rows have in their normal matrix, without penalty; positive semi-definite.
        start : ndarray of shape (n, d), default=None
            Where to start from; zeros by default.
        max_iter : int
            Steps at most.
        tol : float, default=0.0
            A row is solved when its error is surely below `tol` times its solution, in the norm of the common part.

        Returns
        -------
        x : ndarray of shape (n, d), dtype of Q
            Zeros for rows without entries.
        """
        from sklearn_llmrec._kernels._solver_loops import solve_rows

        dtype = Q.dtype
        with blas_threads(1 if self.n_rows > 1 else None):
            common = gram
            if not isinstance(common, CommonPart):
                common = CommonPart(common, float(np.min(self.penalties, initial=np.inf)), dtype)
            x = np.zeros((self.n_rows, Q.shape[1]), dtype=dtype)
            if start is not None:
                np.matmul(start.astype(dtype, copy=False), common.back, out=x)
                x[np.diff(self.indptr) == 0] = 0
            used, indices = columns_in_use(self.indices, len(Q))
            rotated = np.ascontiguousarray(Q[used] @ common.into)
            arrays = (
                *(bounds(self.indptr), plain(indices, np.int32).view(np.uint32)),
                *(plain(part, dtype) for part in (self.weights, self.right)),
                *(rotated, (self.penalties - common.penalty).astype(dtype), common.inverse, x),
                *(max_iter, dtype.type(tol), np.finfo(dtype).tiny),
            )
            loop = solve_rows.of(dtype)
            in_threads(
                lambda rows: loop(
                    rows.start, rows.stop, *arrays, np.empty(4 * Q.shape[1], dtype=dtype)
                ),
                slices_for_threads(self.n_rows, self.n_threads),
                self.n_threads,
            )
            solved: NDArray[Any] = x @ common.into.T
        return solved

    def column_sums(
        self, P: NDArray[Any], Z: NDArray[Any], *, right: bool, n_columns: int
    ) -> NDArray[Any]:
        """Return what these rows, with factors P, add to the regressions of the columns.

        That is the sum over the entries of a column of ``(r - weight * p'z) p``, with p the factors of the row, z those
        in Z of the column, and r the right-hand side of the entry, or 0 without `right`. With the factors of the
        columns as Z it is the residual of their regressions, with a direction the product of their matrices with it.

        Returns
        -------
        sums : ndarray of shape (n_columns, d), dtype of P
        """
        from sklearn_llmrec._kernels._solver_loops import add_residuals

        sums = np.zeros((n_columns, P.shape[1]), dtype=P.dtype)
        rights = self.right if right else np.zeros_like(self.right)
        add_residuals.of(P.dtype)(
            0,
            self.n_rows,
            *(bounds(self.indptr), plain(self.indices, np.int32).view(np.uint32)),
            *(plain(part, P.dtype) for part in (self.weights, rights)),
            *(plain(P), plain(Z, P.dtype), sums),
        )
        return sums

    def solve_fully(self, Q: NDArray[Any], gram: NDArray[Any] | CommonPart) -> NDArray[Any]:
        """Return the solutions from zero, as exact as the dtype of Q allows in few steps, as a fold-in needs them."""
        tol = 10 * float(np.finfo(Q.dtype).eps)
        return self.solve(Q, gram, max_iter=4 * Q.shape[1], tol=tol)


class ColumnSteps:
    """Conjugate gradients for the regressions of columns whose rows are elsewhere: only sums over rows come in.

    It makes the steps of `RowSystems.solve` for the columns of a matrix: `direction` is what the next sum of
    `RowSystems.column_sums` must be about, and `step` makes it.

    Parameters
    ----------
    common : CommonPart
        What all columns share.
    penalties : ndarray of shape (m,)
    start : ndarray of shape (m, d)
        The factors that the first sum was about.
    residuals : ndarray of shape (m, d)
        The sum over all rows, with right-hand sides.
    filled : ndarray of shape (m,), bool
        Which columns have entries; the factors of others are zero.
    """

    def __init__(
        self,
        common: CommonPart,
        penalties: NDArray[np.float64],
        start: NDArray[Any],
        residuals: NDArray[Any],
        filled: NDArray[np.bool_],
    ) -> None:
        dtype = start.dtype
        self._common, self._filled = common, filled[:, None]
        above = (penalties - common.penalty).astype(dtype)
        self._diagonal = 1 + above[:, None] * common.inverse
        self._x = np.where(self._filled, start @ common.back, dtype.type(0))
        self._r = residuals @ common.into - self._diagonal * self._x
        self._p = self._r.copy()
        self._squares = np.square(self._r).sum(axis=1)

    @property
    def direction(self) -> NDArray[Any]:
        """The direction of the next step, in the basis of the factors."""
        p: NDArray[Any] = self._p @ self._common.into.T
        return p

    def step(self, negative_products: NDArray[Any]) -> None:
        """Make a step, given the sum over all rows about `direction`, without right-hand sides."""
        tiny = np.finfo(self._x.dtype).tiny
        y = self._diagonal * self._p - negative_products @ self._common.into
        length = self._squares / np.maximum((self._p * y).sum(axis=1), tiny)
        self._x += length[:, None] * self._p
        self._r -= length[:, None] * y
        now = np.square(self._r).sum(axis=1)
        self._p = self._r + (now / np.maximum(self._squares, tiny))[:, None] * self._p
        self._squares = now

    def solution(self) -> NDArray[Any]:
        """Return the factors after the steps so far."""
        return np.where(self._filled, self._x, 0) @ self._common.into.T
