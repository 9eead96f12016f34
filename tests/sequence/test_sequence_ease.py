"""SequenceEASE: pairs of events counted by their distance in time."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from sklearn_llmrec import Interactions
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.sequence import SequenceEASE


def interactions(seed=0, n_users=40, n_items=12):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 9, n_users)
    rows = np.repeat(np.arange(n_users), lengths)
    columns = np.concatenate([rng.permutation(n_items)[:n] for n in lengths])
    times = rng.permutation(len(rows)).astype(np.int64)
    return Interactions(
        (np.ones(len(rows)), (rows, columns)), shape=(n_users, n_items), timestamps=times
    )


def by_hand(X, penalty, window, decay, whole, exponent, dropout, bound):
    """The formula of the docstring, pair by pair; own weights by a search along the multiplier."""
    n_items = X.shape[1]
    G = np.zeros((n_items, n_items))
    for row in range(X.shape[0]):
        at = slice(X.indptr[row], X.indptr[row + 1])
        items = X.indices[at][np.argsort(X.timestamps[at], kind="stable")]
        for p, one in enumerate(items):
            for q, other in enumerate(items):
                near = decay ** abs(p - q) * max(0, 1 - abs(p - q) / (window + 1))
                G[one, other] += len(items) ** -exponent * (whole + near)
    penalties = penalty + dropout / (1 - dropout) * np.diag(G)
    A = G + np.diag(penalties)
    B = np.linalg.solve(A, G)  # the ridge regression, without a bound
    for j in np.flatnonzero(np.diag(B) > bound):
        # The own weight is at the bound: the others solve the ridge regression of what it leaves.
        others = np.delete(np.arange(n_items), j)
        B[others, j] = np.linalg.solve(A[np.ix_(others, others)], (1 - bound) * G[others, j])
    np.fill_diagonal(B, 0)
    return B


@pytest.mark.parametrize(
    ("window", "decay", "whole", "exponent"),
    [(3, 0.7, 0.5, 0.6), (100, 0.95, 0.0, 0.0), (1, 1.0, 0.2, 1.0), (5, 0.0, 1.0, 0.5)],
)
@pytest.mark.parametrize(("dropout", "bound"), [(0.0, 0.0), (0.4, 0.3), (0.1, 0.9)])
def test_equals_the_formula(window, decay, whole, exponent, dropout, bound):
    X = interactions()
    settings = {"window": window, "decay": decay, "whole": whole}
    model = SequenceEASE(
        2.0, **settings, user_exponent=exponent, dropout=dropout, max_self_weight=bound
    )
    expected = by_hand(X, 2.0, **settings, exponent=exponent, dropout=dropout, bound=bound)
    assert_allclose(model.fit(X).coef_, expected, atol=1e-10)
    pattern = sp.csr_array(X).toarray() != 0
    assert_allclose(model.predict(X), pattern @ expected, atol=1e-9)


def test_without_neighbours_it_is_ease():
    X = interactions()
    ordered = SequenceEASE(decay=1.0, window=10**6, whole=0.0, user_exponent=0.0).fit(X)
    plain = EASE(user_exponent=0.0).fit(sp.csr_array(X))
    assert_allclose(ordered.regularization_, plain.regularization_)
    assert_allclose(ordered.predict(X), plain.predict(sp.csr_array(X)), atol=1e-3)


def test_neighbours_in_time_are_found():
    """Everybody has the same items, so only the order says what belongs together."""
    rng = np.random.default_rng(0)
    pairs = np.arange(12).reshape(6, 2)
    order = np.vstack([rng.permutation(pairs).ravel() for _ in range(200)])
    values = np.argsort(order, axis=1) + 1.0
    model = SequenceEASE(1.0, window=1).fit(values)
    items, _ = model.recommend(np.eye(12), 1)
    np.testing.assert_array_equal(items.ravel(), np.arange(12) ^ 1)


@pytest.mark.parametrize("window", [1, 2, 7])
@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_the_gram_matrix_is_positive_definite(window, decay):
    """A sharp end of the window would not be: then a small penalty fails."""
    X = np.tile(np.arange(1.0, 13.0), (20, 1))  # all in one order
    model = SequenceEASE(1e-6, window=window, decay=decay, whole=0.0)
    assert np.isfinite(model.fit(X).coef_).all()


def test_a_history_needs_no_order_to_be_scored():
    X = interactions()
    model = SequenceEASE().fit(X)
    assert_allclose(model.predict(sp.csr_array(X)), model.predict(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"decay": 1.1}, "'decay' parameter"),
        ({"window": 0}, "'window' parameter"),
        ({"whole": -1.0}, "'whole' parameter"),
    ],
)
def test_refusals(params, message):
    with pytest.raises(ValueError, match=message):
        SequenceEASE(**params).fit(interactions())
    with pytest.raises(ValueError, match="carries no order"):
        SequenceEASE().fit(np.ones((3, 4)))
