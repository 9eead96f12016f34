"""Weighted ridge regressions of all rows of a sparse matrix at once, by preconditioned conjugate gradients.

Row r of X wants the x that solves ``(G + penalty_r I + sum_i w_ri q_i q_i') x = sum_i v_ri q_i``, the sums over the
columns that the row holds. All rows share ``G + penalty I`` = V S V'. In the basis ``q -> (V S^-1/2)' q`` that part
is the identity, so that a row of n entries is solved in at most n + 1 steps and mostly in far fewer, and a step
costs two products with the row's own q_i, no matrix of n_components^2.

Rows of like length are solved together: their q_i are gathered once into a block that stays in the cache, and every
step is a batched product over it. With numba (extra `fast`) the same steps run row by row in a compiled loop.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec._kernels._sparse import WORTH_COMPILING, compiled
from sklearn_llmrec.utils import in_threads

# Numbers of a gathered block: 1 MiB of float32, half of what the second-level cache of a core holds.
_BLOCK_SIZE = 2**18


def columns_in_use(
    indices: NDArray[Any], n_columns: int
) -> tuple[slice | NDArray[np.int64], NDArray[Any]]:
    """The columns that few rows hold, and the entries' places among them; all columns where rows are many."""
    if len(indices) >= n_columns:
        return slice(None), indices
    used, places = np.unique(indices, return_inverse=True)
    return used.astype(np.int64), places.astype(indices.dtype)


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
        self.starts = X.indptr[:-1].astype(np.int64)
        self.lengths = np.diff(X.indptr).astype(np.int64)
        self.order = np.argsort(self.lengths, kind="stable")
        self.weights = weights
        self.right = right
        self.penalties = np.broadcast_to(np.asarray(penalties, dtype=np.float64), X.shape[0])
        self.n_threads = n_threads

    def _blocks(self, d: int) -> Iterator[NDArray[np.int64]]:
        """Rows with entries, those of like length together, as many as fit a block."""
        lengths = self.lengths[self.order]
        start = int(np.searchsorted(lengths, 1))
        while start < self.n_rows:
            most = lengths[start : start + max(1, _BLOCK_SIZE // (d * int(lengths[start])))]
            fits = np.arange(1, len(most) + 1) * most * d <= _BLOCK_SIZE
            size = max(1, int(fits.sum()))
            yield self.order[start : start + size]
            start += size

    def solve(
        self,
        Q: NDArray[Any],
        gram: NDArray[Any],
        *,
        start: NDArray[Any] | None = None,
        max_iter: int,
        tol: float = 0.0,
    ) -> NDArray[Any]:
        """Solutions of all rows.

        Parameters
        ----------
        Q : ndarray of shape (m, d)
            Factors of the columns.
        gram : ndarray of shape (d, d)
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
        with blas_threads(1):
            return self._solve(Q, gram, start, max_iter, tol)

    def _solve(
        self,
        Q: NDArray[Any],
        gram: NDArray[Any],
        start: NDArray[Any] | None,
        max_iter: int,
        tol: float,
    ) -> NDArray[Any]:
        d, dtype = Q.shape[1], Q.dtype
        common = float(np.min(self.penalties))
        values, V = np.linalg.eigh(gram.astype(np.float64))
        # Rounding is all there is in directions that neither data nor penalty fill: the floor keeps it small.
        floor = d * np.finfo(dtype).eps * max(float(values[-1]), 1e-20)
        scale = np.sqrt(np.maximum(values + common, floor))
        into, back = (V / scale).astype(dtype), (V * scale).astype(dtype)
        x = np.zeros((self.n_rows, d), dtype=dtype) if start is None else start.astype(dtype) @ back
        x[self.lengths == 0] = 0
        used, indices = columns_in_use(self.indices, len(Q))
        rotated = np.ascontiguousarray(Q[used] @ into)
        # What a row's penalty is above the least of all; in this basis still a diagonal.
        above, inverse = (self.penalties - common).astype(dtype), (1 / scale**2).astype(dtype)
        kernel = compiled() if len(indices) * d >= WORTH_COMPILING else None
        if kernel is not None and indices.dtype == np.int32:
            entries = [np.require(part, dtype, ["C", "W"]) for part in (self.weights, self.right)]
            kernel.solve_rows(
                (self.indptr, np.require(indices, requirements=["C", "W"])),
                *entries,
                rotated,
                above,
                inverse,
                x,
                max_iter,
                tol,
                n_threads=self.n_threads,
            )
        else:
            own = (above, inverse) if above.any() else None
            blocks, parts = list(self._blocks(d)), 4 * self.n_threads
            in_threads(
                lambda some: self._solve_blocks(some, x, rotated, indices, own, max_iter, tol),
                [blocks[part::parts] for part in range(min(parts, len(blocks)))],
                self.n_threads,
            )
        solved: NDArray[Any] = x @ into.T
        return solved

    def solve_fully(self, Q: NDArray[Any], gram: NDArray[Any]) -> NDArray[Any]:
        """Solutions from zero, as exact as the dtype of Q allows in few steps: what a fold-in wants."""
        tol = 10 * float(np.finfo(Q.dtype).eps)
        return self.solve(Q, gram, max_iter=4 * Q.shape[1], tol=tol)

    def _solve_blocks(
        self,
        blocks: list[NDArray[np.int64]],
        x: NDArray[Any],
        Q: NDArray[Any],
        indices: NDArray[Any],
        own: tuple[NDArray[Any], NDArray[Any]] | None,
        max_iter: int,
        tol: float,
    ) -> None:
        d, space = Q.shape[1], np.empty(0, dtype=Q.dtype)
        for rows in blocks:
            place = self.starts[rows][:, None] + np.arange(self.lengths[rows[-1]])
            size = place.size * d
            space = space if len(space) >= size else np.empty(size, dtype=Q.dtype)
            F = space[:size].reshape(*place.shape, d)
            # Rows shorter than the longest of the block read on into the next row, at weight zero.
            columns = indices.take(place, mode="clip")
            Q.take(columns, axis=0, out=F, mode="clip")
            w = self.weights.take(place, mode="clip")
            v = self.right.take(place, mode="clip")
            lengths = self.lengths[rows]
            if lengths[0] < lengths[-1]:
                beyond = np.arange(place.shape[1]) >= lengths[:, None]
                w[beyond] = 0
                v[beyond] = 0
            diagonal = None
            if own is not None:
                diagonal = (1 + own[0][rows, None] * own[1]).astype(Q.dtype)
            x[rows] = _conjugate_gradients(F, w, v, x[rows], diagonal, max_iter, tol)


def _conjugate_gradients(
    F: NDArray[Any],
    w: NDArray[Any],
    v: NDArray[Any],
    x: NDArray[Any],
    diagonal: NDArray[Any] | None,
    max_iter: int,
    tol: float,
) -> NDArray[Any]:
    """Solutions x of ``(D + F' diag(w) F) x = F' v`` for a batch, D diagonal and at least 1."""
    tiny = np.finfo(F.dtype).tiny

    def rest(y: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
        """``F' t - D y``."""
        product: NDArray[Any] = np.matmul(t[:, None, :], F)[:, 0]
        product -= y if diagonal is None else diagonal * y
        return product

    def along(y: NDArray[Any]) -> NDArray[Any]:
        """``-diag(w) F y``."""
        product: NDArray[Any] = np.matmul(F, y[:, :, None])[:, :, 0]
        product *= minus
        return product

    minus = -w
    r = rest(x, v + along(x))
    p, squares = r.copy(), np.einsum("ij,ij->i", r, r)
    for step in range(max_iter):
        image = rest(p, along(p))  # less the matrix times p
        length = squares / np.maximum(-np.einsum("ij,ij->i", p, image), tiny)
        if tol:
            # The matrix is at least the identity, so the residual bounds the error.
            live = squares > tol**2 * np.einsum("ij,ij->i", x, x)
            if not live.any():
                break
            length *= live
        x += length[:, None] * p
        if step + 1 == max_iter:
            break
        r += length[:, None] * image
        now = np.einsum("ij,ij->i", r, r)
        p *= (now / np.maximum(squares, tiny))[:, None]
        p += r
        squares = now
    return x
