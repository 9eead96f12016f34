"""Means of the votes of the nearest neighbours that have one.

Called by `ItemKNN` and `UserKNN` when they predict ratings from at most `max_neighbors` votes.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._arrays import bounds, plain
from sklearn_llmrec.utils import in_threads, slices_for_threads


def _columns(S: sp.csr_array) -> NDArray[np.uint64]:
    return plain(S.indices, np.int64).view(np.uint64)


def means_of_nearest(
    S: sp.csr_array, V: sp.csr_array, most: int, regularization: float, *, n_threads: int = 1
) -> NDArray[np.float64]:
    """Return, for every row of S and every column of V, the mean vote of the most similar rows that have one.

    Parameters
    ----------
    S : csr_array of shape (n, p), float32 or float64
        Similarities, the largest of a row first.
    V : csr_array of shape (p, m)
        Votes; a stored 0 is one.
    most : int
        How many vote at most.
    regularization : float
        Added to the sum of the absolute similarities.
    n_threads : int, default=1

    Returns
    -------
    means : ndarray of shape (n, m), float64
        0 where nobody votes.

    Notes
    -----
    O(votes of all neighbours) time.
    """
    from sklearn_llmrec._kernels._solver_loops import means_of_nearest as means_loop

    out = np.zeros((S.shape[0], V.shape[1]))
    arrays: tuple[Any, ...] = (
        *(bounds(S.indptr), _columns(S), plain(S.data)),
        *(bounds(V.indptr), _columns(V), plain(V.data, np.float64)),
        *(most, float(regularization)),
    )
    loop = means_loop.of(S.dtype)

    def fill(rows: slice) -> None:
        mass, n_left = np.zeros(V.shape[1]), np.full(V.shape[1], most)
        loop(rows.start, rows.stop, *arrays, mass, n_left, out)

    in_threads(fill, slices_for_threads(len(out), n_threads), n_threads)
    return out
