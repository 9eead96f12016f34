"""Shards on disk contain the events of the log, each user in the shard that its id names."""

import json
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from sklearn_llmrec import EASE, Interactions, ItemKNN, PopularityRecommender

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

from sklearn_llmrec.distributed import EventShards, fit_shards, partition_events  # noqa: E402

COLUMNS = {"user": "who", "item": "what", "value": "much", "timestamp": "when"}


def log(n=2000, seed=0, texts=True):
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 90, n), rng.zipf(1.5, n) % 40
    return pd.DataFrame(
        {
            "who": [f"u{user}" for user in users] if texts else users,
            "what": [f"i{item}" for item in items] if texts else items,
            "much": rng.integers(-1, 5, n).astype(float),
            "when": rng.integers(0, 50, n),  # with many ties
        }
    )


def table_of(frame):
    return pa.Table.from_pandas(frame, preserve_index=False)


def joined(shards):
    """The rows of all shards in the order of their user ids."""
    rows = [shard for shard in shards if shard.shape[0]]
    ids = np.concatenate([shard.user_ids for shard in rows])
    X = Interactions.concat(rows, repeats="keep")
    return X[np.argsort(ids, kind="stable")]


def assert_same(X, Y):
    assert X.user_ids.tolist() == Y.user_ids.tolist()
    assert X.item_ids.tolist() == Y.item_ids.tolist()
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(X, name), getattr(Y, name), err_msg=name)
    np.testing.assert_array_equal(X.timestamps, Y.timestamps)
    np.testing.assert_array_equal(X.indices[X.event_order()], Y.indices[Y.event_order()])


@pytest.mark.parametrize("repeats", ["sum", "last", "keep"])
@pytest.mark.parametrize("texts", [True, False])
def test_shards_contain_the_log(tmp_path, texts, repeats):
    frame = log(texts=texts)
    shards = partition_events(
        pa.Table.from_pandas(frame), tmp_path / "s", 4, repeats=repeats, **COLUMNS
    )
    assert len(shards) == 4
    assert_same(joined(shards), Interactions.from_frame(frame, repeats=repeats, **COLUMNS))
    counts = shards.manifest
    assert counts["n_events"] == (frame["much"] > 0).sum()
    assert counts["n_dropped"] == (frame["much"] <= 0).sum()
    assert counts["n_users"] == sum(shard.shape[0] for shard in shards)
    for number, shard in enumerate(shards):
        assert isinstance(shard.data.base, np.memmap) or isinstance(shard.data, np.memmap)
        assert all(crc32(str(user).encode()) % 4 == number for user in shard.user_ids)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files_and_patterns_give_the_same_shards(tmp_path, suffix):
    frame = log()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 3)):
        path = tmp_path / f"log-{number}.{suffix}"
        some = frame.iloc[part]
        some.to_csv(path, index=False) if suffix == "csv" else some.to_parquet(path, index=False)
    shards = partition_events(str(tmp_path / f"log-*.{suffix}"), tmp_path / "s", 3, **COLUMNS)
    assert_same(joined(shards), Interactions.from_frame(frame, **COLUMNS))


def test_batches_of_any_size_give_the_same_shards(tmp_path):
    frame = log()
    table = pa.Table.from_pandas(frame)
    shards = [
        partition_events(
            lambda size=size: iter(table.to_batches(size)), tmp_path / str(size), 3, **COLUMNS
        )
        for size in (7, 10**6)
    ]
    for a, b in zip(*shards, strict=True):
        assert_same(a, b)


def test_days_are_appended_with_new_users_and_items(tmp_path):
    old, new = log(seed=0), log(500, seed=1)
    new["what"] = new["what"].replace({"i1": "a new item"})
    new["who"] = new["who"].replace({"u3": "a new user"})
    shards = partition_events(pa.Table.from_pandas(old), tmp_path, 4, **COLUMNS)
    shards = shards.append(pa.Table.from_pandas(new))
    assert_same(joined(shards), Interactions.from_frame(pd.concat([old, new]), **COLUMNS))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events-0000",
        "events-0001",
        "manifest.json",
        "matrices-0001",
    ]


def test_an_append_that_fails_leaves_the_shards(tmp_path):
    frame = log()
    shards = partition_events(pa.Table.from_pandas(frame), tmp_path, 2, **COLUMNS)
    before = joined(shards)

    def broken():
        yield from pa.Table.from_pandas(log(seed=2)).to_batches(100)
        raise OSError("the disk was removed")

    with pytest.raises(OSError, match="removed"):
        shards.append(broken)
    assert_same(joined(EventShards(tmp_path)), before)
    more = EventShards(tmp_path).append(pa.Table.from_pandas(log(seed=2)))
    assert_same(joined(more), Interactions.from_frame(pd.concat([frame, log(seed=2)]), **COLUMNS))
    assert not list(tmp_path.glob("unfinished*"))


