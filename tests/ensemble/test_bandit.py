"""Bandits: posteriors by hand, lists that depend on history, seed and feedback only, and regret that flattens."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from bandit_regret import World, cumulative_regret
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.ensemble import BanditReranker
from sklearn_llmrec.linear_model import EASE

POLICIES = ["thompson", "epsilon_greedy", "ucb"]


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    taste = np.arange(60)[:, None] % 3 == np.arange(40) % 3
    return sp.csr_array((rng.random((60, 40)) < np.where(taste, 0.4, 0.08)).astype(float))


@pytest.fixture(scope="module")
def feedback(X):
    rng = np.random.default_rng(1)
    shown = rng.poisson(0.4, X.shape).astype(float)
    return sp.csr_array(shown), sp.csr_array(rng.binomial(shown.astype(int), 0.3).astype(float))


def bandit(policy="thompson", **params):
    params = {"random_state": 0, "n_candidates": 12, **params}
    return BanditReranker(EASE(), policy=policy, **params)


def posterior(shown, rewards, pool, strength):
    n, s = (np.asarray(m.sum(axis=0)).ravel()[pool] for m in (shown, rewards))
    mean = (pool.shape[1] - np.arange(pool.shape[1])) / (pool.shape[1] + 1)
    return strength * mean + s, strength * (1 - mean) + n - s


def test_lists_follow_the_posterior(X, feedback):
    shown, rewards = feedback
    pool = EASE().fit(X).recommend(X, 12)[0]
    won, lost = posterior(shown, rewards, pool, 5.0)
    mean = won / (won + lost)
    bonus = 0.4 * np.sqrt(2 * np.log1p(shown.sum()) / (won + lost))
    for policy, values in (("epsilon_greedy", mean), ("ucb", mean + bonus)):
        model = bandit(policy, epsilon=0.0, width=0.4, prior_strength=5.0).fit(X)
        items, _ = model.partial_fit(shown, rewards).recommend(X, 12)
        order = np.argsort(-np.round(values, 9), axis=1, kind="stable")
        assert_array_equal(items, np.take_along_axis(pool, order, axis=1))
    # Thompson's first place is how often its draw is the largest.
    first = np.zeros(12)
    model = bandit(prior_strength=5.0).fit(X).partial_fit(shown, rewards)
    for seed in range(400):
        model.seed_ = seed
        items, _ = model.recommend(X[[3]], 1)
        first[pool[3] == items[0, 0]] += 1
    draws = np.random.default_rng(0).beta(won[3], lost[3], size=(20_000, 12)).argmax(axis=1)
    expected = np.bincount(draws, minlength=12) / 20_000
    assert_allclose(first / 400, expected, atol=4 * np.sqrt(0.25 / 400))


def test_without_feedback_the_base_decides(X):
    base = EASE().fit(X).recommend(X, 6)[0]
    assert_array_equal(bandit("epsilon_greedy", epsilon=0).fit(X).recommend(X, 6)[0], base)
    assert_array_equal(bandit(prior_strength=1e9).fit(X).recommend(X, 6)[0], base)


def test_epsilon_is_the_share_of_random_places(X):
    base = EASE().fit(X).recommend(X, 12)[0]
    counts = {}
    for epsilon in (0.3, 1.0):
        model = bandit("epsilon_greedy", epsilon=epsilon).fit(X)
        kept = 0
        for seed in range(40):
            model.seed_ = seed
            kept += (model.recommend(X, 1)[0] == base[:, :1]).mean() / 40
        counts[epsilon] = kept
    assert_allclose(counts[0.3], 0.7 + 0.3 / 12, atol=0.03)
    assert_allclose(counts[1.0], 1 / 12, atol=0.03)


@pytest.mark.parametrize("policy", POLICIES)
def test_lists_change_with_feedback_only(X, feedback, policy):
    shown, rewards = feedback
    model = bandit(policy).fit(X)
    first = model.recommend(X, 8)[0]
    assert_array_equal(model.recommend(X, 8)[0], first)
    alone = np.vstack([model.recommend(X[[row]], 8)[0] for row in range(60)])
    assert_array_equal(alone, first)
    assert_array_equal(clone(model).fit(X).recommend(X[::-1], 8)[0][::-1], first)
    assert_array_equal(pickle.loads(pickle.dumps(model)).recommend(X, 8)[0], first)
    before = model.n_shown_
    model.partial_fit(shown, rewards)
    assert not before.any()
    assert (model.recommend(X, 8)[0] != first).any()
    empty = sp.csr_array((1, 40))
    assert_array_equal(
        model.recommend(empty, 5)[0][0], np.argsort(-model.predict(empty)[0], kind="stable")[:5]
    )
    assert_array_equal(model.fit(X).recommend(X, 8)[0], first)


def test_parts_of_feedback_add_up_and_signs_mean_rewards(X, feedback):
    shown, rewards = feedback
    whole = bandit().fit(X).partial_fit(shown, rewards)
    parts = bandit().fit(X).partial_fit(shown[:20], rewards[:20])
    parts.partial_fit(shown[20:].toarray(), rewards[20:].toarray())
    assert_allclose(parts.n_shown_, whole.n_shown_)
    assert_allclose(parts.n_rewards_, whole.n_rewards_)
    assert (whole.n_updates_, parts.n_updates_) == (1, 2)
    signed = bandit().fit(X).partial_fit(sp.csr_array([[2.0, -3.0, *[0.0] * 38]]))
    assert signed.n_shown_[:3].tolist() == [2, 3, 0]
    assert signed.n_rewards_[:3].tolist() == [2, 0, 0]
    fresh = bandit().partial_fit(X, X)
    assert_array_equal(fresh.estimator_.item_popularity_, X.sum(axis=0))


def test_feedback_that_cannot_be_is_refused_and_changes_nothing(X, feedback):
    shown, rewards = feedback
    model = bandit().fit(X).partial_fit(shown, rewards)
    before = model.n_shown_.copy(), model.n_updates_
    for X_, y_, words in (
        (shown, shown * 2, "more rewards than X has showings"),
        (shown, -rewards, "at least 0"),
        (-shown, rewards, "negative numbers of showings"),
        (shown, rewards[:3], "y has shape"),
        (shown[:, :-1], rewards[:, :-1], "features"),
        (shown * np.nan, rewards, "NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            model.partial_fit(X_, y_)
    assert_array_equal(model.n_shown_, before[0])
    assert model.n_updates_ == before[1]


def test_dislikes_send_an_item_down(X):
    model = BanditReranker(PopularityRecommender(), policy="epsilon_greedy", epsilon=0).fit(X)
    new = sp.csr_array(np.eye(1, 40, 5))
    best = model.recommend(new, 1)[0][0, 0]
    for _ in range(3):
        dislikes = np.zeros((4, 40))
        dislikes[:, best] = -1
        model.partial_fit(dislikes)
    assert best not in model.recommend(new, 10)[0]


def test_what_is_learned_costs_less_than_chance():
    world = World(seed=0)
    uniform = cumulative_regret(world, {"policy": "epsilon_greedy", "epsilon": 1.0}, 40, seed=0)
    thompson = cumulative_regret(world, {"policy": "thompson"}, 40, seed=0)
    assert thompson[-1] < 0.6 * uniform[-1]
    # It flattens: the last quarter costs less than the first.
    assert thompson[-1] - thompson[-11] < 0.7 * thompson[9]


@pytest.mark.parametrize("policy", POLICIES)
def test_propensities_are_frequencies_over_seeds(X, feedback, policy):
    """The first place by counting; later places of epsilon-greedy given the items before them."""
    model = bandit(policy, epsilon=0.4, n_candidates=5, prior_strength=5.0).fit(X)
    model.partial_fit(*feedback)
    row, seeds = X[[3]], 600
    lists = []
    for seed in range(seeds):
        model.seed_ = seed
        lists.append(model.recommend(row, 5)[0][0])
    lists = np.array(lists)
    for one in np.unique(lists, axis=0)[:20]:
        chances = model.propensities(row, one[None, :])[0]
        for place in range(3):
            same = np.ones(seeds, dtype=bool)
            if policy == "epsilon_greedy":
                same = (lists[:, :place] == one[:place]).all(axis=1)
            share = np.mean(lists[same, place] == one[place])
            noise = np.sqrt(0.25 / same.sum())
            assert abs(chances[place] - share) < 4 * noise + 1 / 2000
    assert_array_equal(model.propensities(row, np.array([[39, -1]]))[0][1:], [1.0])


@pytest.mark.parametrize("policy", POLICIES)
def test_propensities_of_the_first_place_sum_to_1(X, feedback, policy):
    model = bandit(policy, epsilon=0.4, n_candidates=6).fit(X).partial_fit(*feedback)
    pool = EASE().fit(X).recommend(X[[3]], 6)[0][0]
    forbidden = sp.csr_array((np.ones(2, bool), ([0, 0], pool[:2])), shape=(1, 40))
    for options, allowed in (
        ({}, pool),
        ({"seen": forbidden}, pool[2:]),
        ({"candidates": forbidden}, pool[:2]),
    ):
        chances = [
            model.propensities(X[[3]], np.array([[item]]), **options)[0, 0] for item in allowed
        ]
        if policy == "ucb":
            assert chances == [1.0] * len(allowed)  # it shows one of them for sure
        else:
            assert sum(chances) == pytest.approx(1.0, abs=1e-9)
