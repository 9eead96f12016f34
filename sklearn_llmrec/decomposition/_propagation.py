"""Propagation of item vectors on the graph of users and items, without torch."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import entry_rows, with_data


def normalized(X: sp.csr_array) -> sp.csr_array:
    """Return X with every interaction divided by the square roots of the lengths of its row and its column."""
    of_rows = np.diff(X.indptr)[entry_rows(X)]
    of_columns = np.bincount(X.indices, minlength=X.shape[1])[X.indices]
    return with_data(X, 1 / np.sqrt(of_rows * of_columns, dtype=np.float32))


def item_layers(
    X: sp.csr_array, users: NDArray[Any], items: NDArray[Any], n_layers: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the vectors that items send to a row (before the row's own length scales them) and their mean vectors."""
    graph = normalized(X)
    sent, total = np.zeros_like(items), items.copy()
    for _ in range(n_layers):
        sent += items
        users, items = graph @ items, graph.T @ users
        total += items
    counts = np.bincount(X.indices, minlength=X.shape[1])
    sent[counts == 0] = total[counts == 0] = 0  # nothing but a random start
    roots = np.sqrt(np.maximum(counts, 1))[:, None]
    return sent / (roots * (n_layers + 1)), total / (n_layers + 1)


def fold_in(X: sp.csr_array, senders: NDArray[Any]) -> NDArray[Any]:
    """Return vectors of rows as the sum of the vectors that their items send."""
    shares = 1 / np.sqrt(np.diff(X.indptr), where=np.diff(X.indptr) > 0, out=np.ones(X.shape[0]))
    factors: NDArray[Any] = with_data(X, shares[entry_rows(X)].astype(senders.dtype)) @ senders
    return factors
