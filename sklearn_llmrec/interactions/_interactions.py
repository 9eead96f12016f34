"""`Interactions`: a sparse user-by-item matrix with times, ids and features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.interactions import _event_log
from sklearn_llmrec.interactions._array import AnnotatedArray, frozen
from sklearn_llmrec.interactions._batches import event_batches
from sklearn_llmrec.interactions._by_id import BuiltById
from sklearn_llmrec.interactions._entries import (
    as_times,
    is_coordinates,
    order_in_rows,
    sorted_entries,
)
from sklearn_llmrec.interactions._sql import query_batches
from sklearn_llmrec.interactions._tables import (
    known_positions,
    long_table,
    matrix_of_table,
    table_column,
)
from sklearn_llmrec.utils import (
    as_csr,
    as_ids,
    as_numeric,
    cast_values,
    narrowed_data,
    refuse_triples,
    widened_data,
)

__all__ = ["Interactions"]


def known_values(values: Any) -> NDArray[Any]:
    """Return values of entries in a type that SciPy's sparse arrays support."""
    values = np.asarray(values)
    # Operations of SciPy build complex results, which are its own business.
    return values if values.dtype.kind == "c" else as_numeric(values, "The values")


class Interactions(BuiltById):
    """Sparse user-by-item matrix with times, ids and features.

    It is a `scipy.sparse.csr_array`, so whatever takes one takes it: scikit-learn's transformers, splitters and
    searches. Selecting rows or columns, `copy`, `astype`, pickling and operations that only change values keep what
    it knows. Sorting, summing duplicates and dropping zeros move the times along; any other operation returns a
    matrix without times, never one with wrong ones.

    Parameters
    ----------
    arg1 : array-like, sparse, or what `scipy.sparse.csr_array` takes
        The values. Another `Interactions` hands on all it knows; a dataframe with a row per user and a column per
        item its labels. A table of events is read by `from_frame`.
    shape : tuple of int, default=None
        Shape ``(n_users, n_items)`` where `arg1` does not define it.
    dtype : dtype, default=None
        Type of the values.
    copy : bool, default=False
        Whether to copy the arrays of `arg1`.
    timestamps : array-like of shape (nnz,), default=None
        Time of every stored entry, in the order of the entries of `arg1`: integers, floats, or datetimes, which become
        unix seconds. Entries are sorted by column; events of one time stay in the order given (see `event_order`).
        Duplicate entries are kept in compressed input and summed in coordinate input, as scipy does; a sum has the
        latest time of its parts.
    user_ids : array-like of shape (n_users,), default=None
        The caller's id of every row.
    item_ids : array-like of shape (n_items,), default=None
        The caller's id of every column.
    item_features : table of shape (n_items, ...), default=None
        One row per column: a dataframe that narwhals knows (pandas, polars, pyarrow), an array or a sparse matrix.
    user_features : table of shape (n_users, ...), default=None
        One row per row.
    **options : dict
        Further keywords of `scipy.sparse.csr_array`.

    Attributes
    ----------
    timestamps : ndarray of shape (nnz,), int64 or float64, or None
        Aligned with `data`. Never float32, which cannot represent unix seconds exactly.
    user_ids, item_ids : ndarray or None
        Ids of rows and columns.
    user_features, item_features : table or None
        Tables with one row per row and per column.
    report_ : dict or None
        What `from_frame` read, dropped and merged, as counts.

    See Also
    --------
    scipy.sparse.csr_array : The class this one extends.
    from_frame : Builds the matrix from a table of events.
    from_lists : Builds the matrix from one list of item ids per user.
    concat : Joins matrices by user and item id, where ``scipy.sparse.vstack`` returns a plain matrix without ids.

    Notes
    -----
    Arrays shared with a plain matrix (``csr_array(X)``) stay right: entries with times are sorted at construction,
    so sorting the other one moves nothing, and where it drops or merges entries in place, `timestamps` becomes None.
    Reading operations that scipy begins by summing duplicates in place (`abs`, `max`, comparisons) work on a copy.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions
    >>> X = Interactions(np.array([[1.0, 0, 2], [0, 3, 0]]), user_ids=["ann", "bob"])
    >>> X.timestamps = [10, 30, 20]
    >>> X[[1, 0]].timestamps
    array([20, 10, 30])
    >>> X[:1].user_ids
    array(['ann'], dtype='<U3')
    >>> (X + X).timestamps is None
    True
    """

    def __init__(
        self,
        arg1: Any,
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
        copy: bool = False,
        *,
        timestamps: ArrayLike | None = None,
        user_ids: ArrayLike | None = None,
        item_ids: ArrayLike | None = None,
        item_features: Any = None,
        user_features: Any = None,
        **options: Any,
    ) -> None:
        arg1, rows, columns = matrix_of_table(arg1)
        user_ids = rows if user_ids is None else user_ids
        item_ids = columns if item_ids is None else item_ids
        if timestamps is not None:
            data, entries, indices, indptr, shape = sorted_entries(arg1, shape)
            times = as_times(timestamps, len(entries))
            super().__init__((known_values(data[entries]), indices, indptr), shape, **options)
            self._timestamps, self._log_order = times[entries], entries
            if is_coordinates(arg1):
                self.sum_duplicates()
        else:
            self._set_entries(arg1, shape, copy, options)
        if dtype is not None:
            self.data = cast_values(self.data, dtype)
        if isinstance(arg1, AnnotatedArray) and arg1.shape == self.shape:
            arg1._hand_on(self, copy=copy, times=timestamps is None)
        if user_ids is not None:
            self.user_ids = user_ids
        if item_ids is not None:
            self.item_ids = item_ids
        if user_features is not None:
            self.user_features = user_features
        if item_features is not None:
            self.item_features = item_features

    def _set_entries(
        self, arg1: Any, shape: tuple[int, ...] | None, copy: bool, options: dict[str, Any]
    ) -> None:
        """Set the entries of a matrix without times; sums of duplicate coordinates do not overflow."""
        if sp.issparse(arg1):
            # Conversions of other formats sum duplicates.
            arg1 = as_csr(arg1) if arg1.format in ("coo", "bsr") else arg1
            super().__init__(arg1, shape, copy=copy, **options)
        elif not isinstance(arg1, tuple):
            dense = as_numeric(arg1, "The matrix")
            refuse_triples(dense)
            super().__init__(dense, shape, copy=copy, **options)
        elif np.ndim(arg1[0]) == 0:  # a shape
            super().__init__(arg1, shape, copy=copy, **options)
        else:
            data = known_values(arg1[0])
            wide = widened_data(data) if len(arg1) == 2 else data
            super().__init__((wide, *arg1[1:]), shape, copy=copy, **options)
            if len(arg1) == 2:
                self.sum_duplicates()  # old versions of scipy do not
            self.data = narrowed_data(self.data, data.dtype)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str,
        item: str,
        value: str | None = None,
        timestamp: str | None = None,
        event: str | None = None,
        event_weights: dict[Any, float] | None = None,
        repeats: str = "sum",
        nonpositive: str = "drop",
        missing: str = "drop",
        users: ArrayLike | None = None,
        items: ArrayLike | None = None,
        min_user_interactions: int = 1,
        min_item_interactions: int = 1,
        user_features: Any = None,
        item_features: Any = None,
        dtype: Any = None,
    ) -> Self:
        """Build the matrix from an event log, one event per row of a table.

        Parameters
        ----------
        frame : dataframe
            A pandas, polars or pyarrow table, or any other that narwhals reads eagerly.
        user, item : str
            Columns of user and item ids: numbers, strings or dates.
        value : str, default=None
            Column of values: ratings, quantities, prices. Without it an event is worth 1.
        timestamp : str, default=None
            Column of times. Numbers stay what they are, as int64 or float64; datetimes become unix seconds, int64, or
            float64 where the log has fractions of a second.
        event : str, default=None
            Column of event types.
        event_weights : dict, default=None
            Weight of every event type, multiplied with the value; events of other types are dropped.
        repeats : {"sum", "mean", "count", "last", "keep"}, default="sum"
            How several events of one user and item are merged. "sum", "mean": of their values. "count": their number,
            whatever the values. "last": the value of the latest (of the last in the log, if there are no times).
            "keep": not at all; they are duplicate entries in the order of time. The sum suits quantities and counts.
            Ratings need "last" or "mean": two ratings of 5 would sum to 10. The time of a merged entry is the latest.
            Events of one time keep the order of the log.
        nonpositive : {"drop", "keep", "net"}, default="drop"
            Events whose value is zero or negative (cancellations, dislikes) are dropped, kept, or ("net", with
            ``repeats="sum"``) summed with the others, dropping pairs whose sum is not positive.
        missing : {"drop", "keep", "raise"}, default="drop"
            Events without a user, item, value or time are dropped or refused. With "keep", missing ids are one id,
            None, the last; missing values and times are refused.
        users, items : array-like, default=None
            Ids of the rows or columns, in this order, whatever the log contains: the catalogue, or the ids of an
            earlier matrix. Events of other ids are dropped. By default the sorted ids of the events that are left.
        min_user_interactions, min_item_interactions : int, default=1
            Users with fewer items and items with fewer users are dropped, repeatedly until none is left.
        user_features, item_features : dataframe, default=None
            Tables with the id column `user` or `item`, brought to one row per row or column of the matrix; ids they
            lack get missing values.
        dtype : dtype, default=None
            Type of the values; by default float32 if the value column is float32, else float64.

        Returns
        -------
        X : Interactions of shape (n_users, n_items)
            With a `report_` of what was read, dropped and merged.

        Raises
        ------
        ValueError
            If a column or an id is missing, values are infinite, or no event is left.
        TypeError
            If values or times are not numbers.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklearn_llmrec import Interactions
        >>> log = pd.DataFrame(
        ...     {
        ...         "who": ["bob", "ann", "bob", "bob"],
        ...         "what": ["tea", "tea", "tea", "mug"],
        ...         "when": pd.to_datetime(
        ...             ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03"]
        ...         ),
        ...     }
        ... )
        >>> X = Interactions.from_frame(log, user="who", item="what", timestamp="when")
        >>> X.toarray()
        array([[0., 1.],
               [1., 2.]])
        >>> X.user_ids.tolist(), X.item_ids.tolist()
        (['ann', 'bob'], ['mug', 'tea'])
        >>> X.report_["events_read"], X.report_["repeats_merged"]
        (4, 1)
        """
        parts = _event_log.build_from_log(
            frame,
            user=user,
            item=item,
            value=value,
            timestamp=timestamp,
            event=event,
            event_weights=event_weights,
            repeats=repeats,
            nonpositive=nonpositive,
            missing=missing,
            users=users,
            items=items,
            min_user_interactions=min_user_interactions,
            min_item_interactions=min_item_interactions,
            user_features=user_features,
            item_features=item_features,
            dtype=dtype,
        )
        return cls._of_parts(parts, user, item)

    @classmethod
    def from_batches(
        cls,
        source: Any,
        *,
        user: str,
        item: str,
        value: str | None = None,
        timestamp: str | None = None,
        repeats: str = "sum",
        nonpositive: str = "drop",
        missing: str = "drop",
        users: ArrayLike | None = None,
        items: ArrayLike | None = None,
        min_user_interactions: int = 1,
        min_item_interactions: int = 1,
        dtype: Any = None,
    ) -> Self:
        """Build the matrix from an event log that is read batch by batch, and never in memory as a table.

        The matrix is that of `from_frame` on the whole log, for batches of any size. An event takes 8 bytes of codes,
        its value and its time until all are read; ids are in memory once.

        Parameters
        ----------
        source : str, Path, list of these, pyarrow.Table, pyarrow.dataset.Dataset or callable
            Parquet or CSV files, which may be patterns (``"log-*.parquet"``); a table; a dataset; or a function that
            returns an iterator of Arrow record batches, such as the result of a query.
        user, item : str
            Columns of user and item ids, two different ones: numbers, strings or dates.
        value, timestamp : str, default=None
            Columns of values and of times, as in `from_frame`.
        repeats : {"sum", "mean", "count", "last", "keep"}, default="sum"
            What becomes of several events of one user and item, as in `from_frame`. Events of one time keep the order
            in which they are read.
        nonpositive : {"drop", "keep", "net"}, default="drop"
            What becomes of events whose value is zero or negative, as in `from_frame`.
        missing : {"drop", "raise"}, default="drop"
            Events without a user, item, value or time are dropped or refused.
        users, items : array-like, default=None
            Ids of the rows or columns, in this order, whatever the log contains.
        min_user_interactions, min_item_interactions : int, default=1
            Users with fewer items and items with fewer users are dropped, repeatedly until none is left.
        dtype : dtype, default=None
            Type of the values; by default float32 if the value column is float32, else float64.

        Returns
        -------
        X : Interactions of shape (n_users, n_items)
            With a `report_` of what was read, dropped and merged.

        Raises
        ------
        ImportError
            If the extra ``arrow`` is not installed.
        FileNotFoundError
            If no file has the name, or matches the pattern.
        ValueError
            If a column is missing, values are infinite, or no event is left.
        TypeError
            If the source is none of these, or values or times are not numbers.

        See Also
        --------
        sklearn_llmrec.distributed.partition_events : For a log whose matrix does not fit in memory either.

        Examples
        --------
        >>> import pyarrow as pa
        >>> from sklearn_llmrec import Interactions
        >>> log = pa.table({"who": ["bob", "ann", "bob"], "what": ["tea", "tea", "mug"]})
        >>> X = Interactions.from_batches(lambda: log.to_batches(2), user="who", item="what")
        >>> X.toarray()
        array([[0., 1.],
               [1., 1.]])
        >>> X.user_ids.tolist()
        ['ann', 'bob']
        """
        if user == item:
            raise ValueError(f"user and item must be two columns, got {user!r} for both.")
        columns = [name for name in (user, item, value, timestamp) if name is not None]
        parts = _event_log.build_from_batches(
            event_batches(source, list(dict.fromkeys(columns)))(),
            user=user,
            item=item,
            value=value,
            timestamp=timestamp,
            repeats=repeats,
            nonpositive=nonpositive,
            missing=missing,
            users=users,
            items=items,
            min_user_interactions=min_user_interactions,
            min_item_interactions=min_item_interactions,
            dtype=dtype,
        )
        return cls._of_parts(parts, user, item)

    @classmethod
    def from_sql(
        cls,
        query: str,
        connection: Any,
        *,
        user: str,
        item: str,
        value: str | None = None,
        timestamp: str | None = None,
        parameters: Any = None,
        **options: Any,
    ) -> Self:
        """Build the matrix from the result of a query, which is read batch by batch.

        Parameters
        ----------
        query : str
            What the database runs, once. It need not be ordered; events of one time keep the order of the result.
        connection : object
            A connection of Python's database interface (PEP 249), such as of sqlite3 or psycopg. Those of psycopg use
            a cursor of the server; other drivers may fetch the whole result at once. It stays open.
        user, item : str
            Columns of user and item ids in the result.
        value, timestamp : str, default=None
            Columns of values and of times, as in `from_frame`.
        parameters : sequence or dict, default=None
            Values of the placeholders of the query, which the driver inserts.
        **options : dict
            Further parameters of `from_batches`: `repeats`, `nonpositive`, `missing`, `users`, `items`,
            `min_user_interactions`, `min_item_interactions` and `dtype`.

        Returns
        -------
        X : Interactions of shape (n_users, n_items)

        Raises
        ------
        ImportError
            If the extra ``arrow`` is not installed.
        TypeError
            If the connection has no cursors, or a column contains ids of several types.
        ValueError
            If the result lacks a column, or no event is left.

        See Also
        --------
        from_batches : Reads files, datasets, and functions that return Arrow batches.

        Examples
        --------
        >>> import sqlite3
        >>> from sklearn_llmrec import Interactions
        >>> connection = sqlite3.connect(":memory:")
        >>> _ = connection.execute("create table log (who text, what text)")
        >>> _ = connection.executemany(
        ...     "insert into log values (?, ?)", [("bob", "tea"), ("ann", "mug")]
        ... )
        >>> X = Interactions.from_sql(
        ...     "select who, what from log", connection, user="who", item="what"
        ... )
        >>> X.user_ids.tolist(), X.item_ids.tolist()
        (['ann', 'bob'], ['mug', 'tea'])
        """
        names = {"user": user, "item": item, "value": value, "timestamp": timestamp}
        columns = list(dict.fromkeys(name for name in names.values() if name is not None))
        source = query_batches(query, connection, parameters, columns)
        return cls.from_batches(
            source, user=user, item=item, value=value, timestamp=timestamp, **options
        )

    @classmethod
    def _of_parts(cls, parts: _event_log.Parts, user: str, item: str) -> Self:
        """Return the matrix of the parts of a log."""
        X = cls((parts.data, parts.indices, parts.indptr), shape=parts.shape)
        X._timestamps, X._log_order = parts.timestamps, parts.log_order
        X._user_ids, X._item_ids = parts.user_ids, frozen(parts.item_ids)
        X._user_features, X._item_features = parts.user_features, parts.item_features
        X._table, X.report_ = (user, item, parts.library), parts.report
        return X

    def event_order(self) -> NDArray[np.int64]:
        """Return the positions of the stored entries, row by row in the order of time.

        Returns
        -------
        order : ndarray of shape (nnz,)
            ``X.indices[order]`` are the items of the first row from earliest to latest, then those of the second, and
            so on. Events of one time keep the order of the log.

        Raises
        ------
        ValueError
            If the matrix has no times.
        """
        times = self.timestamps
        if times is None:
            raise ValueError("The order of events needs timestamps, and this matrix has none.")
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        return order_in_rows(rows, times, self._log_order)

    def user_rows(self, ids: ArrayLike) -> NDArray[np.int64]:
        """Return the row numbers of the given user ids.

        Parameters
        ----------
        ids : array-like
            The caller's ids.

        Returns
        -------
        rows : ndarray of int64

        Raises
        ------
        ValueError
            If the matrix has no user ids, or not these.
        """
        return known_positions("user", self.user_ids, ids)

    def item_columns(self, ids: ArrayLike) -> NDArray[np.int64]:
        """Return the column numbers of the given item ids.

        Parameters
        ----------
        ids : array-like
            The caller's ids.

        Returns
        -------
        columns : ndarray of int64

        Raises
        ------
        ValueError
            If the matrix has no item ids, or not these.
        """
        return known_positions("item", self.item_ids, ids)

    def to_frame(
        self,
        items: ArrayLike,
        scores: ArrayLike | None = None,
        *,
        users: ArrayLike | None = None,
        item_columns: str | list[str] | None = None,
        library: str | None = None,
    ) -> Any:
        """Return recommendations as a table with the caller's own ids.

        Parameters
        ----------
        items : array-like of int of shape (n, k)
            Column numbers, best first, as `recommend` returns them; -1 gives no row.
        scores : array-like of shape (n, k), default=None
            Their scores.
        users : array-like of shape (n,), default=None
            Ids of the rows of `items`; by default those of the rows of this matrix.
        item_columns : str or list of str, default=None
            Columns of the item features that the table has too, such as titles.
        library : {"pandas", "polars", "pyarrow"}, default=None
            Library of the table; by default that of the log given to `from_frame`, else pandas.

        Returns
        -------
        frame : dataframe
            Columns for user, item and rank (from 1), and for the score and item features where requested; users and
            items are named as in the log.

        Raises
        ------
        ValueError
            If shapes do not match, or there is no such item feature.
        ImportError
            If the library of the table is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_llmrec import Interactions
        >>> X = Interactions(np.eye(2), user_ids=["ann", "bob"], item_ids=["mug", "tea"])
        >>> X.to_frame([[1, -1], [0, 1]])
          user item  rank
        0  ann  tea     1
        1  bob  mug     1
        2  bob  tea     2
        """
        items = np.asarray(items)
        names = [item_columns] if isinstance(item_columns, str) else list(item_columns or ())
        features = {name: table_column(self.item_features, "item_features", name) for name in names}
        if users is None:
            if items.ndim == 2 and len(items) != self.shape[0]:
                raise ValueError(
                    f"items has {len(items)} rows and the matrix {self.shape[0]}: select the rows that were "
                    "recommended to, X[rows].to_frame(items), or pass their ids as users."
                )
            users = np.arange(self.shape[0]) if self.user_ids is None else self.user_ids
        item_ids = np.arange(self.shape[1]) if self.item_ids is None else self.item_ids
        user_name, item_name, known = self._table
        return long_table(
            items,
            scores,
            as_ids(users, "users"),
            item_ids,
            (user_name, item_name),
            features,
            library or known or "pandas",
        )
