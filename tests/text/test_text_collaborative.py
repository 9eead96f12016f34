"""ContentColdStart and L3AE: equal to their definitions, and new items find their users."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _oracles import plain_ease
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_llmrec import ALSRecommender, Interactions, ItemKNN, UserKNN
from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec.base._estimator_checks import recommender_checks
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.preprocessing import TFIDFTransformer
from sklearn_llmrec.text import (
    L3AE,
    BilinearContentRecommender,
    ContentColdStart,
    ContentItemKNN,
    ContentUserKNN,
)
from sklearn_llmrec.text._l3ae import semantic_weights

N_NEW = 9


def planted(n_users=90, n_items=45, seed=0):
    """Three topics in noisy vectors; users choose within a topic; the last items are new."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n_items) % 3
    vectors = np.eye(3)[topic] @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(n_items, 6))
    taste = np.arange(n_users) % 3
    X = (rng.random((n_users, n_items)) < np.where(taste[:, None] == topic, 0.4, 0.02)).astype(
        float
    )
    X[:, -N_NEW:] = 0
    return X, vectors, topic, taste


ENCODER = {"encoder": "passthrough"}


@pytest.mark.parametrize(
    "make",
    [
        lambda V: ContentColdStart(EASE(5.0), V, **ENCODER, min_interactions=8),
        lambda V: ContentColdStart(ItemKNN(5), V, **ENCODER, min_interactions=8),
        lambda V: L3AE(V, **ENCODER, regularization=5.0, prior_strength=5.0),
        lambda V: ContentItemKNN(V, **ENCODER, n_neighbors=5),
        lambda V: ContentUserKNN(V, **ENCODER, n_neighbors=5),
        lambda V: BilinearContentRecommender(V, **ENCODER),
    ],
    ids=["ease", "itemknn", "l3ae", "contentknn", "contentuserknn", "bilinear"],
)
@pytest.mark.parametrize("check", list(recommender_checks()), ids=lambda check: check.__name__)
def test_recommender_contract_with_content(check, make):
    check(make(planted(n_items=30)[1]))


@pytest.mark.parametrize(
    "model",
    [
        ContentColdStart(EASE(5.0)),
        ContentColdStart(ItemKNN(20)),
        ContentColdStart(ALSRecommender(4, random_state=0, regularization=1.0)),
        ContentColdStart(make_pipeline(MaxAbsScaler(), EASE(5.0))),
        L3AE(regularization=5.0, prior_strength=5.0),
        ContentItemKNN(n_neighbors=20),
        BilinearContentRecommender(),
    ],
    ids=str,
)
def test_new_items_find_their_users(model):
    X, vectors, topic, taste = planted()
    model = clone(model).set_params(item_texts=vectors, **ENCODER).fit(X)
    new = np.arange(X.shape[1] - N_NEW, X.shape[1])
    items, scores = model.recommend(X, k=3, candidates=new)
    assert (topic[items] == taste[:, None]).mean() > 0.9
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_scores_of_new_items_are_the_ridge_of_ease_columns(exponent):
    X, vectors, _, _ = planted()
    model = ContentColdStart(
        EASE(5.0), vectors, **ENCODER, popularity_exponent=exponent, regularization=3.0
    )
    model.fit(X)
    F, known = unit_rows(vectors), model.item_popularity_ > 0
    weights = model.item_popularity_[known] ** exponent
    ridge = Ridge(alpha=3.0).fit(
        F[known], model.estimator_.coef_[:, known].T, sample_weight=weights / weights.mean()
    )
    np.testing.assert_array_equal(model.new_items_, np.flatnonzero(~known))
    np.testing.assert_allclose(
        model.predict(X)[:, ~known], X @ ridge.predict(F[~known]).T, atol=1e-10
    )
    np.testing.assert_array_equal(model.predict(X)[:, known], model.estimator_.predict(X)[:, known])


def test_scores_of_new_items_are_the_ridge_of_als_factors():
    X, vectors, _, _ = planted()
    als = ALSRecommender(4, random_state=0, regularization=1.0)
    model = ContentColdStart(
        als, vectors, **ENCODER, popularity_exponent=0, regularization=3.0
    ).fit(X)
    F, known = unit_rows(vectors), model.item_popularity_ > 0
    ridge = Ridge(alpha=3.0).fit(F[known], model.estimator_.components_[:, known].T)
    expected = model.estimator_.transform(X) @ ridge.predict(F[~known]).T
    np.testing.assert_allclose(model.predict(X)[:, ~known], expected, atol=1e-6)


