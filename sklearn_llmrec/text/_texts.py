"""Texts as callers have them: lists, arrays, columns, tables of one column."""

from typing import Any

import narwhals as nw
import numpy as np

from sklearn_llmrec.ensemble._item_data import feature_column


def is_missing(value: Any) -> bool:
    """Whether a value stands for no text: None, NaN, NaT or pandas' NA."""
    return value is None or value is np.ma.masked or bool(_differs_from_itself(value))


def _differs_from_itself(value: Any) -> bool:
    if isinstance(value, str):
        return False
    same = value == value  # NaN and NaT differ from themselves
    # pandas' NA answers NA, which refuses to be a bool: it is no bool at all.
    return not same if isinstance(same, (bool, np.bool_)) else type(value).__name__ == "NAType"


def as_texts(X: Any, name: str = "X") -> list[str]:
    """Texts as a list of stripped strings, missing ones empty.

    Parameters
    ----------
    X : array-like of str
        A list, an array, a series, or a table or array of one column.
    name : str, default="X"
        What messages call it.

    Returns
    -------
    texts : list of str

    Raises
    ------
    TypeError
        If a value is no text.
    ValueError
        If there is more than one column.
    """
    if isinstance(X, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of texts, got one text: pass [{name}].")
    native = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        if native.shape[1] != 1:
            raise ValueError(
                f"{name} must be one column of texts, got a table of {native.shape[1]} columns: "
                "select one, or name the columns in a template such as '{title} by {brand}'."
            )
        values = native[:, 0].to_list()
    elif isinstance(native, nw.Series):
        values = native.to_list()
    else:
        if hasattr(X, "ndim") and X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if getattr(X, "ndim", 1) != 1:
            raise ValueError(
                f"{name} must be one sequence of texts, got an array of shape {X.shape}."
            )
        values = list(X)
    texts = []
    for position, value in enumerate(values):
        if isinstance(value, str):
            texts.append(value.strip())
        elif is_missing(value):
            texts.append("")
        else:
            raise TypeError(
                f"{name} must hold texts; entry {position} is {value!r} of type "
                f"{type(value).__name__}."
            )
    return texts


def texts_of_items(item_texts: Any, X: Any) -> list[str]:
    """One text per item: given, from a column of item features, from ids, or a number.

    Raises
    ------
    ValueError
        If there is not one text per item.
    """
    n_items = X.shape[1]
    if isinstance(item_texts, str):
        texts = as_texts(feature_column(X, item_texts, n_items), "item_texts")
    elif item_texts is not None:
        texts = as_texts(item_texts, "item_texts")
    elif getattr(X, "item_ids", None) is not None:
        texts = [str(label) for label in X.item_ids]
    else:
        texts = [""] * n_items
    if len(texts) != n_items:
        raise ValueError(f"item_texts must hold one text per item, {n_items}; got {len(texts)}.")
    return [text or f"item {number}" for number, text in enumerate(texts)]
