"""Ids and feature tables: selecting rows, look-ups, and recommendations as a table."""

from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.utils import (
    as_ids,
    first_repeated,
    id_positions,
    ids_of_column,
    names_of_events,
    require,
)


def n_table_rows(table: Any) -> int:
    """Return the number of rows of a dataframe, array or sparse matrix."""
    shape = getattr(table, "shape", None)
    return int(shape[0]) if shape else len(table)


def take_rows(table: Any, rows: NDArray[np.int64]) -> Any:
    """Return the given rows of a dataframe, array or sparse matrix; None stays None."""
    if table is None:
        return None
    if isinstance(table, np.ndarray):
        return table[rows]  # at once: this is in the way of every selected row
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return table[rows]
    index = nw.maybe_get_index(
        frame
    )  # of pandas; a RangeIndex that nobody chose has a start and a step
    numbered = (getattr(index, "start", None), getattr(index, "step", None)) == (0, 1)
    # Labels that were row numbers stay row numbers, so that pandas finds an item by its column.
    return (nw.maybe_reset_index(frame[rows]) if numbered else frame[rows]).to_native()


def known_positions(what: str, known: NDArray[Any] | None, ids: ArrayLike) -> NDArray[np.int64]:
    """Return the positions of ids; refuse unknown ones.

    Raises
    ------
    ValueError
        If there are no ids to look in, the ids are of another kind, one is not there, or one is there several times.
    """
    if known is None:
        raise ValueError(f"The matrix has no {what}_ids to look in: set X.{what}_ids.")
    single = isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__") or np.shape(ids) == ()
    wanted = as_ids([ids] if single else ids, f"The requested {what} ids")
    found = id_positions(known, wanted, f"the matrix has {what}_ids", "requested are")
    if (found < 0).any():
        unknown = wanted[found < 0]
        raise ValueError(
            f"{len(unknown)} {what} ids are not in the matrix, for example {unknown[:3].tolist()}; it has "
            f"{len(known)}, such as {known[:3].tolist()}."
        )
    if first_repeated(known) is not None:
        later = id_positions(known[::-1], wanted, "", "")
        twice = np.flatnonzero(len(known) - 1 - later != found)
        if len(twice):
            raise ValueError(
                f"The {what} id {wanted[twice[:1]].tolist()[0]!r} is in the matrix several times, first at positions "
                f"{found[twice[0]]} and {len(known) - 1 - later[twice[0]]}: select by position instead."
            )
    return found


def aligned_table(table: Any, name: str, id_column: str, ids: NDArray[Any]) -> Any:
    """Return a feature table with one row per id, in their order; missing ids get missing values.

    Raises
    ------
    ValueError
        If it has no such id column, an id twice, or ids of another kind.
    """
    if table is None:
        return None
    frame = nw.from_native(table, eager_only=True)
    if id_column not in frame.columns:
        raise ValueError(
            f"{name} has no column {id_column!r} to find its rows by; it has {frame.columns}."
        )
    known = ids_of_column(frame[id_column], f"Ids in column {id_column!r} of {name}")
    found = id_positions(known, ids, f"column {id_column!r} of {name} contains", "the log contains")
    if first_repeated(known) is not None:
        raise ValueError(f"{name} has ids twice in column {id_column!r}: one row per id is needed.")
    if not len(known):
        raise ValueError(f"{name} has no rows.")
    return with_missing_rows(frame, found, ids, id_column)


def with_missing_rows(
    frame: "nw.DataFrame[Any]", found: NDArray[np.int64], ids: NDArray[Any], id_column: str
) -> Any:
    """Return the rows of a table at the positions found, with missing values where there is none (-1).

    The column of ids, where the table has one, contains the ids in every row.
    """
    frame = nw.maybe_reset_index(frame[np.maximum(found, 0)])
    if (found < 0).any():
        columns = frame.columns
        present = nw.new_series("present", found >= 0, backend=frame.implementation)
        others = [c for c in columns if c != id_column]
        frame = frame.with_columns(*(nw.when(present).then(nw.col(c)).alias(c) for c in others))
        if id_column in columns:
            library = frame.implementation
            labels = nw.new_series(id_column, for_library(ids, library), backend=library)
            frame = frame.with_columns(labels).select(*columns)
    return frame.to_native()


def for_library(values: NDArray[Any], library: Any) -> Any:
    """Return values of a column in a form that a table library takes without a cast."""
    if values.dtype.kind != "O" or nw.Implementation.from_backend(library).is_pandas_like():
        return values  # pandas makes floats of a list of integers and None
    return values.tolist()


