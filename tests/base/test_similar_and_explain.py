"""`similar_items` and `explain` against dense definitions."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN
from sklearn_llmrec.decomposition import BiasedMF, BPRRecommender, NMFRecommender, PureSVD, SVDpp
from sklearn_llmrec.linear_model import EASE, SLIM, SparseEASE
from sklearn_llmrec.neighbors import P3alpha, RP3beta
from sklearn_llmrec.sequence import SequenceEASE, SequenceKNN


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return sp.csr_array(rng.integers(1, 6, (40, 20)) * (rng.random((40, 20)) < 0.3).astype(float))


EXPLAINED = [
    ItemKNN(5),
    ItemKNN(5, metric="pearson"),
    P3alpha(5),
    RP3beta(5),
    EASE(3.0),
    SLIM(3.0),
    SparseEASE(3.0, n_neighbors=6),
    UserKNN(6),
    UserKNN(6, metric="cosine", shrinkage=3.0, weighting="bm25"),
    UserKNN(6, metric="adjusted_cosine"),
    UserKNN(6, metric="jaccard"),
    UserKNN(6, metric="pearson", shrinkage=2.0),
    ALSRecommender(4, regularization=1.0, random_state=0),
    ALSRecommender(4, unobserved_weight=0.5, frequency_exponent=0.7, random_state=0),
    SequenceKNN(order="values"),
    SequenceEASE(3.0, order="values"),
]


@pytest.mark.parametrize("model", EXPLAINED, ids=repr)
def test_contributions_sum_to_the_score(model, X):
    items = np.arange(40) % 20
    found = model.fit(X).explain(X, items)
    scores = model._score_rows(X)[np.arange(40), items]
    np.testing.assert_allclose(found.sum(axis=1), scores, rtol=1e-5, atol=1e-6)
    assert not ((found.toarray() != 0) & (X.toarray() == 0)).any()


@pytest.mark.parametrize(
    "model", [EASE(3.0), UserKNN(6), BiasedMF(2, random_state=0), SequenceKNN()], ids=repr
)
def test_lists_are_explained_as_their_items_one_by_one(model, X):
    lists, _ = model.fit(X).recommend(X, k=3)
    lists[5, 1:] = -1
    found = model.explain(X, lists)
    assert found.shape == (40 * 3, 20)
    for place in range(3):
        alone = model.explain(X, np.maximum(lists[:, place], 0)).toarray()
        alone[lists[:, place] < 0] = 0
        np.testing.assert_allclose(found.toarray()[place::3], alone, atol=1e-12)


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
@pytest.mark.parametrize("center", ["user", "item", "baseline"])
@pytest.mark.parametrize("metric", ["cosine", "pearson_baseline"])
@pytest.mark.parametrize("regularization", [0.0, 0.5])
def test_contributions_sum_to_what_lies_above_the_baseline(kind, center, metric, regularization, X):
    model = kind(5, metric=metric, center=center, regularization=regularization).fit(X)
    items = np.arange(40) % 20
    found = model.explain(X, items).sum(axis=1)
    beyond = (model.predict(X) - model._biases_.dense(X))[np.arange(40), items]
    filled = np.diff(X.indptr) > 0
    np.testing.assert_allclose(found[filled], beyond[filled], atol=1e-9)


@pytest.mark.parametrize("kind", [BiasedMF, SVDpp])
def test_contributions_of_ratings_sum_to_what_lies_above_mean_and_item_bias(kind, X):
    model = kind(3, max_iter=4, random_state=0).fit(X)
    if kind is SVDpp:  # large enough to matter
        model.implicit_components_ = np.random.default_rng(0).standard_normal((3, 20))
    items = np.arange(40) % 20
    found = model.explain(X, items).sum(axis=1)
    beyond = (model.predict(X) - model.mean_ - model.item_bias_)[np.arange(40), items]
    filled = np.diff(X.indptr) > 0
    np.testing.assert_allclose(found[filled], beyond[filled], atol=1e-9)


def test_similar_users_of_neighbours_are_those_who_vote(X):
    from sklearn.metrics.pairwise import cosine_similarity

    model = UserKNN(3, weighting=None).fit(X)
    new = sp.csr_array(np.vstack([X[:4].toarray(), np.zeros((1, 20))]))
    users, values = model.similar_users(new, k=40)
    cosine = cosine_similarity(new, X)
    for row in range(5):
        best = np.sort(cosine[row][cosine[row] > 0])[::-1]
        np.testing.assert_allclose(values[row, : len(best)], best)
        np.testing.assert_allclose(cosine[row, users[row, : len(best)]], best)
        assert (users[row, len(best) :] == -1).all()
        assert (values[row, len(best) :] == -np.inf).all()
    votes = np.where(users[:4, :3] >= 0, values[:4, :3], 0)
    expected = np.einsum("uv,uvi->ui", votes, X.toarray()[users[:4, :3]])
    np.testing.assert_allclose(model._score_rows(new[:4]).toarray(), expected)


@pytest.mark.parametrize(
    "model",
    [
        ALSRecommender(4, regularization=1.0, random_state=0),
        BPRRecommender(4, random_state=0),
        NMFRecommender(3, tol=0.0, max_iter=20),
    ],
    ids=lambda model: type(model).__name__,
)
def test_similar_users_of_factors_have_the_highest_cosine(model, X):
    from sklearn.metrics.pairwise import cosine_similarity

    U = model.fit(X).transform(X)
    new = sp.csr_array(X[:5] + X[5:10])
    users, values = model.similar_users(new, k=4)
    cosine = cosine_similarity(model.transform(new), U)
    np.testing.assert_allclose(values, -np.sort(-cosine, axis=1)[:, :4], rtol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosine, users, axis=1), values, rtol=1e-6)
    users, values = model.similar_users(sp.csr_array((2, 20)), k=4)
    assert (users == -1).all() or np.isfinite(values).all()
    with pytest.raises(ValueError, match="k must be between"):
        model.similar_users(X, k=41)


def test_similar_users_only_where_fitted_users_are_remembered(X):
    assert not hasattr(PureSVD(3), "similar_users")


@pytest.mark.parametrize(
    "model", [ItemKNN(5), RP3beta(5), EASE(3.0), SLIM(3.0), SparseEASE(3.0)], ids=repr
)
def test_similar_items_of_weights_are_what_speaks_for_the_item(model, X):
    model.fit(X)
    W = model.coef_ if isinstance(model, EASE) else model.weights_.toarray()
    items, values = model.similar_items([3, 7], k=4)
    for item, found, got in zip([3, 7], items, values):
        column = np.where(W[:, item] == 0, -np.inf, W[:, item])
        column[item] = -np.inf
        best = np.argsort(-column, kind="stable")[:4]
        np.testing.assert_array_equal(found, np.where(column[best] == -np.inf, -1, best))
        np.testing.assert_allclose(got, column[best])


@pytest.mark.parametrize(
    "model",
    [
        ALSRecommender(4, regularization=1.0, random_state=0),
        BiasedMF(3, random_state=0),
        NMFRecommender(3, tol=0.0, max_iter=20),
        PureSVD(3, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_similar_items_of_factors_have_the_highest_cosine(model, X):
    Q = model.fit(X).components_
    cosine = Q.T @ Q / np.outer(np.linalg.norm(Q, axis=0), np.linalg.norm(Q, axis=0))
    items, values = model.similar_items(2, k=5)
    assert 2 not in items
    np.testing.assert_allclose(values[0], cosine[2, items[0]])
    np.testing.assert_allclose(values[0], np.sort(np.delete(cosine[2], 2))[::-1][:5])


def test_what_is_asked_is_checked(X):
    model = EASE(3.0).fit(X)
    with pytest.raises(ValueError, match="between 0 and 19"):
        model.similar_items([20])
    with pytest.raises(TypeError, match="column numbers"):
        model.similar_items([0.5])
    with pytest.raises(ValueError, match="one item per row"):
        model.explain(X, [1, 2])
    with pytest.raises(ValueError, match="between 0 and 19"):
        model.explain(X, np.full((40, 2), 20))
    with pytest.raises(TypeError, match="column numbers"):
        model.explain(X, np.zeros(40))
