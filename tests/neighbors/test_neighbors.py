"""Neighbour models against dense O(n^2) oracles, and the shapes of data that break them."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import ItemKNN, UserKNN
from sklearn_llmrec.neighbors import P3alpha, RP3beta, _similarity
from sklearn_llmrec.preprocessing import BM25Transformer, TFIDFTransformer

METRICS = ["cosine", "adjusted_cosine", "pearson", "pearson_baseline", "jaccard", "dice"]


@pytest.fixture(params=["ratings", "signed", "counts"])
def X(request):
    rng = np.random.default_rng(3)
    shape = (30, 20)
    values = {
        "ratings": rng.uniform(1, 5, shape),
        "signed": rng.normal(size=shape),
        "counts": 1.0 + rng.poisson(1.0, shape),
    }[request.param]
    return sp.csr_array(values * (rng.random(shape) < 0.3))


def similarity(A, B, metric, shrinkage):
    """Between the rows of two dense matrices, one pair at a time."""
    S = np.zeros((len(A), len(B)))
    for i, x in enumerate(A):
        for j, y in enumerate(B):
            both = (x != 0) & (y != 0)
            n, product = both.sum(), x @ y
            if metric == "pearson":
                S[i, j] = correlation(x[both], y[both])
            elif metric == "pearson_baseline":
                S[i, j] = product / np.sqrt((x[both] @ x[both]) * (y[both] @ y[both])) if n else 0
                n = n - 1
                S[i, j] *= n > 0
            elif metric == "jaccard":
                S[i, j] = product / (x @ x + y @ y - product) if product else 0
            elif metric == "dice":
                S[i, j] = 2 * product / (x @ x + y @ y) if product else 0
            elif product:
                S[i, j] = product / np.sqrt((x @ x) * (y @ y))
            S[i, j] *= n / (n + shrinkage) if shrinkage and n > 0 else 1
    return S


def correlation(x, y):
    if len(x) < 2:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return (x @ y) / scale if scale > 1e-9 else 0.0


def check_neighbors(got, S, k, atol=1e-8):
    """The k best of every row are kept with their values; ties at the boundary may fall either way."""
    kept = got != 0
    np.testing.assert_allclose(got[kept], S[kept], atol=atol)
    assert (kept.sum(axis=1) == np.minimum(k, (S != 0).sum(axis=1))).all()
    worst = np.where(kept, S, np.inf).min(axis=1)
    left = np.where(kept | (S == 0), -np.inf, S).max(axis=1)
    assert (worst >= left - atol).all()


def less_row_means(D):
    means = D.sum(axis=1) / np.maximum((D != 0).sum(axis=1), 1)
    return np.where(D != 0, D - means[:, None], 0)


@pytest.mark.parametrize("n_neighbors", [1, 5, 50])
@pytest.mark.parametrize("shrinkage", [0, 3.5])
@pytest.mark.parametrize("metric", METRICS)
def test_item_neighbours_are_those_of_the_candidate(X, metric, shrinkage, n_neighbors):
    D = X.toarray()
    V = D
    if metric == "adjusted_cosine":
        V = less_row_means(D)
    elif metric == "pearson_baseline":
        V = (D != 0) * (D - baseline(D, "baseline"))
    S = similarity(V.T, V.T, metric, shrinkage)
    np.fill_diagonal(S, 0)
    model = ItemKNN(n_neighbors, metric=metric, shrinkage=shrinkage, weighting=None).fit(X)
    weights = model.weights_.toarray()
    check_neighbors(weights.T, S, n_neighbors)
    np.testing.assert_allclose(model._score_rows(X).toarray(), D @ weights, atol=1e-12)


@pytest.mark.parametrize("n_neighbors", [1, 5, 50])
@pytest.mark.parametrize("shrinkage", [0, 3.5])
@pytest.mark.parametrize("metric", METRICS)
def test_user_neighbours_vote(X, metric, shrinkage, n_neighbors):
    D = X.toarray()
    V = D
    if metric == "adjusted_cosine":
        V = less_row_means(D.T).T
    elif metric == "pearson_baseline":
        V = (D != 0) * (D - baseline(D, "baseline"))
    model = UserKNN(n_neighbors, metric=metric, shrinkage=shrinkage, weighting=None).fit(X)
    neighbors = model._neighbors(X).toarray()
    check_neighbors(neighbors, similarity(V, V, metric, shrinkage), n_neighbors)
    np.testing.assert_allclose(model._score_rows(X).toarray(), neighbors @ D, atol=1e-12)


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
@pytest.mark.parametrize("metric", ["cosine", "jaccard", "dice"])
@pytest.mark.parametrize("weighting", ["tfidf", "bm25", "auto"])
def test_weighting_is_that_of_the_transformers(kind, metric, weighting):
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((40, 20)) < 0.3) * rng.integers(1, 5, (40, 20)).astype(float))
    first = BM25Transformer() if weighting == "bm25" else TFIDFTransformer()
    W = first.fit_transform(X).toarray()
    model = kind(6, metric=metric, weighting=weighting, shrinkage=0).fit(X)
    if kind is ItemKNN:
        S = similarity(W.T, W.T, metric, 0)
        np.fill_diagonal(S, 0)
        check_neighbors(model.weights_.toarray().T, S, 6)
    else:
        check_neighbors(model._neighbors(X).toarray(), similarity(W, W, metric, 0), 6)


def tversky(x, y, alpha, beta):
    a, b = set(np.flatnonzero(x)), set(np.flatnonzero(y))
    both = len(a & b)
    return both / (both + alpha * len(a - b) + beta * len(b - a)) if both else 0.0


def asymmetric(x, y, alpha):
    product = x @ y
    return product / ((x @ x) ** alpha * (y @ y) ** (1 - alpha)) if product else 0.0


@pytest.mark.parametrize("shrinkage", [0, 3.5])
@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
@pytest.mark.parametrize(
    ("metric", "oracle", "params"),
    [
        ("tversky", tversky, {"alpha": 0.2, "beta": 1.5}),
        ("tversky", tversky, {"alpha": 3.0, "beta": 0.0}),
        ("asymmetric_cosine", asymmetric, {"alpha": 0.1}),
        ("asymmetric_cosine", asymmetric, {"alpha": 1.0}),
    ],
)
def test_similarities_with_two_sides(X, kind, metric, oracle, params, shrinkage):
    D = X.toarray()
    V = D.T if kind is ItemKNN else D
    S = np.array([[oracle(x, y, **params) for y in V] for x in V])
    if shrinkage:
        n = (V != 0).astype(float) @ (V != 0).T
        S *= n / (n + shrinkage)
    model = kind(5, metric=metric, metric_params=params, shrinkage=shrinkage, weighting=None).fit(X)
    if kind is ItemKNN:
        np.fill_diagonal(S, 0)
        check_neighbors(model.weights_.toarray().T, S, 5)
    else:
        check_neighbors(model._neighbors(X).toarray(), S, 5)
    parts = model.explain(X, np.arange(X.shape[0]) % 20).sum(axis=1)
    asked = model._score_rows(X).toarray()[np.arange(X.shape[0]), np.arange(X.shape[0]) % 20]
    np.testing.assert_allclose(parts, asked, atol=1e-8)


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
def test_similarities_at_their_defaults_are_the_symmetric_ones(kind):
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((40, 20)) < 0.3).astype(float))

    def scores(metric, **params):
        model = kind(7, metric=metric, weighting=None, metric_params=params or None)
        return model.fit(X).predict(X)

    np.testing.assert_allclose(scores("tversky"), scores("dice"))
    np.testing.assert_allclose(scores("tversky", alpha=1, beta=1.0), scores("jaccard"))
    np.testing.assert_allclose(scores("asymmetric_cosine"), scores("cosine"))


@pytest.mark.parametrize(
    ("metric", "params", "message"),
    [
        ("cosine", {"alpha": 0.5}, "'alpha'.*'cosine' takes none"),
        ("asymmetric_cosine", {"beta": 0.5}, "'beta'.*takes alpha"),
        ("asymmetric_cosine", {"alpha": 1.5}, "'alpha'.*from 0 to 1; got 1.5"),
        ("tversky", {"alpha": -1}, "'alpha'.*from 0 to inf; got -1"),
        ("tversky", {"beta": np.inf}, "'beta'.*got inf"),
        ("tversky", {"beta": "1"}, "'beta'.*got '1'"),
    ],
)
def test_metric_params_that_the_metric_does_not_take(metric, params, message):
    for kind in (ItemKNN, UserKNN):
        with pytest.raises(ValueError, match=message):
            kind(metric=metric, metric_params=params).fit(np.eye(4) + 1)


def baseline(D, center):
    known = D != 0
    mean = D[known].mean()
    users, items = np.zeros(D.shape[0]), np.zeros(D.shape[1])
    if center == "user":
        users = np.array([row[row != 0].mean() - mean for row in D])
    elif center == "item":
        items = np.array([column[column != 0].mean() - mean for column in D.T])
    else:
        for _ in range(10):
            left = known * (D - mean - users[:, None])
            items = left.sum(axis=0) / (known.sum(axis=0) + 10)
            left = known * (D - mean - items)
            users = left.sum(axis=1) / (known.sum(axis=1) + 15)
    return mean + users[:, None] + items


@pytest.mark.parametrize("regularization", [0.0, 0.7])
@pytest.mark.parametrize("center", ["user", "item", "baseline"])
@pytest.mark.parametrize("metric", METRICS)
def test_ratings_are_baselines_plus_averaged_deviations(metric, center, regularization):
    rng = np.random.default_rng(5)
    D = rng.integers(1, 6, (40, 20)) * (rng.random((40, 20)) < 0.4).astype(float)
    B = baseline(D, center)
    left, known = (D != 0) * (D - B), (D != 0).astype(float)
    settings = {"metric": metric, "center": center, "regularization": regularization}
    item = ItemKNN(8, **settings).fit(D)
    W = item.weights_.toarray()
    mass = known @ abs(W)
    mass[mass > 0] += regularization
    expected = B + np.divide(left @ W, mass, out=np.zeros_like(mass), where=mass > 0)
    np.testing.assert_allclose(item.predict(D), expected, atol=1e-9)

    user = UserKNN(8, **settings).fit(D)
    S = user._neighbors(sp.csr_array(D)).toarray()
    mass = abs(S) @ known
    mass[mass > 0] += regularization
    expected = B + np.divide(S @ left, mass, out=np.zeros_like(mass), where=mass > 0)
    np.testing.assert_allclose(user.predict(D), expected, atol=1e-9)


@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
def test_a_cold_row_of_a_rating_model_gets_the_baseline(kind):
    rng = np.random.default_rng(5)
    D = rng.integers(1, 6, (40, 20)) * (rng.random((40, 20)) < 0.4).astype(float)
    model = kind(center="baseline").fit(D)
    got = model.predict(np.zeros((1, 20)))[0]
    mean = D[D != 0].mean()
    assert 1 < got.min() < mean < got.max() < 5
    assert np.corrcoef(got, D.sum(axis=0) / (D != 0).sum(axis=0))[0, 1] > 0.95


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_and_threads_change_nothing(X, metric, monkeypatch):
    whole = ItemKNN(5, metric=metric, shrinkage=1.0, weighting=None).fit(X).weights_
    monkeypatch.setattr(_similarity, "_BLOCK_ENTRIES", 40)
    cut = ItemKNN(5, metric=metric, shrinkage=1.0, weighting=None, n_jobs=2).fit(X).weights_
    np.testing.assert_array_equal(whole.toarray(), cut.toarray())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("shrinkage", [0.0, 3.5])
@pytest.mark.parametrize(
    ("metric", "params"),
    [
        ("cosine", None),
        ("asymmetric_cosine", {"alpha": 0.2}),
        ("jaccard", None),
        ("dice", None),
        ("tversky", {"alpha": 0.2, "beta": 1.5}),
    ],
)
def test_the_compiled_way_finds_the_neighbours_of_the_exact_one(
    metric, params, shrinkage, n_jobs, dtype, monkeypatch
):
    rng = np.random.default_rng(2)
    X = sp.csr_array(((rng.random((70, 50)) < 0.3) * rng.uniform(1, 5, (70, 50))).astype(dtype))
    settings = {"metric": metric, "metric_params": params, "shrinkage": shrinkage, "n_jobs": n_jobs}
    # Signed similarities take another way, in float64 and in full, which does for others too.
    monkeypatch.setattr(
        _similarity.RowIndex, "signed", property(lambda *_: True, lambda *_: None), raising=False
    )
    item, user = (kind(70, **settings).fit(X) for kind in (ItemKNN, UserKNN))
    exact = item.weights_.T, user._neighbors(X)
    monkeypatch.undo()
    monkeypatch.setattr(_similarity.RowIndex, "_best_of_block", None)
    item, user = (kind(6, **settings).fit(X) for kind in (ItemKNN, UserKNN))
    for all_of_them, got in zip(exact, (item.weights_.T, user._neighbors(X)), strict=True):
        assert got.dtype == dtype
        atol = 1e-5 if dtype == np.float32 else 1e-12
        check_neighbors(got.toarray(), all_of_them.toarray(), 6, atol)


def test_negative_values_keep_the_exact_way():
    X = sp.csr_array(np.array([[1.0, -3, 0], [0, 1, 1], [2, 1, 0]]))
    model = ItemKNN(2, shrinkage=1.0, weighting=None).fit(X)
    assert model.weights_.data.min() < 0


@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("beta", [None, 0.0, 0.7])
def test_random_walks_are_products_of_transition_probabilities(beta, gamma):
    rng = np.random.default_rng(1)
    D = rng.random((40, 25)) * (rng.random((40, 25)) < 0.3)
    to_item = (D / D.sum(axis=1, keepdims=True)) ** 0.9
    to_user = (D / D.sum(axis=0)) ** 0.9
    walks = to_user.T @ to_item
    np.fill_diagonal(walks, 0)
    model = P3alpha(6, alpha=0.9) if beta is None else RP3beta(6, alpha=0.9, beta=beta, gamma=gamma)
    weights = model.fit(D).weights_.toarray()
    plain = weights != 0
    discounted = np.where(plain, walks / D.sum(axis=0) ** (beta or 0), 0)
    sums = discounted.sum(axis=1, keepdims=True) ** (gamma if beta is not None else 0)
    np.testing.assert_allclose(weights, discounted / np.where(sums == 0, 1, sums))
    check_neighbors(np.where(plain, walks, 0).T, walks.T, 6)
    with pytest.raises(ValueError, match="Negative values"):
        model.fit(-D)


ODD = {
    "users with one item": np.eye(6)[[0, 1, 2, 3, 0, 1]],
    "items with one user": np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    "a user who has everything": np.array([[1.0, 2, 3], [1, 0, 0], [0, 2, 0]]),
    "duplicate users": np.tile([[5.0, 3, 0, 0], [0, 0, 4, 1]], (4, 1)),
    "equal ratings": (np.indices((7, 5)).sum(axis=0) % 2) * 3.0,
    "3 x 2": np.array([[1.0, 0], [0, 1], [1, 1]]),
}


@pytest.mark.parametrize("D", ODD.values(), ids=ODD)
@pytest.mark.parametrize("center", [None, "user", "item", "baseline"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [ItemKNN, UserKNN])
def test_odd_matrices(kind, metric, center, D):
    check_odd(kind(metric=metric, center=center, shrinkage=1.0), D)


@pytest.mark.parametrize("D", ODD.values(), ids=ODD)
def test_walks_on_odd_matrices(D):
    check_odd(RP3beta(), D)


def check_odd(model, D):
    for index in (np.int32, np.int64):
        X = sp.csr_array(D)
        X = sp.csr_array((X.data, X.indices.astype(index), X.indptr.astype(index)), shape=X.shape)
        model.fit(X)
        assert np.isfinite(model.predict(X)).all()
        items, scores = model.recommend(X, k=2)
        assert ((items >= 0) == (scores > -np.inf)).all()
        rows = np.nonzero(items >= 0)
        assert not D[rows[0], items[rows]].any()


def test_what_does_not_go_together_is_refused_in_words():
    X = np.array([[1.0, 2, 0], [0, 1, 1]])
    with pytest.raises(ValueError, match=r"weighting='tfidf' goes with metric='cosine'"):
        ItemKNN(metric="pearson", weighting="tfidf").fit(X)
    with pytest.raises(ValueError, match=r"bm25.*negative"):
        UserKNN(weighting="bm25").fit(-X)
