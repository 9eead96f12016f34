"""Private ALS: sums of sensitivity 1, sweeps charged one by one, and the solution of a slow regression."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_llmrec import ALSRecommender, PopularityRecommender
from sklearn_llmrec.base import BlockPlace, Totals
from sklearn_llmrec.base._private import unpacked_triangle
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.decomposition._private_als import (
    ItemSums,
    item_factors,
    items_above_noise,
    sweep_vector,
    unit_factors,
)
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split
from sklearn_llmrec.privacy import GaussianMechanism, PrivacyBudgetError, PrivacyLedger

GRAM_SHARE = 0.1  # of the squared norm of a row, as the documentation says


def data(n_users=300, n_items=40, seed=0):
    X = make_interactions(n_users, n_items, random_state=seed).interactions
    return sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)


def sweep(model, Q):
    """Return the phase in which users are solved for, given these item factors."""
    model.regularization_ = model._regularization_of(Totals.of(data(5, len(Q))))
    return model._private_phase(
        {"items": np.arange(len(Q)), "sweep": 0, "regularization": model.regularization_}, Q
    )


def _rows(n_items, rng):
    """Return rows as random and as extreme as an opponent may choose them."""
    one, two = np.zeros(n_items), np.zeros(n_items)
    one[rng.integers(n_items)] = 1.0
    two[rng.choice(n_items, 2, replace=False)] = 1e-9
    huge = np.where(rng.random(n_items) < 0.5, 1e9, 0.0)
    drawn = np.where(rng.random(n_items) < rng.random(), rng.lognormal(0, 3, n_items), 0.0)
    return [one, two, np.ones(n_items), huge, np.zeros(n_items), drawn, drawn, drawn]


def _factors(n_items, d, rng, case):
    Q = rng.normal(size=(n_items, d)) * 10.0 ** rng.integers(-3, 4)
    if case == 1:
        Q[rng.random(n_items) < 0.5] = 0.0
    if case == 2:
        Q[:] = Q[0]
    if case == 3:
        Q *= 1e-150
    return Q


def test_sensitivity_on_random_and_adversarial_neighbours():
    rng = np.random.default_rng(0)
    n_items, d, largest, exact = 9, 3, 0.0, 0
    models = [
        ALSRecommender(d, privacy=GaussianMechanism(1.0), **params)
        for params in ({}, {"regularization": 0.0}, {"confidence": 1e6, "unobserved_weight": 1e-6})
    ]
    for model in models:
        model._check_X(np.ones((2, n_items)), reset=True)
    for case in range(100):
        model = models[case % 3]
        phase = sweep(model, _factors(n_items, d, rng, case % 5))
        rows = np.array([_rows(n_items, rng)[place % 8] for place in range(100)])
        X = model._prepared(sp.csr_array(rows))
        systems, _ = model._systems(X, 1.0)
        P = systems.solve_fully(phase.known["Q"], phase.known["common"])
        for place in range(100):
            n_others = int(rng.integers(1, 4))
            some = np.append(rng.choice(np.delete(np.arange(100), place), n_others, False), place)
            one, more = (sweep_vector(sp.csr_array(X[part]), P[part]) for part in (some[:-1], some))
            change = float(np.linalg.norm(more - one))
            if not place:  # the factors of a row do not depend on the others
                sums = [
                    model._statistics(sp.csr_array(X[part]), phase, BlockPlace())["sums"]
                    for part in (some[:-1], some)
                ]
                assert_allclose(sums, [one, more], atol=1e-6)
                assert np.linalg.norm(sums[1] - sums[0]) <= 1 + 1e-9
            largest = max(largest, change)
            m = np.count_nonzero(rows[place])
            # A row whose factors are not zero adds what the derivation says, not only at most that.
            if m and change > 1e-6:
                assert_allclose(change**2, 1 - GRAM_SHARE + GRAM_SHARE / m, rtol=1e-6)
                exact += 1
            elif not m:
                assert change < 1e-12
    assert 0.999 < largest <= 1 + 1e-9
    assert exact > 5000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_are_scaled_to_length_one_whatever_they_are(dtype):
    info = np.finfo(dtype)
    P = np.array(
        [[3, 4], [info.max, info.max], [info.tiny, 0], [0, 0], [np.nan, 1], [np.inf, 1]], dtype
    )
    P = np.vstack([P, np.full((1, 2), info.smallest_subnormal)])
    lengths = np.linalg.norm(unit_factors(P), axis=1)
    assert_allclose(lengths, [1, 1, 1, 0, 0, 0, 1], rtol=1e-12)


def test_vector_is_the_sum_of_a_slow_loop():
    rng = np.random.default_rng(1)
    X, P = data(30, 12), rng.normal(size=(30, 4))
    sums, gram = np.zeros((12, 4)), np.zeros((4, 4))
    for row, p in zip(X.toarray(), P, strict=True):
        if row.any():
            u = p / np.linalg.norm(p)
            sums[row > 0] += u / math.sqrt(np.count_nonzero(row))
            gram += np.outer(u, u) / math.sqrt(np.count_nonzero(row))
    vector = sweep_vector(X, P)
    assert_allclose(vector[:48].reshape(12, 4), math.sqrt(1 - GRAM_SHARE) * sums, atol=1e-12)
    assert_allclose(unpacked_triangle(vector[48:], 4), math.sqrt(GRAM_SHARE) * gram, atol=1e-12)


def test_item_factors_solve_the_regressions():
    rng = np.random.default_rng(2)
    A = rng.normal(size=(30, 4))
    released = ItemSums(rng.normal(size=(12, 4)) * 5, A.T @ A, 0.3)
    counts = rng.random(12) * 10
    found = item_factors(released, counts, confidence=3.0, unobserved_weight=0.5, penalty=2.0)
    for q, b, c in zip(found, released.sums, counts, strict=True):
        normal = (0.5 + 3.0 * c / np.trace(released.gram)) * released.gram + 2.3 * np.eye(4)
        assert_allclose(q, np.linalg.solve(normal, 3.5 * b), rtol=1e-9)


def test_items_are_chosen_by_counts_above_the_noise_of_their_sums():
    counts = np.arange(200.0)[::-1]
    # 1.5 times the length of noise of standard deviation 10 in 4 sums is 30.
    assert_array_equal(items_above_noise(counts, 4, 10.0), np.arange(200 - 31))
    assert_array_equal(items_above_noise(counts, 4, 1e9), np.arange(50))
    assert_array_equal(items_above_noise(counts[:20], 4, 1e9), np.arange(20))


def test_without_noise_a_fit_is_two_sweeps_of_slow_regressions():
    X = data()
    model = ALSRecommender(
        5, max_iter=2, confidence=2.0, random_state=0, privacy=GaussianMechanism(1e7)
    )
    model.fit(X)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    Q = np.random.default_rng(seed).standard_normal((40, 5)) / math.sqrt(40)
    rows = X.toarray()
    m = rows.sum(axis=1)
    weights = np.where(m > 0, 1 / np.sqrt(np.maximum(m, 1)), 0)
    for _ in range(2):
        P = np.zeros((len(rows), 5))
        for place, row in enumerate(rows):
            seen = Q[row > 0]
            normal = Q.T @ Q + 2.0 * seen.T @ seen + model.regularization_ * np.eye(5)
            P[place] = np.linalg.solve(normal, 3.0 * seen.sum(axis=0))
        P /= np.maximum(np.linalg.norm(P, axis=1, keepdims=True), 1e-300)
        G, sums = P.T @ (weights[:, None] * P), rows.T @ (weights[:, None] * P)
        share = rows.T @ weights / np.trace(G)
        Q = np.array(
            [
                np.linalg.solve((1 + 2.0 * c) * G + model.regularization_ * np.eye(5), 3.0 * b)
                for c, b in zip(share, sums, strict=True)
            ]
        )
    assert_allclose(model.components_.T, Q, atol=2e-3 * np.abs(Q).max())


def test_each_sweep_is_charged_and_a_failed_fit_spends_what_it_released():
    X, ledger = data(), PrivacyLedger(2.0, 1e-5)
    model = ALSRecommender(4, max_iter=3, privacy=GaussianMechanism(2.0, ledger=ledger)).fit(X)
    assert [label for label, _ in ledger.releases] == [
        "counts of items and users",
        *(f"sums of 40 items in sweep {number}" for number in (1, 2, 3)),
    ]
    assert_allclose(ledger.spent()[0], 2.0, rtol=1e-6)
    assert model.privacy_spent_ == (2.0, 1e-5)
    with pytest.raises(PrivacyBudgetError, match="counts"):
        clone(model).fit(X)
    small = PrivacyLedger(1.5, 1e-5)  # enough for the counts and one sweep of three, or two
    with pytest.raises(PrivacyBudgetError, match="in sweep"):
        clone(model).set_params(privacy=GaussianMechanism(2.0, ledger=small)).fit(X)
    assert 1 < len(small.releases) < 4
    assert small.spent()[0] <= 1.5


def test_seed_sets_the_start_and_not_the_noise():
    X = data(1000)
    models = [
        ALSRecommender(4, max_iter=2, random_state=0, privacy=GaussianMechanism(50.0)).fit(X)
        for _ in range(2)
    ]
    assert not np.array_equal(models[0].components_, models[1].components_)
    seeded = GaussianMechanism(2.0, sampler="unsafe_seeded", random_state=0)
    with_seed = [
        ALSRecommender(4, max_iter=2, random_state=0, privacy=seeded).fit(X) for _ in range(2)
    ]
    assert_array_equal(with_seed[0].components_, with_seed[1].components_)
    assert with_seed[0].privacy_spent_[0] == math.inf


def test_what_private_fits_cannot_do_is_refused_before_anything_is_spent():
    X, ledger = data(), PrivacyLedger(50.0)
    model = ALSRecommender(4, max_iter=2, privacy=GaussianMechanism(50.0, ledger=ledger))
    with pytest.raises(ValueError, match="needs warm_start=False"):
        clone(model).set_params(warm_start=True).fit(X)
    with pytest.raises(ValueError, match="no partial_fit"):
        model.partial_fit(X)
    assert ledger.releases == []
    with pytest.raises(ValueError, match="privacy keeps no rows"):
        model.fit(X).similar_users(X[:2])
    with pytest.raises(ValueError, match="no partial_fit"):
        model.partial_fit(X)
    with pytest.raises(ValueError, match="would add rows without noise"):
        model.set_params(privacy=None).partial_fit(X)


def test_noise_above_all_sums_warns_and_gives_lists_of_popularity():
    X = data(30)
    mechanism = GaussianMechanism(0.01, sampler="unsafe_seeded", random_state=0)
    model = ALSRecommender(64, max_iter=15, random_state=0, privacy=mechanism)
    with pytest.warns(UserWarning, match="all factors are zero"):
        model.fit(X)
    scores = model.predict(X[:2])
    assert_allclose(scores, np.tile(model.item_popularity_, (2, 1)))


def test_private_als_beats_popularity_and_is_better_with_more_users():
    found = {}
    for n_users in (1000, 8000):
        train, test = holdout_split(
            make_interactions(n_users, 200, random_state=0).interactions, random_state=0
        )

        def measured(model, train=train, test=test):
            return ndcg_at_k(test, model.fit(train).recommend(train, 10)[0], k=10, seen=train)

        popular = measured(PopularityRecommender())
        private = measured(
            ALSRecommender(8, max_iter=2, random_state=0, privacy=GaussianMechanism(2.0))
        )
        found[n_users] = private - popular
    assert found[8000] > max(found[1000], 0) + 0.02
