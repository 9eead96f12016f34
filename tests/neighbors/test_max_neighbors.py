"""Rating prediction from the most similar among the rated (`max_neighbors`) against loops."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import ItemKNN, UserKNN
from sklearn_llmrec._kernels import means_of_nearest

KINDS = [ItemKNN, UserKNN]
METRICS = ["cosine", "adjusted_cosine", "pearson", "pearson_baseline"]


@pytest.fixture
def D():
    rng = np.random.default_rng(5)
    return rng.integers(1, 6, (40, 20)) * (rng.random((40, 20)) < 0.4).astype(float)


def predicted_by_loops(model, D):
    """Every rating: those kept who have a vote, the most similar first, as many as may vote."""
    X = sp.csr_array(D)
    B = model._biases_.dense(X)
    item = isinstance(model, ItemKNN)
    S = model.weights_.toarray().T if item else model._neighbors(X).toarray()
    expected = B.copy()
    for u in range(D.shape[0]):
        for i in range(D.shape[1]):
            if item:
                votes = [(S[i, j], D[u, j] - B[u, j]) for j in range(D.shape[1]) if D[u, j]]
            else:
                votes = [(S[u, v], D[v, i] - B[v, i]) for v in range(D.shape[0]) if D[v, i]]
            votes = [(s, left) for s, left in votes if s]
            votes = sorted(votes, key=lambda vote: -vote[0])[: model.max_neighbors]
            if votes:
                mass = sum(abs(s) for s, _ in votes) + model.regularization
                expected[u, i] += sum(s * left for s, left in votes) / mass
    return expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("center", ["user", "baseline"])
@pytest.mark.parametrize(("n_neighbors", "max_neighbors"), [(50, 1), (50, 4), (8, 3)])
def test_the_most_similar_that_have_a_vote(kind, metric, center, n_neighbors, max_neighbors, D):
    model = kind(
        n_neighbors,
        metric=metric,
        shrinkage=1.5,
        center=center,
        max_neighbors=max_neighbors,
        regularization=0.3,
    ).fit(D)
    ratings = model.predict(D)
    np.testing.assert_allclose(ratings, predicted_by_loops(model, D), atol=1e-9)
    every = model.set_params(max_neighbors=None).fit(D).predict(D)
    assert not np.allclose(ratings, every)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_as_many_as_are_kept_are_all(kind, metric, D):
    model = kind(9, metric=metric, center="baseline", regularization=0.0)
    every = model.fit(D).predict(D)
    model.set_params(max_neighbors=40)
    np.testing.assert_allclose(model.fit(D).predict(D), every, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("max_neighbors", [1, 3])
def test_contributions_are_of_those_who_vote(kind, metric, max_neighbors, D):
    model = kind(
        30, metric=metric, center="baseline", max_neighbors=max_neighbors, regularization=0.4
    ).fit(D)
    items = np.arange(40) % 20
    found = model.explain(D, items)
    beyond = (model.predict(D) - model._biases_.dense(sp.csr_array(D)))[np.arange(40), items]
    np.testing.assert_allclose(found.sum(axis=1), beyond, atol=1e-9)
    if kind is ItemKNN:
        assert np.diff(found.indptr).max() == max_neighbors


@pytest.mark.parametrize("kind", KINDS)
def test_ties_vote_in_one_order_in_predict_and_explain(kind):
    # Every item, and every user, is as similar as any other; they differ in what they say.
    rng = np.random.default_rng(0)
    D = rng.integers(1, 6, (9, 9)).astype(float)
    model = kind(metric="tversky", center="user", max_neighbors=2).fit(D)
    beyond = model.predict(D) - model._biases_.dense(sp.csr_array(D))
    lists = np.tile(np.arange(9), (9, 1))
    np.testing.assert_allclose(model.explain(D, lists).sum(axis=1), beyond.ravel(), atol=1e-9)


def test_votes_of_nothing_are_zeros():
    S, V = sp.csr_array((3, 4)), sp.csr_array((4, 5))
    assert (means_of_nearest(S, V, 2, 1.0) == np.zeros((3, 5))).all()
    # A vote for the baseline itself, a stored 0, takes a place.
    S = sp.csr_array(np.array([[0.9, 0.5]]))
    V = sp.csr_array((np.array([0.0, 1.0]), np.array([0, 0]), np.array([0, 1, 2])), shape=(2, 1))
    assert means_of_nearest(S, V, 1, 0.0)[0, 0] == 0
    assert means_of_nearest(S, V, 2, 0.0)[0, 0] == pytest.approx(0.5 / 1.4)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_alone_are_rows_in_a_batch(kind, D):
    model = kind(40, metric="pearson_baseline", center="baseline", max_neighbors=3).fit(D)
    alone = np.vstack([model.predict(D[[row]]) for row in range(len(D))])
    np.testing.assert_allclose(alone, model.predict(D), atol=1e-9)
    single = model.predict(D.astype(np.float32))
    assert single.dtype == np.float32
    cold = model.predict(np.zeros((1, 20)))[0]
    np.testing.assert_allclose(cold, model._biases_.fallback)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_baseline_it_is_refused(kind, D):
    with pytest.raises(ValueError, match=r"max_neighbors=5 chooses who votes.*give center"):
        kind(max_neighbors=5).fit(D)
    with pytest.raises(ValueError, match="max_neighbors"):
        kind(center="user", max_neighbors=0).fit(D)
