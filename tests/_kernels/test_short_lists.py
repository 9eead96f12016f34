"""Lists longer than what the evidence reaches: the same as from dense scores, without them."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st

from sklearn_llmrec import ItemKNN, UserKNN
from sklearn_llmrec._kernels import _evidence
from sklearn_llmrec._kernels._evidence import best_of_sparse, fill_unknown
from sklearn_llmrec.linear_model import SLIM, SparseEASE
from sklearn_llmrec.neighbors import RP3beta
from sklearn_llmrec.sequence import SessionKNN


def brute_lists(scores, seen, k):
    scores = np.where(seen != 0, -np.inf, scores)
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, items, axis=1)
    return np.where(values == -np.inf, -1, items), values


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(2, 40),
    density=st.sampled_from([0.0, 0.02, 0.2, 0.9, 1.0]),
    values=st.sampled_from(["positive", "signed", "equal"]),
    k=st.integers(1, 12),
    dtype=st.sampled_from([np.float32, np.float64]),
    head=st.sampled_from([1, 256]),
)
def test_sparse_scores_are_filled_as_dense_ones(seed, n_items, density, values, k, dtype, head):
    rng = np.random.default_rng(seed)
    k, shape = min(k, n_items), (6, n_items)
    D = rng.normal(size=shape) if values == "signed" else rng.integers(1, 4, shape) / 7
    D = np.where(rng.random(shape) < density, D if values != "equal" else 0.3, 0).astype(dtype)
    seen = rng.random(shape) < rng.choice([0, 0.2, 0.9])
    empty = rng.random(6) < 0.3
    popularity = rng.integers(0, rng.choice([2, 50]), n_items).astype(float)
    popularity[0] += 1
    fallback = rng.integers(0, 5, n_items).astype(float)

    dense = D.copy()
    fill_unknown(dense, popularity)
    dense[empty | (np.ptp(D, axis=1) == 0)] = fallback
    expected, expected_values = brute_lists(dense, seen, k)

    _evidence._HEAD, before = head, _evidence._HEAD
    try:
        items, scores, done = best_of_sparse(
            sp.csr_array(D), k, sp.csr_array(seen), empty, popularity, fallback
        )
    finally:
        _evidence._HEAD = before
    if n_items <= max(head, 4 * k):
        assert done.all()
    np.testing.assert_array_equal(items[done], expected[done])
    np.testing.assert_array_equal(scores[done], expected_values[done])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "model",
    [
        ItemKNN(3),
        UserKNN(2),
        RP3beta(4),
        SparseEASE(1.0, n_neighbors=4),
        SLIM(1.0, l1_regularization=0.01, n_neighbors=4, positive=False),
        SessionKNN(2, order="values"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_lists_are_those_of_the_predicted_scores(model, dtype):
    rng = np.random.default_rng(0)
    chances = 0.05 / np.arange(1, 601) ** 0.5
    X = (rng.random((150, 600)) < chances) * rng.uniform(1, 4, (150, 600))
    X[:5] = 0
    X[5, :400] = np.arange(1, 401)  # knows what is popular
    X = sp.csr_array(X.astype(dtype))
    model.fit(X)
    predicted = model.predict(X)
    known = model._score_rows(model._prepared(X))
    assert sp.issparse(known)
    assert np.mean(np.diff(known.indptr) < 30) > 0.5  # most lists are longer than the evidence
    for exclude_seen in (True, False):
        items, scores = model.recommend(X, k=30, exclude_seen=exclude_seen)
        seen = X.toarray() if exclude_seen else np.zeros(X.shape)
        expected, expected_scores = brute_lists(predicted, seen, 30)
        np.testing.assert_array_equal(scores, expected_scores)
        np.testing.assert_array_equal(items, expected)


def test_no_row_is_made_dense(monkeypatch):
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((300, 2000)) < 0.003).astype(float))
    model = ItemKNN(5).fit(X)
    monkeypatch.setattr(
        ItemKNN, "_filled", lambda *_: pytest.fail("a row of dense scores was made")
    )
    assert (model.recommend(X, k=20)[0] >= 0).all()


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("model", [ItemKNN(), RP3beta(200)], ids=lambda model: type(model).__name__)
def test_a_row_of_equal_scores_has_those_of_popularity(model, k):
    X = np.ones((6, 150))
    X[5, 1::2] = 0
    model.fit(np.ones((6, 150)))
    assert np.ptp(model._score_rows(sp.csr_array(X[:1])).toarray()) == 0
    items, scores = model.recommend(X, k=k, exclude_seen=False)
    expected, expected_scores = brute_lists(model.predict(X), np.zeros(X.shape), k)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(scores, expected_scores)
