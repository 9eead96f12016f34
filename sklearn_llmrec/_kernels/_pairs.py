"""Gradient steps over pairs of items, called by `BPRRecommender`: O(nnz d) for one epoch.

The order of the users is drawn here, the pairs inside the loop (`_pair_loops`).
"""

import numpy as np
import scipy.sparse as sp
from numpy.random import Generator
from numpy.typing import NDArray

from sklearn_llmrec._kernels._arrays import of_rows

# Interactions of a window: their rows and the factors of their users stay in the caches.
_WINDOW = 4096


def pair_epoch(
    X: sp.csr_array,
    P: NDArray[np.float32],
    Q: NDArray[np.float32],
    bias: NDArray[np.float32],
    learning_rate: float,
    regularization: float,
    rng: Generator,
) -> None:
    """Run one epoch of gradient descent on the BPR loss, updating factors and biases in place.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
        Its pattern says which items a user has.
    P, Q : ndarray of shape (n_users, d) and (n_items, d), float32, C-ordered
    bias : ndarray of shape (n_items,), float32
    learning_rate, regularization : float
    rng : Generator
        Draws the order of the users, and the seed of the pairs.
    """
    from sklearn_llmrec._kernels._pair_loops import descend_pairs

    if not X.has_sorted_indices:
        X = X.sorted_indices()
    order = rng.permutation(X.shape[0])
    shuffled = X[order]
    starts, columns, _ = of_rows(shuffled, np.float32)
    places = np.repeat(np.arange(len(order), dtype=np.uint32), np.diff(shuffled.indptr))
    # Windows end with the row that fills them.
    ends = starts[np.searchsorted(starts, np.arange(0, len(columns), _WINDOW, dtype=np.uint64))]
    descend_pairs.of(np.float32)(
        np.unique(np.append(ends, starts[-1])),
        starts,
        columns,
        places,
        order.astype(np.uint32),
        P,
        Q,
        bias,
        np.float32(learning_rate),
        np.float32(1 - learning_rate * regularization),
        rng.integers(2**64, size=1, dtype=np.uint64),
    )
