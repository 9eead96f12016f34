"""Item2Vec and GloVe: planted groups come back, and the factorised matrices are what they should be."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import Interactions
from sklearn_llmrec.decomposition import GloVeRecommender, Item2Vec
from sklearn_llmrec.decomposition._item_vectors import _left_singular, cooccurrences


def planted(n_users=90, n_items=30, seed=0):
    rng = np.random.default_rng(seed)
    group, taste = np.arange(n_items) % 3, np.arange(n_users) % 3
    X = rng.random((n_users, n_items)) < np.where(taste[:, None] == group, 0.4, 0.02)
    return X.astype(float), group, taste


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "model", [Item2Vec(3), GloVeRecommender(3, max_count=10, random_state=0)], ids=str
)
def test_planted_groups(model, dtype):
    X, group, taste = planted()
    X = X.astype(dtype)
    items, scores = model.fit(X).recommend(X, k=4)
    assert scores.dtype == model.item_embeddings_.dtype == dtype
    assert (group[items] == taste[:, None]).mean() > 0.85
    np.testing.assert_allclose(np.linalg.norm(model.transform(X), axis=1), 1, rtol=1e-5)
    assert model.get_feature_names_out().shape == (3,)


@pytest.mark.parametrize("model", [Item2Vec(3), GloVeRecommender(3, max_iter=2)], ids=str)
def test_items_without_company_get_no_vector(model):
    X, _, _ = planted()
    X[:, 4] = 0
    X[:, 7] = 0
    X = np.vstack([X, np.eye(30)[7]])
    model.set_params(n_components=3).fit(X)
    assert not model.item_embeddings_[[4, 7]].any()
    assert np.isfinite(model.predict(X)).all()


def test_whole_histories_count_every_pair():
    X = np.array([[2.0, 1, 0], [1, 1, 3], [0, 0, 1]])
    expected = [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    np.testing.assert_array_equal(cooccurrences(sp.csr_array(X), None).toarray(), expected)


def test_a_window_counts_steps_in_time():
    X = Interactions(np.array([[1.0, 1, 1, 0], [0, 0, 1, 1]]))
    X.timestamps = [3, 1, 2, 5, 6]  # 1, 2, 0 and 2, 3
    near = cooccurrences(X, 1).toarray()
    expected = np.zeros((4, 4))
    for a, b in ((1, 2), (2, 0), (2, 3)):
        expected[a, b] = expected[b, a] = 1
    np.testing.assert_array_equal(near, expected)
    np.testing.assert_array_equal(cooccurrences(X, 5).toarray(), cooccurrences(X, None).toarray())
    with pytest.raises(ValueError, match="X has no times"):
        Item2Vec(2, window=3).fit(X.toarray())
    assert Item2Vec(2, window=1).fit(X).item_embeddings_.shape == (4, 2)


def test_item2vec_factorises_positive_mutual_information():
    X, _, _ = planted()
    counts = cooccurrences(sp.csr_array(X), None).toarray()
    context = counts.sum(axis=1) ** 0.75
    with np.errstate(divide="ignore"):
        M = np.log(counts * context.sum() / np.outer(counts.sum(axis=1), context))
    M = np.maximum(M - np.log(2), 0)
    U, s, _ = np.linalg.svd(M)
    expected = U[:, :5] * np.sqrt(s[:5])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = Item2Vec(5, n_negatives=2).fit(X).item_embeddings_
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-8)


def test_truncated_and_full_decomposition_agree():
    rng = np.random.default_rng(0)
    M = sp.csr_array(rng.random((250, 250)) * (rng.random((250, 250)) < 0.2))
    U, s = _left_singular(M, 6)
    full, values, _ = np.linalg.svd(M.toarray())
    np.testing.assert_allclose(s, values[:6])
    np.testing.assert_allclose(np.abs(U), np.abs(full[:, :6]), atol=1e-8)
    np.testing.assert_array_equal(U, _left_singular(M, 6)[0])


def test_glove_fits_the_logarithm_of_counts():
    rng = np.random.default_rng(0)
    X = (rng.random((400, 12)) < 0.5).astype(float)
    errors = []
    for sweeps in (1, 10):
        model = GloVeRecommender(11, max_iter=sweeps, regularization=1e-6, random_state=0).fit(X)
        errors.append(model.item_embeddings_)
    assert not np.allclose(*errors)
    again = GloVeRecommender(11, max_iter=10, regularization=1e-6, random_state=0).fit(X)
    np.testing.assert_array_equal(again.item_embeddings_, errors[1])


def test_too_many_components_are_refused():
    X, _, _ = planted()
    with pytest.raises(ValueError, match="n_components=31 is more than the 30 items"):
        Item2Vec(31).fit(X)
