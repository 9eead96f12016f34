"""Popularity with a half-life against a sum by hand, part after part, and for users without history."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_llmrec import FallbackRecommender, Interactions, ItemKNN, PopularityRecommender

HALF_LIFE = 40.0


def log(seed=0, n_users=30, n_items=8, n_events=200, first=0):
    """Events with repeated pairs, in the order of users."""
    rng = np.random.default_rng(seed)
    users = np.sort(rng.integers(0, n_users, n_events))
    items = rng.integers(0, n_items, n_events)
    times = first + rng.integers(0, 300, n_events)
    values = rng.integers(1, 4, n_events).astype(float)
    indptr = np.searchsorted(users, np.arange(n_users + 1))
    X = Interactions((values, items, indptr), shape=(n_users, n_items), timestamps=times)
    return X, users, items, times, values


def by_hand(users, items, times, values, weighting, n_items=8):
    scores, reference = np.zeros(n_items), times.max()
    latest = {}
    for user, item, time, value in zip(users, items, times, values):
        if weighting == "values":
            scores[item] += value * 2 ** (-(reference - time) / HALF_LIFE)
        else:
            latest[user, item] = max(time, latest.get((user, item), time))
    for (_, item), time in latest.items():
        scores[item] += 2 ** (-(reference - time) / HALF_LIFE)
    return scores


@pytest.mark.parametrize("weighting", ["users", "values"])
def test_equals_the_sum_by_hand(weighting):
    X, *events = log()
    model = PopularityRecommender(weighting, half_life=HALF_LIFE).fit(X)
    expected = by_hand(*events, weighting)
    assert_allclose(model.item_scores_, expected)
    assert_allclose(model.predict(X[:3]), np.tile(expected, (3, 1)))
    assert model.reference_ == X.timestamps.max()
    whole = PopularityRecommender(weighting, half_life=1e12).fit(X)
    assert_allclose(whole.item_scores_, PopularityRecommender(weighting).fit(X).item_scores_)


@pytest.mark.parametrize("weighting", ["users", "values"])
@pytest.mark.parametrize("firsts", [(0, 500, 1000), (1000, 0, 500), (0, 0, 0)])
def test_parts_equal_one_fit_wherever_the_newest_event_is(weighting, firsts):
    logs = [log(seed, first=first)[0] for seed, first in enumerate(firsts)]
    together = Interactions(
        (
            np.concatenate([X.data for X in logs]),
            np.concatenate([X.indices for X in logs]),
            np.append(0, np.cumsum(np.concatenate([np.diff(X.indptr) for X in logs]))),
        ),
        shape=(90, 8),
        timestamps=np.concatenate([X.timestamps for X in logs]),
    )
    one = PopularityRecommender(weighting, half_life=HALF_LIFE).fit(together)
    parts = PopularityRecommender(weighting, half_life=HALF_LIFE)
    for X in logs:
        parts.partial_fit(X)
    parts.partial_fit(Interactions(sp.csr_array((4, 8)), timestamps=[]))  # users without events
    assert_allclose(parts.item_scores_, one.item_scores_, rtol=1e-12)
    assert parts.reference_ == one.reference_
    assert_array_equal(parts.item_popularity_, one.item_popularity_)


def test_times_in_nanoseconds_are_subtracted_exactly():
    late = 1_700_000_000_000_000_000
    X = Interactions(sp.csr_array([[1.0, 0.0], [0.0, 1.0]]), timestamps=[late, late + 1])
    assert_array_equal(PopularityRecommender(half_life=1).fit(X).item_scores_, [0.5, 1.0])
    parts = PopularityRecommender(half_life=1).partial_fit(X[:1]).partial_fit(X[1:])
    assert_array_equal(parts.item_scores_, [0.5, 1.0])


def test_without_times_the_fit_is_refused_and_changes_nothing():
    X = log()[0]
    model = PopularityRecommender(half_life=HALF_LIFE).fit(X)
    before = model.item_scores_.copy()
    for learn in (model.fit, model.partial_fit):
        with pytest.raises(
            ValueError, match=r"PopularityRecommender\(half_life=...\) needs to know"
        ):
            learn(sp.csr_array(X))
        assert_array_equal(model.item_scores_, before)
    model.recommend(sp.csr_array((1, 8)), k=3)  # rows to serve need no times
    model.set_params(half_life=None)
    with pytest.raises(ValueError, match="cannot be undone"):
        model.partial_fit(X)
    assert_array_equal(model.item_scores_, before)


def test_a_fallback_serves_rows_without_history_by_what_is_popular_lately():
    """Item 0 was bought by many long ago, item 3 by few yesterday; who bought item 1 bought item 2."""
    rows = [[1, 0, 0, 0]] * 5 + [[0, 1, 1, 0]] * 2 + [[0, 0, 0, 1]] * 2
    X = sp.csr_array(np.array(rows, dtype=float))
    X = Interactions(X, timestamps=np.where(X.indices == 3, 1000, 10))
    plain, recent = PopularityRecommender(), PopularityRecommender(half_life=100)
    rows = [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    assert_array_equal(plain.fit(X).recommend(rows, k=1)[0], [[0], [0]])
    assert_array_equal(ItemKNN().fit(X).recommend(rows, k=2)[0], [[0, 1], [2, 0]])
    chain = FallbackRecommender([("similar", ItemKNN()), ("recent", recent)]).fit(X)
    assert_array_equal(chain.recommend(rows, k=2)[0], [[3, 0], [2, 3]])
