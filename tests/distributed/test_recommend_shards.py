"""Lists of shards equal those of one call, whatever ends early and starts again."""

import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from _clusters import two_workers

from sklearn_llmrec import EASE, Interactions, ItemKNN, recommend, save
from sklearn_llmrec.distributed import (
    RecommendTask,
    _recommend,
    iter_recommend,
    partition_events,
    recommend_shards,
)

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
pytest.importorskip("skops", reason="skops is not installed")


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    M = sp.random_array((400, 50), density=0.1, random_state=rng, format="csr")
    M.data[:] = 1
    ids = {"user_ids": [f"u{i}" for i in range(400)], "item_ids": [f"i{j}" for j in range(50)]}
    return Interactions(M, **ids)


@pytest.fixture(scope="module")
def bundle(X, tmp_path_factory):
    return save(tmp_path_factory.mktemp("model") / "bundle", EASE().fit(X))


def cut(X, n):
    edges = np.linspace(0, X.shape[0], n + 1).astype(int).tolist()
    return [X[start:stop] for start, stop in pairwise(edges)]


def lists_of(files):
    """All lists by user: items and scores, best first."""
    found = {}
    for file in files:
        for row in pq.read_table(file).to_pylist():
            found.setdefault(row["user"], []).append((row["rank"], row["item"], row["score"]))
    return found


def expected(X, k):
    model = EASE().fit(X)
    items, scores = model.recommend(X, k, ids=True)
    return {
        user: [(rank + 1, item, score) for rank, (item, score) in enumerate(zip(*row, strict=True))]
        for user, *row in zip(X.user_ids.tolist(), items.tolist(), scores.tolist(), strict=True)
    }


def assert_lists(files, X, k=5):
    found, wanted = lists_of(files), expected(X, k)
    assert found.keys() == wanted.keys()
    for user, rows in wanted.items():
        assert [row[:2] for row in found[user]] == [row[:2] for row in rows]
        np.testing.assert_allclose([r[2] for r in found[user]], [r[2] for r in rows], rtol=1e-6)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_files_contain_the_lists_of_one_call(X, bundle, tmp_path, n_jobs):
    report = recommend_shards(bundle, cut(X, 3), tmp_path, 5, n_jobs=n_jobs)
    assert_lists(report.files, X)
    assert (report.n_users, report.n_computed) == (400, 3)
    assert report.peak_memory > 10**7
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        *(f"part-0000{number}.parquet" for number in range(3)),
    ]


def test_a_second_call_does_nothing(X, bundle, tmp_path):
    first = recommend_shards(bundle, cut(X, 3), tmp_path, 5)
    times = [file.stat().st_mtime_ns for file in first.files]
    second = recommend_shards(bundle, cut(X, 3), tmp_path, 5)
    assert (second.n_computed, second.n_users, second.peak_memory) == (0, 400, None)
    assert [file.stat().st_mtime_ns for file in second.files] == times


def test_only_missing_files_are_computed(X, bundle, tmp_path):
    report = recommend_shards(bundle, cut(X, 4), tmp_path, 5)
    report.files[2].unlink()
    (tmp_path / ".unfinished-part-00002.parquet-17").write_bytes(b"half")
    assert recommend_shards(bundle, cut(X, 4), tmp_path, 5).n_computed == 1
    assert_lists(report.files, X)
    assert not list(tmp_path.glob(".unfinished*"))


def test_event_shards(bundle, X, tmp_path):
    rows = np.repeat(np.arange(400), np.diff(X.indptr))
    log = pa.table({"user": X.user_ids[rows].tolist(), "item": X.item_ids[X.indices].tolist()})
    shards = partition_events(log, tmp_path / "shards", 3, user="user", item="item")
    report = recommend_shards(bundle, shards, tmp_path / "lists", 5, n_jobs=2)
    with_events = X[np.flatnonzero(np.diff(X.indptr))]
    found, wanted = lists_of(report.files), expected(X, 5)
    assert found.keys() == set(with_events.user_ids.tolist())
    for user, rows in found.items():
        assert [row[1] for row in rows] == [row[1] for row in wanted[user]]


class DiesOnce:
    """Loads a shard, and kills its process with -9 the first time that any process gets to it."""

    def __init__(self, X, mark):
        self.X, self.mark = X, mark

    def __call__(self):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.X


class Loaded(list):
    """Shards that are loaded where they are computed."""

    def __init__(self, shards, loaders):
        super().__init__(shards)
        self.loader = loaders.__getitem__


@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning")
def test_a_killed_worker_of_joblib_is_replaced(X, bundle, tmp_path):
    parts = cut(X, 4)
    shards = Loaded(parts, [*parts[:1], DiesOnce(parts[1], tmp_path / "died"), *parts[2:]])
    with pytest.warns(RuntimeWarning, match="started again"):
        report = recommend_shards(bundle, shards, tmp_path / "out", 5, n_jobs=2)
    assert (tmp_path / "died").exists()
    assert_lists(report.files, X)
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_a_killed_worker_of_a_cluster_is_replaced(X, bundle, tmp_path):
    parts = cut(X, 4)
    shards = Loaded(parts, [*parts[:1], DiesOnce(parts[1], tmp_path / "died"), *parts[2:]])
    with two_workers() as client:
        report = recommend_shards(bundle, shards, tmp_path / "out", 5, client=client)
    assert (tmp_path / "died").exists()
    assert_lists(report.files, X)
    assert len(list((tmp_path / "out").iterdir())) == 5


