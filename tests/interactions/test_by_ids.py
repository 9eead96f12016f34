"""`from_lists`, `concat` and `with_items`: equal to dicts of Python, and to one log read at once."""

from collections import Counter, defaultdict
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import EASE, BM25Transformer, Interactions, ItemKNN
from sklearn_llmrec.utils import _ids, _remembered, id_positions

IDS = {
    "numbers": [7, 3, 2**60 + 1, 2**60],
    "unsigned": [2**63 + 5, 1, 2**63 + 4, 9],
    "texts": ["tea", "a mug", "jam", "é"],
    "zero bytes": ["tea", "tea\0", "jam", "\0"],
    "dates": list(np.datetime64("2024-01-01") + np.arange(4)),
    "with None": ["x", None, "y", "z"],
}


@pytest.mark.parametrize("kind", IDS)
@settings(max_examples=15, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=5),
    n_known=st.integers(1, 4),
)
def test_lists_become_counts_in_the_order_given(kind, lists, n_known):
    known = IDS[kind][:n_known]
    histories = [[IDS[kind][place] for place in history] for history in lists]
    X = Interactions.from_lists(histories, items=known)
    assert X.shape == (len(lists), n_known)
    expected = [[Counter(history)[place] for place in range(n_known)] for history in lists]
    np.testing.assert_array_equal(X.toarray(), np.reshape(expected, X.shape))
    in_order = X.indices[X.event_order()].tolist() if X.nnz else []
    assert in_order == [place for history in lists for place in history if place < n_known]
    unknown = sum(place >= n_known for history in lists for place in history)
    assert X.report_["other_items"] == unknown
    assert X.report_["events_read"] == sum(map(len, lists))
    assert X.report_["empty_histories"] == sum(
        all(place >= n_known for place in history) for history in lists
    )
    assert X.report_["entries"] == X.nnz


def test_times_and_users_of_lists():
    days = [datetime(2024, 1, d, tzinfo=UTC) for d in (3, 1, 2)]
    X = Interactions.from_lists(
        {"bob": ["b", "a", "x"], "ann": []},
        items=["a", "b"],
        timestamps={"ann": [], "bob": days},
        dtype=np.float32,
    )
    assert X.user_ids.tolist() == ["bob", "ann"]
    assert X.dtype == np.float32
    assert X.timestamps.tolist() == [int(days[1].timestamp()), int(days[0].timestamp())]
    Y = Interactions.from_lists([[5], np.array([4, 5])], user_ids=[1, 2])
    assert (Y.item_ids.tolist(), Y.user_ids.tolist()) == ([4, 5], [1, 2])


def test_columns_are_those_of_whatever_knows_ids():
    X = Interactions(np.eye(12)[:, :6] + 1, item_ids=list("fedcba"), item_features=np.eye(6))
    models = [
        ItemKNN().fit(X),
        make_pipeline(BM25Transformer(), EASE()).fit(X),
        GridSearchCV(ItemKNN(), {"n_neighbors": [2]}, cv=2).fit(X),
    ]
    for items in (X, X.item_ids, list("fedcba"), *models):
        rows = Interactions.from_lists([["a", "f", "zz"]], items=items)
        np.testing.assert_array_equal(rows.toarray(), [[1, 0, 0, 0, 0, 1]])
        assert X[:, ::-1].with_items(items).item_ids.tolist() == list("fedcba")
    assert Interactions.from_lists([["a"]], items=X).item_features is X.item_features
    with pytest.raises(ValueError, match=r"items is a ItemKNN that was fitted without item ids"):
        Interactions.from_lists([["a"]], items=ItemKNN().fit(X.toarray()))
    with pytest.raises(ValueError, match="'a' occurs again at position 2"):
        Interactions.from_lists([["a"]], items=["a", "b", "a"])


