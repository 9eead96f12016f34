"""Linear models against scikit-learn and closed forms."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from _oracles import best, elastic_net, masked, plain_ease
from sklearn.linear_model import ElasticNet

from sklearn_llmrec._kernels import _gram, gram
from sklearn_llmrec.linear_model import (
    EASE,
    SLIM,
    BaselineRecommender,
    NaiveBayesRecommender,
    SparseEASE,
    _slim,
    _supports,
)
from sklearn_llmrec.neighbors import ItemKNN


@pytest.fixture
def X():
    rng = np.random.default_rng(3)
    return sp.csr_array(rng.random((60, 20)) * (rng.random((60, 20)) < 0.4))


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("n_neighbors", [None, 6])
def test_slim_is_an_elastic_net_per_item(X, n_neighbors, positive):
    model = SLIM(
        0.5,
        l1_regularization=0.2,
        n_neighbors=n_neighbors,
        positive=positive,
        max_iter=500,
        tol=1e-10,
    ).fit(X)
    D, got = X.toarray(), model.weights_.toarray()
    near = ItemKNN(n_neighbors or 19, weighting=None, shrinkage=0).fit(X).weights_.toarray() != 0
    n = len(D)
    net = ElasticNet(
        alpha=0.7 / n,
        l1_ratio=0.2 / 0.7,
        positive=positive,
        fit_intercept=False,
        tol=1e-12,
        max_iter=10_000,
    )
    for j in range(20):
        expected = np.zeros(20)
        places = np.flatnonzero(near[:, j]) if n_neighbors else np.delete(np.arange(20), j)
        expected[places] = net.fit(D[:, places], D[:, j]).coef_
        np.testing.assert_allclose(got[:, j], expected, atol=1e-6)


@pytest.mark.parametrize("n_neighbors", [None, 6])
def test_slim_blocks_and_threads_change_nothing(X, monkeypatch, n_neighbors):
    whole = SLIM(0.5, n_neighbors=n_neighbors).fit(X).weights_.toarray()
    monkeypatch.setattr(_supports, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(_slim, "_BLOCK", 3)
    cut = SLIM(0.5, n_neighbors=n_neighbors, n_jobs=2).fit(X).weights_.toarray()
    np.testing.assert_array_equal(whole, cut)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_popular", [1, 12, 30])
def test_sparse_ease_is_a_ridge_on_the_nearest_items(monkeypatch, n_popular, dtype):
    monkeypatch.setattr(_supports, "_GRAM_BYTES", np.dtype(dtype).itemsize * n_popular**2)
    monkeypatch.setattr(_supports, "_BLOCK_BYTES", 2000)
    monkeypatch.setattr(_supports, "_SEARCHED", 7)
    rng = np.random.default_rng(0)
    D = (rng.random((60, 30)) * (rng.random((60, 30)) < 0.1)).astype(dtype)
    D[:, 7] = 0
    near = ItemKNN(6, weighting=None, shrinkage=0).fit(D).weights_.toarray() != 0
    assert near.sum(axis=0).min() == 0
    assert 0 < (near.sum(axis=0) < 6).sum() < 30
    got = SparseEASE(0.5, n_neighbors=6, n_jobs=2).fit(D).weights_.toarray()
    for j in range(30):
        places, expected = np.flatnonzero(near[:, j]), np.zeros(30)
        A = D[:, places].astype(np.float64)
        expected[places] = np.linalg.solve(A.T @ A + 0.5 * np.eye(len(places)), A.T @ D[:, j])
        np.testing.assert_allclose(got[:, j], expected, atol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("n_popular", [2, 30])
def test_slim_on_the_nearest_items_is_slim_that_lets_no_others_in(monkeypatch, n_popular, positive):
    monkeypatch.setattr(_supports, "_GRAM_BYTES", 8 * n_popular**2)
    rng = np.random.default_rng(1)
    D = rng.random((60, 30)) * (rng.random((60, 30)) < 0.15)
    near = ItemKNN(6, weighting=None, shrinkage=0).fit(D).weights_.toarray() != 0
    stop = {"positive": positive, "max_iter": 1000, "tol": 1e-13}
    G, expected = D.T @ D, np.zeros((30, 30))
    for j in range(30):
        own = np.flatnonzero(near[:, j])
        expected[own, j] = elastic_net(G[np.ix_(own, own)], G[own, j], -1, 0.1, 0.3, **stop)
    model = SLIM(0.3, l1_regularization=0.1, n_neighbors=6, **stop).fit(D)
    assert (expected != 0).sum() > 50
    np.testing.assert_allclose(model.weights_.toarray(), expected, atol=1e-11)


def test_compiled_gram_matrices_are_those_of_the_columns(monkeypatch):
    monkeypatch.setattr(_supports, "_GRAM_BYTES", 8 * 3**2)
    rng = np.random.default_rng(0)
    # Users whose numbers end in the same bits; columns of three sizes, so that either side is the shorter one.
    n_users, sizes = 2**18 + 40, [3000] * 3 + [60] * 10 + [2] * 10
    users = np.concatenate([np.arange(40), 2**18 + np.arange(40), np.arange(40, 4000)])
    columns = np.repeat(np.arange(23), sizes)
    rows = np.concatenate([rng.permutation(users[: max(80, size)])[:size] for size in sizes])
    X = sp.csr_array((rng.random(len(rows)), (rows, columns)), shape=(n_users, 23))
    others = np.arange(22) + (np.arange(22) >= np.arange(23)[:, None])
    places = rng.permuted(others, axis=1)[:, :12].astype(np.int32)
    places[::4, 7:] = -1
    places[20:, 1:] = -1  # the item of two users and one of the head
    places[20:, 0] = 1
    items = np.arange(23)
    S, g = _supports.SupportGrams(X, places)(items)
    G = (X.T @ X).toarray()
    for row in items:
        own = places[row, places[row] >= 0]
        n = len(own)
        np.testing.assert_allclose(S[row, :n, :n], G[np.ix_(own, own)], atol=1e-12)
        np.testing.assert_allclose(g[row, :n], G[own, row], atol=1e-12)
        assert not S[row, n:].any()
        assert not S[row, :, n:].any()
        assert not g[row, n:].any()


@pytest.mark.parametrize(
    "model",
    [SLIM(1.0, l1_regularization=0.1, n_neighbors=5), SparseEASE(1.0, n_neighbors=5)],
    ids=repr,
)
def test_a_large_catalogue_takes_no_dense_matrix(monkeypatch, model):
    monkeypatch.setattr(_supports, "_GRAM_BYTES", 2**20)
    n_items = 200_000
    rng = np.random.default_rng(0)
    # Every user has nine of ten items, which are theirs alone.
    rows = np.repeat(np.arange(60), 9)
    columns = 3000 * rows + np.concatenate([rng.permutation(10)[:9] for _ in range(60)])
    X = sp.csr_array((np.ones(540), (rows, columns)), shape=(60, n_items))
    tracemalloc.start()
    W = model.fit(X).weights_
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**28
    assert W.shape == (n_items, n_items)
    assert W.nnz > 1000
    with pytest.raises(MemoryError, match="n_neighbors"):
        SLIM(1.0).fit(X)


def test_sparse_ease_on_all_items_is_ease(X):
    sparse, dense = SparseEASE(0.7).fit(X), plain_ease(0.7).fit(X)
    np.testing.assert_allclose(sparse.weights_.toarray(), dense.coef_, atol=1e-12)


def test_lists_by_weights_of_either_sign_are_those_of_predict():
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((200, 40)) < 0.15).astype(np.float32))
    model = SparseEASE(0.5, n_neighbors=8).fit(X)
    assert model.weights_.data.min() < 0
    for k in (3, 40):
        assert model._topk_rows(X, k, X) is not None
        items, scores = model.recommend(X, k)
        expected = best(masked(model.predict(X), X), k)
        np.testing.assert_array_equal(scores, expected[1])
        np.testing.assert_array_equal(items, expected[0])


def test_slim_without_penalty_gives_an_empty_item_nothing():
    X = np.array([[1.0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 1, 1]])
    W = SLIM(0.0, l1_regularization=0.0).fit(X).weights_.toarray()
    assert np.isfinite(W).all()
    assert (W[1] == 0).all()
    assert (W[:, 1] == 0).all()
    assert (W != 0).sum() == 6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cost", [0, 1e9])
def test_both_ways_to_the_gram_matrix_agree(cost, dtype, monkeypatch):
    monkeypatch.setattr(_gram, "_SPARSE_COST", cost)
    rng = np.random.default_rng(0)
    A = sp.csr_array(rng.random((300, 1100)) * (rng.random((300, 1100)) < 0.05)).astype(dtype)
    expected = A.T.toarray().astype(float) @ A.toarray().astype(float)
    np.testing.assert_allclose(gram(A, dtype), expected, atol=1e-5)


def test_threads_change_no_score_of_ease(X):
    one, two = EASE(1.0).fit(X), EASE(1.0, n_jobs=2).fit(X)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


@pytest.mark.parametrize("model", [EASE(1.0), SLIM(1.0)], ids=["EASE", "SLIM"])
@pytest.mark.parametrize(
    "D",
    [
        np.eye(5),
        np.array([[1.0, 2, 3], [1, 0, 0], [0, 2, 0]]),
        np.tile([[5.0, 3, 0, 0], [0, 0, 4, 1]], (4, 1)),
        np.array([[1.0, 0], [0, 1], [1, 1]]),
    ],
    ids=["one item each", "one user has everything", "duplicate users", "3 x 2"],
)
def test_odd_matrices(model, D):
    X = sp.csr_array(D)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    assert np.isfinite(model.fit(X).predict(X)).all()
    items, scores = model.recommend(X, k=2)
    assert ((items >= 0) == (scores > -np.inf)).all()


def test_naive_bayes_is_the_product_of_its_probabilities():
    rng = np.random.default_rng(0)
    D = (rng.random((40, 12)) < 0.4).astype(float)
    D = D[D.any(axis=1)]
    model = NaiveBayesRecommender(0.7).fit(3 * D)
    counts = D.T @ D
    together = counts - np.diag(np.diag(counts))
    evidence = together.sum(axis=0)
    pi, added = evidence / evidence.sum(), 0.7 * evidence.mean()
    for row, got in zip(D, model.predict(D)):
        expected = np.log(np.diag(counts))
        for i in np.flatnonzero(row):
            given = (together[i] + added * pi[i]) / (evidence + added)
            expected = expected + np.log(given) - np.log(pi[i])
        np.testing.assert_allclose(got, expected)
    np.testing.assert_array_equal(model.counts_.toarray(), counts)


def test_baseline_solves_its_normal_equations():
    rng = np.random.default_rng(0)
    R = rng.integers(1, 6, (30, 12)) * (rng.random((30, 12)) < 0.5).astype(float)
    model = BaselineRecommender(3.0, item_regularization=2.0, max_iter=200).fit(R)
    left = (R != 0) * (R - model.predict(R))
    np.testing.assert_allclose(left.sum(axis=0), 2.0 * model.item_bias_, atol=1e-6)
    users = model.predict(R)[:, 0] - model.mean_ - model.item_bias_[0]
    np.testing.assert_allclose(left.sum(axis=1), 3.0 * users, atol=1e-6)
