"""The items that a candidate is regressed on."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.neighbors._similarity import RowIndex, without_diagonal


def nearest_items(
    X: sp.csr_array, n_neighbors: int | None, *, n_threads: int = 1
) -> NDArray[np.int32] | None:
    """The items of the highest cosine with each, best first.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
    n_neighbors : int or None
    n_threads : int, default=1

    Returns
    -------
    neighbors : ndarray of shape (n_items, n_neighbors), int32, or None
        Filled with -1; None where that would be all others.
    """
    if n_neighbors is None or n_neighbors >= X.shape[1] - 1:
        return None
    columns = X.T.tocsr()
    nearest = without_diagonal(
        RowIndex(columns, "cosine").nearest(columns, n_neighbors + 1, n_threads=n_threads),
        n_neighbors,
    )
    filled = np.arange(n_neighbors) < np.diff(nearest.indptr)[:, None]
    neighbors = np.full(filled.shape, -1, dtype=np.int32)
    neighbors[filled] = nearest.indices
    return neighbors
