"""Factor models against their normal equations and against scikit-learn."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD

from sklearn_llmrec.decomposition import (
    ALSRecommender,
    BiasedMF,
    BPRRecommender,
    NMFRecommender,
    PureSVD,
    SVDpp,
)


@pytest.fixture
def ratings():
    rng = np.random.default_rng(2)
    P, Q = rng.normal(size=(80, 2)), rng.normal(size=(2, 30))
    values = 3 + rng.normal(size=(80, 1)) / 2 + rng.normal(size=30) / 2 + P @ Q / 2
    return np.clip(np.round(2 * values) / 2, 0.5, 5) * (rng.random((80, 30)) < 0.5)


def test_pure_svd_projects_on_the_singular_vectors(ratings):
    model = PureSVD(4, n_iter=20, random_state=0).fit(ratings)
    svd = TruncatedSVD(4, algorithm="arpack").fit(ratings)
    expected = svd.inverse_transform(svd.transform(ratings))
    np.testing.assert_allclose(model.predict(ratings), expected, atol=1e-6)
    np.testing.assert_allclose(model.transform(ratings), ratings @ model.components_.T)


@pytest.mark.parametrize("regularization", [0.0, 0.05])
def test_nmf_folds_rows_in_by_non_negative_least_squares(ratings, regularization):
    model = NMFRecommender(4, regularization=regularization, tol=0.0, max_iter=50, random_state=0)
    Q = model.fit(ratings).components_.T
    extended = np.vstack([Q, np.sqrt(30 * regularization) * np.eye(4)])
    for row, got in zip(ratings, model.transform(ratings)):
        expected, _ = nnls(extended, np.concatenate([row, np.zeros(4)]))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_biased_mf_solves_both_sides(ratings):
    model = BiasedMF(2, regularization=0.1, max_iter=200, random_state=0).fit(ratings)
    known = ratings != 0
    users = model._user_factors(sp.csr_array(ratings))
    left = known * (ratings - model.predict(ratings))
    items = np.vstack([model.components_, model.item_bias_])
    features = np.hstack([users[:, :-1], np.ones((80, 1))])
    gradient = features.T @ left - 0.1 * known.sum(axis=0) * items
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    features = np.vstack([model.components_, np.ones(30)])
    gradient = left @ features.T - 0.1 * known.sum(axis=1)[:, None] * users
    np.testing.assert_allclose(gradient, 0, atol=1e-9)


def _svdpp_objective(model, ratings):
    """Koren's objective, dense, as the docstring states it."""
    known = ratings != 0
    lengths = known.sum(axis=1)
    implied = (known / np.sqrt(lengths)[:, None]) @ model.implicit_components_.T
    users = model._user_factors(sp.csr_array(ratings))
    squares = (users[:, :-1] - implied) ** 2
    item_squares = (model.components_**2).sum(axis=0) + model.item_bias_**2
    penalty = lengths @ (squares.sum(axis=1) + users[:, -1] ** 2)
    penalty += known.sum(axis=0) @ item_squares
    penalty += (lengths @ known) @ (model.implicit_components_**2).sum(axis=0)
    errors = known * (ratings - model.predict(ratings))
    return (errors**2).sum() + model.regularization * penalty


def test_svdpp_descends_to_where_its_objective_is_flat(ratings):
    steps = [
        _svdpp_objective(SVDpp(2, max_iter=n, random_state=0).fit(ratings), ratings)
        for n in (1, 2, 5, 20)
    ]
    assert steps == sorted(steps, reverse=True)
    model = SVDpp(2, max_iter=200, random_state=0).fit(ratings)
    best = _svdpp_objective(model, ratings)
    rng = np.random.default_rng(0)
    for name in ("components_", "implicit_components_", "item_bias_"):
        at = getattr(model, name)
        assert np.abs(at).max() > 0
        way = rng.standard_normal(at.shape)
        ends = []
        for step in (1e-4, -1e-4):
            setattr(model, name, at + step * way)
            ends.append(_svdpp_objective(model, ratings))
        setattr(model, name, at)
        assert min(ends) > best
        assert abs(ends[0] - ends[1]) < 1e-3 * (sum(ends) - 2 * best)


def test_svdpp_reads_which_items_were_rated():
    """Users rate two genres alike; only the choice of items says which of two more items they like."""
    rng = np.random.default_rng(0)
    n, d = 300, 20
    genre = rng.integers(2, size=n)
    shown = rng.random((n, 2 * d)) < 0.3
    shown[:, :d] &= genre[:, None] == 0
    shown[:, d:] &= genre[:, None] == 1
    X = np.hstack([3.0 * shown, np.where(genre == 0, 5, 1)[:, None] * np.ones((n, 1))])
    X[:, -1] *= np.arange(n) < 200
    test = np.arange(n) >= 200
    error = {
        kind: np.abs(
            kind(2, random_state=0).fit(X).predict(X)[test, -1] - np.where(genre == 0, 5, 1)[test]
        ).mean()
        for kind in (BiasedMF, SVDpp)
    }
    assert error[SVDpp] < 0.8 * error[BiasedMF]


