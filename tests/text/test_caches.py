"""Caches and checkpoints answer only what was asked, whoever else writes, and whatever lies in their files."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.text import LikelihoodReranker, LLMReranker, SentenceEncoder, _models
from sklearn_llmrec.text._answer_cache import AnswerCache
from sklearn_llmrec.text._cache import EmbeddingCache, text_key

X = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1.0]])
ROW = [[1, 0, 0, 0, 0]]


def reranker(model, cache, **params):
    params = {"blend": 1.0, "max_retries": 0} | params
    return LLMReranker(PopularityRecommender(), model=model, cache=cache, **params).fit(X)


def answering(ranking):
    """A model that always gives one answer."""
    return lambda messages: json.dumps({"ranking": ranking})


# -- answers of language models ---------------------------------------------------------------------------------------


class Switch:
    """A model whose answer is read from the environment, so that its content stays the same."""

    def __call__(self, messages):
        return os.environ["ANSWER"]


BAD_ANSWERS = ["", "no", '{"ranking": [4,', '{"ranking": []}', '{"ranking": [99]}', "None"]


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_unreadable_answers_are_asked_again(bad, tmp_path, monkeypatch):
    model = reranker(Switch(), tmp_path)
    monkeypatch.setenv("ANSWER", bad)
    with pytest.warns(UserWarning, match="1 unreadable"):
        model.rerank(ROW, k=4)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("ANSWER", '{"ranking": [4, 3, 2, 1]}')
    assert model.rerank(ROW, k=4).items[0].tolist() == [4, 3, 2, 1]
    monkeypatch.setenv("ANSWER", bad)
    assert model.rerank(ROW, k=4).items[0].tolist() == [4, 3, 2, 1]
    assert model.report_.from_cache == 1


@pytest.mark.parametrize(
    "change",
    [
        {"item_texts": list("abcde")},
        {"instructions": "Prefer tea."},
        {"max_length": 1},
        {"n_candidates": 2},
        {"model": answering([2, 1])},
        {"max_tokens": 7},
    ],
)
def test_other_questions_find_no_answer(change, tmp_path):
    rows = np.array([[1, 1, 0, 0, 0.0]])
    model = reranker(answering([3, 2, 1]), tmp_path)
    model.rerank(rows, k=2)
    other = clone(model).set_params(**change).fit(X)
    other.rerank(rows, k=2)
    assert other.report_.lists == 1
    assert other.report_.from_cache == 0
    model.fit(X).rerank(rows, k=2)
    assert model.report_.from_cache == 1


def damages(path):
    """Ways in which a file of the cache may be damaged or foreign; yields a name, then has done it."""
    good = path.read_bytes()
    stored = json.loads(good)
    for name, content in {
        "empty": b"",
        "cut": good[: len(good) // 2],
        "bytes": b"\xff\xfe\x00",
        "another program's": b'{"answer": "{\\"ranking\\": [1, 2, 3, 4]}"}',
        "a list": b"[1]",
        "deep": b"[" * 100_000,
        "another answer": json.dumps(stored | {"answer": '{"ranking": [1, 2, 3, 4]}'}).encode(),
        "another format": json.dumps(stored | {"format": "0"}).encode(),
        "no check": json.dumps({k: v for k, v in stored.items() if k != "check"}).encode(),
    }.items():
        path.write_bytes(content)
        yield name


def test_damaged_and_foreign_answers_are_a_miss_and_a_warning(tmp_path):
    model = reranker(answering([4, 3, 2, 1]), tmp_path)
    model.rerank(ROW, k=4)
    (path,) = tmp_path.iterdir()
    for name in damages(path):
        with pytest.warns(UserWarning, match="did not use 1 files of its cache"):
            result = model.rerank(ROW, k=4)
        assert result.items[0].tolist() == [4, 3, 2, 1], name
        assert result.counts["cached"] == 0, name
        # The damaged file was replaced.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert model.rerank(ROW, k=4).counts["cached"] == 1, name
    path.unlink()
    path.mkdir()
    with (
        pytest.warns(UserWarning, match="did not use 1 files of its cache"),
        pytest.warns(UserWarning, match="could not keep 1 answers"),
    ):
        assert model.rerank(ROW, k=4).items[0].tolist() == [4, 3, 2, 1]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_answer_of_another_question_is_not_taken(tmp_path):
    cache = AnswerCache(tmp_path)
    cache.put(b"one", "1")
    cache.put(b"two", "2")
    shutil.copy(cache.path(b"one"), cache.path(b"two"))
    assert cache.get(b"two") is None
    assert cache.problems == {"damaged": 1}
    assert cache.get(b"one") == "1"
    cache.put(b"odd", "\ud800 \u20ac")
    assert cache.get(b"odd") == "\ud800 \u20ac"


def test_a_cache_that_cannot_be_written_costs_no_list(tmp_path):
    (tmp_path / "file").write_text("")
    model = reranker(answering([4, 3, 2, 1]), tmp_path / "file")
    with pytest.warns(UserWarning, match="could not keep 1 answers"):
        assert model.rerank(ROW, k=4).items[0].tolist() == [4, 3, 2, 1]


class Locked:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, messages):
        return '{"ranking": [4, 3, 2, 1]}'


class LockedTexts(Locked):
    def __call__(self, prompt, texts):
        return [len(text) for text in texts]


def test_models_without_stable_content_are_not_cached_unless_they_are_named(tmp_path):
    likely = LikelihoodReranker(PopularityRecommender(), model=LockedTexts(), cache=tmp_path).fit(X)
    for model in (reranker(Locked(), tmp_path), likely):
        with pytest.warns(UserWarning, match="keeps no answers.*a lock has no.*cache_key"):
            model.rerank(ROW, k=4)
        assert not list(tmp_path.iterdir())
        model.model.cache_key = "version 1"
        for n_cached in (0, 1):
            model.rerank(ROW, k=4)
            assert model.report_.from_cache == n_cached
        model.model.cache_key = "version 2"
        model.rerank(ROW, k=4)
        assert model.report_.from_cache == 1
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


# -- embeddings -------------------------------------------------------------------------------------------------------


class Scaled:
    def __init__(self, scale):
        self.scale = scale

    def encode(self, texts, **options):
        return [[len(text) * self.scale, text.count("a") + 1.0] for text in texts]


def scaled_twice(factor):
    model = Scaled(1.0)
    model.encode = lambda texts, **options: [[factor * len(text), 1.0] for text in texts]
    return model


def plain(encoder, cache):
    return SentenceEncoder(encoder, normalize=False, cache=cache)


def test_the_model_is_hashed_when_it_embeds(tmp_path):
    model = Scaled(1.0)
    encoder = plain(model, tmp_path).fit()
    assert_array_equal(encoder.transform(["aa"]), [[2, 3]])
    model.scale = 5.0  # as if it had been trained on
    assert_array_equal(encoder.transform(["aa"]), [[10, 3]])
    # Nothing of the new model was kept under the name of the old one, and the other way round.
    for scale in (1.0, 5.0):
        assert_array_equal(plain(Scaled(scale), tmp_path).fit_transform(["aa"]), [[2 * scale, 3]])
    for factor in (1, 2):
        vectors = plain(scaled_twice(factor), tmp_path).fit_transform(["aaaa"])
        assert_array_equal(vectors, [[4 * factor, 1]])


class Environment:
    def encode(self, texts, **options):
        return [[float(os.environ["VALUE"]), float(len(text))] for text in texts]


@pytest.mark.parametrize("bad", ["nan", "inf", "1e39"])
def test_vectors_that_are_not_finite_are_refused_and_not_kept(bad, tmp_path, monkeypatch):
    encoder = plain(Environment(), tmp_path).fit()
    monkeypatch.setenv("VALUE", bad)
    with pytest.raises(ValueError, match="NaN or infinite values for 2 of 2 texts, for example"):
        encoder.transform(["a", "bb"])
    monkeypatch.setenv("VALUE", "3")
    assert_array_equal(encoder.transform(["a", "bb"]), [[3, 1], [3, 2]])
    monkeypatch.setenv("VALUE", bad)
    assert_array_equal(encoder.transform(["a", "bb"]), [[3, 1], [3, 2]])


def database(path, *statements):
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(*statement)
    connection.close()


@pytest.mark.filterwarnings("ignore:The embedding cache .* cannot be written")
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 3000),
        lambda path: database(path, ["UPDATE embeddings SET vector = x'0011'"]),
        lambda path: database(path, ["UPDATE embeddings SET vector = 'text'"]),
        lambda path: database(path, ["UPDATE embeddings SET vector = zeroblob(16)"]),
        lambda path: database(
            path,
            ["CREATE TABLE other AS SELECT text, lag(vector, 1, x'00') OVER () v FROM embeddings"],
            [
                "UPDATE embeddings SET vector = (SELECT v FROM other o WHERE o.text = embeddings.text)"
            ],
        ),
        lambda path: database(
            path, ["DROP TABLE embeddings"], ["CREATE TABLE embeddings (id INTEGER, name TEXT)"]
        ),
    ],
    ids=["no database", "cut", "short", "text", "zeros", "of other texts", "foreign table"],
)
def test_damaged_and_foreign_vectors_are_a_miss_and_a_warning(damage, tmp_path):
    texts = [f"{n} {'a' * (n % 7)}" for n in range(400)]
    expected = plain(Scaled(1.0), tmp_path).fit_transform(texts)
    (path,) = tmp_path.glob("*.sqlite")
    damage(path)
    with pytest.warns(UserWarning, match=r"texts are embedded anew. Delete the file"):
        found = plain(Scaled(1.0), tmp_path).fit_transform(texts)
    assert_array_equal(found, expected)


def test_vectors_of_another_width_are_a_miss(tmp_path):
    cache = EmbeddingCache(tmp_path / "x.sqlite")
    keys = [text_key(text) for text in "abc"]
    cache.put(keys[:1], np.ones((1, 3), np.float32))
    cache.put(keys[1:], np.ones((2, 2), np.float32))
    with pytest.warns(UserWarning, match="1 damaged"):
        assert set(cache.get(keys)) == set(keys[1:])


def test_kept_models_are_made_again_where_they_are_damaged(tmp_path):
    saved = []

    def save(place):
        saved.append(place)
        (place / "sub").mkdir(parents=True)
        (place / "weights").write_bytes(b"weights")
        (place / "sub" / "config").write_text("config")

    target = tmp_path / "kept"
    for _ in range(2):
        assert _models.keep(target, save) == target
    assert len(saved) == 1
    for damage in (
        lambda: (target / "weights").write_bytes(b"weighty"),
        lambda: (target / "sub" / "config").unlink(),
        lambda: (target / "more").write_text(""),
        lambda: (target / "kept.lock").unlink(),
    ):
        damage()
        with pytest.warns(UserWarning, match="is damaged or was written by something else"):
            _models.keep(target, save)
        assert (target / "weights").read_bytes() == b"weights"
        assert (target / "sub" / "config").read_text() == "config"
        assert list(tmp_path.iterdir()) == [target]
    assert len(saved) == 5


# -- several processes ------------------------------------------------------------------------------------------------

WRITER = """
    import json, sys
    import numpy as np
    from pathlib import Path
    from sklearn_llmrec.text._answer_cache import AnswerCache
    from sklearn_llmrec.text._cache import EmbeddingCache, text_key
    folder, worker = Path(sys.argv[1]), int(sys.argv[2])
    answers, vectors = AnswerCache(folder / "answers"), EmbeddingCache(folder / "x.sqlite")
    order = np.random.default_rng(worker).permutation(40)
    for round in range(4):
        for n in order.tolist():
            answer = answers.get(b"%d" % n)
            assert answer in (None, "a" * 20_000 + str(n)), answer
            answers.put(b"%d" % n, "a" * 20_000 + str(n))
        keys = [text_key(str(n)) for n in order]
        found = vectors.get(keys)
        for key, n in zip(keys, order):
            assert key not in found or (found[key] == n).all()
        vectors.put(keys, np.repeat(order[:, None], 50, 1).astype(np.float32))
    assert not answers.problems, answers.problems
