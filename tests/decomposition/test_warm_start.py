"""Factor models that go on from where they were, by `warm_start` and by `partial_fit`."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.decomposition import BiasedMF, BPRRecommender, SVDpp, _als


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
    model = ALSRecommender(
        4,
        regularization=1.0,
        frequency_exponent=0.0,
        max_iter=2,
        warm_start=True,
        random_state=0,
    )
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


MODELS = [
    ALSRecommender(4, regularization=1.0, max_iter=1, random_state=0),
    BPRRecommender(4, max_iter=2, random_state=0),
    BiasedMF(3, max_iter=1, random_state=0),
    SVDpp(3, max_iter=1, random_state=0),
]
FORGETFUL = MODELS[1:]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


@each_model
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


@pytest.mark.parametrize("model", FORGETFUL, ids=lambda model: type(model).__name__)
def test_the_first_part_is_a_fit_and_the_same_rows_again_are_a_warm_start(model, X):
    whole, parts = clone(model).set_params(warm_start=True), clone(model)
    for _ in range(3):
        whole.fit(X)
        parts.partial_fit(X)
        np.testing.assert_array_equal(parts.components_, whole.components_)
        np.testing.assert_array_equal(parts.predict(X), whole.predict(X))
    # What is counted adds up, as in every partial_fit.
    assert parts.n_users_fit_ == 3 * X.shape[0]
    np.testing.assert_array_equal(parts.item_popularity_, 3 * whole.item_popularity_)


@pytest.mark.parametrize("kind", [BiasedMF, SVDpp])
def test_sweeps_in_parts_are_sweeps_in_one_fit(kind, X):
    whole = kind(3, max_iter=7, random_state=0).fit(X)
    parts = kind(3, max_iter=3, random_state=0).fit(X).set_params(max_iter=4).partial_fit(X)
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-9)


@pytest.mark.parametrize("frequency_exponent", [0.0, 0.5])
def test_items_of_als_are_held_by_what_earlier_rows_said(monkeypatch, X, frequency_exponent):
    """The items after one sweep solve the normal equations of the new rows and of the old ones, which are summed up."""
    monkeypatch.setattr(_als, "_STEPS", 60)
    old, new = X[:40], X[40:]
    model = ALSRecommender(
        4,
        confidence=2.0,
        regularization=1.0,
        unobserved_weight=0.5,
        frequency_exponent=frequency_exponent,
        max_iter=1,
        random_state=0,
    ).fit(old)
    P, Q, mean = model.transform(old), model.components_.T.copy(), model._mean_frequency_
    model.partial_fit(new)
    own = clone(model).fit(new)  # its users are solved from these items
    own.components_, own._known_rows_ = Q.T, None
    own._mean_frequency_ = model._mean_frequency_
    own._prepare_fold_in()
    R = own.transform(new)
    C_old, C_new = 2 * old.toarray(), 2 * new.toarray()
    curvature = (C_old.sum(axis=1) * (P**2).sum(axis=1)).sum() / (4 * C_old.sum())
    totals = 0.5 * 60 + C_old.sum(axis=0) + C_new.sum(axis=0)
    penalties = (totals / totals.mean()) ** frequency_exponent
    for i in range(24):
        past = 0.5 * P.T @ P + (C_old[:, i].sum() * curvature + penalties[i]) * np.eye(4)
        now = R.T @ ((0.5 + C_new[:, [i]]) * R)
        right = past @ Q[i] + R.T @ ((0.5 + C_new[:, i]) * (C_new[:, i] > 0))
        np.testing.assert_allclose(
            model.components_[:, i], np.linalg.solve(past + now, right), atol=1e-8
        )
    assert mean != model._mean_frequency_


def test_few_new_users_lose_little_of_what_many_said():
    rng = np.random.default_rng(0)
    tastes = np.repeat(np.eye(4), 10, axis=1)[rng.integers(4, size=400)]
    X = sp.csr_array((rng.random(tastes.shape) < 0.05 + 0.3 * tastes).astype(float))
    model = ALSRecommender(8, regularization=1.0, frequency_exponent=0.0, random_state=0)
    whole, parts = clone(model).fit(X), clone(model).fit(X[:300])
    for start in range(300, 400, 10):
        parts.partial_fit(X[start : start + 10])
    # A fit on ten users alone follows them, wherever it starts.
    few = clone(model).set_params(warm_start=True).fit(X[:300]).fit(X[390:])
    losses = [_weighted_loss(one, X) for one in (whole, parts, few)]
    assert losses[1] < 1.02 * losses[0] < losses[2]


@each_model
def test_items_that_a_part_lacks_keep_their_meaning(model, X):
    model = clone(model).set_params(max_iter=20).fit(X)
    before = {name: value.copy() for name, value in vars(model).items() if hasattr(value, "copy")}
    mean = getattr(model, "mean_", None)
    part = X.toarray()[:20]
    part[:, 12:] = 0
    part[part > 0] += 1  # another mean than before
    model.partial_fit(part)
    assert not np.array_equal(model.components_[:, :12], before["components_"][:, :12])
    for name in ("components_", "implicit_components_"):
        if name in before:
            np.testing.assert_array_equal(getattr(model, name)[:, 12:], before[name][:, 12:])
    if "item_bias_" in before:
        np.testing.assert_array_equal(model.item_bias_[12:], before["item_bias_"][12:])
    assert getattr(model, "mean_", None) == mean


@each_model
def test_a_failed_part_leaves_the_fit_untouched(model, X):
    model = clone(model).fit(X)
    expected, n_users = model.predict(X), model.n_users_fit_
    with pytest.raises(ValueError, match="24 features"):
        model.partial_fit(X[:, 1:])
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.full((2, 24), np.nan))
    with pytest.raises(ValueError, match=r"continues with \d factors of 24 items; n_components=2"):
        model.set_params(n_components=2).partial_fit(X)
    assert model.n_users_fit_ == n_users
    np.testing.assert_array_equal(model.predict(X), expected)


def test_new_users_alone_improve_themselves(X):
    """Users of a taste that the first rows lacked are ranked better once they were learned from."""
    old, new = X[np.arange(60) % 3 > 0], X[np.arange(60) % 3 == 0]
    model = ALSRecommender(4, max_iter=5, random_state=0)
    before = model.fit(old).score(new)
    assert model.partial_fit(new).score(new) > before + 0.1
    assert model.n_users_fit_ == 60


def test_a_penalty_taken_from_the_first_rows_stays(X):
    """A part of few rows would ask for another one; a number given later counts."""
    model = ALSRecommender(4, random_state=0).fit(X[:50])
    first = model.regularization_
    assert ALSRecommender(4, random_state=0).fit(X[50:]).regularization_ < 0.9 * first
    fixed = ALSRecommender(4, regularization=first, random_state=0).fit(X[:50])
    for one in (model, fixed):
        one.partial_fit(X[50:])
    assert model.regularization_ == first
    np.testing.assert_array_equal(model.components_, fixed.components_)
    assert model.set_params(regularization=3.0).partial_fit(X[50:]).regularization_ == 3.0