def test_factors_predict_held_out_ratings_better_than_biases(ratings):
    from sklearn_llmrec.linear_model import BaselineRecommender

    rng = np.random.default_rng(0)
    held = (ratings != 0) & (rng.random(ratings.shape) < 0.2)
    visible = np.where(held, 0, ratings)
    error = {
        type(model).__name__: np.sqrt(
            np.mean((model.fit(visible).predict(visible) - ratings)[held] ** 2)
        )
        for model in (
            BaselineRecommender(),
            BiasedMF(2, random_state=0),
            SVDpp(2, random_state=0),
        )
    }
    assert error["BiasedMF"] < 0.9 * error["BaselineRecommender"]
    assert error["SVDpp"] < 0.9 * error["BaselineRecommender"]


def test_bpr_folds_rows_in_by_the_expanded_loss(ratings):
    model = BPRRecommender(4, user_regularization=0.2, random_state=0).fit(ratings)
    np.testing.assert_array_equal(model.components_, model.fit(ratings).components_)
    Q = model.components_.T
    for row, got in zip(ratings, model.transform(ratings)):
        own = np.flatnonzero(row)
        normal, right = 0.2 * len(own) * np.eye(4), np.zeros(4)
        for i in own:
            difference = Q[i] - Q
            normal += 0.25 * difference.T @ difference / len(Q)
            right += 0.5 * difference.mean(axis=0)
        np.testing.assert_allclose(got, np.linalg.solve(normal, right), rtol=1e-6)
    expected = model.transform(ratings) @ Q.T + model.item_bias_
    np.testing.assert_allclose(model.predict(ratings), expected)


def test_verbose_prints_a_line_per_sweep(ratings, capsys):
    model = ALSRecommender(2, max_iter=2, random_state=0, verbose=True).fit(ratings)
    assert capsys.readouterr().out.splitlines() == [
        "[ALSRecommender] sweep 1 of 2",
        "[ALSRecommender] sweep 2 of 2",
    ]
    model.set_params(verbose=False).fit(ratings)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_als_takes_its_penalty_from_the_matrix(dtype):
    rng = np.random.default_rng(0)
    X = ((rng.random((60, 20)) < 0.3) * rng.integers(1, 4, (60, 20))).astype(dtype)
    model = ALSRecommender(3, confidence=2.0, unobserved_weight=0.5, random_state=0).fit(X)
    n = np.count_nonzero(X)
    per_user, per_item = (n / np.count_nonzero(X.any(axis=axis)) for axis in (1, 0))
    expected = (0.5 + 2 * X.sum() / n) * (np.sqrt(per_user) + np.sqrt(per_item)) / 2
    assert model.regularization_ == pytest.approx(expected, rel=1e-6)
    named = clone(model).set_params(regularization=model.regularization_).fit(X)
    np.testing.assert_array_equal(model.components_, named.components_)
    np.testing.assert_array_equal(model.predict(X), named.predict(X))
    # Another unit of X, by confidence, changes nothing; nor do users and items without interactions the penalty.
    scaled = clone(model).set_params(confidence=0.5).fit(4 * X)
    np.testing.assert_array_equal(model.components_, scaled.components_)
    padded = np.pad(X, ((0, 30), (0, 10)))
    assert clone(model).fit(padded).regularization_ == model.regularization_
    # Its place among singular values: half of the largest of independent entries, which are centred here.
    noise = (rng.random((600, 400)) < 0.05).astype(dtype)
    half = clone(model).fit(noise).regularization_ / 2.5
    assert half == pytest.approx(np.linalg.norm(noise - noise.mean(), 2) / 2, rel=0.05)


@pytest.mark.parametrize("above", [True, False])
def test_als_has_factors_where_a_singular_value_is_above_the_penalty(above):
    X = sp.csr_array((np.random.default_rng(0).random((30, 20)) < 0.2).astype(float))
    largest = np.linalg.norm(5.0 * X.toarray(), 2)
    penalty = (1.05 if above else 0.95) * largest
    model = ALSRecommender(
        2, regularization=penalty, frequency_exponent=0.0, max_iter=300, random_state=0
    ).fit(X)
    assert (np.linalg.norm(model.components_) < 1e-3) == above


def test_rows_of_equal_scores_are_the_same_alone():
    """Products are rounded in another way for one row than for many; both are popularity all the same."""
    X = np.ones((9, 7))
    model = ALSRecommender(n_components=4, max_iter=3, random_state=0).fit(X)
    batch = model.predict(X)
    for row in range(len(X)):
        np.testing.assert_array_equal(model.predict(X[row : row + 1])[0], batch[row])