def test_rare_items_can_count_as_new_and_undescribed_ones_keep_their_scores():
    X, vectors, _, _ = planted()
    vectors[[0, -1]] = 0
    model = ContentColdStart(EASE(5.0), vectors, **ENCODER, min_interactions=10).fit(X)
    rare = (model.item_popularity_ < 10) & vectors.any(axis=1)
    np.testing.assert_array_equal(model.new_items_, np.flatnonzero(rare))
    np.testing.assert_array_equal(model.predict(X)[:, ~rare], model.estimator_.predict(X)[:, ~rare])


def test_without_texts_the_models_are_what_they_extend():
    X, _, _, _ = planted()
    with pytest.warns(UserWarning, match="leaves new items to its estimator"):
        model = ContentColdStart(EASE(5.0)).fit(X)
    np.testing.assert_array_equal(model.predict(X), EASE(5.0).fit(X).predict(X))
    with pytest.warns(UserWarning, match="knows no text of any item, and is EASE"):
        model = L3AE(regularization=5.0).fit(X)
    np.testing.assert_allclose(model.predict(X), plain_ease(5.0).fit(X).predict(X))


def test_nested_parameters_can_be_searched():
    X, _, topic, _ = planted()
    words = np.array(["tea cup pot", "spade soil", "dice card"])[topic]
    encoder = make_pipeline(TfidfVectorizer(), TruncatedSVD(2, random_state=0))
    model = ContentColdStart(EASE(), "{title}", encoder=encoder)
    grid = {
        "estimator__regularization": [1.0, 10.0],
        "encoder__truncatedsvd__n_components": [2, 3],
        "regularization": [1.0],
    }
    X = Interactions(X, item_features=pd.DataFrame({"title": words}))
    search = GridSearchCV(model, grid, cv=2).fit(X)
    assert search.best_score_ > 0.2


def test_l3ae_solves_its_problem():
    X, vectors, _, _ = planted(n_items=12)
    model = L3AE(
        vectors, **ENCODER, regularization=3.0, prior_strength=4.0, text_regularization=2.0
    )
    model.fit(X)
    F = unit_rows(vectors - vectors.mean(axis=0))
    S = semantic_weights(F, 2.0, np.float64)
    A, target = X.T @ X + 7.0 * np.eye(12), X.T @ X + 4.0 * S
    for j in range(12):
        others = np.arange(12) != j
        column = np.linalg.solve(A[np.ix_(others, others)], target[others, j])
        np.testing.assert_allclose(model.coef_[others, j], column, atol=1e-10)
    assert not model.coef_.diagonal().any()


def test_semantic_weights_are_ease_on_vectors():
    rng = np.random.default_rng(0)
    V = rng.normal(size=(15, 4))
    V[3] = 0
    expected = plain_ease(2.0).fit(sp.csr_array(V.T)).coef_
    np.testing.assert_allclose(semantic_weights(V, 2.0, np.float64), expected, atol=1e-12)


def test_l3ae_without_prior_is_ease():
    X, vectors, _, _ = planted()
    model = L3AE(vectors, **ENCODER, regularization=5.0, prior_strength=0.0).fit(X)
    np.testing.assert_allclose(model.coef_, plain_ease(5.0).fit(X).coef_, atol=1e-12)


