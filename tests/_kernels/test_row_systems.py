"""Regressions of many rows against dense solutions, and the look-up of rows known from the fit."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec._kernels import CommonPart, RowSystems
from sklearn_llmrec.decomposition import BPRRecommender, NMFRecommender, _known_rows as known_rows
from sklearn_llmrec.decomposition._known_rows import KnownRows


def rows_of_all_lengths(n_rows=60, n_columns=40, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    dense = rng.random((n_rows, n_columns)) * (
        rng.random((n_rows, n_columns)) < rng.random((n_rows, 1))
    )
    dense[0], dense[-1] = 0, 1
    return sp.csr_array(dense.astype(dtype))


@pytest.mark.parametrize("penalty", ["none", "one", "each"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row_systems_are_the_dense_solutions(penalty, dtype):
    rng = np.random.default_rng(1)
    X = rows_of_all_lengths(dtype=dtype)
    Q = rng.normal(size=(40, 6)).astype(dtype)
    weights, right = X.data, X.data + dtype(0.5)
    penalties = {"none": 0.0, "one": 0.3, "each": rng.random(60) + 0.1}[penalty]
    gram = Q.T @ Q
    one = RowSystems(X, weights, right, penalties).solve_fully(Q, gram)
    two = RowSystems(X, weights, right, penalties, n_threads=2).solve_fully(Q, gram)
    np.testing.assert_array_equal(one, two)
    assert one.dtype == dtype
    common = CommonPart(gram, 0.1, dtype)  # another basis than that of these penalties
    if penalty != "none":
        other = RowSystems(X, weights, right, penalties).solve_fully(Q, common)
        np.testing.assert_allclose(one, other, rtol=1e-3 if dtype == np.float32 else 1e-10)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for row, got in enumerate(one):
        own, values = X[[row]].indices, X[[row]].data
        normal = gram + np.broadcast_to(penalties, 60)[row] * np.eye(6)
        normal = normal + Q[own].T @ (values[:, None] * Q[own])
        expected = np.linalg.solve(normal, Q[own].T @ (values + 0.5))
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_steps_from_a_start_come_nearer():
    rng = np.random.default_rng(1)
    X = rows_of_all_lengths()
    Q = rng.normal(size=(40, 6))
    systems = RowSystems(X, X.data, X.data, 0.1)
    exact = systems.solve_fully(Q, Q.T @ Q)
    start = exact + 0.1 * rng.normal(size=exact.shape)
    one = systems.solve(Q, Q.T @ Q, start=start, max_iter=1)
    two = systems.solve(Q, Q.T @ Q, start=start, max_iter=2)
    assert abs(two - exact).sum() < abs(one - exact).sum() < abs(start - exact).sum()


def test_factors_without_any_direction():
    X = rows_of_all_lengths()
    Q = np.zeros((40, 6))
    assert (RowSystems(X, X.data, X.data, 0.0).solve_fully(Q, Q.T @ Q) == 0).all()


@pytest.mark.parametrize("collide", [False, True])
def test_known_rows_are_found_where_they_are_equal_and_nowhere_else(monkeypatch, collide):
    if collide:
        # Of rows with items; the one that all of them are compared with is the first of these.
        monkeypatch.setattr(
            known_rows, "row_hashes", lambda X: np.uint64(7) * (np.diff(X.indptr) > 0)
        )
    X = rows_of_all_lengths()
    values = np.arange(60.0)[:, None]
    known = KnownRows(X, values)
    order = np.random.default_rng(0).permutation(60)
    for asked in (X, X[order], X[5:9], X[[3, 3, 0]]):
        place = known.find(asked)
        found = place >= 0
        assert abs(X[place[found]] - asked[found]).max() == 0 if found.any() else True
        if not collide:
            np.testing.assert_array_equal(found, np.diff(asked.indptr) > 0)
    if not collide:
        filled = np.diff(X[order].indptr) > 0
        np.testing.assert_array_equal(known.find(X[order])[filled], order[filled])
    other = X.copy()
    other.data[X.indptr[1:] - 1] *= 2  # the last value of every row
    assert (known.find(other) == -1).all()
    moved = sp.csr_array(np.roll(X.toarray(), 1, axis=1))
    moved[-1, 0] = 2.0
    moved.eliminate_zeros()
    assert (known.find(moved) == -1).all()
    assert (known.find(X.astype(np.float32)) == -1).all()
    X.data *= 2  # by the caller, in place
    assert (known.find(X) == -1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "model",
    [
        ALSRecommender(5, regularization=0.5, max_iter=3, random_state=0),
        ALSRecommender(5, regularization=0.5, frequency_exponent=1.0, max_iter=3, random_state=0),
        BPRRecommender(5, random_state=0),
        NMFRecommender(3, tol=0.0, max_iter=20, random_state=0),
    ],
)
def test_known_rows_get_what_a_fold_in_gives(model, dtype):
    X = rows_of_all_lengths(dtype=dtype)
    model.fit(X)
    looked_up, items = model.transform(X), model.recommend(X, k=5)[0]
    one_by_one = np.vstack([model.transform(X[row : row + 1]) for row in range(60)])
    np.testing.assert_array_equal(one_by_one, looked_up)
    model._known_rows_ = None
    folded_in = model.transform(X)
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(looked_up, folded_in, atol=tolerance * abs(folded_in).max())
    assert (items == model.recommend(X, k=5)[0]).mean() > 0.99
    other = rows_of_all_lengths(seed=1, dtype=dtype)
    model.fit(other)
    assert (model._known_rows_.find(X)[:-1] == -1).all()  # the last is a row of ones in both
