"""What is made of a sentence model: ONNX exports, int8 weights, and training on what is consumed together."""

import gc
import pickle
import random
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from _tiny_models import save_tiny_encoder
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import TextEmbeddingRecommender
from sklearn_llmrec.text import SentenceEncoder, TextCleaner, _fine_tune, _models

TITLES = ["tea cup", "red pot", "gift lamp", "garden spade", "blue rake", "rose box"]
# Users have the first three or the last three, which no word tells.
X = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0]] * 4)
X = np.vstack([X, X[:, ::-1]])

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("sentence_transformers", "optimum", "onnxruntime")),
    reason="needs sentence-transformers, optimum and onnxruntime",
)
needs_training = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("sentence_transformers", "datasets", "accelerate")),
    reason="needs sentence-transformers, datasets and accelerate",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def encoder(folder, tmp_path):
    return SentenceEncoder(folder, device="cpu", cache=tmp_path, batch_size=4)


def test_pooling_can_be_changed(encoder):
    mean = encoder.fit_transform(TITLES)
    first = clone(encoder).set_params(pooling="cls").fit_transform(TITLES)
    assert mean.shape == first.shape == (6, 16)
    assert not np.allclose(mean, first, atol=1e-3)


@pytest.fixture
def forget_models():
    """Let go of the exporters' scratch folders while their warnings are ignored."""
    yield
    _models.load.cache_clear()
    gc.collect()


@needs_onnx
@pytest.mark.usefixtures("forget_models")
@pytest.mark.filterwarnings("ignore")  # the exporters' own
def test_onnx_gives_the_vectors_of_torch_and_int8_nearly(encoder, tmp_path):
    vectors = encoder.fit_transform(TITLES)
    onnx = clone(encoder).set_params(backend="onnx").fit_transform(TITLES)
    np.testing.assert_allclose(onnx, vectors, atol=1e-5)
    int8 = clone(encoder).set_params(backend="onnx-int8").fit_transform(TITLES)
    assert (int8 * vectors).sum(axis=1).min() > 0.97
    assert not np.array_equal(int8, onnx)
    kept = sorted((tmp_path / "models").glob("*/onnx/*.onnx"))
    assert [path.name for path in kept] == ["model_int8.onnx", "model.onnx"] or len(kept) == 2
    stamps = [path.stat().st_mtime_ns for path in kept]
    _models.load.cache_clear()  # as another process
    again = clone(encoder).set_params(backend="onnx-int8").fit_transform([*TITLES, "tea"])
    np.testing.assert_array_equal(again[:6], int8)
    assert [path.stat().st_mtime_ns for path in kept] == stamps


@needs_onnx
@pytest.mark.usefixtures("forget_models")
@pytest.mark.filterwarnings("ignore")
def test_onnx_without_a_cache(folder):
    plain = {"device": "cpu", "cache": False}
    vectors = SentenceEncoder(folder, **plain).fit_transform(TITLES)
    onnx = SentenceEncoder(folder, backend="onnx", **plain).fit_transform(TITLES)
    np.testing.assert_allclose(onnx, vectors, atol=1e-5)
    with pytest.raises(ValueError, match="beside the cache"):
        SentenceEncoder(folder, backend="onnx-int8", **plain).fit_transform(TITLES)


@pytest.mark.parametrize(("backend", "needed"), [("onnx", "optimum"), ("onnx-int8", "optimum")])
def test_a_missing_backend_is_named_at_fit(encoder, monkeypatch, backend, needed):
    monkeypatch.setattr(_models, "find_spec", lambda name: None if name == needed else True)
    monkeypatch.setitem(sys.modules, needed, None)
    with pytest.raises(ImportError, match=rf"{needed} .*sklearn-llmrec\[onnx\]"):
        encoder.set_params(backend=backend).fit(TITLES)


def test_pairs_are_of_one_user_and_of_different_texts():
    texts = ["a", "b", "c", "a", ""]
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1]])
    rows = _fine_tune.pairs(_fine_tune.checked_groups(y, 5), texts, 0)
    assert {frozenset(row) for row in rows} <= {frozenset("ab"), frozenset("ac")}
    assert rows == _fine_tune.pairs(_fine_tune.checked_groups(y, 5), texts, 0)
    many = _fine_tune.pairs(
        _fine_tune.checked_groups(np.ones((300, 1)), 300), [str(i) for i in range(300)], 0
    )
    assert len(many) == 20


@needs_training
def test_fine_tuning_brings_together_what_is_consumed_together(encoder, tmp_path):
    def apart(vectors):
        similar = vectors @ vectors.T
        within = [similar[i, j] for i in range(6) for j in range(i) if (i < 3) == (j < 3)]
        between = [similar[i, j] for i in range(3) for j in range(3, 6)]
        return np.mean(within) - np.mean(between)

    tuned = clone(encoder).set_params(fine_tune={"num_train_epochs": 8, "learning_rate": 2e-2})
    state = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    vectors = tuned.fit_transform(TITLES, X.T)
    assert random.getstate() == state[0]
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert apart(vectors) > apart(encoder.fit_transform(TITLES)) + 0.3
    assert tuned.model_hash_ != encoder.model_hash_
    (model,) = (tmp_path / "models").iterdir()
    # The same again is found, and elsewhere it is made alike.
    stamp = model.stat().st_mtime_ns
    np.testing.assert_array_equal(clone(tuned).fit_transform(TITLES, X.T), vectors)
    assert model.stat().st_mtime_ns == stamp
    elsewhere = clone(tuned).set_params(cache=tmp_path / "other")
    np.testing.assert_array_equal(elsewhere.fit_transform(TITLES, X.T), vectors)
    other = clone(elsewhere).set_params(random_state=1).fit_transform(TITLES, X.T)
    assert not np.allclose(other, vectors, atol=1e-4)
    twin = pickle.loads(pickle.dumps(tuned))
    np.testing.assert_array_equal(twin.transform(["tea lamp"]), tuned.transform(["tea lamp"]))


@needs_training
@pytest.mark.parametrize("pipeline", [False, True])
def test_recommenders_pass_histories_on(encoder, pipeline):
    tuned = clone(encoder).set_params(fine_tune={"max_steps": 2, "learning_rate": 1e-2})
    used = make_pipeline(TextCleaner(), tuned) if pipeline else tuned
    model = TextEmbeddingRecommender(TITLES, encoder=used, center=False).fit(X)
    last = model.encoder_[-1] if pipeline else model.encoder_
    assert "-tuned-" in last.model_folder_
    expected = clone(tuned).fit_transform(TITLES, X.T)
    np.testing.assert_allclose(model.item_embeddings_, expected, atol=1e-6)


def test_what_cannot_be_learned_from_is_refused(encoder):
    tuned = clone(encoder).set_params(fine_tune=1)
    with pytest.raises(ValueError, match="pass y, a matrix of shape"):
        tuned.fit(TITLES)
    with pytest.raises(ValueError, match="one row of y per text"):
        tuned.fit(TITLES, X)
    with pytest.raises(ValueError, match="nothing to learn from"):
        tuned.fit(TITLES, np.eye(6))
    with pytest.raises(ValueError, match="beside the cache"):
        clone(tuned).set_params(cache=False).fit(TITLES, X.T)


def test_the_missing_extra_for_training_is_named(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"datasets .*sklearn-llmrec\[train\]"):
        encoder.set_params(fine_tune=1).fit(TITLES, X.T)
