"""`show`: display what users had beside what several models recommend to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.base._catalogue import Catalogue, catalogue, default_title
from sklearn_llmrec.base._named import named
from sklearn_llmrec.base._recommend import recommend
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import (
    as_numeric,
    check_arguments,
    check_k,
    html_table,
    id_positions,
    is_missing,
    require,
)

__all__ = ["RecommendationTable", "show"]

_N_USERS = 3
_WIDTH = 28


@dataclass(repr=False)
class RecommendationTable:
    """Histories beside the lists of several models; what `show` returns.

    Printing it shows one block per user, a notebook one table.

    Attributes
    ----------
    users : list
        Ids of the users, or row numbers of X.
    histories : list of list of str
        Titles (or ids) of the latest items of every user, the latest first.
    n_had : list of int
        How many items every user had.
    lists : dict of str to list of list of str
        By model, the titles (or ids) of the items recommended to every user, best first.
    """

    users: list[Any]
    histories: list[list[str]]
    n_had: list[int]
    lists: dict[str, list[list[str]]] = field(default_factory=dict)

    def _columns(self, place: int) -> dict[str, list[str]]:
        head = f"had ({self.n_had[place]})"
        return {
            head: self.histories[place],
            **{name: lists[place] for name, lists in self.lists.items()},
        }

    def _rows(self, place: int) -> list[list[str]]:
        columns = list(self._columns(place).values())
        height = max(map(len, columns), default=0)
        return [
            [column[row] if row < len(column) else "" for column in columns]
            for row in range(height)
        ]

    def to_frame(self) -> Any:
        """Return the table as a pandas DataFrame: a row per user and rank, a column "had" and one per model.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = require("pandas", extra="all")
        rows = [
            [user, rank + 1, *cells]
            for place, user in enumerate(self.users)
            for rank, cells in enumerate(self._rows(place))
        ]
        return pandas.DataFrame(rows, columns=["user", "rank", "had", *self.lists])

    def __repr__(self) -> str:
        blocks = []
        for place, user in enumerate(self.users):
            rows = [list(self._columns(place)), *self._rows(place)]
            rows = [[_shortened(cell) for cell in row] for row in rows]
            widths = [max(map(len, column)) for column in zip(*rows)]
            lines = [
                "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)) for row in rows
            ]
            blocks.append("\n".join([f"user {user}", *(line.rstrip() for line in lines)]))
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        return "".join(
            html_table(list(self._columns(place)), self._rows(place), f"user {user}", labels=0)
            for place, user in enumerate(self.users)
        )


def _shortened(text: str) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _chosen(X: Any, users: ArrayLike | None) -> tuple[Any, list[Any]]:
    """Return the rows of users, given by id where X has ids, and their labels."""
    rows: NDArray[np.int64]
    known = getattr(X, "user_ids", None)
    if users is None:
        rows = np.arange(min(_N_USERS, X.shape[0]))
    elif known is not None:
        rows = X.user_rows(users)
    else:
        rows = np.atleast_1d(np.asarray(users))
        if rows.dtype.kind not in "iu" or ((rows < 0) | (rows >= X.shape[0])).any():
            raise ValueError(
                f"users contains {rows[:5].tolist()}, and X has no user_ids: row numbers from 0 to {X.shape[0] - 1} "
                "are needed, or X.user_ids."
            )
    return X[rows], (rows if known is None else known[rows]).tolist()


