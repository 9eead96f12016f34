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

    def solve_fully(self, Q: NDArray[Any], gram: NDArray[Any] | CommonPart) -> NDArray[Any]:
        """Return the solutions from zero, as exact as the dtype of Q allows in few steps, as a fold-in needs them."""
        tol = 10 * float(np.finfo(Q.dtype).eps)
        return self.solve(Q, gram, max_iter=4 * Q.shape[1], tol=tol)
