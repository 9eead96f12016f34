"""Interactions: entries keep their times and ids, or lose them; they never get wrong ones."""

import copy
import datetime as dt
import operator
import pickle
from datetime import UTC, datetime, timedelta, timezone

import joblib
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import check_array, resample, shuffle

from sklearn_llmrec.interactions._interactions import Interactions


def marked(n_users=6, n_items=5, repeats=False, seed=0):
    """Entries whose value and time both tell the row and column they stand in."""
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.uniform(size=(n_users, n_items)) < 0.5)
    if repeats:
        rows, columns = np.tile(rows, 2), np.tile(columns, 2)
    order = np.lexsort((np.arange(len(rows)), columns, rows))
    rows, columns = rows[order], columns[order]
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=n_users)))
    mark = 100 * rows + columns + 1
    return Interactions(
        (mark.astype(float), columns, indptr),
        shape=(n_users, n_items),
        timestamps=mark,
        user_ids=np.arange(n_users),
        item_ids=np.arange(n_items),
        user_features=pd.DataFrame({"row": np.arange(n_users)}),
        item_features=pl.DataFrame({"column": np.arange(n_items)}),
    )


def assert_right(X):
    """Whatever X still knows fits its entries."""
    if X.ndim != 2:
        assert X.timestamps is None
        return
    if X.user_ids is not None:
        assert X.user_ids.shape == (X.shape[0],)
        assert X.user_features["row"].tolist() == X.user_ids.tolist()
    if X.item_ids is not None:
        assert X.item_ids.shape == (X.shape[1],)
        assert X.item_features["column"].to_list() == X.item_ids.tolist()
    if X.timestamps is not None:
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        expected = 100 * X.user_ids[rows] + X.item_ids[X.indices] + 1
        np.testing.assert_array_equal(X.timestamps, expected)
        assert X.timestamps.dtype in (np.int64, np.float64)
        assert X._log_order is None or len(X._log_order) == X.nnz


SELECTIONS = [
    [3, 1, 1],
    np.array([-1, 0]),
    slice(None),
    slice(1, 4),
    slice(4, None, -2),
    np.array([True, False, True, True, False, False]),
    [],
    ([2, 0], slice(None)),
    ([2, 0], Ellipsis),
    (slice(1, 3), Ellipsis),
    (Ellipsis, slice(None)),
    Ellipsis,
    (slice(None), [4, 0, 0]),
    (slice(None), slice(3, 0, -1)),
    (slice(2, 4), slice(1, 3)),
    ([2, 0], slice(1, 3)),
    (slice(None), np.array([True, True, False, False, True])),
    np.ix_([4, 2], [3, 1]),
    (slice(0, 0), slice(0, 0)),
]


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("key", SELECTIONS, ids=str)
def test_selection_keeps_all(key, repeats):
    X = marked(repeats=repeats)
    part = X[key]
    np.testing.assert_array_equal(part.toarray(), X.toarray()[key])
    assert isinstance(part, Interactions)
    assert part.timestamps is not None
    assert part.user_ids is not None
    assert part.item_ids is not None
    assert_right(part)
    if part.nnz:
        part.timestamps[:] = 0
        part.data[:] = 0
    assert_right(X)


def test_selection_refuses_what_is_not_there():
    X = marked()
    with pytest.raises(IndexError, match=r"index \(6\) out of range"):
        X[[0, 6]]
    with pytest.raises(IndexError, match="length 2"):
        X[[True, False]]


