"""Blocks of rows that fit the memory, and the best of a block of scores."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._sparse import WORTH_COMPILING, compiled, entry_rows
from sklearn_llmrec._kernels._topk import topk


def best_unseen(
    scores: NDArray[Any], k: int, seen: sp.csr_array | None, n_scores: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Top k of a dense block of scores (overwritten) outside `seen`.

    Of all `n_scores` that are asked for, block by block, depends whether a compiled loop pays.
    """
    kernel = compiled() if n_scores >= WORTH_COMPILING else None
    if kernel is not None and scores.flags.c_contiguous:
        lists: tuple[NDArray[np.int64], NDArray[Any]] = kernel.block_topk(scores, seen, k)
        return lists
    if seen is not None:
        scores[entry_rows(seen), seen.indices] = -np.inf
    return topk(scores, k)


def best_of_block(
    scores: NDArray[Any],
    k: int,
    seen: sp.csr_array | None,
    candidates: Any | None,
    *,
    n_scores: int = 0,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Top k of a dense block of scores (overwritten) after removing what is seen and what is no candidate."""
    if candidates is None:
        return best_unseen(scores, k, seen, n_scores)
    if seen is not None:
        scores[entry_rows(seen), seen.indices] = -np.inf
    if sp.issparse(candidates):
        allowed = np.zeros(scores.shape, dtype=bool)
        rows = np.repeat(np.arange(scores.shape[0]), np.diff(candidates.indptr))
        allowed[rows, candidates.indices] = True
        scores[~allowed] = -np.inf
        return topk(scores, k)
    width = min(k, len(candidates))
    items, values = topk(np.ascontiguousarray(scores[:, candidates]), width)
    items = np.where(items < 0, -1, candidates[items])
    pad = ((0, 0), (0, k - width))
    return np.pad(items, pad, constant_values=-1), np.pad(values, pad, constant_values=-np.inf)