"""


def test_processes_that_write_at_once_lose_and_break_nothing(tmp_path):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(WRITER), str(tmp_path)]
    writers = [
        subprocess.Popen([*command, str(worker)], stderr=subprocess.PIPE, text=True)
        for worker in range(3)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    answers, vectors = AnswerCache(tmp_path / "answers"), EmbeddingCache(tmp_path / "x.sqlite")
    assert all(answers.get(b"%d" % n) == "a" * 20_000 + str(n) for n in range(40))
    found = vectors.get([text_key(str(n)) for n in range(40)])
    assert all((found[text_key(str(n))] == n).all() for n in range(40))
    assert len(list((tmp_path / "answers").iterdir())) == 40  # and no half-written file


# -- checkpoints ------------------------------------------------------------------------------------------------------

W = np.array([[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]] * 6)


def network(folder=None, **params):
    pytest.importorskip("torch")
    from sklearn_llmrec.sequence import SASRec

    defaults = {"max_length": 4, "n_layers": 1, "batch_size": 4, "max_iter": 3, "random_state": 0}
    defaults |= {"learning_rate": 0.01, "early_stopping": False, "checkpoint": folder}
    return SASRec(8, **(defaults | params))


def same(first, second):
    assert first.n_iter_ == second.n_iter_
    assert first.loss_curve_ == second.loss_curve_
    for name, array in first.weights_.items():
        assert_array_equal(array, second.weights_[name])


def test_a_checkpoint_overrides_no_random_state(tmp_path):
    for seed in (0, 1, 0):
        state = np.random.RandomState(seed)
        kept = network(tmp_path, random_state=state).fit(W)
        same(kept, network(random_state=np.random.RandomState(seed)).fit(W))
    assert len(list(tmp_path.iterdir())) == 2
    # A state that has been drawn from is another one.
    state = np.random.RandomState(0)
    first, second = (network(tmp_path, random_state=state).fit(W) for _ in range(2))
    assert first.loss_curve_ != second.loss_curve_


def test_a_checkpoint_overrides_no_max_iter(tmp_path):
    long = network(tmp_path, max_iter=5).fit(W)
    for max_iter in (2, 5, 4, 7):
        same(network(tmp_path, max_iter=max_iter).fit(W), network(max_iter=max_iter).fit(W))
    # A shorter fit has not thrown away what the longer one had.
    same(network(tmp_path, max_iter=5).fit(W), long)


def test_a_checkpoint_overrides_no_patience(tmp_path):
    stopping = {"early_stopping": True, "validation_fraction": 0.5, "max_iter": 12}
    stopping |= {"learning_rate": 0.1}
    for patience in (12, 1, 3, 2):
        params = stopping | {"n_iter_no_change": patience}
        same(network(tmp_path, **params).fit(W), network(**params).fit(W))


@pytest.mark.parametrize(
    "change", [{"X": np.hstack([W, np.zeros((24, 2))])}, {"X": W[::-1]}, {"dropout": 0.3}]
)
def test_other_data_and_parameters_find_no_checkpoint(change, tmp_path):
    network(tmp_path).fit(W)
    data, params = change.get("X", W), {k: v for k, v in change.items() if k != "X"}
    same(network(tmp_path, **params).fit(data), network(**params).fit(data))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("how", ["empty", "cut", "bytes", "an array", "archive", "another's"])
def test_damaged_and_foreign_checkpoints_are_a_miss_and_a_warning(how, tmp_path):
    straight = network(tmp_path).fit(W)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    if how == "an array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    elif how == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.arange(3))
    elif how == "another's":
        network(tmp_path, dropout=0.5).fit(W)
        (other,) = set(tmp_path.iterdir()) - {path}
        other.replace(path)
    else:
        path.write_bytes({"empty": b"", "cut": good[: len(good) // 2], "bytes": b"\xff\xfe"}[how])
    with pytest.warns(UserWarning, match="is damaged or was written by something else"):
        same(network(tmp_path).fit(W), straight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(network(tmp_path).fit(W), straight)


def test_checkpoints_that_are_written_at_once_are_whole(tmp_path):
    pytest.importorskip("torch")
    from sklearn_llmrec._networks import Progress

    path, errors = tmp_path / "a" / "x.npz", []

    def write_and_read(worker):
        weights = {"w": np.full(20_000, worker)}
        mine = Progress(epoch=worker, losses=[float(worker)] * worker, weights=weights)
        try:
            for _ in range(15):
                mine.save(path)
                found = Progress.load(path, 0)
                assert found.losses == [float(found.epoch)] * found.epoch
                assert (found.weights["w"] == found.epoch).all()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write_and_read, args=(worker,)) for worker in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert list(path.parent.iterdir()) == [path]
