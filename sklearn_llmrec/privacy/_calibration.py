"""Convert between (epsilon, delta) and the signal-to-noise ratio of a Gaussian release.

A release of a statistic of sensitivity D with Gaussian noise of standard deviation s has the ratio mu = D / s. Balle
and Wang (2018) show that it is (epsilon, delta)-private exactly for

    delta >= Phi(mu / 2 - epsilon / mu) - exp(epsilon) Phi(-mu / 2 - epsilon / mu).

Releases of the ratios mu_1, mu_2, ... compose to one of the ratio sqrt(mu_1^2 + mu_2^2 + ...), exactly, also where a
release is chosen by what earlier ones showed (Dong, Roth and Su, 2022). So squares of ratios are what is added up, and
they are converted to epsilon once, at the end. In the words of zero-concentrated privacy, rho = mu^2 / 2.
"""

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr

# Ratios between which the equation is solved: epsilon from about 1e-8 to 1e6.
_RANGE = (1e-9, 1e4)


def delta_of(epsilon: float, ratio: float) -> float:
    """Return the smallest delta for which a Gaussian release of this ratio is (epsilon, delta)-private."""
    if ratio == 0:
        return 0.0
    first = log_ndtr(ratio / 2 - epsilon / ratio)
    second = epsilon + log_ndtr(-ratio / 2 - epsilon / ratio)
    if first == -math.inf:
        return 0.0
    # The difference of the two exponentials, without cancellation of their common factor.
    return float(math.exp(first) * -math.expm1(min(second - first, 0.0)))


def ratio_of(epsilon: float, delta: float) -> float:
    """Return the largest ratio of sensitivity to noise that is (epsilon, delta)-private."""
    low, high = _RANGE
    if delta_of(epsilon, high) < delta:
        return high
    root = float(brentq(lambda ratio: delta_of(epsilon, ratio) - delta, low, high, xtol=1e-15))
    return root * (1 - 1e-12)  # on the safe side of the root


def epsilon_of(squared_ratio: float, delta: float) -> float:
    """Return the smallest epsilon that Gaussian releases of this sum of squared ratios have at `delta`."""
    ratio = math.sqrt(squared_ratio)
    if ratio == 0 or delta_of(0.0, ratio) <= delta:
        return 0.0
    high = 1.0
    while delta_of(high, ratio) > delta:
        high *= 2
    return float(brentq(lambda epsilon: delta_of(epsilon, ratio) - delta, 0.0, high, xtol=1e-12))