@pytest.mark.parametrize(
    "keep",
    [
        lambda X: X.copy(),
        lambda X: X.astype(np.float32),
        lambda X: X.astype(float, copy=False),
        copy.copy,
        copy.deepcopy,
        lambda X: pickle.loads(pickle.dumps(X)),
        lambda X: Interactions(X),
        lambda X: Interactions(X, copy=True, dtype=np.float32),
        lambda X: X.tocsr(copy=True),
        lambda X: X.asformat("csr"),
        lambda X: X * 2.0,
        lambda X: X / 2,
        lambda X: -X,
        abs,
        lambda X: X.sqrt(),
        lambda X: X.log1p(),
        lambda X: X.sorted_indices(),
        lambda X: check_array(X, accept_sparse="csr", dtype=np.float32),
        lambda X: check_array(X, accept_sparse="csr", copy=True),
        lambda X: shuffle(X, random_state=0),
        lambda X: resample(X, random_state=0),
        lambda X: train_test_split(X, random_state=0)[1],
        lambda X: X[next(KFold(3).split(X))[1]],
    ],
)
@pytest.mark.parametrize("repeats", [False, True])
def test_what_keeps(keep, repeats):
    X = marked(repeats=repeats)
    nnz = X.nnz
    kept = keep(X)
    assert isinstance(kept, Interactions)
    assert kept.timestamps is not None
    assert_right(kept)
    assert X.nnz == nnz
    assert_right(X)


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("repeats", [False, True])
def test_nothing_in_scipy_makes_times_wrong(repeats):
    """Every public method and operator: times are right or gone, and X is as it was unless it was told to change."""
    changing = {"eliminate_zeros", "sum_duplicates", "sort_indices", "prune", "resize", "setdiag"}
    plain = sp.csr_array(marked().toarray())
    calls = [
        (name, lambda X, name=name: getattr(X, name)())
        for name in dir(sp.csr_array)
        if name[0] != "_"
    ]
    calls += [
        (op.__name__, lambda X, op=op, other=other: op(X, other))
        for op in (operator.add, operator.sub, operator.mul, operator.eq, operator.gt, operator.ne)
        for other in (plain, marked())
    ]
    calls += [
        (op.__name__, lambda X, op=op: op(X, 2))
        for op in (operator.gt, operator.lt, operator.eq, operator.pow)
    ]
    calls += [
        ("matmul", lambda X: X @ plain.T),
        ("multiply", lambda X: X.multiply(plain)),
        ("multiply_row", lambda X: X.multiply(np.arange(5))),
        ("maximum", lambda X: X.maximum(plain)),
        ("T", lambda X: X.T.tocsr()),
        ("coo", lambda X: X.tocoo().tocsr()),
        ("csc", lambda X: Interactions(X.tocsc())),
        ("vstack", lambda X: sp.vstack([X, X])),
        ("hstack", lambda X: sp.hstack([X, X])),
        ("reshape", lambda X: X.reshape(5, 6)),
        ("row", lambda X: X[2]),
        ("entry", lambda X: X[2, 1]),
        ("pairs", lambda X: X[[0, 1], [1, 2]]),
        ("mask", lambda X: X[X > 2]),
        ("rows", lambda X: list(X)),
        ("triu", lambda X: sp.triu(X)),
        ("max", lambda X: X.max(axis=0)),
        ("abs", lambda X: np.abs(X)),
    ]
    for name, call in calls:
        X = marked(repeats=repeats)
        nnz, total = X.nnz, X.data.sum()
        try:
            with np.errstate(all="ignore"):
                result = call(X)
        except (TypeError, ValueError, AttributeError, NotImplementedError, Warning):
            continue
        for R in result if isinstance(result, list | tuple) else [result]:
            if isinstance(R, Interactions):
                assert_right(R)
        assert_right(X)
        if name not in changing:
            assert (X.nnz, X.data.sum()) == (nnz, total), name
            assert X.timestamps is not None, name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_changes_in_place(seed, repeats):
    """Random changes in place, by itself and by others who share its arrays."""
    rng = np.random.default_rng(seed)
    X = marked(repeats=repeats, seed=seed)
    with np.errstate(all="ignore"):
        for _ in range(6):
            match rng.integers(9):
                case 0:
                    X.data[rng.uniform(size=len(X.data)) < 0.3] = 0
                case 1:
                    X.eliminate_zeros()
                case 2:
                    X.sum_duplicates()
                case 3:
                    X.sort_indices()
                case 4:
                    X.data *= 2
                case 5:
                    other = sp.csr_array(X)
                    other.sum_duplicates()
                    other.eliminate_zeros()
                    break  # as in scipy, X then has lost entries that the other has dropped
                case 6:
                    X.T.tocsr().eliminate_zeros()
                case 7:
                    X = X[rng.integers(0, X.shape[0], X.shape[0])]
                case 8:
                    X = X[:, rng.permutation(X.shape[1])]
            assert X.timestamps is not None
    assert_right(X)


