"""Models against their closed forms and dense oracles."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.linear_model._ease import gram, inverse_spd


@pytest.fixture(params=["positive", "signed"])
def X(request):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(50, 30)) if request.param == "signed" else rng.random((50, 30))
    return sp.csr_array(values * (rng.random((50, 30)) < 0.3))


def test_ease_is_the_direct_inverse(X):
    dense = X.toarray()
    P = np.linalg.inv(dense.T @ dense + 3.0 * np.eye(30))
    B = np.eye(30) - P / np.diag(P)
    model = EASE(regularization=3.0).fit(X)
    np.testing.assert_allclose(model.coef_, B, atol=1e-10)
    np.testing.assert_allclose(model.predict(X), dense @ B, atol=1e-10)


def test_the_inverse_by_blocks_and_its_refusal():
    rng = np.random.default_rng(0)
    A = sp.csr_array(rng.random((300, 1100)) * (rng.random((300, 1100)) < 0.05))
    G = gram(A, np.float64)
    np.testing.assert_allclose(G, A.T.toarray() @ A.toarray(), atol=1e-12)
    G[np.diag_indices(1100)] += 1.0
    np.testing.assert_allclose(inverse_spd(G.copy(order="F")) @ G, np.eye(1100), atol=1e-9)
    with pytest.raises(ValueError, match=r"not positive definite.*regularization"):
        inverse_spd(np.asfortranarray([[1.0, 2.0], [2.0, 1.0]]))


def test_als_factors_solve_their_normal_equations():
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((40, 25)) < 0.3) * rng.integers(1, 4, (40, 25)).astype(float))
    model = ALSRecommender(5, confidence=2.0, regularization=0.7, max_iter=5, random_state=0).fit(X)
    Q = model.components_.T
    factors = model.transform(X)
    for row, got in zip(X.toarray(), factors, strict=True):
        C = np.diag(1 + 2.0 * row)
        expected = np.linalg.solve(Q.T @ C @ Q + 0.7 * np.eye(5), Q.T @ C @ (row > 0))
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X), factors @ model.components_, rtol=1e-9)


def test_als_threads_and_seeds_agree():
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((80, 30)) < 0.2).astype(np.float32))
    one = ALSRecommender(8, random_state=0).fit(X)
    two = ALSRecommender(8, random_state=0, n_jobs=2).fit(X)
    np.testing.assert_array_equal(
        one.components_, ALSRecommender(8, random_state=0).fit(X).components_
    )
    np.testing.assert_allclose(one.predict(X), two.predict(X), atol=1e-5)
