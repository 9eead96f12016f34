"""RepeatRecommender against its definition, one user at a time."""

import numpy as np
import pytest

from sklearn_llmrec import Interactions
from sklearn_llmrec.sequence import RepeatRecommender


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    users, items = np.sort(rng.integers(0, 20, 300)), rng.integers(0, 12, 300)
    indptr = np.searchsorted(users, np.arange(21))
    X = Interactions((np.ones(300), items, indptr), shape=(20, 12), timestamps=np.arange(300))
    return X, users, items


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_scores_are_frequency_and_recency_mixed_with_neighbours(events, weight):
    X, users, items = events
    V = np.zeros((20, 12))
    for user in range(20):
        own = items[users == user]
        for age, item in enumerate(own[::-1]):
            V[user, item] += 0.9**age
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    S = V @ V.T
    S[np.sort(S, axis=1)[:, [-5]] > S] = 0
    expected = (1 - weight) * V + weight * (S @ V) / S.sum(axis=1, keepdims=True)
    model = RepeatRecommender(0.9, n_neighbors=5, neighbor_weight=weight).fit(X)
    np.testing.assert_allclose(model.vectors_.toarray(), V)
    np.testing.assert_allclose(model._score_rows(X), expected)


def test_the_last_of_equally_frequent_items_comes_first(events):
    X, users, items = events
    model = RepeatRecommender(1e-3, neighbor_weight=0.0).fit(X)
    first, _ = model.recommend(X, k=1, exclude_seen=False)
    last = [items[users == user][-1] for user in range(20)]
    np.testing.assert_array_equal(first.ravel(), last)