@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
def test_new_entries_and_new_shapes_drop_times():
    X = marked()
    at = tuple(np.argwhere(X.toarray())[0])
    X[at] = 7.0
    assert X.timestamps is not None
    empty = tuple(np.argwhere(X.toarray() == 0)[0])
    X[empty] = 1.0
    assert X.timestamps is None
    X = marked()
    X.resize(3, 5)
    assert X.timestamps is None
    assert X.user_ids is None
    assert X.item_ids is not None
    X = marked()
    X.setdiag(9.0)
    assert X.timestamps is None


def test_sum_of_duplicates_has_the_latest_time():
    X = Interactions(([1.0, 2, 4], [1, 1, 0], [0, 3]), timestamps=[5, 3, 4])
    assert X.nnz == 3
    np.testing.assert_array_equal(X.timestamps, [4, 5, 3])
    X.sum_duplicates()
    np.testing.assert_array_equal(X.toarray(), [[4, 3]])
    np.testing.assert_array_equal(X.timestamps, [4, 5])
    Y = Interactions(sp.coo_array(([1.0, 2, 4], ([0, 0, 0], [1, 1, 0]))), timestamps=[5, 3, 4])
    np.testing.assert_array_equal(Y.toarray(), X.toarray())
    np.testing.assert_array_equal(Y.timestamps, X.timestamps)
    Z = Interactions(([1.0, 2, 4], ([0, 0, 0], [1, 1, 0])), timestamps=[5, 3, 4])
    np.testing.assert_array_equal(Z.timestamps, X.timestamps)


def test_coordinates_round_trip():
    X = marked()
    coo = X.tocoo()
    order = np.random.default_rng(0).permutation(X.nnz)
    shuffled = sp.coo_array((coo.data[order], (coo.row[order], coo.col[order])), shape=X.shape)
    Y = Interactions(shuffled, timestamps=X.timestamps[order])
    np.testing.assert_array_equal(Y.toarray(), X.toarray())
    np.testing.assert_array_equal(Y.timestamps, X.timestamps)


def test_event_order_keeps_the_log_in_ties():
    # Items in the log: 3, 0, 2 at time 9; 1 at time 8.
    X = Interactions(([1.0] * 4, [3, 0, 2, 1], [0, 4]), timestamps=[9, 9, 9, 8])
    assert X.has_sorted_indices
    assert X.indices[X.event_order()].tolist() == [1, 3, 0, 2]
    Y = X[[0, 0]][:, [3, 2, 1, 0]]
    assert Y.indices[Y.event_order()].tolist() == [2, 0, 3, 1] * 2
    with pytest.raises(ValueError, match="has none"):
        Interactions(np.eye(2)).event_order()


def test_times_are_never_float32():
    X = marked()
    X.timestamps = X.timestamps.astype(np.float32)
    assert X.timestamps.dtype == np.float64
    assert X.astype(np.float32).timestamps.dtype == np.float64
    X.timestamps = X.timestamps.astype(np.int32)
    assert X.timestamps.dtype == np.int64
    X.timestamps = None
    assert X.timestamps is None


@pytest.mark.parametrize(
    ("times", "error", "words"),
    [
        ([1, 2], ValueError, "one time per entry"),
        ([1.0, np.nan, 2], ValueError, "missing or infinite, the first at position 1"),
        (["a", "b", "c"], TypeError, "numbers or datetimes"),
        (np.array(["2020-01-01", "NaT", "2020-01-01"], dtype="M8[s]"), ValueError, "missing"),
    ],
)
def test_bad_times(times, error, words):
    with pytest.raises(error, match=words):
        Interactions(sp.csr_array(np.eye(3)), timestamps=times)


