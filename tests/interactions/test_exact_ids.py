"""Identifiers of every type are compared as Python's dict compares them, or refused by name."""

import datetime as dt
import decimal
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from sklearn_llmrec import Interactions, ItemKNN

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
#: Tables of one column of ids, each made from a list of values and a NumPy dtype name.
TABLES = {
    "numpy": lambda ids, kind: pd.DataFrame({"u": np.array(ids, kind)}),
    "nullable": lambda ids, kind: pd.DataFrame(
        {"u": pd.array(ids, kind.replace("int", "Int").replace("uI", "UI"))}
    ),
    "categorical": lambda ids, kind: pd.DataFrame({"u": pd.Categorical(np.array(ids, kind))}),
    "objects": lambda ids, kind: pd.DataFrame({"u": pd.Series(ids, dtype=object)}),
    "pandas on arrow": lambda ids, kind: pd.DataFrame(
        {"u": pd.Series(ids, dtype=f"{kind}[pyarrow]")}
    ),
    "pandas on arrow dictionaries": lambda ids, kind: pd.DataFrame(
        {"u": pd.Series(pd.arrays.ArrowExtensionArray(pa.array(ids, kind).dictionary_encode()))}
    ),
    "polars": lambda ids, kind: pl.DataFrame({"u": pl.Series(np.array(ids, kind))}),
    "arrow": lambda ids, kind: pa.table({"u": pa.array(ids, kind)}),
    "arrow dictionary": lambda ids, kind: pa.table({"u": pa.array(ids, kind).dictionary_encode()}),
}


@st.composite
def integer_ids(draw):
    """Ids of one integer type, often at the ends of its range and around 2**53."""
    kind = draw(st.sampled_from(INTEGERS))
    info = np.iinfo(kind)
    near = [info.min, 0, 1, 2**53, 2**60, info.max]
    edges = [e + d for e in near for d in (-1, 0, 1) if info.min <= e + d <= info.max]
    value = st.sampled_from(edges) | st.integers(info.min, info.max)
    return kind, draw(st.lists(value, min_size=1, max_size=12))


def log_with(table, ids, kind):
    """A log of a table library with these user ids, one event each on alternating items."""
    frame = TABLES[table](ids, kind)
    items = np.arange(len(ids)) % 3
    if isinstance(frame, pd.DataFrame):
        return frame.assign(i=items)
    if isinstance(frame, pl.DataFrame):
        return frame.with_columns(pl.Series("i", items))
    return frame.append_column("i", pa.array(items))


def assert_is_the_log(X, ids):
    """Rows are the sorted distinct ids, and every event is where Python's dict puts it."""
    expected = sorted(set(ids))
    assert X.user_ids.tolist() == expected
    row = {label: number for number, label in enumerate(expected)}
    dense = np.zeros((len(expected), 3))
    for position, label in enumerate(ids):
        dense[row[label], position % 3] += 1
    columns = X.item_ids.tolist()
    assert np.array_equal(X.toarray(), dense[:, columns])
    assert dense.sum() == X.sum()


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=40, deadline=None)
@given(integer_ids())
def test_integers_of_any_width_and_library(table, drawn):
    kind, ids = drawn
    X = Interactions.from_frame(log_with(table, ids, kind), user="u", item="i")
    assert_is_the_log(X, ids)
    rows = {label: number for number, label in enumerate(X.user_ids.tolist())}
    # Look-ups by Python integers, by any other integer type that holds the ids, and by the column itself.
    assert X.user_rows(ids).tolist() == [rows[label] for label in ids]
    assert X.user_rows(log_with(table, ids, kind)["u"]).tolist() == [rows[label] for label in ids]
    for other in INTEGERS:
        held = [label for label in ids if np.iinfo(other).min <= label <= np.iinfo(other).max]
        if held:
            assert X.user_rows(np.array(held, other)).tolist() == [rows[label] for label in held]


@settings(max_examples=40, deadline=None)
@given(integer_ids(), integer_ids(), st.sampled_from(sorted(TABLES)))
def test_users_given_are_found_exactly(drawn, other, table):
    (kind, ids), (_, others) = drawn, other
    given_users = list(dict.fromkeys([*others, ids[0]]))
    X = Interactions.from_frame(log_with(table, ids, kind), user="u", item="i", users=given_users)
    assert X.user_ids.tolist() == given_users
    counts = np.asarray(X.sum(axis=1)).ravel()
    assert counts.tolist() == [ids.count(label) for label in given_users]
    assert X.report_["other_users"] == sum(label not in given_users for label in ids)


