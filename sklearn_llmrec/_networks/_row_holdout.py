"""Hide interactions of rows for early stopping; `_sequence_training.Holdout` does it for sequences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.interactions import hide_by_hash
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.utils import row_chunks


@dataclass
class RowHoldout:
    """Rows with a part of their items hidden, and these items."""

    visible: sp.csr_array
    hidden: sp.csr_array

    @classmethod
    def of(cls, X: sp.csr_array, fraction: float, seed: int) -> tuple[sp.csr_array, Self | None]:
        """Hide a fifth of the items of some rows; return the visible X and these rows, or None without any."""
        able = np.flatnonzero(np.diff(X.indptr) >= 2)
        chosen = np.random.default_rng(seed).permutation(able)
        chosen = np.sort(chosen[: int(fraction * len(able))])
        if not len(chosen):
            return X, None
        visible, hidden = hide_by_hash(X[chosen])
        both = sp.csr_array(sp.vstack([X, visible], format="csr"))
        source = np.arange(X.shape[0])
        source[chosen] = X.shape[0] + np.arange(len(chosen))
        return sp.csr_array(both[source]), cls(visible, hidden)

    def ndcg(self, score: Callable[[sp.csr_array], NDArray[Any]]) -> float:
        """Return the mean nDCG@10 of the hidden items when `score` ranks the whole catalogue."""
        k = min(10, self.visible.shape[1])
        lists = np.empty((self.visible.shape[0], k), dtype=np.int64)
        for rows in row_chunks(len(lists), self.visible.shape[1] * 8):
            seen = self.visible[rows]
            lists[rows], _ = topk_dense(score(seen), k, seen=seen)
        return float(ndcg_at_k(self.hidden, lists, k=k))