DAYS = [datetime(2024, 1, day, 12) for day in (1, 2, 3)]
BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("times", "hours"),
    [
        (DAYS, 12),
        ([day.date() for day in DAYS], 0),
        ([day.replace(tzinfo=BERLIN) for day in DAYS], 11),
        (pd.Series(DAYS), 12),
        (pd.Series(DAYS).dt.tz_localize(BERLIN), 11),
        (pd.DatetimeIndex(DAYS).tz_localize(BERLIN), 11),
        (pl.Series(DAYS), 12),
        (pl.Series(DAYS).dt.replace_time_zone("Europe/Berlin"), 11),
        (np.array(DAYS, dtype="datetime64[ns]"), 12),
    ],
    ids=lambda value: type(value).__name__,
)
def test_datetimes_of_any_kind_become_unix_seconds(times, hours):
    X = Interactions(sp.csr_array([[1.0, 1, 1]]), timestamps=times)
    first = datetime(2024, 1, 1, tzinfo=UTC).timestamp() + 3600 * hours
    np.testing.assert_array_equal(X.timestamps, first + 86400 * np.arange(3))
    assert X.timestamps.dtype == np.int64
    X.timestamps = times
    assert X.timestamps[0] == first
    log = pd.DataFrame({"u": 0, "i": [1, 2, 3], "t": times})
    log = Interactions.from_frame(log, user="u", item="i", timestamp="t")
    np.testing.assert_array_equal(log.timestamps, X.timestamps)


def test_a_missing_date_is_a_missing_time():
    with pytest.raises(ValueError, match=r"1 timestamps are missing .* at position 1"):
        Interactions(sp.csr_array([[1.0, 1, 1]]), timestamps=[DAYS[0], None, DAYS[2]])


def test_bad_companions():
    with pytest.raises(ValueError, match="user_ids has 2 rows and the matrix has 3"):
        Interactions(np.eye(3), user_ids=[1, 2])
    with pytest.raises(ValueError, match="one-dimensional"):
        Interactions(np.eye(3), item_ids=np.eye(3))
    with pytest.raises(ValueError, match="item_features has 1 rows"):
        Interactions(np.eye(3), item_features=pd.DataFrame({"a": [1]}))
    with pytest.raises(ValueError, match="stored entries"):
        Interactions(np.eye(3), timestamps=[1, 2, 3])


def test_memory_maps(tmp_path):
    X = marked(repeats=True)
    joblib.dump(X, tmp_path / "X.joblib")
    Y = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    Y.sum_duplicates()
    Y.eliminate_zeros()
    assert_right(Y[[2, 1]])


LOG = {
    "who": ["bob", "ann", "bob", "bob", "cat", "bob"],
    "what": [7, 7, 7, 2, 9, 2],
    "n": [1.0, 2.0, 3.0, 4.0, 5.0, -4.0],
    "t": [30, 20, 10, 40, 50, 60],
}


def rows_of(table, *columns):
    """Rows of a table of any library, NaN as None."""
    frame = nw.from_native(table)
    rows = (frame.select(*columns) if columns else frame).rows()
    return [tuple(None if cell != cell else cell for cell in row) for row in rows]


FRAMES = [pd.DataFrame, pl.DataFrame, pa.table]


@pytest.mark.parametrize("make", FRAMES)
@pytest.mark.parametrize(
    ("repeats", "dense", "times"),
    [
        ("sum", [[0, 2, 0], [4, 4, 0], [0, 0, 5]], [20, 40, 30, 50]),
        ("count", [[0, 1, 0], [1, 2, 0], [0, 0, 1]], [20, 40, 30, 50]),
        ("last", [[0, 2, 0], [4, 1, 0], [0, 0, 5]], [20, 40, 30, 50]),
        ("keep", [[0, 2, 0], [4, 4, 0], [0, 0, 5]], [20, 40, 10, 30, 50]),
    ],
)
def test_from_frame(make, repeats, dense, times):
    frame = make(LOG)
    X = Interactions.from_frame(
        frame, user="who", item="what", value="n", timestamp="t", repeats=repeats
    )
    np.testing.assert_array_equal(X.toarray(), dense)
    np.testing.assert_array_equal(X.timestamps, times)
    assert X.user_ids.tolist() == ["ann", "bob", "cat"]
    assert X.item_ids.tolist() == [2, 7, 9]
    assert X.report_["nonpositive"] == 1
    assert X.report_["events_read"] == 6
    assert X.report_["entries"] == X.nnz
    table = X.to_frame(np.array([[0, 1], [2, -1], [1, -1]]), np.zeros((3, 2)))
    assert type(table) is type(frame)
    rows = rows_of(table)
    assert rows == [("ann", 2, 1, 0.0), ("ann", 7, 2, 0.0), ("bob", 9, 1, 0.0), ("cat", 7, 1, 0.0)]


