"""Scores of several recommenders on one scale."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sklearn_llmrec._kernels import equal_but_for_rounding

# Scores of one row closer than this share of its largest are one score to every contract of the
# package, alone or in a batch; ranks must treat them as equal.
SAME_SCORE = 1e-6
# How many first places get points in a Borda count.
BORDA_DEPTH = 100


def normalizer(name: str | None, rrf_k: float = 60) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that brings the scores of every row to one scale, over all items."""
    if name == "minmax":
        return _minmax
    if name == "zscore":
        return _zscore
    if name == "rank":
        return lambda scores: 1 - (_ranks(scores) - 1) / (scores.shape[1] - 1)
    if name == "rrf":
        return lambda scores: 1 / (rrf_k + _ranks(scores))
    if name == "borda":
        return lambda scores: np.maximum(1 - (_ranks(scores) - 1) / BORDA_DEPTH, 0)
    return lambda scores: scores


def _minmax(scores: NDArray[Any]) -> NDArray[Any]:
    low = scores.min(axis=1, keepdims=True)
    high = scores.max(axis=1, keepdims=True)
    return (scores - low) / np.where(equal_but_for_rounding(low, high), 1, high - low)


def _zscore(scores: NDArray[Any]) -> NDArray[Any]:
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    # Rounding leaves a trace of deviation where all scores are equal.
    equal = equal_but_for_rounding(scores.min(axis=1), scores.max(axis=1))
    deviation[equal] = np.inf
    return centred / deviation


def _ranks(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return ranks within each row from 1 (best); equal scores share the mean of their ranks."""
    step = np.abs(scores).max(axis=1, keepdims=True) * SAME_SCORE
    step[step == 0] = 1
    ranks: NDArray[np.float64] = rankdata(-np.rint(scores / step), axis=1)
    return ranks
