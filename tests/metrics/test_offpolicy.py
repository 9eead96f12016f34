"""Off-policy estimators and A/B tests against simulated truth; overlap of lists against its definition."""

import numpy as np
import pytest
from scipy import stats

from sklearn_llmrec.metrics import (
    ab_sample_size,
    ab_test,
    doubly_robust_value,
    ips_value,
    rank_biased_overlap,
    replay_value,
    snips_value,
)

N_ITEMS = 6
RNG = np.random.default_rng(0)
CHANCE = RNG.beta(1, 4, size=(4, N_ITEMS))  # of a click, by context and item
LOGGING = RNG.dirichlet(np.ones(N_ITEMS) * 3, size=4)
TARGET = RNG.dirichlet(np.ones(N_ITEMS) * 3, size=4)
TRUTH = (TARGET * CHANCE).sum(axis=1).mean()


def log(n, seed, logging=LOGGING):
    rng = np.random.default_rng(seed)
    context = rng.integers(4, size=n)
    drawn = rng.uniform(size=n)[:, None] > np.cumsum(logging, axis=1)[context]
    item = np.minimum(drawn.sum(axis=1), N_ITEMS - 1)
    reward = (rng.uniform(size=n) < CHANCE[context, item]).astype(float)
    return context, item, reward


def weighted(context, item):
    return LOGGING[context, item], TARGET[context, item]