@pytest.mark.parametrize("make", [*FRAMES, "records"])
def test_tables_of_recommendations_have_titles(make):
    columns = {"what": [2, 7, 9], "title": ["jam", None, "mug"], "price": [1.5, 2.5, 3.5]}
    X = Interactions.from_frame(pd.DataFrame(LOG), user="who", item="what")
    if make == "records":
        X.item_features = np.array(
            list(zip(*columns.values())), dtype=[("what", int), ("title", "O"), ("price", float)]
        )
    else:
        X.item_features = make(columns)
    lists = np.array([[0, 1], [2, -1], [1, -1]])
    table = X.to_frame(lists, item_columns=["title", "price"])
    assert rows_of(table, "what", "rank", "title", "price") == [
        (2, 1, "jam", 1.5),
        (7, 2, None, 2.5),
        (9, 1, "mug", 3.5),
        (7, 1, None, 2.5),
    ]
    assert rows_of(X.to_frame(lists, item_columns="price"), "price")[2] == (3.5,)
    with pytest.raises(ValueError, match=r"\['what', 'title', 'price'\], and not 'size'"):
        X.to_frame(lists, item_columns=["title", "size"])
    X.item_features = None
    with pytest.raises(ValueError, match="X carries none: pass an Interactions with item_features"):
        X.to_frame(lists, item_columns="title")
    X.item_features = np.eye(3)
    with pytest.raises(ValueError, match="have no columns with names, and not 'title'"):
        X.to_frame(lists, item_columns="title")


def test_nonpositive():
    frame = pd.DataFrame(LOG)
    X = Interactions.from_frame(frame, user="who", item="what", value="n", nonpositive="keep")
    np.testing.assert_array_equal(X.toarray()[1], [0, 4, 0])
    assert X.nnz == 4
    X = Interactions.from_frame(frame, user="who", item="what", value="n", nonpositive="net")
    np.testing.assert_array_equal(X.toarray(), [[2, 0], [4, 0], [0, 5]])
    assert X.report_["nonpositive"] == 1
    with pytest.raises(ValueError, match="nonpositive='net'"):
        Interactions.from_frame(frame, user="who", item="what", nonpositive="net", repeats="keep")


@pytest.mark.parametrize("make", FRAMES)
def test_missing(make):
    frame = make(
        {
            "u": ["a", None, "b", "c"],
            "i": [1, 2, None, 2],
            "v": [1.0, 1.0, 1.0, None],
            "t": [1, 2, 3, 4],
        }
    )
    X = Interactions.from_frame(frame, user="u", item="i", value="v", timestamp="t")
    assert X.report_["missing"] == 3
    assert X.shape == (1, 1)
    X = Interactions.from_frame(frame, user="u", item="i", missing="keep")
    assert X.user_ids.tolist() == ["a", "b", "c", None]
    assert X.item_ids.tolist() == [1, 2, None]
    np.testing.assert_array_equal(X.toarray(), [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]])
    with pytest.raises(ValueError, match="missing in the log, by column"):
        Interactions.from_frame(frame, user="u", item="i", missing="raise")


