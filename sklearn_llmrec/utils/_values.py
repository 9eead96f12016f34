"""Convert values of matrices: supported types, sums without overflow, casts without loss."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

# A column of ratings or of small counts has fewer different numbers than this.
_MANY_IDS = 15
# Values that are cast at a time, so that the checks take no memory for all of them.
_CAST_AT_ONCE = 2**20

_BUILD = "Interactions.from_frame(df, user=..., item=...) builds such a matrix from a table of ids."


def as_numeric(M: Any, name: str = "X") -> Any:
    """Return a matrix with values of a type that SciPy's sparse arrays support, the matrix itself if it has one.

    Parameters
    ----------
    M : array-like or sparse
    name : str, default="X"
        How an error calls it.

    Returns
    -------
    M : ndarray or sparse
        float16 becomes float32; long doubles and objects become float64; other byte orders become the native one.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    """
    M = M if sp.issparse(M) else np.asarray(M)
    dtype = M.dtype
    if dtype.kind == "O":
        try:
            return M.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name} must contain numbers, one row per user and one column per item; {error}. {_BUILD}"
            ) from error
    if dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must contain numbers, one row per user and one column per item; got dtype {dtype}. {_BUILD}"
        )
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return M.astype(np.float32 if dtype.itemsize < 4 else np.float64)
    return M if dtype.isnative else M.astype(dtype.newbyteorder("="))


def as_csr(M: Any, name: str = "X") -> sp.csr_array:
    """Convert a numeric matrix to `csr_array`; sums of duplicate entries do not overflow.

    The result shares the arrays of a csr matrix. Integers keep their type if it can represent the sums, else they
    become int64 or float64.
    """
    M = as_numeric(M, name)
    if not sp.issparse(M) or M.format not in ("coo", "bsr"):
        return sp.csr_array(M)
    return _narrowed(sp.csr_array(_widened(M)), M.dtype)


def canonical(X: sp.csr_array) -> sp.csr_array:
    """Return `X` as plain `csr_array`: sorted indices, duplicates summed, no stored zeros; copied only if needed.

    Indices have 32 bits where they fit. SciPy makes 64 of coordinates that have 64, and a product of such rows and a
    model would convert the model's indices in every call.
    """
    index = np.dtype(np.int32 if max(X.nnz, *X.shape) < 2**31 else np.int64)
    if type(X) is not sp.csr_array or not X.indices.dtype == X.indptr.dtype == index:
        indices, indptr = X.indices.astype(index, copy=False), X.indptr.astype(index, copy=False)
        plain = sp.csr_array((X.data, indices, indptr), shape=X.shape)
        if type(X) is sp.csr_array:
            plain.has_canonical_format = X.has_canonical_format
        X = plain
    if not X.has_canonical_format:
        wide = _widened(X)
        wide = X.copy() if wide is X else wide
        wide.sum_duplicates()
        X = _narrowed(wide, X.dtype)
    if X.nnz and not X.data.all():
        X = X.copy()
        X.eliminate_zeros()
    return X


def widened_data(data: NDArray[Any]) -> NDArray[Any]:
    """Return values in a type that can represent the sum of any of them: the array itself if its type does."""
    if data.dtype.kind not in "iu" or not len(data):
        return data
    if data.dtype.itemsize < 8:
        return data.astype(np.int64)
    largest = np.abs(data.astype(np.float64)).sum()
    return data if largest < np.iinfo(data.dtype).max / 2 else data.astype(np.float64)


def narrowed_data(data: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return sums of `widened_data` in the original type of the values if it can represent them."""
    if data.dtype == dtype or data.dtype.kind not in "iu":
        return data
    info = np.iinfo(dtype)
    fits = not len(data) or (info.min <= int(data.min()) and int(data.max()) <= info.max)
    return data.astype(dtype) if fits else data


def _widened(M: Any) -> Any:
    data = widened_data(M.data)
    return M if data is M.data else M.astype(data.dtype)


def _narrowed(X: sp.csr_array, dtype: Any) -> sp.csr_array:
    X.data = narrowed_data(X.data, dtype)
    return X


def ready_to_sum(X: Any) -> Any:
    """Return sparse integers as float64, before anything sums duplicate entries in their own type.

    Booleans say whether there is an interaction, so duplicates of a plain matrix stay one; those of `Interactions`
    are events. Other input comes back as it is.
    """
    if not sp.issparse(X):
        return X
    if X.dtype.kind in "iu":
        return X.astype(np.float64)
    if X.dtype.kind == "b" and not hasattr(X, "timestamps"):
        return canonical(sp.csr_array(X))
    return X


