"""The Gaussian mechanism against its definition, OpenDP and Monte Carlo; the ledger against composition."""

import copy
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.base import clone

from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.privacy import GaussianMechanism, PrivacyBudgetError, PrivacyLedger
from sklearn_llmrec.privacy._calibration import delta_of, epsilon_of, ratio_of


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9])
def test_calibration_solves_the_condition_of_balle_and_wang(epsilon, delta):
    ratio = ratio_of(epsilon, delta)
    plain = norm.cdf(ratio / 2 - epsilon / ratio) - math.exp(epsilon) * norm.cdf(
        -ratio / 2 - epsilon / ratio
    )
    assert_allclose(plain, delta, rtol=1e-5)
    assert_allclose(epsilon_of(ratio**2, delta), epsilon, rtol=1e-6)
    if epsilon <= 1:  # where the classical calibration holds, it needs more noise
        assert 1 / ratio < math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def test_delta_is_the_largest_advantage_of_any_event():
    # The best event is a half line: no threshold on N(ratio, 1) against N(0, 1) does better than delta.
    ratio, epsilon = 0.7, 0.5
    thresholds = np.linspace(-10, 10, 200_001)
    gain = norm.sf(thresholds - ratio) - math.exp(epsilon) * norm.sf(thresholds)
    assert_allclose(gain.max(), delta_of(epsilon, ratio), rtol=1e-6)


@pytest.mark.parametrize("sensitivity", [1.0, 0.25])
def test_noise_has_the_calibrated_variance(sensitivity):
    mechanism = GaussianMechanism(1.0, 1e-5)
    noise = mechanism.release(np.zeros(1_000_000), sensitivity)
    scale = mechanism.noise_scale(sensitivity)
    # Six standard errors of a variance and a mean from a million draws; quantiles tell the shape.
    assert abs(noise.var() / scale**2 - 1) < 6 * math.sqrt(2 / 1e6)
    assert abs(noise.mean() / scale) < 6e-3
    for level in (0.01, 0.16, 0.84, 0.99):
        assert abs(np.quantile(noise, level) / scale - norm.ppf(level)) < 0.03
    grid = 2.0 ** (math.floor(math.log2(scale)) - 10)
    assert np.array_equal(noise, np.round(noise / grid) * grid)


def test_two_releases_differ():
    mechanism = GaussianMechanism(1.0)
    assert not np.array_equal(mechanism.release(np.zeros(5)), mechanism.release(np.zeros(5)))


def test_exact_noise_and_its_zcdp_agree_with_ours():
    dp = pytest.importorskip("opendp.prelude")
    from sklearn_llmrec.privacy._gaussian import _opendp_measurement

    mechanism = GaussianMechanism(1.0, 1e-5, sampler="exact")
    scale = mechanism.noise_scale(2.0)
    measurement = _opendp_measurement(1000, 2.0, scale)
    rho = measurement.map(2.0)
    wanted = ratio_of(1.0, 1e-5) ** 2 / 2
    assert 0.999 * wanted < rho <= wanted
    # OpenDP's own conversion of zCDP is an upper bound of the exact epsilon, and not far from it.
    bound = dp.c.make_zCDP_to_approxDP(measurement).map(2.0).epsilon(1e-5)
    assert 1.0 <= bound < 1.2
    noise = mechanism.release(np.full((40, 50), 7.0), 2.0) - 7.0
    assert noise.shape == (40, 50)
    assert abs(noise.var() / scale**2 - 1) < 6 * math.sqrt(2 / 2000)


def test_shares_compose_to_the_whole():
    ledger = PrivacyLedger(2.0, 1e-6)
    mechanism = GaussianMechanism(2.0, 1e-6, ledger=ledger)
    for _ in range(10):
        mechanism.release([0.0], share=0.1)
    assert_allclose(ledger.spent()[0], 2.0, rtol=1e-6)
    with pytest.raises(PrivacyBudgetError, match="above the budget of 2"):
        mechanism.release([0.0], share=0.01)
    assert len(ledger.releases) == 10


def test_ledger_composes_better_than_adding_epsilons_and_reports_what_is_left():
    ledger = PrivacyLedger(1.0, 1e-5)
    GaussianMechanism(0.5, 1e-5, ledger=ledger).release([1.0])
    assert_allclose(ledger.spent()[0], 0.5, rtol=1e-6)
    left = ledger.remaining()
    assert left > 0.5
    GaussianMechanism(left, 1e-5, ledger=ledger).release([1.0])
    assert_allclose(ledger.spent()[0], 1.0, rtol=1e-6)


def test_copies_of_a_ledger_are_the_ledger_and_loaded_ones_are_records():
    ledger = PrivacyLedger(1.0)
    mechanism = GaussianMechanism(0.5, ledger=ledger)
    assert copy.deepcopy(mechanism).ledger is ledger
    assert clone(EASE(privacy=mechanism)).privacy.ledger is ledger
    mechanism.release([0.0])
    loaded = pickle.loads(pickle.dumps(mechanism))
    assert_allclose(loaded.ledger.spent()[0], 0.5, rtol=1e-6)
    with pytest.raises(PrivacyBudgetError, match="pickled or loaded"):
        loaded.release([0.0])
    mechanism.release([0.0])  # the original goes on


def test_nothing_is_charged_for_what_is_not_released():
    ledger = PrivacyLedger(1.0)
    mechanism = GaussianMechanism(1.0, ledger=ledger)
    for values, sensitivity in (([np.nan], 1.0), ([1.0], 0.0), ([1.0], np.inf)):
        with pytest.raises(ValueError, match="must be"):
            mechanism.release(values, sensitivity)
    assert ledger.releases == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epsilon": 0.0}, "epsilon must be"),
        ({"epsilon": math.inf}, "epsilon must be"),
        ({"epsilon": 1.0, "delta": 0.0}, "delta must be"),
        ({"epsilon": 1.0, "delta": 1.0}, "delta must be"),
        ({"epsilon": 1.0, "sampler": "fast"}, "sampler must be"),
        ({"epsilon": 1.0, "random_state": 0}, "protects nobody"),
        ({"epsilon": 1.0, "sampler": "unsafe_seeded"}, "protects nobody"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        GaussianMechanism(**arguments)
    if len(arguments) == 1 or "delta" in arguments:
        with pytest.raises(ValueError, match=words):
            PrivacyLedger(**arguments)


def test_seeded_noise_is_repeatable_and_reported_as_no_privacy():
    mechanism = GaussianMechanism(1.0, sampler="unsafe_seeded", random_state=3)
    assert np.array_equal(mechanism.release(np.zeros(4)), mechanism.release(np.zeros(4)))
    assert mechanism.spent() == (math.inf, 1e-5)