def test_l3ae_keeps_float32():
    X, vectors, _, _ = planted()
    model = L3AE(vectors, **ENCODER, regularization=5.0).fit(X.astype(np.float32))
    assert model.coef_.dtype == np.float32
    assert model.predict(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_mixed_neighbours_are_the_best_of_the_mixed_similarity(share, monkeypatch):
    from sklearn_llmrec.text import _content_neighbors

    monkeypatch.setattr(_content_neighbors, "_BLOCK_ENTRIES", 100)
    X, vectors, _, _ = planted(n_items=30)
    model = ContentItemKNN(vectors, **ENCODER, n_neighbors=6, text_weight=share).fit(X)
    V = unit_rows(vectors - vectors.mean(axis=0))
    norms = np.linalg.norm(X, axis=0)
    columns = X / np.where(norms > 0, norms, 1)
    S = (1 - share) * columns.T @ columns + share * V @ V.T
    np.fill_diagonal(S, 0)
    expected = np.zeros_like(S)
    for j in range(30):
        best = np.argsort(-S[:, j], kind="stable")[:6]
        expected[best, j] = np.maximum(S[best, j], 0)
    np.testing.assert_allclose(model.weights_.toarray(), expected, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_mixed_user_neighbours_are_the_best_of_the_mixed_similarity(share, monkeypatch):
    from sklearn_llmrec.text import _content_neighbors

    monkeypatch.setattr(_content_neighbors, "_BLOCK_ENTRIES", 300)
    X, vectors, _, _ = planted(n_items=30)
    new = planted(n_items=30, seed=1)[0][:20]
    model = ContentUserKNN(vectors, **ENCODER, n_neighbors=6, text_weight=share).fit(X)
    weights = TFIDFTransformer().fit(sp.csr_array(X))
    rows, others = (unit_rows(weights.transform(sp.csr_array(M)).toarray()) for M in (new, X))
    V = unit_rows(vectors - vectors.mean(axis=0))
    S = (1 - share) * rows @ others.T + share * unit_rows(new @ V) @ unit_rows(X @ V).T
    expected = np.zeros((20, 30))
    for u in range(20):
        best = np.argsort(-S[u], kind="stable")[:6]
        expected[u] = np.maximum(S[u, best], 0) @ X[best]
    known = model.predict(new)[:, :-N_NEW]  # nobody votes for the new items
    np.testing.assert_allclose(known[expected[:, :-N_NEW] > 0], expected[expected > 0], atol=1e-12)


def test_user_neighbours_without_texts_or_weight_are_userknn():
    X, vectors, _, _ = planted()
    expected = UserKNN(7).fit(X).predict(X)
    with pytest.warns(UserWarning, match="compares rows of X alone"):
        bare = ContentUserKNN(n_neighbors=7).fit(X)
    np.testing.assert_allclose(bare.predict(X), expected, atol=1e-12)
    weightless = ContentUserKNN(vectors, **ENCODER, n_neighbors=7, text_weight=0.0).fit(X)
    np.testing.assert_allclose(weightless.predict(X), expected, atol=1e-12)


def test_neighbours_without_texts_are_itemknn():
    X, _, _, _ = planted()
    with pytest.warns(UserWarning, match="compares columns of X alone"):
        model = ContentItemKNN(n_neighbors=45).fit(X)
    plain = ItemKNN(45, weighting=None, shrinkage=0).fit(X)
    np.testing.assert_allclose(model.predict(X), plain.predict(X))


@pytest.mark.parametrize("exclude_self", [False, True])
def test_the_bilinear_map_solves_its_problem(exclude_self):
    X, vectors, _, _ = planted()
    model = BilinearContentRecommender(vectors, **ENCODER, regularization=0.2)
    model.set_params(exclude_self=exclude_self).fit(X)
    V = unit_rows(vectors - vectors.mean(axis=0))[model.item_popularity_ > 0]
    X = X[:, model.item_popularity_ > 0]
    A, d, gram = X @ V, V.shape[1], X.T @ X
    if exclude_self:
        np.fill_diagonal(gram, 0)
    penalty = 0.2 * np.trace(A.T @ A) / d * np.trace(V.T @ V) / d
    system = np.kron(A.T @ A, V.T @ V) + penalty * np.eye(d * d)
    expected = np.linalg.solve(system, (V.T @ gram @ V).ravel()).reshape(d, d)
    np.testing.assert_allclose(model.map_, expected, atol=1e-10)


def test_the_bilinear_map_learns_what_goes_with_what():
    # Items of kind 0 go with those of kind 1, and 2 with 3, though their vectors have nothing in
    # common.
    rng = np.random.default_rng(0)
    kind = np.arange(48) % 4
    vectors = np.eye(4)[kind] + 0.1 * rng.normal(size=(48, 4))
    taste = np.arange(100) % 2
    X = (rng.random((100, 48)) < np.where(kind // 2 == taste[:, None], 0.3, 0)).astype(float)
    X[:, :4] = 0  # new ones, of each kind
    model = BilinearContentRecommender(vectors, **ENCODER, exclude_self=True).fit(X)
    only_first = np.eye(48)[[4, 6]]
    items, _ = model.recommend(only_first, k=1, candidates=[1, 3])
    assert items.ravel().tolist() == [1, 3]
