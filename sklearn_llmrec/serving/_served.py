"""A loaded bundle, ready to answer: ids to columns, histories to rows, rows to lists."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from sklearn_llmrec.base import last_step, recommend
from sklearn_llmrec.ensemble import BanditReranker
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.serving._live import LiveEvents
from sklearn_llmrec.utils import csr_of, kind_of_ids

# The largest time of a log in unix seconds is between these: 1973 and the year 5138. Milliseconds are above.
_UNIX_SECONDS = (1e8, 1e11)


class Row:
    """The history of one request as columns, with values and times.

    Attributes
    ----------
    columns : ndarray of int32
    values : ndarray
    times : ndarray or None
    n_unknown : int
        How many ids of the history are not in the catalogue.
    known_user : bool or None
        Whether a user of the request has a history; None where no user was.
    """

    __slots__ = ("columns", "known_user", "n_unknown", "times", "values")

    def __init__(
        self,
        columns: NDArray[Any],
        values: NDArray[Any],
        times: NDArray[Any] | None,
        n_unknown: int = 0,
        known_user: bool | None = None,
    ) -> None:
        self.columns, self.values, self.times = columns, values, times
        self.n_unknown, self.known_user = n_unknown, known_user


class Lists(NamedTuple):
    """Lists of columns, and what they were made from."""

    X: Any
    items: NDArray[np.int64]
    scores: NDArray[Any]
    seen: sp.csr_array | None
    candidates: sp.csr_array | None


class ServedModel:
    """A bundle prepared for requests.

    Parameters
    ----------
    bundle : Bundle
        As `sklearn_llmrec.persistence.load` returns it, with item ids.
    max_history : int
        How many interactions of a known user are read, the latest.

    Attributes
    ----------
    version : str
    position : tuple of (str or None, int)
        The feedback database whose events the bundle contains, and the number of the last one.
    user_kind, item_kind : str or None
        The kind of the ids, such as "texts" or "numbers"; None where the bundle has none.
    takes_unix_seconds : bool
        Whether times are unix seconds, as far as the bundle shows: its latest time is one, or it has no times.
    """

    def __init__(self, bundle: Any, *, max_history: int) -> None:
        self.estimator: Any = bundle.estimator
        self.version: str = bundle.version
        self.manifest: dict[str, Any] = bundle.manifest
        self.model = last_step(bundle.estimator)
        if bundle.item_ids is None:
            raise ValueError("The bundle has no item ids, so the server could not answer in ids.")
        self._item_ids: NDArray[Any] = bundle.item_ids
        self.item_ids: list[Any] = json_ids(bundle.item_ids)
        self.column_of = {item: column for column, item in enumerate(self.item_ids)}
        self.n_items = len(self.item_ids)
        self._max_history = max_history
        self._histories: Interactions | None = bundle.histories
        # Rows of the type that the model was fitted on need no cast.
        self._dtype = np.dtype(np.float64) if bundle.histories is None else bundle.histories.dtype
        users = [] if bundle.histories is None else json_ids(bundle.histories.user_ids)
        self.user_kind = None if not users else kind_of_ids(bundle.histories.user_ids)
        self.item_kind = kind_of_ids(bundle.item_ids)
        self.takes_unix_seconds = _are_unix_seconds(bundle.histories)
        self._row_of = {user: row for row, user in enumerate(users)}
        self._features = _feature_table(bundle.item_features)
        self._feature_lists: dict[str, list[Any]] = {}
        tags = get_tags(self.model) if hasattr(self.model, "__sklearn_tags__") else None
        ours = getattr(tags, "recommender_tags", None)
        # Steps of a Pipeline may need what the last one does not, so only bare models get plain matrices.
        self._plain = self.model is self.estimator and not (
            ours is None or ours.needs_order or ours.keeps_input
        )
        self.bandit = self.model if isinstance(self.model, BanditReranker) else None
        self.position = _feedback_position(self.manifest)

    @property
    def n_users(self) -> int | None:
        """Number of known users; None where the bundle has no histories."""
        return None if self._histories is None else len(self._row_of)

    @property
    def feature_columns(self) -> list[str]:
        """Columns of the item table."""
        return [] if self._features is None else list(self._features.columns)

    def warm_up(self) -> None:
        """Make one call of every kind: first calls compile loops, and no request should wait for that."""
        rows = [self.row_of_history(self.item_ids[:1], None)]
        for columns in (None, [[1]]):
            self.lists(rows, 1, exclude_seen=True, exclude=columns, candidates=columns)
            self.lists(rows, self.n_items, exclude_seen=False, candidates=columns)

    # -- from requests to rows -----------------------------------------------------------------------

    def row_of_history(self, items: list[Any], times: list[float] | None) -> Row:
        """Return the row of a history; ids outside the catalogue are counted and left out."""
        found = [self.column_of.get(item, -1) for item in items]
        columns = np.array(found, dtype=np.int32)
        n_unknown = found.count(-1)
        when = np.arange(len(found)) if times is None else np.asarray(times)
        if n_unknown:
            columns, when = columns[columns >= 0], when[columns >= 0]
        return Row(columns, np.ones(len(columns), dtype=self._dtype), when, n_unknown)

    def row_of_user(self, user: Any, live: LiveEvents | None, after: int) -> Row:
        """Return the row of a user: the history in the bundle, then the feedback that came later."""
        row = self._row_of.get(user)
        events = [] if live is None else live.of_user(user, after)
        columns, values, times = self._bundled(row)
        found = [self.column_of.get(event.item, -1) for event in events]
        late = [event for event, column in zip(events, found) if column >= 0]
        if late:
            known = np.array([column for column in found if column >= 0], dtype=np.int32)
            columns = np.concatenate([columns, known])
            values = np.concatenate([values, [event.worth for event in late]])
            times = np.concatenate([times, [event.time for event in late]])
        if len(columns) > self._max_history:
            latest = np.sort(np.argsort(times, kind="stable")[-self._max_history :])
            columns, values, times = columns[latest], values[latest], times[latest]
        return Row(columns, values, times, len(found) - len(late), bool(events) or row is not None)

    def _bundled(self, row: int | None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        if row is None or self._histories is None:
            return np.empty(0, dtype=np.int32), np.empty(0), np.empty(0)
        entries = slice(self._histories.indptr[row], self._histories.indptr[row + 1])
        columns = self._histories.indices[entries].astype(np.int32, copy=False)
        times = self._histories.timestamps
        when = np.zeros(len(columns)) if times is None else times[entries]
        return columns, self._histories.data[entries], when

    def matrix(self, rows: list[Row]) -> Any:
        """Return rows in the form that the estimator takes."""
        if len(rows) == 1:
            columns, values = rows[0].columns, rows[0].values
        else:
            columns = np.concatenate([row.columns for row in rows])
            values = np.concatenate([row.values for row in rows])
        values = values.astype(self._dtype, copy=False)
        indptr = np.array([0, *accumulate(len(row.columns) for row in rows)], dtype=np.int32)
        shape = (len(rows), self.n_items)
        if self._plain:
            return csr_of(values, columns, indptr, shape)
        times = np.concatenate([np.asarray(row.times) for row in rows])
        return Interactions(
            (values, columns, indptr), shape=shape, timestamps=times, item_ids=self._item_ids
        )

    def columns_of(self, items: list[Any]) -> list[int]:
        """Return the columns of the items that the catalogue has."""
        return [self.column_of[item] for item in items if item in self.column_of]

    # -- answers -------------------------------------------------------------------------------------

    def lists(
        self,
        rows: list[Row],
        k: int,
        *,
        exclude_seen: bool,
        exclude: list[list[int]] | None = None,
        candidates: list[list[int]] | None = None,
    ) -> Lists:
        """Return lists of columns with scores, -1 behind short ones.

        Parameters
        ----------
        rows : list of Row
        k : int
        exclude_seen : bool
        exclude, candidates : list of list of int, default=None
            Columns per row that are left out, and that alone may be listed.
        """
        X = self.matrix(rows)
        given: dict[str, Any] = {"exclude_seen": exclude_seen}
        seen = among = None
        if exclude is not None:
            seen = _pattern(exclude, self.n_items)
            given = {"seen": seen + sp.csr_array(X).astype(bool) if exclude_seen else seen}
        if candidates is not None:
            given["candidates"] = among = _pattern(candidates, self.n_items)
        items, scores = recommend(self.estimator, X, min(k, self.n_items), **given)
        return Lists(X, items, scores, seen, among)

    def propensities(self, lists: Lists) -> NDArray[np.float64]:
        """Return how probable it was that a bandit put each item at its place."""
        if self.bandit is None:
            return np.ones(lists.items.shape)
        X = self._before_last_step(lists.X)
        return self.bandit.propensities(
            X, lists.items, seen=lists.seen, candidates=lists.candidates
        )

    def similar(self, items: list[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the columns most similar to items of the catalogue, with similarities."""
        return self.model.similar_items(self.columns_of(items), k=min(k, self.n_items - 1))

    def contributions(self, row: Row, item: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the contributions of the columns of a history to the score of an item, largest first."""
        X = self._before_last_step(self.matrix([row]))
        found = sp.csr_array(self.model.explain(X, [self.column_of[item]]))
        order = np.argsort(-found.data, kind="stable")
        return found.indices[order], found.data[order]

    def _before_last_step(self, X: Any) -> Any:
        if isinstance(self.estimator, Pipeline) and len(self.estimator.steps) > 1:
            return self.estimator[:-1].transform(X)
        return X

    def feature(self, name: str, columns: list[int]) -> list[Any]:
        """Return the values of a column of the item table for some items; None for missing ones."""
        values = self._feature_lists.get(name)
        if values is None:
            if self._features is None:
                raise KeyError(name)
            values = self._feature_lists[name] = _json_values(self._features[name])
        return [values[column] for column in columns]


def _pattern(columns: list[list[int]], width: int) -> sp.csr_array:
    """Return lists of columns as a boolean matrix."""
    rows = [sorted(set(row)) for row in columns]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.array([column for row in rows for column in row], dtype=np.int64)
    return sp.csr_array(
        (np.ones(len(indices), dtype=bool), indices, indptr), shape=(len(rows), width)
    )


def json_ids(ids: NDArray[Any]) -> list[Any]:
    """Return ids in JSON form: texts and whole numbers (also from columns of floats), dates as texts."""
    if ids.dtype.kind in "mM":
        return [str(text) for text in np.datetime_as_string(ids.astype("datetime64[ns]"))]
    values = [_json_value(value) for value in ids.tolist()]
    return [
        int(value) if isinstance(value, float) and value.is_integer() else value for value in values
    ]


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _json_values(series: nw.Series[Any]) -> list[Any]:
    missing = (series.is_null() | (series.is_nan() if series.dtype.is_float() else False)).to_list()
    return [
        None if absent else _json_value(value) for value, absent in zip(series.to_list(), missing)
    ]


def _feature_table(table: Any) -> nw.DataFrame[Any] | None:
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    return frame if isinstance(frame, nw.DataFrame) else None


def _are_unix_seconds(histories: Interactions | None) -> bool:
    """Return whether the latest time is one of unix seconds, or no time is known."""
    times = None if histories is None else histories.timestamps
    if times is None or not len(times):
        return True
    return bool(_UNIX_SECONDS[0] <= times.max() <= _UNIX_SECONDS[1])


def _feedback_position(manifest: dict[str, Any]) -> tuple[str | None, int]:
    found = (manifest.get("metrics") or {}).get("feedback") or {}
    return found.get("store"), int(found.get("position", 0))
