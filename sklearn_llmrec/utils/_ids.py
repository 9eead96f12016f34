"""Identifiers as arrays: one kind per array, compared exactly.

`as_ids` brings ids of any container to an array of one kind: integers of any width, other numbers, booleans, texts,
bytes, dates, durations, or objects of one type. Integers that a container contains as floats, decimals or objects
become integers again. Nothing is cast to text, and nothing is rounded. `id_positions` is the only look-up among ids;
it refuses to compare two kinds.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils._remembered import remembered

_NUMBERS = (int, float, np.integer, np.floating, Decimal, Fraction)
# Kinds whose arrays numpy sorts and compares exactly, if both have one dtype.
_SORTABLE = "biufUmM"


def is_missing(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, NaT or pandas' NA."""
    return value is None or value is np.ma.masked or bool(_differs_from_itself(value))


def _differs_from_itself(value: Any) -> bool:
    if isinstance(value, str):
        return False
    same = value == value  # NaN and NaT differ from themselves
    # pandas' NA answers NA, which refuses to be a bool: it is no bool at all.
    return not same if isinstance(same, (bool, np.bool_)) else type(value).__name__ == "NAType"


# -- ids of any container as an array ----------------------------------------------------------------------------------


def as_ids(ids: Any, name: str) -> NDArray[Any]:
    """Convert ids to a one-dimensional array of one kind.

    Parameters
    ----------
    ids : array-like
        A list, array, index or column of any table library.
    name : str
        How an error calls them.

    Returns
    -------
    ids : ndarray of shape (n,)
        Integers as int64, uint64 or the dtype given (as objects where 64 bits are too few), whole floats and
        decimals as integers too. A missing id is None, in an array of objects. The array may be the caller's.

    Raises
    ------
    TypeError
        If the ids are of several kinds.
    ValueError
        If they are not one-dimensional.
    """
    series = nw.from_native(ids, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return ids_of_column(series, name)
    shape = getattr(ids, "shape", None)
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        shape = ()
    elif shape is None:
        values = list(ids)
        shape = np.shape(values) if any(isinstance(v, (list, np.ndarray)) for v in values) else (1,)
    if len(shape) != 1:
        raise ValueError(f"{name} must be one-dimensional, got an array of shape {shape}.")
    if isinstance(ids, np.ndarray):
        return _of_array(ids, name)
    if hasattr(ids, "isna") and not ids.isna().any():
        return _of_array(np.asarray(ids), name)  # an index or array of pandas
    return _of_objects(ids.to_pylist() if hasattr(ids, "to_pylist") else list(ids), name)


def ids_of_column(series: "nw.Series[Any]", name: str) -> NDArray[Any]:
    """Convert a column to ids, as `as_ids` does."""
    wide = series.dtype in (nw.Int128, nw.UInt128)
    if wide or series.dtype.is_decimal() or series.null_count():
        return _of_objects(series.to_list(), name)  # numpy would round them
    return _of_array(np.asarray(series.to_numpy()), name)


def _of_array(ids: NDArray[Any], name: str) -> NDArray[Any]:
    kind = ids.dtype.kind
    if kind == "f":
        return _of_objects(ids.tolist(), name) if np.isnan(ids).any() else _whole(ids)
    if kind in "mM":
        if np.datetime_data(ids.dtype)[0] in ("ps", "fs", "as"):
            raise TypeError(f"{name} contain times finer than nanoseconds: round them first.")
        return _of_objects(list(ids), name) if np.isnat(ids).any() else ids
    if kind in "OST":
        return _of_objects(ids.tolist(), name)
    if kind not in "biuU":
        raise TypeError(f"{name} have dtype {ids.dtype}: ids are numbers, texts or dates.")
    return ids if ids.dtype.isnative else ids.astype(ids.dtype.newbyteorder("="))


def _whole(ids: NDArray[Any]) -> NDArray[Any]:
    """Return floats as integers where all of them are whole."""
    if not len(ids) or not np.isfinite(ids).all() or (ids != np.floor(ids)).any():
        return ids
    if ids.dtype.itemsize > 8:
        return _of_integers([int(label) for label in ids])
    low, high = float(ids.min()), float(ids.max())
    if low >= -(2**63) and high < 2**63:
        return ids.astype(np.int64)
    if low >= 0 and high < 2**64:
        return ids.astype(np.uint64)
    return _objects([int(label) for label in ids.tolist()])


def _objects(values: list[Any]) -> NDArray[np.object_]:
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def _kind_of_value(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "booleans"
    if isinstance(value, _NUMBERS):
        return "numbers"
    if isinstance(value, str):
        return "texts"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, (timedelta, np.timedelta64)):
        return "durations"
    if isinstance(value, (date, np.datetime64)):
        return "dates"
    return f"objects of type {type(value).__name__}"


def _of_objects(values: list[Any], name: str) -> NDArray[Any]:
    types = set(map(type, values))
    if types == {int}:
        return _of_integers(values)
    if types == {str}:
        return _of_texts(values)
    present = [value for value in values if not is_missing(value)]
    kinds = {_kind_of_value(value) for value in present}
    if len(kinds) > 1:
        names = sorted({type(value).__name__ for value in present})
        raise TypeError(f"{name} are of several types, {names}: convert them to one.")
    found = _of_one_kind(present, kinds.pop()) if present else _objects([])
    if len(present) == len(values):
        return found
    labels = iter(_scalars(found))
    return _objects([None if is_missing(value) else next(labels) for value in values])


def _of_one_kind(values: list[Any], kind: str) -> NDArray[Any]:
    if kind == "numbers":
        numbers = [_as_integer(value) for value in values]
        if all(isinstance(number, int) for number in numbers):
            return _of_integers(numbers)
        floats = np.array([float(number) for number in numbers])
        exact = all(number == other for number, other in zip(numbers, floats.tolist()))
        return floats if exact else _objects(numbers)
    if kind == "texts":
        return _of_texts([str(value) for value in values])
    if kind == "booleans":
        return np.array(values, dtype=bool)
    if kind in ("dates", "durations"):
        return np.array([_numpy_time(value) for value in values])
    try:
        hash(values[0])
    except TypeError as error:
        raise TypeError(f"Ids must be numbers, texts or dates, got {kind}.") from error
    return _objects(values)


def _as_integer(value: Any) -> Any:
    """Return a number as int if it is whole."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        return value
    if isinstance(value, Decimal) and not value.is_finite():
        return value
    return int(value) if value == int(value) else value


def _of_integers(values: list[int]) -> NDArray[Any]:
    low, high = min(values, default=0), max(values, default=0)
    if low >= -(2**63) and high < 2**63:
        return np.array(values, dtype=np.int64)
    return np.array(values, dtype=np.uint64) if low >= 0 and high < 2**64 else _objects(values)


def _of_texts(values: list[str]) -> NDArray[Any]:
    # An array of fixed-width texts drops zero bytes at their ends, and two ids would become one.
    cut = any(value.endswith("\0") for value in values)
    return _objects(values) if cut else np.array(values, dtype=str)


def _numpy_time(value: Any) -> Any:
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return value
    if hasattr(value, "to_numpy"):  # of pandas, in nanoseconds
        value = value.tz_convert(None) if getattr(value, "tzinfo", None) is not None else value
        return value.to_numpy()
    if isinstance(value, timedelta):
        return np.timedelta64(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(value)


# -- comparing ids -----------------------------------------------------------------------------------------------------


def kind_of_ids(ids: NDArray[Any]) -> str | None:
    """Return the kind of an array of `as_ids` in words, None where it contains no id."""
    if ids.dtype.kind == "O":
        return next((_kind_of_value(value) for value in ids if value is not None), None)
    kinds = {"b": "booleans", "U": "texts", "M": "dates", "m": "durations"}
    return kinds.get(ids.dtype.kind, "numbers") if len(ids) else None


def _scalars(ids: NDArray[Any]) -> list[Any]:
    """Return ids as objects that Python compares exactly."""
    # tolist makes integers of times in nanoseconds.
    return list(ids) if ids.dtype.kind in "mM" else ids.tolist()


def id_keys(ids: NDArray[Any]) -> list[Any]:
    """Return one hashable per id of `as_ids`: two keys are equal exactly if the ids are."""
    if kind_of_ids(ids) not in ("dates", "durations"):
        return ids.tolist()
    return [None if value is None else _nanoseconds(value) for value in _scalars(ids)]


def _nanoseconds(time: Any) -> int:
    seconds = time.astype(f"{time.dtype.kind}8[s]")
    fraction = (time - seconds).astype("m8[ns]")
    return int(seconds.astype(np.int64)) * 10**9 + int(fraction.astype(np.int64))


def id_positions(
    known: NDArray[Any], ids: NDArray[Any], known_has: str, ids_are: str
) -> NDArray[np.int64]:
    """Find the first position of every id in `known`.

    Parameters
    ----------
    known, ids : ndarray
        Ids of `as_ids`.
    known_has, ids_are : str
        Words before the examples of both in an error.

    Returns
    -------
    positions : ndarray of int64
        -1 where `known` lacks the id.

    Raises
    ------
    ValueError
        If both contain ids, of two kinds.
    """
    kinds = kind_of_ids(known), kind_of_ids(ids)
    if None not in kinds and kinds[0] != kinds[1]:
        raise ValueError(
            f"Ids are of two kinds, {kinds[0]} and {kinds[1]}: {known_has} {_examples(known)}, and {ids_are} "
            f"{_examples(ids)}. Ids are equal only if their types are: convert one of both."
        )
    inside = np.ones(len(ids), dtype=bool)
    if known.dtype.kind in "iu" and ids.dtype.kind in "iu" and known.dtype != ids.dtype:
        # numpy compares uint64 with int64 as floats. A value that the other dtype cannot represent is not in it.
        cast = ids.astype(known.dtype)
        inside = (cast.astype(ids.dtype) == ids) & ((cast < 0) == (ids < 0))
        ids = cast
    both_texts = known.dtype.kind == ids.dtype.kind == "U"
    if not both_texts and (known.dtype != ids.dtype or known.dtype.kind not in _SORTABLE):
        first = remembered(known, _first_positions)
        return np.fromiter((first.get(key, -1) for key in id_keys(ids)), np.int64, len(ids))
    if not len(known):
        return np.full(len(ids), -1)
    order = remembered(known, _stable_order)
    found = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
    return np.where((known[found] == ids) & inside, found, -1)


def _first_positions(ids: NDArray[Any]) -> dict[Any, int]:
    """Return the first position of every key."""
    first: dict[Any, int] = {}
    for position, key in enumerate(id_keys(ids)):
        first.setdefault(key, position)
    return first


def _stable_order(ids: NDArray[Any]) -> NDArray[np.int64]:
    return np.argsort(ids, kind="stable")


def joined_ids(a: NDArray[Any], b: NDArray[Any], name: str) -> NDArray[Any]:
    """Concatenate two arrays of ids of one kind; integers of two dtypes stay exact.

    Raises
    ------
    TypeError
        If they are of two kinds.
    """
    if not len(a) or not len(b):
        return b if not len(a) else a
    if a.dtype == b.dtype or a.dtype.kind == b.dtype.kind == "U":
        return np.concatenate([a, b])
    return as_ids(_scalars(a) + _scalars(b), name)


def _examples(ids: NDArray[Any]) -> list[Any]:
    """Return the first ids as an error shows them."""
    return [str(v) if isinstance(v, np.generic) else v for v in _scalars(ids[:3])]


def first_repeated(ids: NDArray[Any]) -> int | None:
    """Return the position of the first id that occurs earlier too, None where all differ."""
    if ids.dtype.kind in _SORTABLE:
        order = np.argsort(ids, kind="stable")
        later = order[1:][ids[order[1:]] == ids[order[:-1]]]
        return int(later.min()) if len(later) else None
    before: set[Any] = set()
    for position, key in enumerate(id_keys(ids)):
        if key in before:
            return position
        before.add(key)
    return None


def equal_ids(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Compare two arrays of ids of one length position by position; ids of two kinds differ."""
    if a.dtype == b.dtype and a.dtype.kind in _SORTABLE:
        return np.asarray(a == b)
    if None not in (kinds := (kind_of_ids(a), kind_of_ids(b))) and kinds[0] != kinds[1]:
        return np.zeros(len(a), dtype=bool)
    return np.array([x == y for x, y in zip(id_keys(a), id_keys(b), strict=True)], dtype=bool)