@pytest.mark.parametrize(
    ("histories", "error", "words"),
    [
        (["tea", "jam"], TypeError, r"number 0 is 'tea'.*\[\[\.\.\.\]\]"),
        ([1, 2], TypeError, "number 0 is 1"),
        ("tea", TypeError, "list of lists"),
        (5, TypeError, "list of lists"),
        ([{"tea": 1}], TypeError, "number 0"),
        (pd.DataFrame({"item": ["tea"]}), TypeError, "from_frame"),
        (sp.eye_array(3), TypeError, "from_frame"),
        ([["tea", 5]], TypeError, "several types"),
        ([[5]], ValueError, "two kinds"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(histories, error, words):
    with pytest.raises(error, match=words):
        Interactions.from_lists(histories, items=["tea", "jam"])


def test_times_that_do_not_match_are_refused():
    make = Interactions.from_lists
    with pytest.raises(ValueError, match="1 lists and histories 2"):
        make([["a"], []], items=["a"], timestamps=[[1]])
    with pytest.raises(ValueError, match="List 1 of timestamps contains 2 times and the history 1"):
        make([["a"], ["a"]], items=["a"], timestamps=[[1], [1, 2]])
    with pytest.raises(ValueError, match="different keys, such as 'u'"):
        make({"u": ["a"]}, items=["a"], timestamps={"x": [1]})
    with pytest.raises(ValueError, match="no id to make columns of"):
        make([[], [None]])


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(0, 4),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=30,
)


def _read(log, repeats, timed):
    return Interactions.from_frame(
        log,
        user="u",
        item="i",
        value="v",
        timestamp="t" if timed else None,
        repeats=repeats,
    )


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("repeats", ["sum", "last", "keep"])
@settings(max_examples=15, deadline=None)
@given(events=EVENTS)
def test_logs_joined_are_the_log_read_at_once(repeats, timed, events):
    """Parts of a log, one after the other, give what the whole log gives."""
    events = sorted(events, key=lambda event: event[4])  # the last number is the part
    log = pd.DataFrame(events, columns=["u", "i", "v", "t", "part"])
    log["i"] = "item " + log["i"].astype(str)
    whole = _read(log, repeats, timed)
    parts = [_read(part, repeats, timed) for _, part in log.groupby("part")]
    joined = Interactions.concat(parts, repeats=repeats)
    seen = dict.fromkeys(item for part in parts for item in part.item_ids.tolist())
    assert joined.item_ids.tolist() == list(seen)
    same = joined.with_items(whole)[joined.user_rows(whole.user_ids)]
    np.testing.assert_array_equal(same.indptr, whole.indptr)
    np.testing.assert_array_equal(same.indices, whole.indices)
    if repeats == "keep" and not timed:
        np.testing.assert_array_equal(same.toarray(), whole.toarray())
        return
    np.testing.assert_array_equal(same.data, whole.data)
    if timed:
        np.testing.assert_array_equal(same.timestamps, whole.timestamps)
        order, expected = same.event_order(), whole.event_order()
        np.testing.assert_array_equal(same.indices[order], whole.indices[expected])
        np.testing.assert_array_equal(same.data[order], whole.data[expected])


@settings(max_examples=15, deadline=None)
@given(events=EVENTS, ids=st.permutations(range(8)), n=st.integers(1, 8))
def test_columns_are_laid_out_by_id(events, ids, n):
    log = pd.DataFrame(events, columns=["u", "i", "v", "t", "part"])
    X = _read(log, "keep", True)
    Y = X.with_items(ids[:n])
    cells = defaultdict(list)
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    for row, column, value, time in zip(rows, X.indices, X.data, X.timestamps):
        cells[row, int(X.item_ids[column])].append((value, time))
    got = defaultdict(list)
    rows = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
    for row, column, value, time in zip(rows, Y.indices, Y.data, Y.timestamps):
        got[row, int(Y.item_ids[column])].append((value, time))
    assert got == {cell: events for cell, events in cells.items() if cell[1] in ids[:n]}
    assert Y.report_["other_items"] == X.nnz - Y.nnz
    assert Y.user_ids is X.user_ids
    in_time = [int(X.item_ids[j]) for j in X.indices[X.event_order()]]
    assert [int(Y.item_ids[j]) for j in Y.indices[Y.event_order()]] == [
        item for item in in_time if item in ids[:n]
    ]


def test_ties_in_time_keep_their_order_under_other_columns():
    X = Interactions(np.ones((1, 3)), item_ids=["a", "b", "c"])
    X.timestamps = [5, 5, 5]
    Y = X.with_items(["c", "a", "b"])
    assert Y.item_ids[Y.indices[Y.event_order()]].tolist() == ["a", "b", "c"]


LIBRARIES = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow": lambda columns: pa.table(columns),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_feature_tables_follow_their_ids(library):
    table = LIBRARIES[library]

    def matrix(items, titles, user):
        features = table({"item": items, "title": titles})
        return Interactions(
            np.ones((1, len(items))), item_ids=items, user_ids=[user], item_features=features
        )

    old, new = matrix(["a", "b"], ["A", "B"], 1), matrix(["c", "a"], ["C", "new A"], 2)
    X = Interactions.concat([old, new])
    assert X.item_ids.tolist() == ["a", "b", "c"]
    assert pd.DataFrame(_columns(X.item_features))["title"].tolist() == ["new A", "B", "C"]
    wider = X.with_items(["z", "c", "a"])
    titles = _columns(wider.item_features)
    assert [None if pd.isna(t) else t for t in titles["title"]] == [None, "C", "new A"]
    assert list(titles["item"]) == ["z", "c", "a"]
    other = matrix(["d"], ["D"], 3)
    other.item_features = table({"item": ["d"], "name": ["D"]})
    assert Interactions.concat([X, other]).item_features is None
    assert (
        Interactions.concat(
            [X, Interactions(np.ones((1, 1)), item_ids=["a"], user_ids=[4])]
        ).item_features
        is None
    )


def _columns(table):
    if isinstance(table, pa.Table):
        return table.to_pydict()
    return (
        table.to_dict("list") if isinstance(table, pd.DataFrame) else table.to_dict(as_series=False)
    )


def test_arrays_of_features_follow_too():
    X = Interactions(np.ones((1, 2)), item_ids=["a", "b"], item_features=np.array([[1.0], [2.0]]))
    np.testing.assert_array_equal(X.with_items(["b", "z"]).item_features, [[2.0], [np.nan]])
    sparse = Interactions(
        np.ones((1, 2)), item_ids=["a", "b"], item_features=sp.eye_array(2).tocsr()
    )
    assert (
        sparse.with_items(["b", "z"]).item_features is None
    )  # a row of zeros would be a statement
    np.testing.assert_array_equal(sparse.with_items(["b"]).item_features.toarray(), [[0, 1]])
    joined = Interactions.concat([X, X[:, [1]]])
    np.testing.assert_array_equal(joined.item_features, [[1.0], [2.0]])


def test_users_without_ids_have_no_rows_in_common():
    X = Interactions(np.eye(2), item_ids=["a", "b"])
    assert Interactions.concat([X, X]).shape == (4, 2)
    plain = Interactions(np.eye(2))
    np.testing.assert_array_equal(
        Interactions.concat([plain, plain]).toarray(), np.tile(np.eye(2), (2, 1))
    )
    empty = Interactions.from_lists([], items=["b", "c"])
    assert Interactions.concat([X, empty]).item_ids.tolist() == ["a", "b", "c"]


def _matrix(**known):
    return Interactions(np.eye(2), **{"user_ids": [1, 2], "item_ids": ["a", "b"], **known})


def _timed():
    X = _matrix()
    X.timestamps = [1, 2]
    return X


@pytest.mark.parametrize(
    ("matrices", "error", "words"),
    [
        ([_matrix(), sp.eye_array(2).tocsr()], TypeError, "number 1 is a csr_array"),
        ([], ValueError, "at least one"),
        ([_matrix(), _matrix(user_ids=None)], ValueError, "Matrix 1 of concat has no user_ids"),
        ([_matrix(item_ids=None), _matrix()], ValueError, "Matrix 0 of concat has no item_ids"),
        ([_matrix(), _matrix(item_ids=[1, 2])], ValueError, "two kinds"),
        ([_matrix(user_ids=[1, 1]), _matrix()], ValueError, "id 1 twice in user_ids"),
        ([_matrix(), _timed()], ValueError, "Matrix 0 of concat has no timestamps"),
    ],
)  # fmt: skip
def test_matrices_that_cannot_be_joined_are_refused(matrices, error, words):
    with pytest.raises(error, match=words):
        Interactions.concat(matrices)


def test_joins_are_refused_by_name():
    with pytest.raises(ValueError, match="'first'"):
        Interactions.concat([_matrix()], repeats="first")
    with pytest.raises(ValueError, match="no item_ids"):
        _matrix(item_ids=None).with_items(["a"])


def test_ids_join_exactly_across_integer_types():
    a = Interactions(np.ones((1, 2)), user_ids=[1], item_ids=np.array([2**63 - 1, -1]))
    b = Interactions(
        np.ones((1, 2)), user_ids=[1], item_ids=np.array([2**63, 2**63 - 1], np.uint64)
    )
    X = Interactions.concat([a, b])
    assert X.item_ids.tolist() == [2**63 - 1, -1, 2**63]
    assert X.toarray().tolist() == [[2, 1, 1]]


def test_a_catalogue_is_sorted_once_and_a_changed_one_again(monkeypatch):
    sorted_arrays = []
    original = _ids._stable_order
    monkeypatch.setattr(_ids, "_stable_order", lambda a: sorted_arrays.append(1) or original(a))
    known = np.array([3, 1, 2])
    assert id_positions(known, np.array([1]), "", "").tolist() == [1]
    known[:] = [1, 2, 3]
    assert id_positions(known, np.array([1]), "", "").tolist() == [0]
    known.flags.writeable = False
    n_sorted, n_kept = len(sorted_arrays), len(_remembered._KEPT)
    for _ in range(3):
        assert id_positions(known, np.array([3, 9]), "", "").tolist() == [2, -1]
    assert len(sorted_arrays) == n_sorted + 1
    del known
    assert len(_remembered._KEPT) == n_kept  # nothing outlives its array
