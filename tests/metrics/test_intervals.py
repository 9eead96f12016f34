"""Intervals hold the truth as often as they say; tests err as often as they say; corrections against closed forms."""

from time import process_time

import numpy as np
import pytest
from scipy import stats

from sklearn_llmrec.metrics import adjust_p_values, bootstrap_interval, ndcg_at_k, paired_test


def population_of_ndcg(n_users=40_000, n_items=40, seed=0):
    """nDCG@10 of a fixed popularity list for users whose true distribution is known: their mean is the truth."""
    rng = np.random.default_rng(seed)
    chance = 0.6 / np.arange(1, n_items + 1) ** 0.8
    y = (rng.uniform(size=(n_users, n_items)) < chance).astype(np.int8)
    y[~y.any(axis=1), -1] = 1
    lists = np.tile(np.arange(10), (n_users, 1))
    return ndcg_at_k(y, lists, k=10, per_user=True)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(confidence):
    population = population_of_ndcg()
    rng = np.random.default_rng(1)
    held = []
    for seed in range(20):  # 1,000 runs, 50 of which share their resamples
        samples = population[rng.integers(len(population), size=(200, 50))]
        low, high = bootstrap_interval(samples, confidence=confidence, random_state=seed)
        held.append((low <= population.mean()) & (population.mean() <= high))
    assert confidence - 0.02 <= np.mean(held) <= confidence + 0.02


def test_intervals_of_differences_hold_the_truth():
    rng = np.random.default_rng(2)
    held = []
    for seed in range(20):
        common = rng.beta(0.5, 2, size=(200, 50))
        differences = 0.2 * common**2 + rng.normal(0, 0.1, size=common.shape)
        truth = 0.2 * stats.beta(0.5, 2).moment(2)
        low, high = bootstrap_interval(differences, random_state=seed)
        held.append((low <= truth) & (truth <= high))
    assert 0.93 <= np.mean(held) <= 0.97


def test_interval_is_scipys():
    values = np.random.default_rng(0).beta(1, 3, size=300)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=0
    ).confidence_interval
    np.testing.assert_allclose(
        bootstrap_interval(values, n_resamples=20_000), [theirs.low, theirs.high], atol=5e-4
    )


def test_undefined_users_do_not_count():
    values = np.random.default_rng(0).uniform(size=100)
    padded = np.insert(values, [0, 50, 100], np.nan)
    assert bootstrap_interval(values) == bootstrap_interval(padded)
    both = np.column_stack([padded, np.where(np.arange(103) % 2, padded, np.nan)])
    low, high = bootstrap_interval(both)
    means = np.nanmean(both, axis=0)
    assert (low < means).all()
    assert (means < high).all()
    with pytest.raises(ValueError, match="without any number"):
        bootstrap_interval([np.nan, np.nan])


def test_seed_decides():
    values = np.random.default_rng(0).uniform(size=50)
    assert bootstrap_interval(values) == bootstrap_interval(values, random_state=0)
    assert bootstrap_interval(values) != bootstrap_interval(values, random_state=1)


def test_a_thousand_resamples_of_6040_users_within_a_second():
    values = np.random.default_rng(0).uniform(size=(6040, 10))
    start = process_time()
    bootstrap_interval(values, n_resamples=1000)
    assert process_time() - start < 1


@pytest.mark.parametrize("method", ["t", "permutation"])
def test_error_rate_under_no_difference(method):
    rng = np.random.default_rng(3)
    found = 0
    for seed in range(1000):
        a, b = rng.beta(0.5, 2, size=(2, 100))
        found += paired_test(a, b, method=method, n_resamples=499, random_state=seed).p_value < 0.05
    assert 0.035 <= found / 1000 <= 0.065


def test_t_is_scipys_and_permutation_agrees():
    rng = np.random.default_rng(0)
    a = rng.beta(1, 3, size=500)
    b = a + rng.normal(-0.004, 0.05, size=500)
    ours = paired_test(a, b)
    assert ours.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert ours.difference == pytest.approx(a.mean() - b.mean())
    permuted = paired_test(a, b, method="permutation", n_resamples=20_000)
    assert permuted.p_value == pytest.approx(ours.p_value, abs=0.01)


@pytest.mark.parametrize("method", ["t", "permutation"])
def test_equal_models_do_not_differ(method):
    a = np.array([0.1, np.nan, 0.3])
    assert paired_test(a, a, method=method) == (0.0, 1.0, 2)


def test_bad_input_of_tests():
    with pytest.raises(ValueError, match="the same users"):
        paired_test([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="nothing to compare"):
        paired_test([np.nan], [1.0])
    with pytest.raises(ValueError, match="method"):
        paired_test([1.0], [1.0], method="z")


def test_corrections():
    p = np.random.default_rng(0).uniform(size=12) ** 3
    np.testing.assert_allclose(
        adjust_p_values(p, method="benjamini-hochberg"), stats.false_discovery_control(p)
    )
    np.testing.assert_allclose(adjust_p_values(p, method="bonferroni"), np.minimum(1, 12 * p))
    holm = adjust_p_values(p)
    smallest = np.argmin(p)
    assert holm[smallest] == pytest.approx(min(1, 12 * p[smallest]))
    assert (np.argsort(p)[:3] == np.argsort(holm, kind="stable")[:3]).all()
    np.testing.assert_array_equal(
        adjust_p_values([0.01, np.nan, 0.04]), np.array([0.02, np.nan, 0.04])
    )
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        adjust_p_values([1.5])
