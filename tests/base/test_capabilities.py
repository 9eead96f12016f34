"""The table of capabilities of the documentation against what the estimators do."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _instances import instances
from sklearn.base import clone

from sklearn_llmrec import Interactions
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.base._check_tools import taste_matrix
from sklearn_llmrec.neighbors import IndexedRecommender
from sklearn_llmrec.privacy import GaussianMechanism

sys.path.append(str(Path(__file__).parents[2] / "docs" / "_ext"))
from capabilities import COLUMNS, capabilities

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* knows no text of any item:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* without early stopping:UserWarning"),
]
TABLE = capabilities()
RECOMMENDERS = {
    type(estimator).__name__: estimator
    for estimator in instances()
    if isinstance(estimator, BaseRecommender)
}
# Parameters under which an estimator shows what it can do.
SETTINGS = {
    "PopularityRecommender": {"half_life": 3.0},
    "TextEmbeddingRecommender": {"profile": "recency"},
    "TrendReranker": {"order": "timestamps"},
    "ItemKNN": {"center": "user"},
    "UserKNN": {"center": "user"},
}
EXTRAS = ("torch", "transformers", "faiss", "sentence_transformers", "opendp")
each = pytest.mark.parametrize("name", RECOMMENDERS)


def data(n_items=29):
    """A matrix with ids and times; the values are ones, so that only times give an order."""
    X = taste_matrix()[:, :n_items].tocsr()
    titles = [f"kind {j % 2} number {j}" for j in range(n_items)]
    return Interactions(
        (np.ones(X.nnz), X.indices, X.indptr),
        shape=X.shape,
        timestamps=X.data.copy(),
        item_ids=np.arange(n_items),
        item_features=pd.DataFrame({"title": titles}),
    )


def model(name, **params):
    estimator = clone(RECOMMENDERS[name])
    params = {**SETTINGS.get(name, {}), **params}
    seeded = {"random_state": 0} if "random_state" in estimator.get_params() else {}
    return estimator.set_params(
        **{
            key: value
            for key, value in {**seeded, **params}.items()
            if key in estimator.get_params()
        }
    )


def test_the_table_has_all_recommenders_and_columns():
    missing = set(TABLE) - set(RECOMMENDERS)
    assert set(RECOMMENDERS) <= set(TABLE)
    assert all(TABLE[name]["extra"] for name in missing)  # what is not installed here
    assert all(set(cells) == set(COLUMNS) for cells in TABLE.values())


@each
def test_order(name):
    X = data()
    turned = X.copy()
    for start, end in zip(X.indptr, X.indptr[1:]):
        turned.timestamps[start:end] = X.timestamps[start:end][::-1]
    one, other = (model(name).fit(rows).predict(rows) for rows in (X, turned))
    changed = not np.allclose(one, other, rtol=1e-4, atol=1e-6)
    assert changed == (TABLE[name]["order"] == "yes")


@each
def test_ratings(name):
    X = data()
    X.data[:] = 1 + np.arange(X.nnz) % 5
    fitted = model(name).fit(X)
    predicts = hasattr(fitted, "predict_baseline")
    assert predicts == (TABLE[name]["ratings"] != "")
    if predicts:
        # Ratings are on the scale of X: doubling X doubles what is predicted.
        twice = X.copy()
        twice.data *= 2
        ratio = np.median(model(name).fit(twice).predict(twice) / fitted.predict(X))
        assert ratio == pytest.approx(2, abs=0.2)


@each
def test_partial_fit_and_new_columns(name):
    fitted = model(
        name, **dict.fromkeys(SETTINGS.get(name, {}), None) if name.endswith("KNN") else {}
    )
    fitted.fit(data())
    cell = TABLE[name]["partial_fit"]
    assert hasattr(fitted, "partial_fit") == (cell in ("yes", "feedback"))
    if cell != "yes":
        assert TABLE[name]["new columns"] == ""
        return
    before = fitted.item_popularity_.sum()
    fitted.partial_fit(data()[:10])
    assert fitted.item_popularity_.sum() > before
    wider = data(30)
    if TABLE[name]["new columns"]:
        assert fitted.partial_fit(wider).n_features_in_ == 30
    else:
        with pytest.raises(ValueError, match=r"new items|30 features"):
            fitted.partial_fit(wider)


@each
def test_explain_and_similar_items(name):
    X = data()
    fitted = model(name).fit(X)
    for method in ("explain", "similar_items"):
        assert hasattr(fitted, method) == (TABLE[name][method] == "yes"), method
    if TABLE[name]["explain"]:
        items, _ = fitted.recommend(X[5:6], k=1)
        assert fitted.explain(X[5:6], items[:, 0]).shape == (1, X.shape[1])
    if TABLE[name]["similar_items"]:
        similar, _ = fitted.similar_items(2, k=3)
        assert 2 not in similar.ravel()


@each
def test_index(name):
    pytest.importorskip("faiss")
    if name == "IndexedRecommender":
        return
    indexed = IndexedRecommender(model(name), min_items=0, random_state=0)
    if TABLE[name]["index"]:
        assert indexed.fit(data()).recommend(data(), k=3)[0].shape == (48, 3)
    else:
        with pytest.raises(TypeError, match="inner product"):
            indexed.fit(data())


@pytest.mark.filterwarnings("ignore:The sums of all items:UserWarning")  # few users, much noise
@each
def test_privacy(name):
    assert ("privacy" in RECOMMENDERS[name].get_params(deep=False)) == (
        TABLE[name]["privacy"] == "yes"
    )
    if TABLE[name]["privacy"]:
        mechanism = GaussianMechanism(1.0, 1e-5)
        fitted = clone(RECOMMENDERS[name]).set_params(privacy=mechanism).fit(data())
        assert fitted.privacy_spent_ == (1.0, 1e-5)


@each
def test_extra(name, monkeypatch):
    for module in EXTRAS:
        monkeypatch.setitem(sys.modules, module, None)
    estimator = model(name)
    if name == "LikelihoodReranker":
        estimator.set_params(model="a-model")  # a function needs no extra
    if extra := TABLE[name]["extra"]:
        with pytest.raises(ImportError, match=rf"\[{extra}\]"):
            estimator.fit(data()).recommend(data(), k=2)
    else:
        assert estimator.fit(data()).predict(data()).shape == (48, 29)


def test_content():
    for name, cells in TABLE.items():
        reads = {"item_texts", "item_features", "categories"}
        if name in RECOMMENDERS:
            parameters = set(RECOMMENDERS[name].get_params(deep=False))
            assert bool(reads & parameters) == (cells["content"] == "yes"), name
