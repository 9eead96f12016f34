"""What neighbours add to the baseline of a rating: their votes, averaged."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import WORTH_COMPILING, compiled


def weighted_means(
    A: sp.csr_array,
    weights: sp.csr_array,
    values: sp.csr_array,
    voters: sp.csr_array,
    regularization: float,
) -> NDArray[np.float64]:
    """``(A @ values) / (|weights| @ |voters| + regularization)``, 0 where nothing was summed: votes, averaged.

    Parameters
    ----------
    A, weights : csr_array of shape (n, p)
        What is multiplied with `values`, and with `voters`.
    values, voters : csr_array of shape (p, m)
    """
    total = (A @ values).toarray().astype(np.float64, copy=False)
    mass = (abs(weights) @ abs(voters)).toarray()
    return np.divide(total, mass + regularization, out=np.zeros_like(total), where=mass > 0)


def means_of_nearest(
    S: sp.csr_array, V: sp.csr_array, most: int, regularization: float, *, n_threads: int = 1
) -> NDArray[np.float64]:
    """For every row of S and every column of V, the votes of the most similar that have one, averaged.

    Parameters
    ----------
    S : csr_array of shape (n, p)
        Similarities, the largest of a row first.
    V : csr_array of shape (p, m), float64
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
    O(votes of all neighbours) time. Memory beside the result is two arrays of its shape at most: neighbours are taken
    one after the other, the nearest of all rows first.
    """
    lengths = np.diff(V.indptr)
    if lengths[S.indices].sum() >= WORTH_COMPILING and (kernel := compiled()) is not None:
        means: NDArray[np.float64] = kernel.means_of_nearest(
            S, V, most, regularization, n_threads=n_threads
        )
        return means
    n, m = S.shape[0], V.shape[1]
    sums, mass = np.zeros(n * m), np.zeros(n * m)
    left = np.full(n * m, min(most, S.shape[1]), dtype=np.int32)
    starts, ends = S.indptr[:-1].astype(np.int64), S.indptr[1:]
    for place in range(np.diff(S.indptr).max(initial=0)):
        rows = np.flatnonzero(starts + place < ends)
        similarity = S.data[starts[rows] + place].astype(np.float64)
        votes = V[S.indices[starts[rows] + place]]
        counts = np.diff(votes.indptr)
        cells = np.repeat(rows * m, counts) + votes.indices
        free = left[cells] > 0
        cells, weights = cells[free], np.repeat(similarity, counts)[free]
        left[cells] -= 1
        sums[cells] += weights * votes.data[free]
        mass[cells] += np.abs(weights)
    np.divide(sums, mass + regularization, out=sums, where=mass > 0)
    return sums.reshape(n, m)