@settings(max_examples=40, deadline=None)
@given(integer_ids(), st.sampled_from(sorted(TABLES)), st.randoms(use_true_random=False))
def test_features_go_to_the_rows_of_their_ids(drawn, table, random):
    kind, ids = drawn
    known = sorted(set(ids))
    random.shuffle(known)
    ages = [float(number) for number in range(len(known))]
    features = log_with(table, known, kind)
    if isinstance(features, pd.DataFrame):
        features = features[["u"]].assign(age=ages)
    elif isinstance(features, pl.DataFrame):
        features = features.select("u").with_columns(pl.Series("age", ages))
    else:
        features = features.select(["u"]).append_column("age", pa.array(ages))
    log = pd.DataFrame({"u": np.array(ids, kind), "i": 0})
    X = Interactions.from_frame(log, user="u", item="i", user_features=features)
    of_id = dict(zip(known, ages))
    assert np.asarray(X.user_features["age"]).tolist() == [
        of_id[label] for label in X.user_ids.tolist()
    ]


@settings(max_examples=40, deadline=None)
@given(
    integer_ids(), st.sampled_from(["nullable", "objects", "polars", "arrow", "pandas on arrow"])
)
def test_missing_ids_beside_large_ones(drawn, table):
    kind, ids = drawn
    with_gap = [*ids, None]
    if table == "polars":
        column = pl.Series(with_gap, dtype=getattr(pl, kind.title().replace("Ui", "UI")))
        log = pl.DataFrame({"u": column, "i": np.arange(len(with_gap)) % 3})
    elif table == "arrow":
        log = pa.table({"u": pa.array(with_gap, kind), "i": np.arange(len(with_gap)) % 3})
    else:
        log = TABLES[table](with_gap, kind).assign(i=np.arange(len(with_gap)) % 3)
    X = Interactions.from_frame(log, user="u", item="i")
    assert X.user_ids.tolist() == sorted(set(ids))
    kept = Interactions.from_frame(log, user="u", item="i", missing="keep")
    assert kept.user_ids.tolist() == [*sorted(set(ids)), None]
    assert kept.user_rows([None]).tolist() == [len(set(ids))]
    frame = kept.to_frame(np.zeros((kept.shape[0], 1), dtype=int), library="pandas")
    assert frame["u" if "u" in frame else "user"].tolist() == kept.user_ids.tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    st.booleans(),
)
def test_floats_beside_missing_values_are_what_they_are(ids, whole):
    ids = [float(int(label)) for label in ids] if whole else ids
    for frame in (pd.DataFrame({"u": [*ids, np.nan]}), pl.DataFrame({"u": [*ids, float("nan")]})):
        if isinstance(frame, pd.DataFrame):
            log = frame.assign(i=np.arange(len(ids) + 1) % 3)
        else:
            log = frame.with_columns(pl.Series("i", np.arange(len(ids) + 1) % 3))
        X = Interactions.from_frame(log, user="u", item="i")
        assert_is_the_log(X, ids)
        assert X.user_rows(ids).tolist() == [X.user_ids.tolist().index(label) for label in ids]
        if all(label == int(label) for label in ids):
            assert all(isinstance(label, int) for label in X.user_ids.tolist())


TEXTS = st.lists(
    st.text(max_size=4) | st.sampled_from(["a", "a\0", "A", "1", "\0"]), min_size=1, max_size=8
)


@pytest.mark.parametrize(
    "table",
    ["str", "object", "string", "category", "polars", "polars category", "arrow", "dictionary"],
)
@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_texts_stay_apart(table, ids):
    items = np.arange(len(ids)) % 3
    if table.startswith("polars"):
        kind = pl.Categorical if "category" in table else pl.String
        log = pl.DataFrame({"u": pl.Series(ids, dtype=kind), "i": items})
    elif table in ("arrow", "dictionary"):
        column = pa.array(ids, pa.string())
        log = pa.table(
            {"u": column.dictionary_encode() if table == "dictionary" else column, "i": items}
        )
    else:
        log = pd.DataFrame({"u": pd.Series(ids, dtype=table), "i": items})
        # pandas 2 itself takes texts that differ after a NUL for one category.
        ids = log["u"].tolist() if table == "category" else ids
    X = Interactions.from_frame(log, user="u", item="i")
    assert_is_the_log(X, ids)
    assert X.user_rows(ids).tolist() == [X.user_ids.tolist().index(label) for label in ids]
    again = Interactions(np.eye(X.shape[0]), user_ids=X.user_ids.tolist())
    assert again.user_ids.tolist() == X.user_ids.tolist()


OTHER_IDS = {
    "dates": [dt.date(2024, 1, 2), dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "times": [
        dt.datetime(2024, 1, 2, 3, 4, 5, 6),
        dt.datetime(2024, 1, 2),
        dt.datetime(3000, 1, 1),
    ],
    "nanoseconds": [pd.Timestamp(2**60 + 1), pd.Timestamp(2**60), pd.Timestamp(0)],
    "uuids": [uuid.UUID(int=2**100), uuid.UUID(int=2**100 + 1), uuid.UUID(int=0)],
    "tuples": [(1, "a"), (1, "b"), (0, "z")],
    "bytes": [b"a", b"a\0", b""],
    "decimals": [decimal.Decimal(2**70), decimal.Decimal(2**70 + 1), decimal.Decimal(1)],
    "huge integers": [2**100 + 1, 2**100, -1],
    "both signs beyond 64 bits": [2**63, -1, 5],
}


@pytest.mark.parametrize("kind", OTHER_IDS)
def test_other_ids(kind):
    ids = OTHER_IDS[kind]
    log = pd.DataFrame({"u": pd.Series(ids, dtype=object), "i": [0, 1, 2]})
    X = Interactions.from_frame(log, user="u", item="i")
    rows = X.user_rows(ids)
    assert rows.tolist() == [sorted(ids).index(label) for label in ids]
    assert np.array_equal(X.toarray()[rows], np.eye(3))
    fixed = Interactions.from_frame(log, user="u", item="i", users=ids)
    assert np.array_equal(fixed.toarray(), np.eye(3))
    plain = Interactions(np.eye(3), user_ids=ids)
    assert plain.user_rows(ids[::-1]).tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match=r"of two kinds|not in the matrix"):
        X.user_rows(["nobody"])


