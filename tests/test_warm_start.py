"""Factor models that go on from where they were."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.decomposition import BiasedMF, BPRRecommender, SVDpp


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    odds = np.where(np.arange(60)[:, None] % 3 == np.arange(24) % 3, 0.6, 0.1)
    return sp.csr_array(rng.integers(1, 6, (60, 24)) * (rng.random((60, 24)) < odds).astype(float))


def _weighted_loss(model, X):
    """The objective of ALS with the users at their optimum."""
    D = X.toarray()
    P, Q = model.transform(X).astype(float), model.components_.T.astype(float)
    errors = (model.unobserved_weight + model.confidence * D) * ((D > 0) - P @ Q.T) ** 2
    return errors.sum() + model.regularization * ((P**2).sum() + (Q**2).sum())


def _pair_loss(model, X):
    """The mean BPR loss over all pairs of a chosen and an open item."""
    D, scores = X.toarray() > 0, model.predict(X)
    losses = [
        np.logaddexp(0, scores[u, ~D[u]][:, None] - scores[u, D[u]]).mean()
        for u in range(len(D))
        if D[u].any()
    ]
    return np.mean(losses)


@pytest.mark.parametrize("kind", [BiasedMF, SVDpp])
def test_sweeps_in_two_fits_are_sweeps_in_one(kind, X):
    whole = kind(3, max_iter=7, random_state=0).fit(X)
    parts = kind(3, max_iter=3, warm_start=True, random_state=0).fit(X)
    before = parts.components_
    kept = before.copy()
    parts.set_params(max_iter=4).fit(X)
    np.testing.assert_array_equal(before, kept)  # what somebody holds does not change
    np.testing.assert_allclose(parts.components_, whole.components_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-9)


def test_als_descends_from_where_it_was(X):
    model = ALSRecommender(4, regularization=1.0, max_iter=2, warm_start=True, random_state=0)
    steps = [_weighted_loss(model.fit(X), X) for _ in range(5)]
    assert (np.diff(steps) < 1e-6 * steps[0]).all()
    assert steps[-1] < steps[0]
    assert model.n_iter_ == 2
    whole = clone(model).set_params(max_iter=40, warm_start=False).fit(X)
    assert _weighted_loss(model, X) < 1.05 * _weighted_loss(whole, X)


def test_bpr_descends_from_where_it_was(X):
    model = BPRRecommender(4, max_iter=20, warm_start=True, random_state=0)
    first, *_, last = [_pair_loss(model.fit(X), X) for _ in range(6)]
    assert last < first


@pytest.mark.parametrize(
    "model",
    [
        ALSRecommender(4, regularization=1.0, max_iter=1, random_state=0),
        BPRRecommender(4, max_iter=2, random_state=0),
        BiasedMF(3, max_iter=1, random_state=0),
        SVDpp(3, max_iter=1, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_other_rows_may_follow_and_other_items_may_not(model, X):
    n_components = model.n_components
    model = clone(model).set_params(warm_start=True).fit(X)
    cold = clone(model).fit(X[20:])
    model.fit(X[20:])
    assert model.n_users_fit_ == 40
    assert not np.array_equal(model.components_, cold.components_)
    expected = model.predict(X)
    with pytest.raises(ValueError, match=r"24 items.*23 columns"):
        model.fit(X[:, 1:])
    with pytest.raises(ValueError, match="n_components=2"):
        model.set_params(n_components=2).fit(X)
    model.set_params(n_components=n_components)
    np.testing.assert_array_equal(model.predict(X), expected)
    cold = clone(model).set_params(warm_start=False)
    np.testing.assert_array_equal(cold.fit(X).fit(X).components_, clone(cold).fit(X).components_)
