"""Texts as callers have them: lists, arrays, columns, tables of one column."""

import re
from collections.abc import Mapping, Set
from string import Formatter
from typing import Any

import narwhals as nw

from sklearn_llmrec.interactions import column_names
from sklearn_llmrec.utils import is_missing

_SURROGATES = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """Return a text that can be encoded: lone surrogates, left by broken exports, become the replacement character."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def as_texts(X: Any, name: str = "X") -> list[str]:
    """Return texts as a list of stripped strings; missing ones are empty.

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
    if isinstance(X, (Set, Mapping)):
        raise TypeError(
            f"{name} must be a sequence of texts, one per item in the order of the columns; a {type(X).__name__} has "
            "no such order: pass [texts[i] for i in X.item_ids]."
        )
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
            texts.append(readable(value.strip()))
        elif is_missing(value):
            texts.append("")
        else:
            raise TypeError(
                f"{name} must contain texts; entry {position} is {value!r} of type "
                f"{type(value).__name__}."
            )
    return texts


def table_columns(table: Any) -> dict[str, list[Any]]:
    """Return the columns of a dataframe or structured array by name; a plain array has none."""
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return {name: frame.get_column(name).to_list() for name in frame.columns}
    return {name: list(table[name]) for name in column_names(table)}


def texts_from_features(template: str, features: Any, of: str = "item") -> list[str]:
    """Return texts from a column of item or user features, by its name, or from several, by a template.

    Raises
    ------
    ValueError
        If there are no features, or not these columns.
    """
    if features is None:
        raise ValueError(
            f"{of}_texts={template!r} names columns of {of} features, and X has none: pass an "
            f"Interactions with {of}_features{', or one text per item' if of == 'item' else ''}."
        )
    columns = table_columns(features)
    if template in columns:
        return as_texts(columns[template], f"{of}_texts")
    return _filled(template, columns, of)


def _filled(template: str, columns: dict[str, list[Any]], of: str) -> list[str]:
    """Fill the template for every row; a missing value removes the words before it too."""
    parts = list(Formatter().parse(template))
    fields = [field for _, field, _, _ in parts if field is not None]
    unknown = [field for field in fields if field not in columns]
    if unknown or not fields:
        raise ValueError(
            f"{of}_texts={template!r} must be a column of {of}_features or name columns in braces: "
            f"there are {sorted(columns)}" + (f", and not {unknown}." if unknown else ".")
        )
    texts = []
    for row in range(len(columns[fields[0]])):
        text = ""
        for before, field, form, _ in parts:
            if field is None:
                text += before if text else ""
                continue
            value = columns[field][row]
            if not is_missing(value):
                text += before + format(value, form or "")
        texts.append(readable(text.strip()))
    return texts


def texts_of_items(item_texts: Any, X: Any) -> list[str]:
    """Return one text per item: given, from item features, from ids, or a number.

    Raises
    ------
    ValueError
        If there is not one text per item.
    """
    n_items = X.shape[1]
    if isinstance(item_texts, str):
        texts = texts_from_features(item_texts, getattr(X, "item_features", None))
    elif item_texts is not None:
        texts = as_texts(item_texts, "item_texts")
    elif getattr(X, "item_ids", None) is not None:
        texts = [str(label) for label in X.item_ids]
    else:
        texts = [""] * n_items
    if len(texts) != n_items:
        raise ValueError(f"item_texts must contain one text per item, {n_items}; got {len(texts)}.")
    return [readable(text) or f"item {number}" for number, text in enumerate(texts)]
