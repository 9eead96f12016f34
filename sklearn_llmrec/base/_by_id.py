"""Convert between item ids and column numbers: the meaning of ``ids=True`` for methods and functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.utils import as_ids, id_positions, is_missing, last_step


def item_ids_of(estimator: Any) -> NDArray[Any]:
    """Return the item ids that a recommender, or the last step of a Pipeline or search, was fitted with.

    Raises
    ------
    ValueError
        If it was fitted on a matrix without ids.
    """
    model = last_step(estimator)
    check_is_fitted(model)
    ids: NDArray[Any] | None = getattr(model, "item_ids_", None)
    if ids is None:
        raise ValueError(
            f"ids=True needs the item ids of the fit, and {type(model).__name__} was fitted on a matrix without: fit "
            "it on an Interactions with item_ids (Interactions.from_frame sets them), or pass column numbers with "
            "ids=False."
        )
    return ids


def columns_of_ids(
    estimator: Any, ids: Any, name: str, *, empty_places: bool = False
) -> NDArray[np.int64]:
    """Return the columns of item ids of a fitted recommender, Pipeline or search; see `columns_among`."""
    return columns_among(item_ids_of(estimator), ids, name, empty_places=empty_places)


def columns_among(
    known: NDArray[Any], ids: Any, name: str, *, empty_places: bool = False
) -> NDArray[np.int64]:
    """Return the columns of item ids, in the shape given.

    Parameters
    ----------
    known : ndarray
        The ids of all columns.
    ids : scalar or array-like
        Item ids.
    name : str
        The parameter that contains them, for messages.
    empty_places : bool, default=False
        Whether None and NaT mean an empty place of a list, and become -1. By default they are ids like others.

    Raises
    ------
    ValueError
        If one of them is no item id of the fit.
    TypeError
        If they are a mask.
    """
    # Without dtype=object, numpy would convert the ids of a mixed list to strings.
    given = np.array(ids, dtype=object) if isinstance(ids, (list, tuple)) else np.asarray(ids)
    if given.dtype.kind == "b" and known.dtype.kind != "b":
        raise TypeError(
            f"{name} contains booleans, and with ids=True it must contain item ids such as {known[:3].tolist()}: pass "
            "the ids that a mask selects, model.item_ids_[mask], or the mask with ids=False."
        )
    columns = np.full(given.size, -1, dtype=np.int64)
    flat, present = given.ravel(), np.ones(given.size, dtype=bool)
    if empty_places and given.dtype.kind in "OmM":
        present = np.array([not is_missing(label) for label in flat], dtype=bool)
    if present.any():
        asked = as_ids(flat[present].tolist() if given.dtype.kind == "O" else flat[present], name)
        columns[present] = found = id_positions(known, asked, "the model knows", f"{name} contains")
        if (found < 0).any():
            unknown = asked[found < 0]
            raise ValueError(
                f"{name} contains {len(unknown)} ids that are no item ids of the fit, for example "
                f"{unknown[:3].tolist()}; the model knows {len(known)}, such as {known[:3].tolist()}. Ids are equal "
                "only if their types are. Leave unknown ids out, or pass column numbers with ids=False."
            )
    return columns.reshape(given.shape)


def candidates_of_ids(estimator: Any, candidates: Any) -> Any:
    """Return candidates with column numbers instead of item ids; None and a sparse mask of the items stay."""
    if candidates is None or sp.issparse(candidates):
        item_ids_of(estimator)
        return candidates
    return columns_of_ids(estimator, candidates, "candidates")


def ids_of_columns(estimator: Any, columns: NDArray[np.int64]) -> NDArray[Any]:
    """Return the item ids of columns; an empty place (-1) becomes None, or NaT among dates."""
    known = item_ids_of(estimator)
    empty = columns < 0
    ids = known[np.maximum(columns, 0)]
    if empty.any():
        ids = ids if known.dtype.kind in "mM" else ids.astype(object)
        ids[empty] = np.datetime64("NaT") if known.dtype.kind == "M" else None
    return ids
