"""The base class of neighbour models that mix content and behaviour, among items or users."""

import os
from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, ContentMixin
from sklearn_llmrec.text._space import Space
from sklearn_llmrec.utils import Interval, canonical

# Entries of a block of similarities.
_BLOCK_ENTRIES = 2**22


class ContentNeighbors(ContentMixin, BaseRecommender):
    """Base of neighbours by a mix of behaviour and texts."""

    # What is compared, in the words of the warning of a fit without texts.
    _compares: ClassVar[str]
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONTENT_CONSTRAINTS,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "text_weight": [Interval(Real, 0, 1, closed="both")],
        "center": ["boolean"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        n_neighbors: int = 100,
        text_weight: float = 0.3,
        center: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.item_texts = item_texts
        self.encoder = encoder
        self.n_neighbors = n_neighbors
        self.text_weight = text_weight
        self.center = center
        self.n_jobs = n_jobs

    @abstractmethod
    def _fit_neighbors(self, X: sp.csr_array, texts: NDArray[Any], share: float) -> None:
        """Learn from canonical X and unit vectors of its columns, which have this share in the similarity."""

    def _fit(self, X: Any) -> None:
        vectors = self._item_vectors(X, instead=f"compares {self._compares} of X alone")
        X = canonical(X)
        share = 0.0 if vectors is None else float(self.text_weight)
        if vectors is None:
            vectors = np.zeros((X.shape[1], 1), dtype=X.dtype)
        elif vectors.any():
            vectors = Space(self.center, None, False).fit(vectors).transform(vectors)
        self._fit_neighbors(X, vectors.astype(X.dtype, copy=False), share)


def mixed_nearest(
    behaviour: sp.csr_array,
    texts: NDArray[Any],
    among: tuple[sp.csr_array, NDArray[Any]],
    share: float,
    n_neighbors: int,
    *,
    skip_self: bool = False,
) -> sp.csr_array:
    """Return the mixed similarities of every row to its nearest rows of `among`, block by block.

    Both sides are unit rows: of behaviour (sparse) and of texts (dense).
    """
    other_behaviour, other_texts = among
    n_rows, n_others = behaviour.shape[0], other_behaviour.shape[0]
    transposed = other_behaviour.T.tocsr()
    size = max(1, _BLOCK_ENTRIES // n_others)
    found, values = [], []
    for start in range(0, n_rows, size):
        stop = min(start + size, n_rows)
        block = (behaviour[start:stop] @ transposed).toarray()
        block *= behaviour.dtype.type(1 - share)
        if share:
            block += behaviour.dtype.type(share) * (texts[start:stop] @ other_texts.T)
        if skip_self:
            block[np.arange(stop - start), np.arange(start, stop)] = 0
        block[block <= 0] = -np.inf
        items, similarities = topk_dense(block, min(n_neighbors, n_others))
        found.append(items)
        values.append(similarities)
    items, similarities = np.vstack(found), np.vstack(values)
    kept = items >= 0
    indptr = np.append(0, np.cumsum(kept.sum(axis=1)))
    return sp.csr_array((similarities[kept], items[kept], indptr), shape=(n_rows, n_others))
