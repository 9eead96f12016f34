"""`recommend_ids`: lists of item ids in, a table of ids and titles out."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_llmrec.base._catalogue import catalogue
from sklearn_llmrec.base._recommend import recommend
from sklearn_llmrec.interactions import Interactions, long_table
from sklearn_llmrec.utils import as_ids, check_arguments, check_k

__all__ = ["recommend_ids"]


@check_arguments
def recommend_ids(
    model: Any,
    histories: Any,
    k: int = 10,
    *,
    item_columns: str | list[str] | None = None,
    item_features: Any = None,
    items: Any = None,
    timestamps: Any = None,
    exclude_seen: bool = True,
    candidates: Any = None,
    library: str | None = None,
) -> Any:
    """Recommend to histories that are lists of item ids, and return a table with the caller's ids and titles.

    Parameters
    ----------
    model : object
        A fitted recommender, a Pipeline or search that ends with one, any fitted estimator whose `predict` scores
        items, or a bundle: an object with `estimator`, `item_ids` and `item_features`.
    histories : list of lists, dict of lists, or Interactions
        Item ids of every user from the oldest event to the latest; the keys of a dict are user ids. Ids that the model
        does not know are skipped; `Interactions.from_lists` counts them. The columns of an `Interactions` are matched
        by id. A list that is empty, or without a known id, gets the fallback of the model, such as the most popular
        items.
    k : int, default=10
        Length of the lists.
    item_columns : str or list of str, default=None
        Columns of the item features that the table has too, such as titles.
    item_features : table or Interactions, default=None
        Where `item_columns` are found: an `Interactions` with item features, matched by id, or a table with one row per
        item in the order of `item_ids_`. By default the features of the bundle, or of `histories`.
    items : array-like of shape (n_items,), default=None
        Ids of the columns, for an estimator that was fitted without.
    timestamps : list of lists or dict of lists, default=None
        Times of the ids in `histories`, for models that measure ages.
    exclude_seen : bool, default=True
        Whether items of the history are left out.
    candidates : array-like of item ids, or boolean sparse of shape (n_users, n_items), default=None
        What may be recommended.
    library : {"pandas", "polars", "pyarrow"}, default=None
        Library of the table; by default that of the log of `histories`, else pandas.

    Returns
    -------
    frame : dataframe
        One row per recommendation, users in the order given and best items first: columns for user, item, rank (from 1)
        and score, and the item columns. Users of a list are numbered from 0. A user with fewer than k allowed items has
        fewer rows.

    Raises
    ------
    TypeError
        If `histories` are no lists of ids, or `model` is no fitted estimator.
    ValueError
        If no item ids are known, ids are of another kind than those of the model, `k` is above the number of items, or
        there is no such item column.
    ImportError
        If the library of the table is not installed.

    See Also
    --------
    recommend : Goes from rows of a matrix to arrays of column numbers.
    show : Puts the lists of several models beside the histories.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_llmrec import Interactions, ItemKNN, recommend_ids
    >>> log = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2, 3, 3], "item": ["tea", "mug", "tea", "mug", "jam", "tea"]}
    ... )
    >>> goods = pd.DataFrame(
    ...     {"item": ["jam", "mug", "tea"], "title": ["Plum jam", "A mug", "Green tea"]}
    ... )
    >>> X = Interactions.from_frame(log, user="user", item="item", item_features=goods)
    >>> model = ItemKNN().fit(X)
    >>> recommend_ids(
    ...     model, {"ann": ["mug"], "bob": []}, k=1, item_columns="title", item_features=X
    ... )
      user item  rank     score      title
    0  ann  tea     1  0.431337  Green tea
    1  bob  tea     1  3.000000  Green tea
    """
    known = catalogue(model, items)
    names = [item_columns] if isinstance(item_columns, str) else list(item_columns or ())
    X = known.rows(histories, timestamps)
    features = known.table(item_features, histories) if names else None
    columns = {name: known.feature(features, name) for name in names}
    allowed = known.columns(candidates, "candidates")
    k = check_k(k, len(known.ids))
    if X.shape[0]:
        found, scores = recommend(
            known.estimator, X, k, exclude_seen=exclude_seen, candidates=allowed
        )
    else:
        found, scores = np.zeros((0, k), dtype=np.int64), np.zeros((0, k))
    users = np.arange(X.shape[0]) if X.user_ids is None else as_ids(X.user_ids, "user_ids")
    table = histories._table if isinstance(histories, Interactions) else Interactions._table
    return long_table(
        found, scores, users, known.ids, table[:2], columns, library or table[2] or "pandas"
    )
