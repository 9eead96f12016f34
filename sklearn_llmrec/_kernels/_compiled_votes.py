"""A loop compiled by numba (extra `fast`): votes of the nearest that have one, averaged.

`sklearn_llmrec.neighbors._votes` has the way without numba, which decides what it does.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import in_threads, slices_for_threads


@numba.njit(nogil=True, cache=True)
def _means(start, stop, S, V, most, regularization, out):  # type: ignore[no-untyped-def]
    """Fill rows `start` to `stop` of `out`, which come as zeros; matrices are tuples (indptr, indices, data)."""
    Sp, Sj, Sx = S
    Vp, Vj, Vx = V
    mass = np.zeros(out.shape[1])
    left = np.full(out.shape[1], most)
    for row in range(start, stop):
        sums = out[row]
        for a in range(Sp[row], Sp[row + 1]):
            t, similarity = Sj[a], np.float64(Sx[a])
            for b in range(Vp[t], Vp[t + 1]):
                column = Vj[b]
                if left[column] > 0:
                    left[column] -= 1
                    sums[column] += similarity * Vx[b]
                    mass[column] += abs(similarity)
        for column in range(len(sums)):
            if mass[column] > 0:
                sums[column] /= mass[column] + regularization
            mass[column], left[column] = 0, most


def means_of_nearest(
    S: Any, V: Any, most: int, regularization: float, *, n_threads: int = 1
) -> NDArray[np.float64]:
    """`sklearn_llmrec.neighbors._votes.means_of_nearest`, to the same bits.

    Parameters
    ----------
    S : csr of shape (n, p)
    V : csr of shape (p, m), float64
    most : int
    regularization : float
    n_threads : int, default=1
    """
    out = np.zeros((S.shape[0], V.shape[1]))
    left, right = ((M.indptr.astype(np.int64), M.indices, M.data) for M in (S, V))
    in_threads(
        lambda rows: _means(rows.start, rows.stop, left, right, most, regularization, out),
        slices_for_threads(len(out), n_threads),
        n_threads,
    )
    return out