@pytest.mark.parametrize("make", FRAMES)
def test_features_and_fixed_axes(make):
    features = make({"what": [9, 2, 5], "title": ["mug", "tea", "jam"], "price": [1, 2, 3]})
    X = Interactions.from_frame(make(LOG), user="who", item="what", item_features=features)
    assert type(X.item_features) is type(features)
    assert rows_of(X.item_features, "what", "title") == [
        (2, "tea"),
        (7, None),
        (9, "mug"),
    ]
    X = Interactions.from_frame(
        make(LOG),
        user="who",
        item="what",
        items=[5, 9, 2],
        users=["bob", "eve"],
        item_features=features,
    )
    np.testing.assert_array_equal(X.toarray(), [[0, 0, 2], [0, 0, 0]])
    assert X.report_["other_users"] == 2
    assert X.report_["other_items"] == 3
    assert rows_of(X.item_features, "title") == [("jam",), ("mug",), ("tea",)]
    assert X.item_columns([2, 5]).tolist() == [2, 0]
    assert X.user_rows("eve").tolist() == [1]
    with pytest.raises(ValueError, match=r"\['zoe'\]; it has 2, such as \['bob', 'eve'\]"):
        X.user_rows(["bob", "zoe"])
    twice = make({"what": [9, 9]})
    with pytest.raises(ValueError, match="ids twice"):
        Interactions.from_frame(make(LOG), user="who", item="what", item_features=twice)


def test_pandas_finds_features_by_row_and_column():
    log = pd.DataFrame({"u": ["b", "a", "b"], "i": [3, 1, 2]})
    items = pd.DataFrame({"i": [3, 1, 2], "title": ["c", "a", "b"]})
    users = pd.DataFrame({"u": ["a"], "age": [7]}, index=[5])
    X = Interactions.from_frame(log, user="u", item="i", item_features=items, user_features=users)
    assert X.item_features["title"][[0, 2]].tolist() == ["a", "c"]
    assert X.user_features.index.tolist() == [0, 1]
    assert X[[1, 0]][:, [2, 0]].item_features["title"][0] == "c"
    # An index of one's own is a name, and stays.
    X.item_features = items.set_index(pd.Index(["z", "x", "y"]))
    assert X[:, [2, 0]].item_features.index.tolist() == ["y", "z"]


@pytest.mark.parametrize("make", FRAMES)
def test_a_dataframe_that_is_the_matrix_has_labels(make):
    X = Interactions(make({"mug": [1.0, 0], "tea": [0, 2]}))
    np.testing.assert_array_equal(X.toarray(), [[1, 0], [0, 2]])
    assert X.item_ids.tolist() == ["mug", "tea"]
    assert X.user_ids is None
    assert Interactions(make({"mug": [1.0], "tea": [2.0]}), item_ids=[5, 6]).item_ids[1] == 6
    for table in ({"user": [1, 2], "item": [3, 4]}, {"mug": ["a", "b"]}):
        with pytest.raises(TypeError, match=r"the matrix itself.*from_frame"):
            Interactions(make(table))


def test_a_pivot_table_knows_users_and_items():
    log = pd.DataFrame({"who": ["bob", "ann"], "what": [7, 3], "n": [1, 2]})
    X = Interactions(log.pivot_table(index="who", columns="what", values="n", fill_value=0))
    assert X.user_ids.tolist() == ["ann", "bob"]
    assert X.item_ids.tolist() == [3, 7]
    np.testing.assert_array_equal(X.toarray(), [[2, 0], [0, 1]])
    assert Interactions(pd.DataFrame(np.eye(2))).item_ids is None


def test_what_it_knows_is_shown():
    assert repr(Interactions(np.eye(2))).endswith("2 stored elements>")
    shown = repr(marked()[:2])
    assert shown.startswith("<Interactions of shape (2, 5) and dtype 'float64'")
    assert "timestamps" in shown


