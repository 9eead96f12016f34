"""`AnnotatedArray`: a `csr_array` whose entries have times and whose rows and columns have ids and features."""

from __future__ import annotations

from functools import wraps
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.interactions._entries import as_times, positions, selected_axes, sorted_entries
from sklearn_llmrec.interactions._tables import n_table_rows, take_rows
from sklearn_llmrec.utils import as_ids, narrowed_data, widened_data


class AnnotatedArray(sp.csr_array):
    """Base of `Interactions`: keeps times, ids and features correct whatever scipy does to the entries."""

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    has_sorted_indices: bool
    has_canonical_format: bool

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

    # -- what it knows -------------------------------------------------------------------------------

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
        owned = None if ids is None else as_ids(ids, "user_ids").copy()
        self._user_ids = self._checked("user_ids", owned, 0)

    @property
    def item_ids(self) -> NDArray[Any] | None:
        """Ids of the columns, or None."""
        return _fitting(self._item_ids, self.shape, 1)

    @item_ids.setter
    def item_ids(self, ids: ArrayLike | None) -> None:
        owned = None if ids is None else frozen(as_ids(ids, "item_ids").copy())
        self._item_ids = self._checked("item_ids", owned, 1)

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

    def __repr__(self) -> str:
        known = ("timestamps", "user_ids", "item_ids", "user_features", "item_features")
        parts = [f"{self.nnz} stored elements"]
        parts += [name for name in known if getattr(self, name) is not None]
        return (
            f"<{type(self).__name__} of shape {self.shape} and dtype '{self.dtype}'\n"
            f"\twith {', '.join(parts)}>"
        )

    def _checked(self, name: str, values: Any, axis: int) -> Any:
        if values is None:
            return None
        if self.ndim != 2:
            raise ValueError(
                f"{name} needs a two-dimensional matrix, this one has shape {self.shape}."
            )
        if n_table_rows(values) != self.shape[axis]:
            raise ValueError(
                f"{name} has {n_table_rows(values)} rows and the matrix has {self.shape[axis]} "
                f"{('rows', 'columns')[axis]}: both must be equal."
            )
        return values

    # -- what keeps it -------------------------------------------------------------------------------

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
        starts = self.indptr[rows]
        counts = self.indptr[rows + 1] - starts
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
        """Return a new matrix of the given entries and rows or columns, with their ids, features and timestamps."""
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
            result._item_ids = frozen(take_rows(self.item_ids, columns))
            result._item_features = take_rows(self.item_features, columns)
        return result

    def _hand_on(self, other: AnnotatedArray, *, copy: bool = False, times: bool = True) -> None:
        """Copy times, ids and features to another matrix of this pattern."""
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
        """Return the matrix with values of another type; duplicate entries stay."""
        if self.dtype == np.dtype(dtype):
            return self.copy() if copy else self
        return self._with_data(self.data.astype(dtype, casting=casting))

    # -- what changes it in place: new arrays, so that others who share the old ones are not disturbed ---

    def _drop_stale_times(self) -> bool:
        """Remove times that no longer match the entries; return whether times remain."""
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
            kept = np.flatnonzero(keep)
            self.indptr = np.searchsorted(kept, self.indptr).astype(self.indptr.dtype)
            self._keep_entries(kept)

    def __setitem__(self, key: Any, x: Any) -> None:
        self._drop_stale_times()
        super().__setitem__(key, x)
        self._drop_stale_times()

    def setdiag(self, values: Any, k: int = 0) -> None:
        """Set diagonal entries in place; times are dropped if entries are new."""
        self._drop_stale_times()
        super().setdiag(values, k)
        self._drop_stale_times()

    def resize(self, *shape: Any) -> None:
        """Change the shape in place; times are dropped if entries are lost, ids and features if the axis changed."""
        super().resize(*shape)
        self._drop_stale_times()

    def sum_duplicates(self) -> None:
        """Sum duplicate entries, in place; the time of a sum is the latest of its parts.

        Integers keep their type if it can represent the sums, else they become int64 or float64.
        """
        has_times, dtype = self._drop_stale_times(), self.dtype
        if self.has_canonical_format:
            return
        if not has_times:
            # New arrays, so that those who share the old ones keep theirs.
            wide = widened_data(self.data)
            self.data = wide.copy() if wide is self.data else wide
            self.indices, self.indptr = self.indices.copy(), self.indptr.copy()
            super().sum_duplicates()
            self.data = narrowed_data(self.data, dtype)
            return
        self.sort_indices()
        first = np.append(True, self.indices[1:] != self.indices[:-1])
        first[self.indptr[:-1][np.diff(self.indptr) > 0]] = True
        starts = np.flatnonzero(first)
        times, logged = np.asarray(self._timestamps), self._log_order
        latest = np.maximum.reduceat(times, starts)
        if logged is not None:
            is_latest = times == np.repeat(latest, np.diff(np.append(starts, len(first))))
            logged = np.maximum.reduceat(np.where(is_latest, logged, -1), starts)
        sums = np.add.reduceat(widened_data(self.data), starts)
        self.data = narrowed_data(sums, dtype) if sums.dtype.kind in "iu" else sums
        self.indices = self.indices[starts]
        self.indptr = np.searchsorted(starts, self.indptr).astype(self.indptr.dtype)
        self._timestamps, self._log_order = latest, logged
        self.has_canonical_format = True


def frozen(ids: NDArray[Any] | None) -> NDArray[Any] | None:
    """Make ids read-only, so that matrices and fitted models may share one array of them."""
    if ids is not None:
        ids.flags.writeable = False
    return ids


def _fitting(values: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Return values of an axis, or None if the matrix was resized and they no longer fit."""
    if values is None or len(shape) != 2 or n_table_rows(values) != shape[axis]:
        return None
    return values


def _reading(name: str) -> Any:
    """Wrap a reading method of csr_array so that it does not sum the duplicate entries of its object."""
    inherited = getattr(sp.csr_array, name)

    @wraps(inherited)
    def method(self: AnnotatedArray, *args: Any, **keywords: Any) -> Any:
        if not self.has_canonical_format:
            self = self.copy()
            self.sum_duplicates()
        return inherited(self, *args, **keywords)

    return method


# scipy begins these by summing duplicates in place, which would cost a matrix its repeated events.
for _name in (
    *("__abs__", "__round__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "power"),
    *("count_nonzero", "max", "min", "nanmax", "nanmin", "argmax", "argmin", "tolil", "todok"),
    *("sum", "maximum", "minimum"),
    *("sin", "tan", "arcsin", "arctan", "sinh", "tanh", "arcsinh", "arctanh", "rint", "sign"),
    *("expm1", "log1p", "deg2rad", "rad2deg", "floor", "ceil", "trunc", "sqrt"),
):
    setattr(AnnotatedArray, _name, _reading(_name))
