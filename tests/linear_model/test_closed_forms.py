"""Models against their closed forms and dense oracles."""

import numpy as np
import pytest
import scipy.sparse as sp
from _oracles import plain_ease

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec._kernels import _gram, gram
from sklearn_llmrec.linear_model._ease import inverse_spd


@pytest.fixture(params=["positive", "signed"])
def X(request):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(50, 30)) if request.param == "signed" else rng.random((50, 30))
    return sp.csr_array(values * (rng.random((50, 30)) < 0.3))


def test_ease_is_the_direct_inverse(X):
    dense = X.toarray()
    P = np.linalg.inv(dense.T @ dense + 3.0 * np.eye(30))
    B = np.eye(30) - P / np.diag(P)
    model = plain_ease(3.0).fit(X)
    np.testing.assert_allclose(model.coef_, B, atol=1e-10)
    np.testing.assert_allclose(model.predict(X), dense @ B, atol=1e-10)


@pytest.mark.parametrize("way", ["BLAS", "compiled"])
def test_the_inverse_by_blocks_and_its_refusal(monkeypatch, way):
    monkeypatch.setattr(_gram, "_SPARSE_COST", np.inf if way == "BLAS" else 0)
    rng = np.random.default_rng(0)
    A = sp.csr_array(rng.random((300, 1100)) * (rng.random((300, 1100)) < 0.05))
    G = gram(A, np.float64)
    np.testing.assert_array_equal(gram(A, np.float64, n_threads=2), G)
    np.testing.assert_allclose(G, A.T.toarray() @ A.toarray(), atol=1e-12)
    G[np.diag_indices(1100)] += 1.0
    np.testing.assert_allclose(inverse_spd(G.copy(order="F")) @ G, np.eye(1100), atol=1e-9)
    with pytest.raises(ValueError, match=r"not positive definite.*regularization"):
        inverse_spd(np.asfortranarray([[1.0, 2.0], [2.0, 1.0]]))


@pytest.mark.parametrize("w0", [1.0, 0.4])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_als_factors_solve_their_normal_equations(exponent, w0):
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((40, 25)) < 0.3) * rng.integers(1, 4, (40, 25)).astype(float))
    model = ALSRecommender(
        5,
        confidence=2.0,
        unobserved_weight=w0,
        regularization=0.7,
        frequency_exponent=exponent,
        max_iter=5,
        random_state=0,
    ).fit(X)
    Q = model.components_.T
    C = w0 + 2.0 * X.toarray()
    frequencies = C.sum(axis=1)
    penalties = 0.7 * (frequencies / frequencies.mean()) ** exponent
    factors = model.transform(X)
    for row, weights, penalty, got in zip(X.toarray(), C, penalties, factors, strict=True):
        normal = Q.T @ (weights[:, None] * Q) + penalty * np.eye(5)
        np.testing.assert_allclose(
            got, np.linalg.solve(normal, Q.T @ (weights * (row > 0))), rtol=1e-4
        )
    np.testing.assert_allclose(model.predict(X), factors @ model.components_, rtol=1e-9)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_als_descends_to_where_both_sides_are_solved(exponent):
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((40, 25)) < 0.3).astype(float))
    model = ALSRecommender(
        5,
        confidence=1.0,
        regularization=5.0,
        frequency_exponent=exponent,
        max_iter=300,
        random_state=0,
    ).fit(X)
    P, Q = model.transform(X), model.components_.T
    C = 1 + X.toarray()
    frequencies = C.sum(axis=0)
    penalties = 5.0 * (frequencies / frequencies.mean()) ** exponent
    gradient = (C * (P @ Q.T - (X.toarray() > 0))).T @ P + penalties[:, None] * Q
    assert abs(gradient).max() < 1e-3


def test_als_threads_and_seeds_agree():
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((80, 30)) < 0.2).astype(np.float32))
    one = ALSRecommender(8, random_state=0).fit(X)
    two = ALSRecommender(8, random_state=0, n_jobs=2).fit(X)
    np.testing.assert_array_equal(
        one.components_, ALSRecommender(8, random_state=0).fit(X).components_
    )
    np.testing.assert_allclose(one.predict(X), two.predict(X), atol=1e-5)