def test_event_weights():
    frame = pd.DataFrame(
        {
            "u": [1, 1, 2, 2],
            "i": [1, 1, 1, 2],
            "e": ["view", "buy", "view", "hover"],
            "n": [1, 2, 3, 4],
        }
    )
    weights = {"view": 1, "buy": 5}
    X = Interactions.from_frame(frame, user="u", item="i", event="e", event_weights=weights)
    np.testing.assert_array_equal(X.toarray(), [[6], [1]])
    assert X.report_["other_event_types"] == 1
    X = Interactions.from_frame(
        frame, user="u", item="i", value="n", event="e", event_weights=weights
    )
    np.testing.assert_array_equal(X.toarray(), [[11], [3]])
    misspelt = {"View": 1, "buy": 5}
    with pytest.warns(UserWarning, match="a weight for 'View', .* none for 'view'"):
        Interactions.from_frame(frame, user="u", item="i", event="e", event_weights=misspelt)
    with pytest.raises(ValueError, match="belong together"):
        Interactions.from_frame(frame, user="u", item="i", event="e")
    with pytest.raises(ValueError, match="event_weights knows"):
        Interactions.from_frame(frame, user="u", item="i", event="e", event_weights={"veiw": 1})


@pytest.mark.parametrize("make", FRAMES)
def test_datetimes_become_unix_seconds(make):
    when = [dt.datetime(1970, 1, 1, 0, 1), dt.datetime(1970, 1, 2)]
    frame = make({"u": [1, 2], "i": [1, 2], "t": when, "d": [w.date() for w in when]})
    X = Interactions.from_frame(frame, user="u", item="i", timestamp="t")
    assert X.timestamps.dtype == np.int64
    assert X.timestamps.tolist() == [60, 86400]
    if make is not pd.DataFrame:
        dates = Interactions.from_frame(frame, user="u", item="i", timestamp="d")
        assert dates.timestamps.tolist() == [0, 86400]
    zone = dt.timezone(dt.timedelta(hours=1))
    half = make(
        {"u": [1, 2], "i": [1, 2], "t": [w.replace(microsecond=500_250, tzinfo=zone) for w in when]}
    )
    X = Interactions.from_frame(half, user="u", item="i", timestamp="t")
    assert X.timestamps.tolist() == [60.50025 - 3600, 86400.50025 - 3600]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_minimum_support(seed, min_user, min_item):
    """The k-core against a loop; repeated events count once."""
    rng = np.random.default_rng(seed)
    log = pd.DataFrame(rng.integers(0, 6, (40, 2)), columns=["u", "i"])
    core = log.copy()
    while True:
        users = core.groupby("u")["i"].transform("nunique") >= min_user
        items = core.groupby("i")["u"].transform("nunique") >= min_item
        if (users & items).all():
            break
        core = core[users & items]
    keywords = {"min_user_interactions": min_user, "min_item_interactions": min_item}
    for repeats in ("count", "keep"):
        if core.empty:
            with pytest.raises(ValueError, match="No event is left of the 40 read"):
                Interactions.from_frame(log, user="u", item="i", repeats=repeats, **keywords)
            continue
        X = Interactions.from_frame(log, user="u", item="i", repeats=repeats, **keywords)
        assert X.user_ids.tolist() == sorted(core["u"].unique())
        assert X.item_ids.tolist() == sorted(core["i"].unique())
        np.testing.assert_array_equal(X.toarray(), pd.crosstab(core["u"], core["i"]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 10**7, -(10**12)]), st.booleans())
def test_against_a_loop(seed, spread, texts):
    """Ids of any range, unsorted times with ties: the same entries, times and order as a plain loop gives."""
    rng = np.random.default_rng(seed)
    n = 50
    users, items = rng.integers(0, 8, n) * spread, rng.integers(-3, 5, n) * spread
    times, values = rng.integers(0, 10, n), rng.integers(1, 9, n).astype(np.float32)
    if texts:
        users, items = users.astype(str).astype(object), items.astype(str).astype(object)
    frame = pd.DataFrame({"u": users, "i": items, "t": times, "v": values})
    X = Interactions.from_frame(frame, user="u", item="i", timestamp="t", value="v", repeats="keep")
    assert X.dtype == np.float32
    assert X.user_ids.tolist() == sorted(set(users.tolist()))
    order = X.event_order()
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[order]
    found = list(
        zip(X.user_ids[rows], X.item_ids[X.indices[order]], X.timestamps[order], X.data[order])
    )
    log = sorted(zip(users, items, times, values), key=lambda event: (event[0], event[2]))
    assert found == log


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"user": "x"}, ValueError, r"no column \['x'\]; it has"),
        ({"value": "who"}, TypeError, "values must be numbers"),
        ({"timestamp": "who"}, TypeError, "times must be numbers or datetimes"),
        ({"repeats": "median"}, ValueError, "repeats must be one of"),
        ({"users": ["bob", "bob"]}, ValueError, "id twice"),
        ({"users": ["eve"]}, ValueError, "None of the ids given for column 'who' is in the log"),
        ({"items": ["9"]}, ValueError, r"given are \['9'\], and the log contains \[2, 7, 9\]"),
        ({"min_user_interactions": 9}, ValueError, "No event is left of the 6 read"),
    ],
)
def test_bad_logs(change, error, words):
    with pytest.raises(error, match=words):
        Interactions.from_frame(pd.DataFrame(LOG), **({"user": "who", "item": "what"} | change))


