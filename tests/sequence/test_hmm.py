"""The hidden Markov model against sums over all hidden paths."""

from itertools import pairwise, product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context

from sklearn_llmrec import Interactions
from sklearn_llmrec.interactions._sequences import Sequences
from sklearn_llmrec.sequence import HMMRecommender
from sklearn_llmrec.sequence._hmm import _Chain, _Steps

N_STATES, N_ITEMS = 3, 5


def chain(seed=0):
    rng = np.random.default_rng(seed)
    return _Chain(
        rng.dirichlet(np.ones(N_STATES)),
        rng.dirichlet(np.ones(N_STATES), size=N_STATES),
        rng.dirichlet(np.ones(N_ITEMS), size=N_STATES),
    )


def histories():
    rng = np.random.default_rng(1)
    rows = [rng.integers(N_ITEMS, size=n) for n in (2, 5, 1, 5, 3)]
    bounds = np.append(0, np.cumsum([len(row) for row in rows]))
    return rows, Sequences(np.concatenate(rows), bounds, N_ITEMS)


def paths(model, row):
    """Every hidden path of a history with its joint chance."""
    for states in product(range(N_STATES), repeat=len(row)):
        chance = model.start[states[0]]
        for step, (state, item) in enumerate(zip(states, row)):
            chance = chance * (model.transitions[states[step - 1], state] if step else 1.0)
            chance = chance * model.emissions[state, item]
        yield states, chance


def sampled(n_users=300, length=12, seed=0):
    """Users of two interests, items 0-3 and 4-7, who change with chance .1 after every event."""
    rng = np.random.default_rng(seed)
    state = np.cumsum(rng.random((n_users, length)) < 0.1, axis=1) + rng.integers(
        2, size=(n_users, 1)
    )
    items = 4 * (state % 2) + rng.integers(4, size=state.shape)
    return Interactions(
        (np.ones(items.size), items.ravel(), np.arange(0, items.size + 1, length)),
        shape=(n_users, 8),
        timestamps=np.tile(np.arange(length), n_users),
    )


def test_expected_counts_are_sums_over_all_paths():
    model, (rows, sequences) = chain(), histories()
    value, counts = model.expected(_Steps.of(sequences))
    likelihood = 0.0
    expected = _Chain(*(np.zeros_like(part) for part in vars(model).values()))
    for row in rows:
        found = list(paths(model, row))
        total = sum(chance for _, chance in found)
        likelihood += np.log(total)
        for states, chance in found:
            expected.start[states[0]] += chance / total
            for before, after in pairwise(states):
                expected.transitions[before, after] += chance / total
            for state, item in zip(states, row):
                expected.emissions[state, item] += chance / total
    assert_allclose(value, likelihood)
    for name, array in vars(expected).items():
        assert_allclose(getattr(counts, name), array, atol=1e-12)


def test_scores_are_the_chances_of_the_next_item():
    model, (rows, _) = chain(), histories()
    fitted = HMMRecommender(N_STATES, random_state=0).fit(sampled()[:, :N_ITEMS])
    fitted.start_, fitted.transitions_, fitted.components_ = vars(model).values()
    rows = [np.unique(row) for row in rows]  # a matrix of times holds an item once
    X = np.zeros((len(rows), N_ITEMS))
    for line, row in zip(X, rows):
        line[row] = 1 + np.arange(len(row))
    expected = np.zeros_like(X)
    for line, row in zip(expected, rows):
        for item in range(N_ITEMS):
            line[item] = sum(chance for _, chance in paths(model, [*row, item]))
    expected /= expected.sum(axis=1, keepdims=True)
    assert_allclose(fitted.predict(X), expected)


def test_the_posterior_never_falls():
    model = HMMRecommender(4, smoothing=5.0, max_iter=40, tol=0.0, random_state=0).fit(sampled())
    assert (np.diff(model.log_posterior_curve_) > -1e-10).all()
    assert model.log_posterior_curve_[-1] > model.log_posterior_curve_[0] + 0.1
    for part in (model.start_[None], model.transitions_, model.components_):
        assert_allclose(part.sum(axis=1), 1)


def test_planted_interests_are_found():
    model = HMMRecommender(2, smoothing=1.0, random_state=0).fit(sampled(1000))
    first = model.components_[:, :4].sum(axis=1)
    assert_allclose(np.sort(first), [0, 1], atol=0.03)
    assert_allclose(np.diag(model.transitions_), 0.9, atol=0.02)


def test_an_interest_returns_after_other_events():
    # Item 0 opens a trip of any length through items 2 to 5, which item 1 ends; nothing else comes between.
    rng = np.random.default_rng(0)
    walks = [[0, *rng.permutation(np.arange(2, 6))[: rng.integers(1, 5)], 1] for _ in range(400)]
    X = np.zeros((400, 6))
    for line, walk in zip(X, walks):
        line[walk] = 1 + np.arange(len(walk))
    model = HMMRecommender(3, smoothing=1.0, max_iter=100, tol=1e-5, random_state=0).fit(X)
    trip = model.predict([[1, 0, 0, 0, 0, 0], [1, 0, 2, 3, 0, 0], [1, 5, 2, 3, 4, 0]])
    assert (trip[0, 2:] > 0.15).all()  # after the opening
    assert trip[1:, 1].min() > 5 * trip[0, 1]  # the end comes from inside


@pytest.mark.parametrize("working_memory", [0.001, 1000])
def test_blocks_of_histories_change_nothing(working_memory):
    X = sampled(100)
    expected = HMMRecommender(3, max_iter=5, random_state=0).fit(X)
    with config_context(working_memory=working_memory):
        found = HMMRecommender(3, max_iter=5, random_state=0).fit(X)
    assert_allclose(found.components_, expected.components_, rtol=1e-9)
    assert_allclose(found.transitions_, expected.transitions_, rtol=1e-9)


def test_a_seed_is_a_model():
    X = sampled(50)
    first, second, other = (HMMRecommender(3, random_state=s).fit(X) for s in (0, 0, 1))
    assert_array_equal(first.components_, second.components_)
    assert (first.components_ != other.components_).any()
    assert first.n_iter_ == len(first.log_posterior_curve_)
