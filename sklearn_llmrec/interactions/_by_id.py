"""Build and join `Interactions` by ids: from lists, from several matrices, for another catalogue.

The base class of `Interactions` that matches ids. A look-up costs O(log n_items) per id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec.interactions import _joined
from sklearn_llmrec.interactions._array import AnnotatedArray, frozen
from sklearn_llmrec.interactions._catalogue import catalogue_of
from sklearn_llmrec.interactions._html import matrix_html
from sklearn_llmrec.interactions._lists import entries_of_lists, ids_in_lists, lists_of
from sklearn_llmrec.utils import as_ids, cast_values


class BuiltById(AnnotatedArray):
    """Match rows and columns of `Interactions` by the caller's ids."""

    @classmethod
    def from_lists(
        cls,
        histories: Any,
        *,
        items: Any = None,
        user_ids: ArrayLike | None = None,
        timestamps: Any = None,
        dtype: Any = None,
    ) -> Self:
        """Build the matrix from one list of item ids per user, such as posted baskets.

        Parameters
        ----------
        histories : list of lists, or dict of lists
            Item ids of every user, from the oldest event to the latest. The keys of a dict are user ids. A list may be
            empty, and an id may occur several times: each occurrence is an event of value 1.
        items : array-like, recommender, Pipeline, search, Interactions or bundle, default=None
            The columns: item ids in this order, or something that knows them: a model that was fitted with ids, a
            Pipeline or search that ends with one, another matrix. A matrix and a bundle hand on their item features.
            By default the sorted ids of the lists.
        user_ids : array-like of shape (n_users,), default=None
            Ids of the rows; by default the keys of a dict, else none.
        timestamps : list of lists or dict of lists, default=None
            A time per id, in lists of the same lengths: numbers or datetimes, as in `Interactions`. By default the
            place in the list, 0, 1, 2 and so on, so that sequential models read a list in its order. Such times are no
            dates: set ``X.timestamps = None`` before a step that measures ages, and it says that it needs times.
        dtype : dtype, default=None
            Type of the values, by default float64.

        Returns
        -------
        X : Interactions of shape (n_users, n_items)
            With a `report_`: ``events_read``, ``other_items`` (events of unknown ids, which are skipped),
            ``empty_histories`` (rows without a known id), ``n_users``, ``n_items`` and ``entries``.

        Raises
        ------
        TypeError
            If histories are no lists of ids, or contain ids of several types.
        ValueError
            If ids are of another kind than those of `items` (texts and numbers), times do not match, or `items` knows
            no ids.

        See Also
        --------
        from_frame : Builds the matrix from a table of events.
        sklearn_llmrec.recommend_ids : Goes from lists of ids to a table of ids and titles.

        Notes
        -----
        A look-up costs O(log n_items) per id, and sorting the catalogue the first time that a model or a matrix is
        given.

        Examples
        --------
        >>> from sklearn_llmrec import Interactions
        >>> X = Interactions.from_lists(
        ...     [["tea", "jam"], [], ["pan", "tea"]], items=["jam", "mug", "tea"]
        ... )
        >>> X.toarray()
        array([[1., 0., 1.],
               [0., 0., 0.],
               [0., 0., 1.]])
        >>> X.report_["other_items"], X.report_["empty_histories"]
        (1, 1)
        """
        lists, users = lists_of(histories, "histories")
        known, features = (ids_in_lists(lists), None) if items is None else catalogue_of(items)
        if users is not None:
            timestamps = _in_order_of(timestamps, users)
            user_ids = as_ids(users, "The keys of histories") if user_ids is None else user_ids
        entries, times, report = entries_of_lists(lists, timestamps, known)
        data = cast_values(np.ones(entries.nnz), float if dtype is None else dtype)
        X = cls((data, entries.indices, entries.indptr), shape=entries.shape)
        X._timestamps, X._log_order = times[entries.data], entries.data
        # Ids of a model are read-only and shared; ids of the caller are copied, so that no later change reaches X.
        X._item_ids = known if not known.flags.writeable else frozen(known.copy())
        X._item_features, X.report_ = features, report
        X._table = getattr(items, "_table", cls._table)
        if user_ids is not None:
            X.user_ids = user_ids
        return X

    @classmethod
    def concat(cls, matrices: Iterable[Any], *, repeats: str = "sum") -> Self:
        """Join matrices by user id and item id: the same users get one row, the same items one column.

        ``scipy.sparse.vstack`` stacks rows by position and returns a plain matrix without ids and times.

        Parameters
        ----------
        matrices : iterable of Interactions
            With `item_ids` and `user_ids`. Matrices without user ids have no users in common. Where none has item ids,
            all must have the same columns.
        repeats : {"sum", "last", "keep"}, default="sum"
            How interactions of one user and item in several matrices are merged. "sum": their sum. "last": the value
            of the latest (without times, of the last matrix). "keep": not at all; they are duplicate entries in the
            order of time. A sum has the latest time.
            Ratings need "last": two ratings of 5 would sum to 10.

        Returns
        -------
        X : Interactions of shape (n_users, n_items)
            Rows and columns are those of the first matrix, then new ones in the order in which they occur. Feature
            tables are kept if all matrices have one with the same columns; an id in several tables gets the row of the
            last.

        Raises
        ------
        ValueError
            If ids are missing, of two kinds, or name two rows of one matrix; or if some matrices have times and others
            have none.
        TypeError
            If one is no `Interactions`.

        Notes
        -----
        O(nnz) time, and a look-up per row and column.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_llmrec import Interactions
        >>> old = Interactions(np.eye(2), user_ids=["ann", "bob"], item_ids=["mug", "tea"])
        >>> new = Interactions(np.ones((1, 2)), user_ids=["bob"], item_ids=["pan", "tea"])
        >>> X = Interactions.concat([old, new])
        >>> X.item_ids.tolist(), X.toarray().tolist()
        (['mug', 'tea', 'pan'], [[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
        """
        matrices = [matrices] if isinstance(matrices, AnnotatedArray) else list(matrices)
        entries, users, items = _joined.concatenated(matrices, repeats)
        dtype = np.result_type(*(matrix.dtype for matrix in matrices))
        data = cast_values(entries.data, dtype)
        X = cls((data, entries.indices, entries.indptr), shape=(users.size, items.size))
        if entries.times is not None:
            X._timestamps, X._log_order = entries.times, entries.order
        X._user_ids, X._item_ids = users.ids, items.ids
        if items.ids is not None and items.ids.flags.writeable:
            X._item_ids = frozen(items.ids.copy())
        X._user_features = users.table([matrix.user_features for matrix in matrices])
        X._item_features = items.table([matrix.item_features for matrix in matrices])
        X._table = matrices[0]._table
        return X

    def with_items(self, ids: Any) -> Self:
        """Arrange the columns for another catalogue, matched by id.

        Parameters
        ----------
        ids : array-like, recommender, Pipeline, search, Interactions or bundle
            The new columns, as in `from_lists`.

        Returns
        -------
        X : Interactions of shape (n_users, n_ids)
            Items that this matrix lacks are columns without entries; their features are missing values, and tables that
            cannot contain these are left out. Entries of other items are dropped and counted as ``other_items`` of
            `report_`.

        Raises
        ------
        ValueError
            If this matrix has no item ids, or they are of another kind.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_llmrec import Interactions
        >>> X = Interactions(np.array([[1.0, 2.0]]), item_ids=["mug", "tea"])
        >>> X.with_items(["tea", "pan"]).toarray()
        array([[2., 0.]])
        """
        known, _ = catalogue_of(ids, "ids")
        result: Self = _joined.laid_out(self, known)
        return result

    def _repr_html_(self) -> str:
        return matrix_html(self)


def _in_order_of(timestamps: Any, users: list[Any]) -> Any:
    """Return times given by user as lists in the order of the users.

    Raises
    ------
    ValueError
        If times are given for other users.
    """
    if timestamps is None or not hasattr(timestamps, "keys"):
        return timestamps
    if set(timestamps) != set(users):
        differing = sorted(map(repr, set(timestamps) ^ set(users)))
        raise ValueError(
            f"timestamps and histories have different keys, such as {differing[0]}: both must be equal."
        )
    return [timestamps[user] for user in users]
