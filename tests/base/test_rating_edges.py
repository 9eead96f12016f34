"""Rating models on users of one level, users and items of one rating, and rows without any."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec import ItemKNN, UserKNN
from sklearn_llmrec.base._discovery import all_recommenders
from sklearn_llmrec.base._ratings import RatingMixin
from sklearn_llmrec.decomposition import BiasedMF, SVDpp
from sklearn_llmrec.linear_model import BaselineRecommender

CENTERS = ["user", "item", "baseline"]
METRICS = [
    "cosine",
    "adjusted_cosine",
    "pearson",
    "pearson_baseline",
    "jaccard",
    "dice",
    "tversky",
    "asymmetric_cosine",
]
KNN = [
    kind(6, center=center, metric=metric, max_neighbors=most, regularization=regularization)
    for kind in (ItemKNN, UserKNN)
    for center in CENTERS
    for metric, most, regularization in (
        *((metric, None, 1.0) for metric in METRICS),
        ("pearson", 2, 0.0),
        ("cosine", 2, 1.0),
    )
]
MODELS = [
    BaselineRecommender(),
    BaselineRecommender(user_regularization=0.0, item_regularization=0.0),
    BiasedMF(3, max_iter=5, random_state=0),
    BiasedMF(3, regularization=1e-6, max_iter=5, random_state=0),
    SVDpp(3, max_iter=5, random_state=0),
    *KNN,
]
CONSTANT, ONE, NONE, ALL_FIVES = 0, (1, 2), 3, 5
each_model = pytest.mark.parametrize("model", MODELS, ids=repr)


def _ratings(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    D = rng.integers(1, 6, (24, 10)) * (rng.random((24, 10)) < 0.45)
    D[CONSTANT] = 5 * (rng.random(10) < 0.6)
    D[CONSTANT, :2] = 5
    D[ONE[0]], D[ONE[0], 3] = 0, 5
    D[ONE[1]], D[ONE[1], 4] = 0, 1
    D[NONE] = 0
    D[4] = rng.integers(1, 6, 10)
    D[ALL_FIVES] = 5
    D[:, 8], D[7, 8] = 0, 5  # an item of one rating
    D[:, 9] = 0  # and one of none, beside those who rated all
    D[[4, ALL_FIVES], 9] = 2, 5
    return sp.csr_array(D.astype(dtype))


def _baseline(model, X):
    """The baseline by its formula, one pair at a time."""
    D = X.toarray().astype(np.float64)
    values = D[D > 0]
    mean = values.mean()
    if isinstance(model, BiasedMF):
        return np.tile(model.mean_ + model.item_bias_, (len(D), 1))
    kind = getattr(model, "center", "baseline")
    by_user = getattr(model, "user_regularization", 15.0)
    by_item = getattr(model, "item_regularization", 10.0)
    users, items = np.zeros(len(D)), np.zeros(D.shape[1])

    def deviations(M, of, n_free):
        found = np.zeros(len(M))
        for place, row in enumerate(M):
            left = [row[j] - mean - of[j] for j in range(len(row)) if row[j] > 0]
            found[place] = sum(left) / (len(left) + n_free) if left else 0.0
        return found

    if kind == "user":
        users = deviations(D, items, 0)
        fallback = deviations(D.T, np.zeros(len(D)), by_item)
    elif kind == "item":
        items = fallback = deviations(D.T, users, 0)
    else:
        for _ in range(10):
            users = deviations(D, items, by_user)
            items = deviations(D.T, users, by_item)
        users, fallback = deviations(D, items, by_user), items
    baseline = mean + users[:, None] + items
    baseline[(D > 0).sum(axis=1) == 0] = mean + fallback
    return baseline


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@each_model
def test_explanations_sum_to_the_prediction_less_its_baseline(model, dtype):
    X = _ratings(dtype=dtype)
    model = clone(model).fit(X)
    baseline, predicted = _baseline(model, X), model.predict(X)
    tolerance = 1e-7 if dtype == np.float64 else 2e-4
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(model.predict_baseline(X), baseline, rtol=0, atol=tolerance)
    if not hasattr(model, "explain"):
        np.testing.assert_allclose(predicted, baseline, rtol=0, atol=tolerance)
        return
    items = np.tile(np.arange(10), (24, 1))
    sums = np.asarray(model.explain(X, items).sum(axis=1)).reshape(24, 10)
    np.testing.assert_allclose(sums, predicted - baseline, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "model",
    [model for model in MODELS if getattr(model, "center", None) != "item"],
    ids=repr,
)
def test_a_user_of_one_level_is_predicted_there(model):
    rng = np.random.default_rng(1)
    D = rng.integers(1, 6, (60, 30)) * (rng.random((60, 30)) < 0.5)
    D[0] = 5 * (rng.random(30) < 0.9)
    D[1] = D[0] / 5
    X = sp.csr_array(D.astype(float))
    predicted = clone(model).fit(X).predict(X)
    mean = D[D > 0].mean()
    # Shrinkage leaves a part of the way to the mean of all.
    assert predicted[0].mean() > mean + 0.55 * (5 - mean)
    assert predicted[1].mean() < mean + 0.55 * (1 - mean)
    if getattr(model, "center", None) == "user" and not getattr(model, "max_neighbors", None):
        assert abs(predicted[0].mean() - 5) < 0.5


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
@pytest.mark.parametrize("metric", ["pearson", "adjusted_cosine"])
def test_one_rating_is_the_level_of_its_user(kind, metric):
    X = _ratings()
    model = kind(6, center="user", metric=metric).fit(X)
    # An own rating lies nowhere from its mean, and a constant row correlates with no other.
    if kind is ItemKNN or metric == "pearson":
        for row, level in ((ONE[0], 5.0), (ONE[1], 1.0), (CONSTANT, 5.0), (ALL_FIVES, 5.0)):
            np.testing.assert_allclose(model.predict(X[[row]]), level)
    np.testing.assert_allclose(model.predict(X[[NONE]]), _baseline(model, X)[[NONE]])


@each_model
def test_lists_agree_with_predictions_at_the_edges(model):
    X = _ratings()
    model = clone(model).fit(X)
    predicted = model.predict(X)
    items, scores = model.recommend(X, 10, exclude_seen=False)
    np.testing.assert_array_equal(scores, np.take_along_axis(predicted, items, axis=1))
    order = np.argsort(-predicted, axis=1, kind="stable")
    np.testing.assert_array_equal(items, order)


def test_every_rating_model_is_tested():
    kinds = {type(model) for model in MODELS}
    assert {kind for _, kind in all_recommenders() if issubclass(kind, RatingMixin)} == kinds
    assert not hasattr(ItemKNN(), "predict_baseline")
    assert hasattr(ItemKNN(center="user"), "predict_baseline")