def matrix_of_table(table: Any) -> tuple[Any, Any, Any]:
    """Return the numbers of a dataframe that is itself a matrix, with row and column labels; other input unchanged.

    Raises
    ------
    TypeError
        If it is a table of events, or contains something else than numbers.
    ValueError
        If it contains NaN.
    """
    if isinstance(table, (tuple, np.ndarray)) or hasattr(table, "nnz"):
        return table, None, None  # at once: every selection of rows comes by
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return table, None, None
    names, index = list(frame.columns), nw.maybe_get_index(frame)
    values = np.asarray(table) if index is not None else frame.to_numpy()
    if values.dtype.kind == "O":  # of nullable numbers
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            names = [*names]
    if names_of_events(names) or values.dtype.kind not in "biuf":
        raise TypeError(
            "A table given to Interactions is the matrix itself, a row of numbers per user and a column per item; this "
            f"one has columns {names[:5]}. Interactions.from_frame(df, user=..., item=...) takes a table of events."
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(
            "The table given to Interactions contains NaN: in a pivot table it means a rating that nobody gave, so "
            "fill it with 0, df.fillna(0). Interactions.from_frame(df, user=..., item=..., value=...) needs no pivot."
        )
    rows = None if index is None or hasattr(index, "step") else index  # a RangeIndex has a step
    labels = getattr(table, "columns", names) if index is not None else names
    return values, rows, None if hasattr(labels, "step") else labels


def column_names(table: Any) -> list[str]:
    """Return the names of the columns of a dataframe or of the fields of a structured array; other input has none."""
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return list(frame.columns)
    return list(getattr(getattr(table, "dtype", None), "names", None) or ())


def table_column(table: Any, what: str, name: str) -> NDArray[Any]:
    """Return a column of the item or user features that a matrix carries.

    Raises
    ------
    ValueError
        If it carries none, or not this one.
    """
    words = what.replace("_", " ")
    if table is None:
        raise ValueError(
            f"{name!r} names a column of the {words}, and X carries none: pass an Interactions with {what}."
        )
    known = column_names(table)
    if name not in known:
        there = f"have columns {known}" if known else "have no columns with names"
        raise ValueError(f"The {words} {there}, and not {name!r}.")
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    is_frame = isinstance(frame, nw.DataFrame)
    return np.asarray(frame.get_column(name).to_numpy() if is_frame else table[name])


def long_table(
    items: NDArray[Any],
    scores: ArrayLike | None,
    user_ids: NDArray[Any],
    item_ids: NDArray[Any],
    names: tuple[str, str],
    features: dict[str, NDArray[Any]],
    library: Any,
) -> Any:
    """Return recommendation lists as a table with one row per recommendation.

    Raises
    ------
    ValueError
        If shapes do not match, or an item is out of range.
    ImportError
        If the library is not installed.
    """
    if items.ndim != 2 or items.dtype.kind not in "iu" or len(items) != len(user_ids):
        raise ValueError(
            f"items must be column numbers of shape ({len(user_ids)}, k), one row per user; got dtype {items.dtype} "
            f"and shape {items.shape}."
        )
    if items.size and items.max() >= len(item_ids):
        raise ValueError(
            f"items contains column {items.max()}, and the matrix has columns 0 to {len(item_ids) - 1}."
        )
    given = items >= 0
    rows, ranks = np.nonzero(given)
    columns = {names[0]: user_ids[rows], names[1]: item_ids[items[given]], "rank": ranks + 1}
    if scores is not None:
        values = np.asarray(scores)
        if values.shape != items.shape:
            raise ValueError(
                f"scores has shape {values.shape} and items {items.shape}: both must be equal."
            )
        columns["score"] = values[given]
    columns |= {name: values[items[given]] for name, values in features.items()}
    require(library, extra=None)
    plain = {name: for_library(values, library) for name, values in columns.items()}
    return nw.from_dict(plain, backend=library).to_native()


def without_views(frame: "nw.DataFrame[Any]") -> "nw.DataFrame[Any]":
    """Return a table whose Arrow columns of views of texts, which Arrow cannot select from, are plain texts."""
    if not frame.implementation.is_pyarrow():
        return frame
    pa = require("pyarrow", "arrow")
    table, texts = frame.to_native(), pa.large_string()

    def plain(chunk: Any) -> Any:
        if pa.types.is_dictionary(chunk.type):
            return pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(texts))
        return chunk.cast(texts)

    for place, field in enumerate(table.schema):
        of_values = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if str(of_values) == "string_view":
            chunks = [plain(chunk) for chunk in table[place].chunks]
            kind = None if chunks else texts
            table = table.set_column(place, field.name, pa.chunked_array(chunks, type=kind))
    return nw.from_native(table, eager_only=True)