def cast_values(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Cast values to a requested type.

    Raises
    ------
    ValueError
        If an integer type cannot represent a value exactly, a value becomes infinite or zero, or sparse arrays do not
        know the type.
    """
    dtype = np.dtype(dtype)
    if values.dtype == dtype:
        return values
    if dtype.kind not in "biuf" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise ValueError(f"dtype must be float32, float64, an integer type or bool; got {dtype}.")
    result = np.empty(values.shape, dtype=dtype)
    flat = values.reshape(-1)
    for start in range(0, len(flat), _CAST_AT_ONCE):
        block = slice(start, start + _CAST_AT_ONCE)
        result.reshape(-1)[block] = _cast_block(flat[block], dtype)
    return result


def _cast_block(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast values that are few, and refuse those that change."""
    with np.errstate(all="ignore"):
        result = values.astype(dtype)
        back = result.astype(values.dtype)
    if dtype.kind in "iu":
        wrong = (back != values) | ((result < 0) != (values < 0))
    else:
        wrong = (result == 0) & (values != 0)
        if dtype.kind == "f":
            wrong |= ~np.isfinite(result)
    if wrong.any():
        raise ValueError(
            f"dtype={dtype} cannot represent the value {values[wrong.argmax()]}: leave dtype out, or choose a wider "
            "type."
        )
    return result


def refuse_triples(M: Any) -> None:
    """Refuse (user, item, value) triples that are passed as the matrix itself.

    A matrix of three or four columns is taken for triples (with times) under two conditions. Its first two columns
    are whole numbers, many different ones. No value of the third column is zero, and these values are few, or
    fractions. Where pairs of the first
    two columns repeat, as small counts of two items do by chance, the rows must show in another way that they are
    events: see `_rows_are_events`.

    Raises
    ------
    ValueError
        If the matrix is recognised as triples.
    """
    if len(M.shape) != 2 or M.shape[1] not in (3, 4) or M.shape[0] < 20:
        return
    D = np.asarray(M.toarray() if sp.issparse(M) else M, dtype=np.float64)
    ids, values = D[:, :2], D[:, 2]
    if not np.isfinite(D).all() or (ids < 0).any() or (ids != np.floor(ids)).any():
        return
    n_distinct = [len(np.unique(column)) for column in ids.T]
    whole = bool((values == np.floor(values)).all())
    few = len(np.unique(values)) <= min(11, max(n_distinct) // 2)
    if max(n_distinct) < _MANY_IDS or not values.all() or (whole and not few):
        return
    if len(np.unique(ids, axis=0)) < len(ids) and not _rows_are_events(D):
        return
    raise ValueError(
        f"X of shape {M.shape} looks like triples of user, item and value, and is taken as a matrix of {M.shape[1]} "
        "items: pass Interactions((values, (users, items))), or for ids of any kind Interactions.from_frame("
        "pandas.DataFrame(X[:, :3], columns=['user', 'item', 'value']), user='user', item='item', value='value')."
    )


def _rows_are_events(D: NDArray[np.float64]) -> bool:
    """Return whether rows look like user, item, value and perhaps time, unlike rows of counts or ratings.

    One of three signs is enough. Both ids are larger than every value. Or the rows are sorted by time, or contain the
    events of one user (or item) together. Or the ids of a column are all numbers of a range, none much rarer than
    others. Counts have rare
    large values, and the rows of a matrix are in no order of one of its columns.
    """
    ids, values = D[:, :2], D[:, 2]
    if ids.min() > values.max():
        return True
    if D.shape[1] == 4 and (np.diff(D[:, 3]) >= 0).all() and len(np.unique(D[:, 3])) >= _MANY_IDS:
        return True
    for column in ids.T:
        found, counts = np.unique(column, return_counts=True)
        if len(found) < _MANY_IDS:
            continue
        n_runs = 1 + np.count_nonzero(np.diff(column))
        if n_runs == len(found) and len(column) >= len(found) + _MANY_IDS:
            return True
        span = found[-1] - found[0] + 1
        quarter = np.minimum(4 * (found - found[0]) // span, 3).astype(np.int64)
        shares = np.bincount(quarter, counts, 4) / len(column)
        if len(column) >= 3 * len(found) >= 2.7 * span and shares.min() >= 0.125:
            return True
    return False
