"""Top-k of one inner product by the lengths of vectors: most items of a large catalogue need no product.

By Cauchy and Schwarz the score of an item is at most the product of the lengths of both vectors. Items are ordered by
length once. For one query:

    score the longest vectors; the k-th best score so far is the limit
    score the items whose bound reaches the limit, if they are few
    choose among these
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Catalogues below this size are scored at once as fast.
_LEAST_ITEMS = 2**14
# The longest vectors, which every query is multiplied with.
_HEAD = 2**11


class ByNorm:
    """Items in the order of the lengths of their vectors, longest first.

    Parameters
    ----------
    V : ndarray of shape (n_items, d), float32 or float64
        Read, and not kept.

    Notes
    -----
    Memory: 16 bytes per item beside the vectors, and a copy of the 2048 longest.
    """

    def __init__(self, V: NDArray[Any]) -> None:
        lengths = np.sqrt(np.einsum("nd,nd->n", V, V, dtype=np.float64))
        self.order = np.argsort(-lengths, kind="stable")
        self.place = np.empty(len(V), dtype=np.int32)
        self.place[self.order] = np.arange(len(V), dtype=np.int32)
        self.order = self.order.astype(np.int32)
        # Negative, so that they increase, as a search wants them.
        self.bounds = -lengths[self.order]
        self.head = np.ascontiguousarray(V[self.order[:_HEAD]])

    @classmethod
    def of(cls, V: NDArray[Any]) -> "ByNorm | None":
        """Return the order of a large catalogue, or None for a small one."""
        return cls(V) if len(V) >= _LEAST_ITEMS else None

    def topk(
        self, p: NDArray[Any], V: NDArray[Any], k: int, seen: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """Return the k best unseen items of ``V @ p`` and their scores, or None if too many items may be among them.

        Parameters
        ----------
        p : ndarray of shape (d,), dtype of V
        V : ndarray of shape (n_items, d)
            The vectors that were ordered.
        k : int
        seen : ndarray of int
            Columns that are left out.
        """
        if len(self.head) < k + len(seen):
            return None
        hidden = self.place[seen]
        scores = self.head @ p
        scores[hidden[hidden < len(scores)]] = -np.inf
        limit = float(np.partition(scores, len(scores) - k)[len(scores) - k])
        # Rounding of a sum of d products, of both scores that are compared.
        margin = 1 + 4 * V.shape[1] * float(np.finfo(V.dtype).eps)
        length = float(np.sqrt(np.dot(p.astype(np.float64), p))) * margin
        if not limit > 0 or not length > 0:
            return None
        n = int(np.searchsorted(self.bounds, -limit / length * (1 - 1e-9), side="right"))
        if n > len(V) // 4:
            return None
        if n > len(scores):
            more_scores = V[self.order[len(scores) : n]] @ p
            hidden_more = hidden[(hidden >= len(scores)) & (hidden < n)]
            more_scores[hidden_more - len(scores)] = -np.inf
            scores = np.concatenate([scores, more_scores])
        reached = np.flatnonzero(scores >= limit)
        columns, values = self.order[reached].astype(np.int64), scores[reached]
        best = np.lexsort((columns, -values))[:k]
        return columns[best], values[best]