DRIVER = """
import sys, time
from pathlib import Path
import numpy as np
import scipy.sparse as sp
from sklearn_llmrec import Interactions
from sklearn_llmrec.distributed import _recommend
shards = [Interactions(M, user_ids=ids, item_ids=items) for M, ids, items in
          np.load(sys.argv[1], allow_pickle=True)]
slow = _recommend._write_part
def wait(part):
    Path(sys.argv[4]).touch()
    result = slow(part)
    time.sleep(1.5)
    return result
_recommend._write_part = wait
_recommend.recommend_shards(sys.argv[2], shards, sys.argv[3], 5)
"""


def test_a_killed_driver_is_resumed(X, bundle, tmp_path):
    parts = cut(X, 4)
    stored = np.empty((4, 3), dtype=object)
    for number, part in enumerate(parts):
        stored[number] = [sp.csr_array(part), part.user_ids, part.item_ids]
    np.save(tmp_path / "shards.npy", stored, allow_pickle=True)
    arguments = [tmp_path / "shards.npy", bundle, tmp_path / "out", tmp_path / "started"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, *map(str, arguments)], env=environment
    ) as driver:
        first = tmp_path / "out" / "part-00000.parquet"
        end = time.monotonic() + 120
        while not first.exists() and time.monotonic() < end and driver.poll() is None:
            time.sleep(0.05)
        driver.kill()
    assert first.exists()
    report = recommend_shards(bundle, parts, tmp_path / "out", 5)
    assert 1 <= report.n_computed <= 3
    assert_lists(report.files, X)
    assert not list((tmp_path / "out").glob(".unfinished*"))


def test_the_task_is_small_and_loads_the_model_once_per_process(X, bundle, monkeypatch):
    from sklearn_llmrec import load

    task = RecommendTask(str(bundle), load(bundle).version, 3)
    assert len(pickle.dumps(task)) < 2000
    loads = []
    monkeypatch.setattr(
        _recommend, "load", lambda *a, **options: loads.append(options) or load(*a, **options)
    )
    _recommend._bundle.cache_clear()
    for start in (0, 10, 20):
        table = pickle.loads(pickle.dumps(task))(X[start : start + 10])
        assert table.num_rows == 30
    assert [options["mmap"] for options in loads] == [True]
    with pytest.raises(ValueError, match="was replaced"):
        RecommendTask(str(bundle), "0" * 64)(X[:2])
    with pytest.raises(ValueError, match="user_ids"):
        task(sp.csr_array(X))


def test_refusals(X, bundle, tmp_path):
    parts = cut(X, 2)
    recommend_shards(bundle, parts, tmp_path / "a", 5)
    for change, name in [
        ({"k": 4}, "k"),
        ({"exclude_seen": False}, "exclude_seen"),
        ({"shards": parts[:1]}, "source"),
        ({"model_path": save(tmp_path / "knn", ItemKNN(5).fit(X))}, "bundle"),
    ]:
        options = {"model_path": bundle, "shards": parts, "k": 5} | change
        with pytest.raises(ValueError, match=f"another {name}"):
            recommend_shards(out=tmp_path / "a", **options)
    with pytest.raises(ValueError, match="User 'u199' is in two places"):
        recommend_shards(bundle, [X[:200], X[199:]], tmp_path / "b")
    with pytest.raises(ValueError, match="no user_ids"):
        recommend_shards(bundle, [sp.csr_array(X)], tmp_path / "c")
    with pytest.raises(FileNotFoundError):
        recommend_shards(tmp_path / "absent", parts, tmp_path / "d")
    assert not (tmp_path / "d").exists()
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "part-00000.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="without a manifest"):
        recommend_shards(bundle, parts, tmp_path / "e")
    with pytest.raises(TypeError, match=r"path of a bundle, got EASE.*save"):
        recommend_shards(EASE(), parts, tmp_path / "f")
    (tmp_path / "a" / "part-00001.parquet").write_bytes(b"PA")
    with pytest.raises(ValueError, match=r"part-00001.parquet' is damaged.*Delete it"):
        recommend_shards(bundle, parts, tmp_path / "a", 5)


@pytest.mark.parametrize("rows_per_block", [1, 7, 400, 10**6])
def test_blocks_give_the_lists_of_one_call(X, rows_per_block):
    model = ItemKNN(10).fit(X)
    blocks = list(iter_recommend(model, X, 4, rows_per_block=rows_per_block, ids=True))
    items, scores = recommend(model, X, 4, ids=True)
    covered = np.concatenate([np.arange(400)[block.rows] for block in blocks])
    np.testing.assert_array_equal(covered, np.arange(400))
    assert np.concatenate([block.items for block in blocks]).tolist() == items.tolist()
    np.testing.assert_allclose(np.concatenate([block.scores for block in blocks]), scores)
    assert max(len(block.items) for block in blocks) <= rows_per_block
    with pytest.raises(ValueError, match="rows_per_block"):
        iter_recommend(model, X, rows_per_block=0)
