"""Find the catalogue of a model, matrix or bundle: item ids and their feature table."""

from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.interactions._tables import column_names, take_rows, with_missing_rows
from sklearn_llmrec.utils import as_ids, first_repeated, last_step


def catalogue_of(items: Any, name: str = "items") -> tuple[NDArray[Any], Any]:
    """Return item ids and their feature table (or None).

    Parameters
    ----------
    items : array-like, recommender, Pipeline, search, Interactions or bundle
        Ids themselves, or what knows them: as `item_ids_` of the last step, or as `item_ids`.
    name : str
        The parameter, for messages.

    Raises
    ------
    ValueError
        If it knows no ids, or an id occurs twice.
    """
    features = None
    if hasattr(items, "item_ids"):
        ids, features = items.item_ids, getattr(items, "item_features", None)
        if ids is None:
            raise ValueError(
                f"{name} is a {type(items).__name__} without item_ids: set them, or pass the ids."
            )
    elif hasattr(items, "fit") and hasattr(items, "get_params"):
        model = last_step(items)
        check_is_fitted(model)
        ids = getattr(model, "item_ids_", None)
        if ids is None:
            raise ValueError(
                f"{name} is a {type(model).__name__} that was fitted without item ids: fit it on an Interactions with "
                "item_ids (Interactions.from_frame sets them), or pass the ids of its columns."
            )
    else:
        ids = as_ids(items, name)
    repeated = first_repeated(ids)
    if repeated is not None:
        raise ValueError(
            f"{name} must not contain an id twice: {ids[repeated : repeated + 1].tolist()[0]!r} occurs again at "
            f"position {repeated}."
        )
    return ids, features


def rows_or_missing(table: Any, found: NDArray[np.int64], ids: NDArray[Any], id_column: str) -> Any:
    """Return a row of the table per position; missing values where the position is -1.

    Tables that cannot contain missing values (sparse matrices, arrays of integers) become None then. A column of ids
    gets the ids.
    """
    if table is None or (found >= 0).all():
        return take_rows(table, found)
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        if sp.issparse(table) or not len(found) or getattr(table, "dtype", None) is None:
            return None
        if table.dtype.kind != "f" or not table.shape[0]:
            return None
        # Position -1 would read the last row: read the first one instead, then overwrite it.
        rows = table[np.maximum(found, 0)]
        rows[found < 0] = np.nan
        return rows
    return with_missing_rows(frame, found, ids, id_column)


def stacked_tables(tables: list[Any]) -> Any:
    """Stack tables; return None if one is missing or if their columns or kinds differ."""
    if any(table is None for table in tables):
        return None
    frames = [nw.from_native(table, eager_only=True, pass_through=True) for table in tables]
    if all(isinstance(frame, nw.DataFrame) for frame in frames):
        return _stacked_frames(frames)
    if any(isinstance(frame, nw.DataFrame) for frame in frames):
        return None
    widths = {np.shape(table)[1:] for table in tables}
    names = {tuple(column_names(table)) for table in tables}
    if len(widths) > 1 or len(names) > 1 or len({sp.issparse(table) for table in tables}) > 1:
        return None
    return sp.vstack(tables, format="csr") if sp.issparse(tables[0]) else np.concatenate(tables)


def _stacked_frames(frames: "list[nw.DataFrame[Any]]") -> Any:
    libraries = {frame.implementation for frame in frames}
    names = {tuple(frame.columns) for frame in frames}
    pandas = frames[0].implementation.is_pandas_like()
    same_types = pandas or all(frame.schema == frames[0].schema for frame in frames)
    if len(libraries) > 1 or len(names) > 1 or not same_types:
        return None
    # pandas would otherwise keep the numbers of the rows, several of them twice.
    frames = [nw.maybe_reset_index(frame) for frame in frames]
    return nw.concat(frames, how="vertical").to_native()
