"""Store factors and embeddings in fewer bytes: half precision, or 8 bits with a scale per vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.persistence._tree import StoredArray

# Attributes that contain factors of users and items, embeddings and profiles. Weights between items (EASE, ItemKNN) and
# probabilities (HMMRecommender) are no factors.
_FACTORS = {
    "components_",
    "implicit_components_",
    "item_embeddings_",
    "profiles_",
    "_senders_",
    "weights_[items]",
    "weights_[item_vectors]",
    "weights_[output.weight]",
    "weights_[body.wte.weight]",
}
_NOT_IN = {"HMMRecommender"}
_OF_ROWS = ("KnownRows", "values")


def is_factors(array: StoredArray) -> bool:
    """Return whether an array contains one vector per item or user."""
    named = array.name in _FACTORS and array.owner not in _NOT_IN
    return (
        (named or (array.owner, array.name) == _OF_ROWS)
        and array.values.ndim == 2
        and array.values.dtype in (np.float32, np.float64)
    )


def compressed(values: NDArray[Any], dtype: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return an array in fewer bytes, with the scales of int8.

    Parameters
    ----------
    values : ndarray of shape (n, m), float32 or float64
        One vector per step along the longer axis: a row of embeddings, a column of `components_`.
    dtype : {"float16", "int8"}
        With int8, the largest value of every vector becomes 127.

    Returns
    -------
    stored : ndarray of float16 or int8
    scales : ndarray of float32, or None
    """
    if dtype == "float16":
        # Values beyond the range of half precision would become infinite.
        limit = np.finfo(np.float16).max
        return np.clip(values, -limit, limit).astype(np.float16), None
    along = int(values.shape[0] > values.shape[1])
    scales = np.abs(values).max(axis=along, keepdims=True) / 127
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    return np.rint(values / scales).clip(-127, 127).astype(np.int8), scales


def decompressed(stored: NDArray[Any], scales: NDArray[Any] | None, dtype: str) -> NDArray[Any]:
    """Return compressed values in the dtype that they had."""
    values = stored.astype(dtype)
    if scales is not None:
        values *= scales.astype(dtype)
    return values