def _latest(X: Interactions) -> list[NDArray[np.int64]]:
    """Return the columns of every row, the latest first; those of the highest values first where X has no times."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    order = np.lexsort((X.data, rows)) if X.timestamps is None else X.event_order()
    columns = X.indices[order]
    # An item that occurs several times is shown at its latest event.
    return [
        np.array(list(dict.fromkeys(columns[start:stop][::-1].tolist())), dtype=np.int64)
        for start, stop in zip(X.indptr[:-1], X.indptr[1:])
    ]


class _Labels:
    """Texts of items: the requested columns, a title by default, the id where a title is missing."""

    def __init__(self, known: Catalogue, features: Any, item_columns: Any) -> None:
        if item_columns is None:
            item_columns = default_title(features) or []
        names = [item_columns] if isinstance(item_columns, str) else list(item_columns)
        self.ids = known.ids
        self.columns = [known.feature(features, name) for name in names]

    def __call__(self, items: NDArray[np.int64]) -> list[str]:
        return [
            ", ".join(str(value) for value in values if not is_missing(value))
            or str(self.ids[item])
            for item, values in zip(items, zip(*(column[items] for column in self.columns)))
        ] or [str(value) for value in self.ids[items].tolist()]


def _of_history(
    ids: NDArray[Any], X: Interactions, item_features: Any, item_columns: Any, others: list[_Labels]
) -> Callable[[NDArray[np.int64]], list[str]]:
    """Return what labels the items of the histories: a table of X or the one given, else that of a model."""
    own_catalogue = Catalogue(None, ids, None)
    same_rows = item_features is None or isinstance(item_features, Interactions)
    if X.item_features is not None or (same_rows and item_features is not None):
        return _Labels(
            own_catalogue,
            own_catalogue.table(item_features if same_rows else None, X),
            item_columns,
        )
    for labels in others:
        if labels.columns:
            return lambda items: _labels_by_id(labels, ids[items])
    return _Labels(own_catalogue, None, None)


def _labels_by_id(labels: _Labels, ids: NDArray[Any]) -> list[str]:
    """Return the labels of ids; an id that the model does not know is its own label."""
    found = id_positions(labels.ids, ids, "the model knows", "X contains")
    texts = labels(found)
    return [
        text if place >= 0 else str(item_id)
        for text, place, item_id in zip(texts, found, ids.tolist())
    ]


@check_arguments
def show(
    models: Any,
    X: Any,
    users: ArrayLike | None = None,
    k: int = 10,
    *,
    n_history: int = 10,
    item_columns: str | list[str] | None = None,
    item_features: Any = None,
    exclude_seen: bool = True,
    candidates: Any = None,
) -> RecommendationTable:
    """Show what users had beside what several models recommend to them, by title.

    Parameters
    ----------
    models : dict of str to estimator, list of estimators, or estimator
        Fitted recommenders, Pipelines, searches or bundles. Their catalogues may differ.
    X : Interactions, or {array-like, sparse} of shape (n_users, n_items)
        Histories. A plain matrix needs models that were fitted without ids or on the same columns.
    users : array-like, default=None
        Ids of the users to show, or row numbers where X has no user ids; by default the first three rows.
    k : int, default=10
        Length of the lists, at most that of the catalogue.
    n_history : int, default=10
        How many items of the history are shown: the latest first, or those of the highest values where X has no times.
    item_columns : str or list of str, default=None
        Columns of the item features that name an item. By default a column called title, name or description, else the
        item id.
    item_features : table or Interactions, default=None
        As in `recommend_ids`. By default the features of X or of a bundle.
    exclude_seen : bool, default=True
        Whether items of the history are left out of the lists.
    candidates : array-like, default=None
        Item ids (column numbers where X has no ids) that may be recommended.

    Returns
    -------
    table : RecommendationTable
        Prints as text, and as HTML in a notebook; `to_frame` returns a table.

    Raises
    ------
    ValueError
        If a user is unknown, there is no such item column, or X and a model have no columns in common.

    See Also
    --------
    recommend_ids : Returns lists with scores as a table, for any number of users.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_llmrec import Interactions, ItemKNN, PopularityRecommender, show
    >>> log = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2, 3, 3], "item": ["tea", "mug", "tea", "mug", "jam", "tea"]}
    ... )
    >>> X = Interactions.from_frame(log, user="user", item="item")
    >>> show(
    ...     {"kNN": ItemKNN().fit(X), "popular": PopularityRecommender().fit(X)}, X, users=[3], k=1
    ... )
    user 3
    had (2)  kNN  popular
    tea      mug  mug
    jam
    """
    X = X if isinstance(X, Interactions) else Interactions(as_numeric(X))
    rows, names = _chosen(X, users)
    ids = np.arange(X.shape[1]) if X.item_ids is None else X.item_ids
    known = {name: catalogue(model, default=ids) for name, model in named(models, "models").items()}
    labels = {
        name: _Labels(known_catalogue, known_catalogue.table(item_features, rows), item_columns)
        for name, known_catalogue in known.items()
    }
    had = _latest(rows)
    result = RecommendationTable(names, [], [len(columns) for columns in had])
    for name, known_catalogue in known.items():
        found, _ = recommend(
            known_catalogue.estimator,
            known_catalogue.rows(rows),
            min(check_k(k, max(k, 1)), len(known_catalogue.ids)),
            exclude_seen=exclude_seen,
            candidates=known_catalogue.columns(candidates, "candidates"),
        )
        result.lists[name] = [labels[name](columns[columns >= 0]) for columns in found]
    of_history = _of_history(ids, rows, item_features, item_columns, list(labels.values()))
    result.histories = [of_history(columns[:n_history]) for columns in had]
    return result