ESTIMATORS = {
    "ips": lambda c, a, r, **kw: ips_value(r, *weighted(c, a), **kw),
    "snips": lambda c, a, r, **kw: snips_value(r, *weighted(c, a), **kw),
    "dr": lambda c, a, r, **kw: doubly_robust_value(
        r,
        *weighted(c, a),
        expected_logged=np.full(len(r), 0.3),  # a wrong model, right propensities
        expected_target=np.full(len(r), 0.3),
        **kw,
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_find_the_truth(name):
    runs = [ESTIMATORS[name](*log(600, seed), n_resamples=150) for seed in range(300)]
    values = np.array([run.value for run in runs])
    assert values.mean() == pytest.approx(TRUTH, abs=4 * values.std() / 300**0.5)
    held = np.mean([run.low <= TRUTH <= run.high for run in runs])
    assert 0.92 <= held <= 0.98
    naive = np.mean([log(600, seed)[2].mean() for seed in range(300)])
    assert abs(naive - TRUTH) > 3 * abs(values.mean() - TRUTH)


def test_doubly_robust_with_wrong_propensities_and_a_right_model():
    context, item, reward = log(50_000, 1)
    wrong = np.full(len(reward), 0.2)
    target = (TARGET * CHANCE).sum(axis=1)[context]
    right = doubly_robust_value(
        reward,
        wrong,
        TARGET[context, item],
        expected_logged=CHANCE[context, item],
        expected_target=target,
        n_resamples=100,
    )
    assert right.value == pytest.approx(TRUTH, abs=0.01)
    assert abs(ips_value(reward, wrong, TARGET[context, item], n_resamples=10).value - TRUTH) > 0.01


def test_replay_on_a_random_log():
    uniform = np.full((4, N_ITEMS), 1 / N_ITEMS)
    best = CHANCE.argmax(axis=1)
    context, item, reward = log(30_000, 2, uniform)
    estimate = replay_value(reward, item, best[context], n_resamples=200)
    assert estimate.low <= CHANCE.max(axis=1).mean() <= estimate.high
    assert estimate.n_effective == np.count_nonzero(item == best[context])
    as_lists = replay_value(reward, item, best[context][:, None], n_resamples=200)
    assert as_lists == estimate
    deterministic = (item == best[context]).astype(float)
    by_weights = snips_value(
        reward, np.full(len(reward), 1 / N_ITEMS), deterministic, n_resamples=9
    )
    assert by_weights.value == pytest.approx(estimate.value)


def test_weights_clip_and_groups():
    context, item, reward = log(2000, 3)
    shown, target = weighted(context, item)
    free = ips_value(reward, shown, target)
    assert ips_value(reward, shown, target, clip=1e9) == free
    assert ips_value(reward, shown, target, clip=1.0).n_effective > free.n_effective
    assert 1 < free.n_effective < len(reward)
    same = ips_value(reward, shown, shown)
    assert same.value == pytest.approx(reward.mean())
    assert same.n_effective == pytest.approx(len(reward))
    doubled = [np.repeat(one, 2) for one in (reward, shown, target)]
    narrow = ips_value(*doubled)
    wide = ips_value(*doubled, groups=np.repeat(np.arange(len(reward)), 2))
    assert wide.high - wide.low == pytest.approx(np.sqrt(2) * (narrow.high - narrow.low), rel=0.15)


def test_bad_logs():
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        ips_value([1.0], [0.0], [1.0])
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        ips_value([1.0], [0.5], [2.0])
    with pytest.raises(ValueError, match="one number per logged event"):
        snips_value([1.0], [0.5, 0.5], [1.0])
    with pytest.raises(ValueError, match="NaN"):
        snips_value([np.nan], [0.5], [1.0])
    for estimator in (ips_value, snips_value):
        with pytest.raises(ValueError, match="never shows"):
            estimator([1.0], [0.5], [0.0])
    with pytest.raises(ValueError, match="never shows"):
        replay_value([1.0], [1], [2])
    with pytest.raises(ValueError, match="one row per event"):
        replay_value([1.0], [1], [2, 3])


def test_ab_test_is_welchs_and_holds_its_level():
    rng = np.random.default_rng(0)
    a, b = rng.exponential(1, 300), rng.exponential(1.2, 500)
    ours, theirs = ab_test(a, b), stats.ttest_ind(b, a, equal_var=False)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.relative == pytest.approx(ours.difference / a.mean())
    held = [
        run.low <= 0.2 <= run.high
        for run in (
            ab_test(rng.exponential(1, 300), rng.exponential(1.2, 300)) for _ in range(1000)
        )
    ]
    assert 0.93 <= np.mean(held) <= 0.97
    assert ab_test([1.0, 1.0], [1.0, 1.0]).p_value == 1
    with pytest.raises(ValueError, match="two users at least"):
        ab_test([1.0], [1.0, 2.0])


def test_sample_size_has_the_power():
    n = ab_sample_size(0.05, 0.4, power=0.8)
    rng = np.random.default_rng(0)
    found = [
        ab_test(rng.normal(0, 0.4, n), rng.normal(0.05, 0.4, n)).p_value < 0.05 for _ in range(1000)
    ]
    assert 0.76 <= np.mean(found) <= 0.84
    with pytest.raises(ValueError, match="must not be 0"):
        ab_sample_size(0.0, 1.0)


def rbo_by_definition(a, b, p):
    """Sums to a depth where the rest is nothing, for lists of equal length; agreement stays beyond the end."""
    a, b = a[a >= 0], b[b >= 0]
    common = [len(set(a[:d]) & set(b[:d])) for d in range(1, len(a) + 1)]
    agreement = [x / d for d, x in enumerate(common, start=1)]
    agreement += [agreement[-1]] * 2000
    return (1 - p) * sum(one * p**d for d, one in enumerate(agreement))


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_overlap_of_lists(p):
    rng = np.random.default_rng(0)
    a = np.array([rng.permutation(12)[:8] for _ in range(50)])
    b = np.array([rng.permutation(12)[:8] for _ in range(50)])
    values = rank_biased_overlap(a, b, p=p, per_user=True)
    expected = [rbo_by_definition(x, y, p) for x, y in zip(a, b)]
    np.testing.assert_allclose(values, expected)
    np.testing.assert_allclose(rank_biased_overlap(b, a, p=p, per_user=True), values)
    assert rank_biased_overlap(a, a, p=p) == pytest.approx(1)
    assert rank_biased_overlap(a, a + 12, p=p) == 0


def test_overlap_of_lists_of_unequal_length():
    a, b = np.array([[0, 1, 2, 3]]), np.array([[0, 1, -1, -1]])
    assert rank_biased_overlap(a, b, per_user=True)[0] == pytest.approx(1)
    assert rank_biased_overlap(a, b[:, :2]) == rank_biased_overlap(a, b)
    assert rank_biased_overlap(b, a) == rank_biased_overlap(a, b)
    c = np.array([[0, 9, -1, -1]])
    # By hand: X = 1, 1, 1, 1; s = 2, l = 4.
    p = 0.9
    sums = p + p**2 / 2 + p**3 / 3 + p**4 / 4
    sums += (3 - 2) / (2 * 3) * p**3 + (4 - 2) / (2 * 4) * p**4
    expected = (1 - p) / p * sums + 1 / 2 * p**4
    assert rank_biased_overlap(a, c, p=p) == pytest.approx(expected)
    empty = np.full((1, 4), -1)
    assert rank_biased_overlap(a, empty) == 0
    assert np.isnan(rank_biased_overlap(empty, empty, per_user=True)).all()
    with pytest.raises(ValueError, match="nothing to compare"):
        rank_biased_overlap(empty, empty)
    with pytest.raises(ValueError, match="twice"):
        rank_biased_overlap([[1, 1]], [[0, 1]])
    with pytest.raises(ValueError, match="one row per user"):
        rank_biased_overlap([[1, 2]], [[0, 1], [1, 0]])