def test_models_are_fitted_from_shards_in_processes(tmp_path):
    frame = log()
    shards = partition_events(pa.Table.from_pandas(frame), tmp_path, 3, **COLUMNS)
    whole = joined(shards)
    for estimator in (EASE(), ItemKNN(10), PopularityRecommender(half_life=10)):
        model = fit_shards(estimator, shards, n_jobs=2)
        expected = type(estimator)(**estimator.get_params()).fit(whole)
        np.testing.assert_allclose(model.predict(whole), expected.predict(whole), atol=1e-9)
        assert model.item_ids_.tolist() == whole.item_ids.tolist()


def test_shards_without_users_are_empty_matrices(tmp_path):
    frame = log().query("who == 'u1'")
    shards = partition_events(pa.Table.from_pandas(frame), tmp_path, 5, **COLUMNS)
    assert sorted(shard.shape[0] for shard in shards) == [0, 0, 0, 0, 1]
    assert {shard.shape[1] for shard in shards} == {len(shards.item_ids)}
    assert shards[-1].shape == shards[4].shape
    with pytest.raises(IndexError):
        shards[5]


def test_refusals(tmp_path):
    table = pa.Table.from_pandas(log(50))
    with pytest.raises(ValueError, match="n_shards"):
        partition_events(table, tmp_path, 0, **COLUMNS)
    with pytest.raises(ValueError, match=r"no column \['where'\]"):
        partition_events(table, tmp_path / "a", 2, user="where", item="what")
    assert not (tmp_path / "a").exists()
    with pytest.raises(FileNotFoundError, match="absent"):
        partition_events("absent.parquet", tmp_path, 2, **COLUMNS)
    with pytest.raises(ValueError, match=r"\.parquet or all \.csv"):
        partition_events(__file__, tmp_path, 2, **COLUMNS)
    with pytest.raises(TypeError, match="got dict"):
        partition_events({}, tmp_path, 2, **COLUMNS)
    with pytest.raises(ValueError, match="no event"):
        partition_events(table.slice(0, 0), tmp_path / "b", 2, **COLUMNS)
    (tmp_path / "something").write_text("")
    with pytest.raises(ValueError, match="not empty"):
        partition_events(table, tmp_path, 2, **COLUMNS)
    with pytest.raises(FileNotFoundError, match="partition_events"):
        EventShards(tmp_path)
    shards = partition_events(table, tmp_path / "c", 2, **COLUMNS)
    path = tmp_path / "c" / "manifest.json"
    path.write_text(json.dumps({**shards.manifest, "format": 99}))
    with pytest.raises(ValueError, match="later version"):
        EventShards(tmp_path / "c")


@pytest.mark.parametrize("harm", ["deleted", "shorter", "truncated"])
def test_damaged_events_are_refused_before_any_work(tmp_path, harm):
    """Building on what is left would lose users in silence."""
    shards = partition_events(table_of(log()), tmp_path / "shards", 3, user="who", item="what")
    path = tmp_path / "shards" / "events-0000" / "shard-00001.parquet"
    before = shards[1].toarray()
    if harm == "deleted":
        path.unlink()
    elif harm == "shorter":
        pq.write_table(pq.read_table(path)[:-1], path)
    else:
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"shard-00001.parquet.*(manifest names|damaged).*Restore"):
        EventShards(tmp_path / "shards").append(table_of(log(10, 1)))
    np.testing.assert_array_equal(EventShards(tmp_path / "shards")[1].toarray(), before)


@pytest.mark.parametrize("harm", ["deleted", "shorter"])
def test_a_damaged_matrix_is_named(tmp_path, harm):
    shards = partition_events(table_of(log()), tmp_path / "shards", 3, user="who", item="what")
    path = next((tmp_path / "shards").glob("matrices-*/shard-00001/data.npy"))
    if harm == "deleted":
        path.unlink()
    else:
        np.save(path, np.load(path)[:-1])
    with pytest.raises(ValueError, match="shard-00001' is damaged"):
        shards[1]


def test_an_append_of_another_kind_of_ids_is_refused(tmp_path):
    shards = partition_events(table_of(log()), tmp_path / "shards", 3, user="who", item="what")
    table = table_of(log(10, 1))
    numbers = table.set_column(table.schema.get_field_index("who"), "who", pa.array(range(10)))
    with pytest.raises(
        ValueError, match=r"Column 'who' is int64, and (large_)?string in the earlier"
    ):
        shards.append(numbers)
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == [
        "events-0000",
        "manifest.json",
        "matrices-0000",
    ]
    wide = table.set_column(
        table.schema.get_field_index("who"), "who", table["who"].cast(pa.large_string())
    )
    assert shards.append(wide).manifest["n_events"] == 2010


def test_blocks_that_share_a_user_are_refused():
    X = Interactions(np.eye(3), user_ids=["a", "b", "c"])
    with pytest.raises(ValueError, match="User 'b' is in several shards"):
        fit_shards(PopularityRecommender(), [X[:2], X[1:]])
    assert fit_shards(PopularityRecommender(), [X[:2], X[2:]]).n_users_fit_ == 3
