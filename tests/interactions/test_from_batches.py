"""A log that is read in batches gives the matrix of the whole table, for batches of any size."""

import numpy as np
import pandas as pd
import pytest

from sklearn_llmrec import Interactions
from sklearn_llmrec.distributed import partition_events
from sklearn_llmrec.interactions import _entries, _event_log

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

COLUMNS = {"user": "who", "item": "what", "value": "much", "timestamp": "when"}


def log(n=1500, seed=0, ids="texts"):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "who": rng.integers(0, 90, n),
            "what": rng.zipf(1.5, n) % 40,
            "much": rng.integers(-1, 5, n).astype(float),
            "when": rng.integers(0, 50, n),
        }
    )
    if ids == "texts":
        frame["who"], frame["what"] = (
            "u" + frame["who"].astype(str),
            "i" + frame["what"].astype(str),
        )
    if ids == "dates":
        frame["who"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame["who"], "D")
        frame["when"] = pd.to_datetime(frame["when"] * 1000 + 500 * (frame["when"] == 7), unit="ms")
    return frame


def assert_same(X, Y):
    for name in ("user_ids", "item_ids", "data", "indices", "indptr", "timestamps"):
        a, b = getattr(X, name), getattr(Y, name)
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, err_msg=name)
    np.testing.assert_array_equal(X.event_order(), Y.event_order())
    assert X.report_ == Y.report_


