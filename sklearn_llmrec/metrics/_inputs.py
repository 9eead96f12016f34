"""Check the input of metrics: matrices of targets and lists of item numbers."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.utils import as_csr, as_numeric, canonical


def checked_csr(M: Any, name: str) -> sp.csr_array:
    """Return `M` as canonical `csr_array` of finite numbers.

    Raises
    ------
    TypeError
        If the values are no numbers.
    ValueError
        If `M` is not two-dimensional or contains NaN or infinity.
    """
    M = as_numeric(M, name)
    if M.ndim != 2:
        raise ValueError(
            f"{name} must be a matrix of shape (n_users, n_items), got an array of {M.ndim} dimension(s)."
        )
    M = canonical(as_csr(M))
    if M.dtype.kind == "f" and not np.isfinite(M.data).all():
        row, column = _entry(M, np.flatnonzero(~np.isfinite(M.data))[0])
        raise ValueError(f"{name} contains NaN or infinity, first in row {row}, column {column}.")
    return M


def _entry(M: sp.csr_array, position: int) -> tuple[int, int]:
    """Return the row and column of the stored entry at `position`."""
    # side="right" skips the empty rows that begin at the same position.
    return int(np.searchsorted(M.indptr, position, side="right") - 1), int(M.indices[position])


def as_lists(items: Any) -> NDArray[Any]:
    """Return lists or scores as an array.

    Raises
    ------
    ValueError
        If lists are of several lengths.
    """
    try:
        return np.asarray(items)
    except ValueError as error:
        raise ValueError(
            "Lists are of several lengths: fill the shorter ones with -1 at the end, so that every user has k places."
        ) from error


def check_lists(items: Any, n_items: int) -> NDArray[np.signedinteger[Any]]:
    """Check lists of item numbers, except for repeats, which the lookup finds later.

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If they are not two-dimensional or name items that do not exist.
    """
    items = as_lists(items)
    if items.dtype.kind not in "iu":
        raise TypeError(f"Lists must contain item numbers (integers), got dtype {items.dtype}.")
    if items.ndim != 2:
        raise ValueError(
            f"Lists must have the shape (n_users, k), one row per user; got {items.ndim} dimension(s)."
        )
    if items.size and (items.min() < -1 or items.max() >= n_items):
        row, place = np.argwhere((items < -1) | (items >= n_items))[0]
        raise ValueError(
            f"Row {row} recommends item {items[row, place]} at place {place}, and there are items 0 to "
            f"{n_items - 1} (-1 says: no item)."
        )
    # Unsigned numbers would wrap where an offset is subtracted.
    return items.astype(np.int64) if items.dtype.kind == "u" else items