def test_times_of_two_units_are_compared_exactly():
    ids = np.array(["2024-01-01", "3000-01-01"], "M8[s]")
    X = Interactions(np.eye(2), user_ids=ids)
    near = np.array(["2024-01-01T00:00:00.000000001"], "M8[ns]")
    with pytest.raises(ValueError, match="not in the matrix"):
        X.user_rows(near)
    assert X.user_rows(near.astype("M8[D]")).tolist() == [0]


LOG = pd.DataFrame({"u": [1, 1, 2], "i": ["10", "20", "10"], "e": [1, 2, 1]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": ["1", "2"]}, "two kinds, texts and numbers.*'u' given are.*the log contains"),
        ({"items": [10, 20]}, "two kinds, numbers and texts.*'i' given are"),
        ({"items": [True, False]}, "two kinds, booleans and texts"),
        ({"user_features": pd.DataFrame({"u": ["1", "2"]})}, "'u' of user_features contains"),
        ({"item_features": pd.DataFrame({"i": [10, 20]})}, "'i' of item_features contains"),
        ({"event": "e", "event_weights": {"1": 1.0}}, "event_weights knows.*'e' contains"),
        ({"event": "e", "event_weights": {True: 1.0}}, "booleans and numbers"),
    ],
)
def test_ids_of_two_kinds_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Interactions.from_frame(LOG, user="u", item="i", **change)


@pytest.mark.parametrize("ids", [["1"], [True], [b"1"], [dt.date(2024, 1, 1)], [(1,)]])
def test_look_ups_by_another_kind_are_refused(ids):
    X = Interactions(np.eye(2), user_ids=[1, 2], item_ids=[1.5, 2.5])
    for look_up in (X.user_rows, X.item_columns):
        with pytest.raises(ValueError, match=r"of two kinds, numbers and .*requested are"):
            look_up(ids)


@pytest.mark.parametrize(
    "ids", [[1, "a"], [True, 2], [1, dt.date(2024, 1, 1)], pd.Series([b"a", "a"], dtype=object)]
)
def test_mixed_ids_are_refused(ids):
    with pytest.raises(TypeError, match="several types"):
        Interactions(np.eye(2), user_ids=ids)
    log = pd.DataFrame({"u": pd.Series(list(ids), dtype=object), "i": [0, 1]})
    with pytest.raises(TypeError, match="Ids in column 'u' are of several types"):
        Interactions.from_frame(log, user="u", item="i")
    with pytest.raises(TypeError, match="several types"):
        Interactions(np.eye(2), user_ids=["x", "y"]).user_rows(ids)


def test_an_id_in_several_rows_is_not_looked_up():
    X = Interactions(np.eye(3), user_ids=["ann", "bob", "cid"])[[0, 1, 0]]
    assert X.user_rows(["bob"]).tolist() == [1]
    with pytest.raises(ValueError, match=r"'ann' is in the matrix several times.*0 and 2"):
        X.user_rows(["bob", "ann"])


def test_the_ids_of_the_fit_are_compared_exactly():
    near = np.array([2**63, 2**63 + 1, 2**63 + 2], np.uint64)
    model = ItemKNN().fit(Interactions(np.eye(3) + 1, item_ids=near))
    model.predict(Interactions(np.eye(3), item_ids=near.tolist()))
    for others in (near[[0, 2, 1]], [str(label) for label in near], near.astype(float)):
        with pytest.raises(ValueError, match=r"other item ids than at fit|several times"):
            model.predict(Interactions(np.eye(3), item_ids=others))


def test_ids_are_owned():
    ids = np.arange(3)
    X = Interactions(np.eye(3) + 1, user_ids=ids, item_ids=ids)
    model = ItemKNN().fit(X)
    listed = Interactions.from_frame(
        pd.DataFrame({"u": [0, 1, 2], "i": [0, 1, 2]}), user="u", item="i", users=ids, items=ids
    )
    ids[:] = 7
    with pytest.raises(ValueError, match="read-only"):
        X.item_ids[:] = 8  # shared by matrices and models, so nobody may change it
    for kept in (X.user_ids, X.item_ids, model.item_ids_, listed.user_ids, listed.item_ids):
        assert kept.tolist() == [0, 1, 2]
