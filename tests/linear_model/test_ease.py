"""EASE and its weighted, denoising and relaxed forms, against optimisers and closed forms in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from sklearn_llmrec.linear_model import EASE

PLAIN = {"dropout": 0.0, "max_self_weight": 0.0, "user_exponent": 0.0, "value_exponent": 1.0}


@pytest.fixture
def X():
    rng = np.random.default_rng(5)
    values = rng.integers(1, 9, size=(40, 7)) * (rng.random((40, 7)) < np.linspace(0.1, 0.7, 7))
    return sp.csr_array(values.astype(float))


def without_diagonal(B):
    return B - np.diag(np.diag(B))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("bound", [0.0, 0.2, 0.6, 0.95])
def test_weights_solve_the_constrained_problem(X, bound, dropout):
    """A general optimiser of the objective, column by column, under the bound on the own weight."""
    model = EASE(
        60.0, dropout=dropout, max_self_weight=bound, user_exponent=0.0, value_exponent=1.0
    ).fit(X)
    dense = X.toarray()
    G = dense.T @ dense
    penalties = 60.0 + dropout / (1 - dropout) * np.diag(G)
    A = G + np.diag(penalties)
    own = np.empty(7)
    for j in range(7):
        bounds = [(None, bound) if i == j else (None, None) for i in range(7)]
        found = minimize(
            lambda b, j=j: (b @ A @ b - 2 * G[j] @ b) / np.trace(A),
            np.zeros(7),
            jac=lambda b, j=j: (2 * A @ b - 2 * G[j]) / np.trace(A),
            bounds=bounds,
            method="L-BFGS-B",
            options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 5000},
        )
        own[j] = found.x[j]
        others = np.arange(7) != j
        assert_allclose(model.coef_[others, j], found.x[others], atol=1e-5)
    assert_array_equal(np.diag(model.coef_), 0)
    # The own weights that the numbers per item imply: at most the bound, and those of the optimiser.
    implied = 1 - model._scales_ * model._inverse_diagonal_
    assert (implied <= bound + 1e-12).all()
    assert_allclose(implied, own, atol=1e-5)
    if bound == 0.95:
        assert (implied < bound - 0.01).any()  # the bound is an inequality


def test_dropout_is_the_expected_loss_of_dropped_histories(X):
    """The penalty of EDLAE is the exact expectation of a regression whose inputs are dropped at random."""
    p, bound = 0.3, 0.0
    model = EASE(1e-6, dropout=p, max_self_weight=bound, user_exponent=0.0, value_exponent=1.0)
    dense = X.toarray()
    G = dense.T @ dense
    # E[(x . m) (x . m)'] with masks m that keep an entry with probability 1 - p and scale it by 1 / (1 - p).
    expected = G + p / (1 - p) * np.diag(np.diag(G))
    for j in range(7):
        others = np.delete(np.arange(7), j)
        w = np.linalg.solve(expected[np.ix_(others, others)], G[others, j])
        assert_allclose(model.fit(X).coef_[others, j], w, atol=1e-6)


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0])
def test_user_weights_are_those_of_weighted_rows(X, beta):
    """Fitting on rows multiplied by the roots of their weights, in the unit of unweighted rows."""
    lengths = np.maximum(np.diff(X.indptr), 1)
    weighted = sp.csr_array(X.multiply(lengths[:, None] ** (-beta / 2)))
    share = weighted.power(2).sum() / X.power(2).sum()
    plain = EASE(5.0 * share, **PLAIN).fit(weighted)
    model = EASE(5.0, **{**PLAIN, "user_exponent": beta}).fit(X)
    assert_allclose(model.coef_, plain.coef_, atol=1e-12)
    assert abs(model.coef_ - EASE(5.0, **PLAIN).fit(X).coef_).max() > 0.01


def test_popularity_divides_the_scores(X):
    model = EASE(5.0).fit(X)
    counts = np.bincount(X.indices, minlength=7)
    less = EASE(5.0, popularity_exponent=0.4).fit(X)
    assert_allclose(less.predict(X), model.predict(X) * counts**-0.4, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 2.0])
def test_values_are_damped_at_fit_and_in_histories(exponent):
    rng = np.random.default_rng(1)
    values = rng.normal(scale=4, size=(30, 8)) * (rng.random((30, 8)) < 0.5)
    damped = np.sign(values) * np.abs(values) ** exponent
    model = EASE(2.0, value_exponent=exponent).fit(sp.csr_array(values))
    by_hand = EASE(2.0, value_exponent=1.0).fit(sp.csr_array(damped))
    assert_allclose(model.predict(sp.csr_array(values)), by_hand.predict(damped), atol=1e-12)
    explained = model.explain(sp.csr_array(values), np.full(30, 3))
    assert_allclose(explained.sum(axis=1), model.predict(values)[:, 3], atol=1e-12)


def test_the_penalty_of_auto_is_the_noise_of_independent_entries():
    """The largest eigenvalue of a Gram matrix of centred independent entries, times one constant on all shapes."""
    rng = np.random.default_rng(0)
    ratios = []
    for shape, density in [((800, 100), 0.3), ((150, 600), 0.1), ((400, 400), 0.5)]:
        X = (rng.random(shape) < density).astype(float)
        largest = np.linalg.norm(X - density, 2) ** 2 / (1 - density)
        ratios.append(EASE(user_exponent=0.7).fit(X).regularization_ / largest)
    assert_allclose(ratios, np.mean(ratios), rtol=0.1)
    # Empty rows and columns are no evidence of a larger catalogue.
    X = np.pad(X, ((0, 50), (0, 70)))
    assert_allclose(EASE().fit(X).regularization_ / largest, ratios[-1], rtol=0.1)


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_parts_equal_one_fit_with_the_penalty_of_auto(X, first):
    parts = EASE(popularity_exponent=0.2)
    getattr(parts, first)(X[:15])
    parts.partial_fit(X[15:16]).partial_fit(sp.csr_array((3, 7))).partial_fit(X[16:])
    whole = EASE(popularity_exponent=0.2).fit(sp.csr_array(sp.vstack([X, np.zeros((3, 7))])))
    assert_allclose(parts.coef_, whole.coef_, atol=1e-9)
    assert_allclose(parts.regularization_, whole.regularization_)
    assert_allclose(parts.predict(X), whole.predict(X), atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_that_cancel_give_no_weights(dtype):
    # -3 * 1 + -1 * -3 = 0 for the two items, whatever the damping; both users then get the popularity.
    X = np.array([[0, -3, 0, 1], [0, -1, 0, -3]], dtype=dtype)
    model = EASE(user_exponent=0.3, value_exponent=1).fit(X)
    assert_array_equal(model.coef_, 0)
    assert_array_equal(EASE().fit(X[:1]).partial_fit(X[1:]).coef_, 0)
    assert np.count_nonzero(EASE().fit(X * [1, 1, 1, -1]).coef_) == 0
    assert np.count_nonzero(EASE().fit(np.abs(X)).coef_) == 2


def test_regularization_of_auto_scales_with_the_values(X):
    """Any unit of the values gives the same weights: the penalty has the unit of their squares."""
    one, large = EASE().fit(X), EASE().fit(1e6 * X)
    assert_allclose(large.coef_, one.coef_, atol=1e-10)
    assert_allclose(large.regularization_, one.regularization_ * 1e6 ** (2 * one.value_exponent))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"max_self_weight": 1.0}, "'max_self_weight' parameter"),
        ({"max_self_weight": -0.1}, "'max_self_weight' parameter"),
        ({"user_exponent": -1.0}, "'user_exponent' parameter"),
        ({"value_exponent": -1.0}, "'value_exponent' parameter"),
        ({"popularity_exponent": -1.0}, "'popularity_exponent' parameter"),
        ({"regularization": "none"}, "'regularization' parameter"),
    ],
)
def test_refusals(X, params, message):
    with pytest.raises(ValueError, match=message):
        EASE(**params).fit(X)