def test_more_bad_logs():
    with pytest.raises(TypeError, match="must be a pandas, polars or pyarrow table, got ndarray"):
        Interactions.from_frame(np.eye(3), user="u", item="i")
    with pytest.raises(TypeError, match="collect it first"):
        Interactions.from_frame(pl.DataFrame(LOG).lazy(), user="who", item="what")
    mixed = pd.DataFrame({"u": ["a", 1], "i": [1, 2]})
    with pytest.raises(TypeError, match=r"several types, \['int', 'str'\]"):
        Interactions.from_frame(mixed, user="u", item="i")
    infinite = pd.DataFrame({"u": [1, 2], "i": [1, 2], "v": [1, np.inf]})
    with pytest.raises(ValueError, match="infinity, the first at event 1"):
        Interactions.from_frame(infinite, user="u", item="i", value="v")


def test_bad_tables_out():
    X = marked()
    with pytest.raises(ValueError, match=r"select the rows that were recommended to"):
        X.to_frame(np.zeros((2, 3), dtype=int))
    with pytest.raises(ValueError, match="contains column 5"):
        X.to_frame(np.full((6, 1), 5))
    with pytest.raises(ValueError, match="scores has shape"):
        X.to_frame(np.zeros((6, 1), dtype=int), np.zeros((6, 2)))
    with pytest.raises(ImportError, match="nosuchlibrary is needed"):
        X.to_frame(np.zeros((6, 1), dtype=int), library="nosuchlibrary")
    table = X.to_frame(np.zeros((1, 1), dtype=int), users=["zoe"], library="polars")
    assert table.rows() == [("zoe", 0, 1)]


def test_float_ids_of_whole_numbers():
    frame = pd.DataFrame({"u": [12345.0, np.nan, 7.0], "i": pd.Categorical(["b", "a", "b"])})
    X = Interactions.from_frame(frame, user="u", item="i")
    assert X.user_ids.tolist() == [7, 12345]
    assert X.user_ids.dtype == np.int64
    assert X.item_ids.tolist() == ["b"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 3),
            st.floats(0.5, 1e6, width=32),
            st.integers(0, 4),
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["sum", "mean", "count", "last"]),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_repeated_events_become_what_was_asked(events, repeats, dtype, timed):
    log = pd.DataFrame(events, columns=["u", "i", "v", "t"]).astype({"v": dtype})
    expected = {}
    for place, (user, item, value, time) in enumerate(events):
        when = (time, place) if timed else (place,)
        expected.setdefault((user, item), []).append((when, value))
    X = Interactions.from_frame(
        log, user="u", item="i", value="v", timestamp="t" if timed else None, repeats=repeats
    )
    for (user, item), given_ in expected.items():
        values = [value for _, value in given_]
        wanted = {
            "sum": sum(values),
            "mean": sum(values) / len(values),
            "count": len(values),
            "last": max(given_)[1],
        }[repeats]
        got = X[X.user_rows([user])[0], X.item_columns([item])[0]]
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
        if repeats == "mean" and dtype == np.float64:
            assert min(values) <= got <= max(values)
    assert X.nnz == len(expected)
    assert X.dtype == dtype
