"""`Interactions`: a sparse user-by-item matrix that also knows when, who and what."""

from functools import wraps
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec import _event_log
from sklearn_llmrec._entries import (
    as_times,
    is_coordinates,
    order_in_rows,
    positions,
    selected_axes,
    sorted_entries,
)
from sklearn_llmrec._tables import as_ids, known_positions, long_table, n_table_rows, take_rows

__all__ = ["Interactions"]


class Interactions(sp.csr_array):
    """Sparse user-by-item matrix with times, ids and features.

    It is a `scipy.sparse.csr_array`, so whatever takes one takes it: scikit-learn's transformers, splitters and
    searches. Selecting rows or columns, `copy`, `astype`, pickling and operations that only change values keep what
    it knows. Sorting, summing duplicates and dropping zeros move the times along; any other operation returns a
    matrix without times, never one with wrong ones.

    Parameters
    ----------
    arg1 : array-like, sparse, or what `scipy.sparse.csr_array` takes
        The values. Another `Interactions` hands on all it knows.
    shape : tuple of int, default=None
        Shape ``(n_users, n_items)`` where `arg1` does not tell it.
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
        Aligned with `data`. Never float32, which cannot tell unix seconds apart.
    user_ids, item_ids : ndarray or None
        Ids of rows and columns.
    user_features, item_features : table or None
        Tables with one row per row and per column.
    report_ : dict or None
        What `from_frame` read, dropped and merged, as counts.

    See Also
    --------
    scipy.sparse.csr_array : The class this one extends.

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

    # Class-wide defaults: scipy builds instances by ``self.__class__((data, indices, indptr), ...)``.
    _timestamps: NDArray[Any] | None = None
    _log_order: NDArray[Any] | None = (
        None  # position of every entry's event in the log, for ties in time
    )
    _user_ids: NDArray[Any] | None = None
    _item_ids: NDArray[Any] | None = None
    _user_features: Any = None
    _item_features: Any = None
    _table: tuple[str, str, str | None] = (
        "user",
        "item",
        None,
    )  # column names and library of tables out
    report_: dict[str, Any] | None = None

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
        if timestamps is not None:
            data, entries, indices, indptr, shape = sorted_entries(arg1, shape)
            times = as_times(timestamps, len(entries))
            super().__init__((data[entries], indices, indptr), shape, dtype, **options)
            self._timestamps, self._log_order = times[entries], entries
            if is_coordinates(arg1):
                self.sum_duplicates()
        else:
            super().__init__(arg1, shape, dtype, copy, **options)
        if isinstance(arg1, Interactions) and arg1.shape == self.shape:
            arg1._hand_on(self, copy=copy, times=timestamps is None)
        if user_ids is not None:
            self.user_ids = user_ids
        if item_ids is not None:
            self.item_ids = item_ids
        if user_features is not None:
            self.user_features = user_features
        if item_features is not None:
            self.item_features = item_features

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
        repeats : {"sum", "count", "last", "keep"}, default="sum"
            What becomes of several events of one user and item: their sum; their number (values are ignored); the
            value of the latest; or duplicate entries in the order of time. The time of a merged entry is the latest.
            Events of one time keep the order of the log.
        nonpositive : {"drop", "keep", "net"}, default="drop"
            Events whose value is zero or negative (cancellations, dislikes) are dropped, kept, or ("net", with
            ``repeats="sum"``) summed with the others, dropping pairs whose sum is not positive.
        missing : {"drop", "keep", "raise"}, default="drop"
            Events without a user, item, value or time are dropped or refused. With "keep", missing ids are one id,
            None, the last; missing values and times are refused.
        users, items : array-like, default=None
            Ids of the rows or columns, in this order, whatever the log holds: the catalogue, or the ids of an earlier
            matrix. Events of other ids are dropped. By default the sorted ids of the events that are left.
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
        parts = _event_log.build(
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
        X = cls((parts.data, parts.indices, parts.indptr), shape=parts.shape)
        X._timestamps, X._log_order = parts.timestamps, parts.log_order
        X._user_ids, X._item_ids = parts.user_ids, parts.item_ids
        X._user_features, X._item_features = parts.user_features, parts.item_features
        X._table, X.report_ = (user, item, parts.library), parts.report
        return X

    # -- what it knows ------------------------------------------------------------------------------------------------

    @property
    def timestamps(self) -> NDArray[Any] | None:
        """Time of every stored entry, aligned with `data`, or None."""
        times = self._timestamps
        # Arrays shared with another matrix may have lost entries there.
        return (
            times if times is not None and len(times) == len(self.data) == self.indptr[-1] else None
        )

    @timestamps.setter
    def timestamps(self, times: ArrayLike | None) -> None:
        if times is None:
            self._timestamps = self._log_order = None
            return
        self.prune()
        self._timestamps, self._log_order = as_times(times, self.nnz), None
        self.sort_indices()

    @property
    def user_ids(self) -> NDArray[Any] | None:
        """Ids of the rows, or None."""
        return _fitting(self._user_ids, self.shape, 0)

    @user_ids.setter
    def user_ids(self, ids: ArrayLike | None) -> None:
        self._user_ids = self._checked("user_ids", as_ids("user_ids", ids), 0)

    @property
    def item_ids(self) -> NDArray[Any] | None:
        """Ids of the columns, or None."""
        return _fitting(self._item_ids, self.shape, 1)

    @item_ids.setter
    def item_ids(self, ids: ArrayLike | None) -> None:
        self._item_ids = self._checked("item_ids", as_ids("item_ids", ids), 1)

    @property
    def user_features(self) -> Any:
        """Table with one row per row of the matrix, or None."""
        return _fitting(self._user_features, self.shape, 0)

    @user_features.setter
    def user_features(self, table: Any) -> None:
        self._user_features = self._checked("user_features", table, 0)

    @property
    def item_features(self) -> Any:
        """Table with one row per column of the matrix, or None."""
        return _fitting(self._item_features, self.shape, 1)

    @item_features.setter
    def item_features(self, table: Any) -> None:
        self._item_features = self._checked("item_features", table, 1)

    def _checked(self, name: str, values: Any, axis: int) -> Any:
        if values is not None and (self.ndim != 2 or n_table_rows(values) != self.shape[axis]):
            raise ValueError(
                f"{name} has {n_table_rows(values)} rows and the matrix has {('rows', 'columns')[axis]}: "
                f"{self.shape[axis] if self.ndim == 2 else 'one dimension'}; both must be equal."
            )
        return values

    def event_order(self) -> NDArray[np.int64]:
        """Positions of the stored entries row by row in the order of time.

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
        """Row numbers of the given user ids.

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
        """Column numbers of the given item ids.

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
        library: str | None = None,
    ) -> Any:
        """Recommendations as a table with the caller's own ids.

        Parameters
        ----------
        items : array-like of int of shape (n, k)
            Column numbers, best first, as `recommend` returns them; -1 gives no row.
        scores : array-like of shape (n, k), default=None
            Their scores.
        users : array-like of shape (n,), default=None
            Ids of the rows of `items`; by default those of the rows of this matrix.
        library : {"pandas", "polars", "pyarrow"}, default=None
            Library of the table; by default that of the log given to `from_frame`, else pandas.

        Returns
        -------
        frame : dataframe
            Columns for user, item and rank (from 1), and for the score where given; users and items are named as in
            the log.

        Raises
        ------
        ValueError
            If shapes do not match.
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
            np.asarray(users),
            item_ids,
            (user_name, item_name),
            library or known or "pandas",
        )

    # -- what keeps it ------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        axes = selected_axes(key) if self.ndim == 2 else None
        if axes is None:
            return super().__getitem__(key)
        rows, columns = (positions(part, n) for part, n in zip(axes, self.shape))
        result = self if rows is None else self._select_rows(rows)
        if columns is not None:
            result = result._select_columns(columns)
        return self.copy() if result is self else result

    def _select_rows(self, rows: NDArray[np.int64]) -> Self:
        starts, counts = self.indptr[rows], np.diff(self.indptr)[rows]
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(counts, out=indptr[1:])
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            entries: Any = slice(starts[0], starts[0] + indptr[-1])
        else:
            entries = np.repeat(starts - indptr[:-1], counts) + np.arange(indptr[-1])
        return self._rebuilt(entries, self.indices[entries], indptr, rows=rows)

    def _select_columns(self, columns: NDArray[np.int64]) -> Self:
        entries = sp.csr_array(
            (np.arange(len(self.data)), self.indices, self.indptr), shape=self.shape
        )
        picked = entries[:, columns]
        if not picked.has_sorted_indices:
            picked = picked.tocsc().tocsr()  # unlike sort_indices, it keeps the order of duplicates
        return self._rebuilt(picked.data, picked.indices, picked.indptr, columns=columns)

    def _rebuilt(
        self,
        entries: Any,
        indices: NDArray[Any],
        indptr: NDArray[Any],
        *,
        rows: NDArray[np.int64] | None = None,
        columns: NDArray[np.int64] | None = None,
    ) -> Self:
        """The given entries as a new matrix of the given rows or columns, with all that is known of them."""
        n_rows, n_columns = self.shape
        shape = (
            n_rows if rows is None else len(rows),
            n_columns if columns is None else len(columns),
        )
        result = type(self)((self.data[entries], indices, indptr), shape=shape, copy=True)
        self._hand_on(result, times=False)
        if self.timestamps is not None:
            result._timestamps = self.timestamps[entries].copy()
            result._log_order = None if self._log_order is None else self._log_order[entries].copy()
        result._user_ids, result._user_features = self.user_ids, self.user_features
        result._item_ids, result._item_features = self.item_ids, self.item_features
        if rows is not None:
            result._user_ids = take_rows(self.user_ids, rows)
            result._user_features = take_rows(self.user_features, rows)
        if columns is not None:
            result._item_ids = take_rows(self.item_ids, columns)
            result._item_features = take_rows(self.item_features, columns)
        return result

    def _hand_on(self, other: "Interactions", *, copy: bool = False, times: bool = True) -> None:
        """Give another matrix of this pattern what this one knows."""
        other._user_ids, other._user_features = self.user_ids, self.user_features
        other._item_ids, other._item_features = self.item_ids, self.item_features
        other._table, other.report_ = self._table, self.report_
        if times and self.timestamps is not None:
            other._timestamps = self.timestamps.copy() if copy else self.timestamps
            other._log_order = self._log_order

    def _with_data(self, data: NDArray[Any], copy: bool = True) -> Self:
        result: Self = super()._with_data(data, copy=copy)
        self._hand_on(result, copy=copy)
        return result

    def astype(self, dtype: Any, casting: Any = "unsafe", copy: bool = True) -> Self:
        """The matrix with values of another type; duplicate entries stay."""
        if self.dtype == np.dtype(dtype):
            return self.copy() if copy else self
        return self._with_data(self.data.astype(dtype, casting=casting))

    # -- what changes it in place: new arrays, so that others who share the old ones are not disturbed --------------

    def _drop_stale_times(self) -> bool:
        """Forget times that no longer match the entries; whether there are times."""
        if self._timestamps is not None and self.timestamps is None:
            self._timestamps = self._log_order = None
        return self._timestamps is not None

    def _keep_entries(self, entries: NDArray[Any]) -> None:
        self.data, self.indices = self.data[entries], self.indices[entries]
        if self._timestamps is not None:
            self._timestamps = self._timestamps[entries]
        if self._log_order is not None:
            self._log_order = self._log_order[entries]

    def sort_indices(self) -> None:
        """Sort the entries of every row by column, in place; duplicates stay in order."""
        if not self._drop_stale_times():
            super().sort_indices()
        elif not self.has_sorted_indices:
            _, entries, _, _, _ = sorted_entries(self, self.shape)
            if self._log_order is None:
                self._log_order = np.arange(self.nnz, dtype=entries.dtype)
            self._keep_entries(entries)
            self.has_sorted_indices = True

    def eliminate_zeros(self) -> None:
        """Drop stored zeros, in place."""
        if not self._drop_stale_times():
            super().eliminate_zeros()
            return
        keep = self.data != 0
        if not keep.all():
            self.indptr = np.append(0, np.cumsum(keep))[self.indptr].astype(self.indptr.dtype)
            self._keep_entries(keep)

    def __setitem__(self, key: Any, x: Any) -> None:
        self._drop_stale_times()
        super().__setitem__(key, x)
        self._drop_stale_times()

    def setdiag(self, values: Any, k: int = 0) -> None:
        """Set diagonal entries, in place; times go where entries are new."""
        self._drop_stale_times()
        super().setdiag(values, k)
        self._drop_stale_times()

    def resize(self, *shape: Any) -> None:
        """Change the shape, in place; times go where entries are lost, ids and features where the axis changed."""
        super().resize(*shape)
        self._drop_stale_times()

    def sum_duplicates(self) -> None:
        """Sum duplicate entries, in place; the time of a sum is the latest of its parts."""
        if not self._drop_stale_times():
            super().sum_duplicates()
            return
        if self.has_canonical_format:
            return
        self.sort_indices()
        first = np.append(True, self.indices[1:] != self.indices[:-1])
        first[self.indptr[:-1][np.diff(self.indptr) > 0]] = True
        starts = np.flatnonzero(first)
        times, logged = self._timestamps, self._log_order
        latest = np.maximum.reduceat(times, starts)
        if logged is not None:
            is_latest = times == np.repeat(latest, np.diff(np.append(starts, len(first))))
            logged = np.maximum.reduceat(np.where(is_latest, logged, -1), starts)
        self.data = np.add.reduceat(self.data, starts).astype(self.dtype, copy=False)
        self.indices = self.indices[starts]
        self.indptr = np.append(0, np.cumsum(first))[self.indptr].astype(self.indptr.dtype)
        self._timestamps, self._log_order = latest, logged
        self.has_canonical_format = True


def _fitting(values: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Values of an axis, or None where the matrix was resized away from them."""
    if values is None or len(shape) != 2 or n_table_rows(values) != shape[axis]:
        return None
    return values


def _reading(name: str) -> Any:
    """A method of csr_array that reads, made to leave duplicate entries of its object alone."""
    inherited = getattr(sp.csr_array, name)

    @wraps(inherited)
    def method(self: Interactions, *args: Any, **keywords: Any) -> Any:
        if not self.has_canonical_format:
            self = self.copy()
            self.sum_duplicates()
        return inherited(self, *args, **keywords)

    return method


# scipy begins these by summing duplicates in place, which would cost a matrix its repeated events.
for _name in (
    *("__abs__", "__round__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "power"),
    *("count_nonzero", "max", "min", "nanmax", "nanmin", "argmax", "argmin", "tolil", "todok"),
    *("sin", "tan", "arcsin", "arctan", "sinh", "tanh", "arcsinh", "arctanh", "rint", "sign"),
    *("expm1", "log1p", "deg2rad", "rad2deg", "floor", "ceil", "trunc", "sqrt"),
):
    setattr(Interactions, _name, _reading(_name))