OPTIONS = [
    *({"repeats": repeats} for repeats in ("sum", "mean", "count", "last", "keep")),
    {"nonpositive": "net"},
    {"nonpositive": "keep", "dtype": np.float32},
    {"min_user_interactions": 2, "min_item_interactions": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("ids", ["texts", "integers", "dates"])
@pytest.mark.parametrize("size", [1, 13, 10**6])
def test_any_batches_give_the_matrix_of_the_table(size, ids, options):
    table = pa.Table.from_pandas(log(200 if size == 1 else 1500, ids=ids))
    whole = Interactions.from_frame(table, **COLUMNS, **options)
    assert_same(
        Interactions.from_batches(lambda: table.to_batches(size), **COLUMNS, **options), whole
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("at_once", [1, 7, 200])
def test_blocks_of_any_length_give_the_same_matrix(at_once, options, monkeypatch):
    table = pa.Table.from_pandas(log())
    whole = Interactions.from_frame(table, **COLUMNS, **options)
    monkeypatch.setattr(_entries, "AT_ONCE", at_once)
    monkeypatch.setattr(_event_log, "AT_ONCE", at_once)
    assert_same(Interactions.from_frame(table, **COLUMNS, **options), whole)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files_are_read_in_the_order_of_their_names(tmp_path, suffix):
    frame = log()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 3)):
        path, some = tmp_path / f"log-{number}.{suffix}", frame.iloc[part]
        some.to_csv(path, index=False) if suffix == "csv" else some.to_parquet(path, index=False)
    X = Interactions.from_batches(tmp_path / f"log-*.{suffix}", **COLUMNS)
    assert_same(X, Interactions.from_frame(pa.Table.from_pandas(frame), **COLUMNS))


def test_given_ids_and_missing_values():
    frame = log(ids="integers").astype({"who": "Int64", "much": "Float64"})
    frame.loc[::7, "who"], frame.loc[::11, "much"] = pd.NA, pd.NA
    table = pa.Table.from_pandas(frame)
    options = {"users": [5, 3, 999, 8], "items": [2, 1, 4]}
    X = Interactions.from_batches(lambda: table.to_batches(50), **COLUMNS, **options)
    assert_same(X, Interactions.from_frame(table, **COLUMNS, **options))
    assert X.report_["missing"] > 0
    with pytest.raises(ValueError, match="missing"):
        Interactions.from_batches(table, missing="raise", **COLUMNS)


def test_empty_fields_of_csv_files_are_missing(tmp_path):
    """Not a user and an item of their own without a name; a text such as NA is an id."""
    path = tmp_path / "log.csv"
    path.write_text('who,what,when\na,tea,1\n,tea,2\nb,,3\nNA,mug,4\nb,mug,\n"",mug,5\n')
    X = Interactions.from_batches(path, user="who", item="what")
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    expected = Interactions.from_frame(frame, user="who", item="what")
    assert X.user_ids.tolist() == expected.user_ids.tolist() == ["NA", "a", "b"]
    assert X.item_ids.tolist() == expected.item_ids.tolist() == ["mug", "tea"]
    np.testing.assert_array_equal(X.toarray(), expected.toarray())
    assert X.report_["missing"] == expected.report_["missing"] == 3
    shards = partition_events(path, tmp_path / "s", 2, user="who", item="what")
    assert (shards.manifest["n_users"], shards.manifest["n_dropped"]) == (3, 3)


def test_refusals(tmp_path):
    table = pa.Table.from_pandas(log(50))
    with pytest.raises(ValueError, match="two columns"):
        Interactions.from_batches(table, user="who", item="who")
    with pytest.raises(ValueError, match="no column"):
        Interactions.from_batches(table, user="who", item="where")
    with pytest.raises(ValueError, match="No event is left"):
        Interactions.from_batches(table.slice(0, 0), **COLUMNS)
    with pytest.raises(ValueError, match="No event is left"):
        Interactions.from_batches(lambda: iter([]), **COLUMNS)
    with pytest.raises(ValueError, match="missing must be one of"):
        Interactions.from_batches(table, missing="keep", **COLUMNS)
    with pytest.raises(ValueError, match="nonpositive='net'"):
        Interactions.from_batches(table, nonpositive="net", repeats="last", **COLUMNS)
    with pytest.raises(FileNotFoundError, match="absent"):
        Interactions.from_batches(str(tmp_path / "absent-*.csv"), **COLUMNS)
    with pytest.raises(TypeError, match="got int"):
        Interactions.from_batches(5, **COLUMNS)


@pytest.mark.parametrize("waiting", [1, 7, 10**6])
def test_ids_of_batches_of_several_types_stay_exact(monkeypatch, waiting):
    monkeypatch.setattr("sklearn_llmrec.interactions._id_codes._WAITING", waiting)
    small = pa.array([3, 1, 3, -2], pa.int8())
    large = pa.array([2**62 + 1, 2**62, 3, 1], pa.int64())
    batches = [
        pa.RecordBatch.from_pydict({"u": ids, "i": pa.array(list("abca"))})
        for ids in (small, large)
    ]
    X = Interactions.from_batches(lambda: iter(batches), user="u", item="i")
    assert X.user_ids.tolist() == [-2, 1, 3, 2**62, 2**62 + 1]
    assert X.item_ids.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(
        X.toarray(), [[1, 0, 0], [1, 1, 0], [1, 0, 2], [0, 1, 0], [1, 0, 0]]
    )
    # Halves in one batch, whole numbers in the next: a cast to either would change one of them.
    floats = [
        pa.RecordBatch.from_pydict({"u": pa.array(ids), "i": pa.array(list("ab"))})
        for ids in ([0.5, 2.5], [2.0, 3.0])
    ]
    X = Interactions.from_batches(lambda: iter(floats), user="u", item="i")
    assert X.user_ids.tolist() == [0.5, 2.0, 2.5, 3.0]
    mixed = [
        batches[0],
        pa.RecordBatch.from_pydict({"u": pa.array(list("wxyz")), "i": pa.array(list("abca"))}),
    ]
    with pytest.raises(TypeError, match="several types"):
        Interactions.from_batches(lambda: iter(mixed), user="u", item="i")


def test_categories_become_the_ids_of_the_table():
    table = pa.Table.from_pandas(log(300))
    table = table.set_column(0, "who", table["who"].dictionary_encode())
    whole = Interactions.from_frame(table, **COLUMNS)
    assert_same(Interactions.from_batches(lambda: table.to_batches(20), **COLUMNS), whole)


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="this pyarrow has no views of texts")
@pytest.mark.parametrize("kind", ["view", "dictionary"])
def test_ids_that_are_views_of_texts_are_read_as_texts(kind):
    users, items = ["b", "a", "é", "b", None], ["y", "x", "z", "z", "x"]
    plain = pa.table({"user": users, "item": items, "value": [1.0, 2.0, 3.0, None, 1.0]})
    views = plain
    for place, name in enumerate(["user", "item"]):
        column = plain[name].cast(pa.string_view())
        if kind == "dictionary":
            encoded = plain[name].dictionary_encode().chunk(0)
            values = encoded.dictionary.cast(pa.string_view())
            column = pa.chunked_array([pa.DictionaryArray.from_arrays(encoded.indices, values)])
        views = views.set_column(place, name, column)
    names = {"user": "user", "item": "item", "value": "value"}
    expected = Interactions.from_frame(plain, **names)
    for found in (
        Interactions.from_frame(views, **names),
        Interactions.from_batches(views.to_batches, **names),
        Interactions.from_batches(
            lambda: [*plain[:2].to_batches(), *views[2:].to_batches()], **names
        ),
    ):
        assert found.user_ids.tolist() == expected.user_ids.tolist() == ["a", "b", "é"]
        assert found.item_ids.tolist() == ["x", "y", "z"]
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
