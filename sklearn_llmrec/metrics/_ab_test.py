"""Analyse an online A/B test: difference, interval, p-value, and the number of users needed."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sklearn_llmrec.utils import Interval, validate_parameter_constraints

__all__ = ["ABTest", "ab_sample_size", "ab_test"]


class ABTest(NamedTuple):
    """Result of an A/B test.

    Attributes
    ----------
    difference : float
        Mean of the treatment minus mean of the control.
    low, high : float
        Ends of the interval of the difference.
    relative : float
        The difference over the mean of the control; NaN where that is 0.
    p_value : float
        Chance of a difference at least as large where there is none, two-sided.
    n_control, n_treatment : int
        How many users each arm had.
    """

    difference: float
    low: float
    high: float
    relative: float
    p_value: float
    n_control: int
    n_treatment: int


def _arm(values: Any, name: str) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must contain one finite number per user, of two users at least; got shape {values.shape}."
        )
    return values


def ab_test(control: Any, treatment: Any, *, confidence: float = 0.95) -> ABTest:
    """Analyse an A/B test whose users were assigned at random, by Welch's t-test.

    Parameters
    ----------
    control, treatment : array-like of shape (n_users,)
        The value of every user of the arm: purchases, money, or 0 and 1 for a conversion. One value per user, not per
        visit: visits of one user are not independent.
    confidence : float, default=0.95
        Level of the interval.

    Returns
    -------
    result : ABTest
        A named tuple of `difference`, `low`, `high`, `relative`, `p_value`, `n_control` and `n_treatment`.

    Raises
    ------
    ValueError
        If an arm has fewer than two users or contains NaN.

    See Also
    --------
    ab_sample_size : How many users to plan for.

    Notes
    -----
    Read it once, at the planned number of users. Looking every day and stopping at the first small p-value finds
    differences that are not there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import ab_test
    >>> rng = np.random.default_rng(0)
    >>> result = ab_test(rng.uniform(size=5000) < 0.10, rng.uniform(size=5000) < 0.13)
    >>> bool(result.low > 0), bool(result.p_value < 0.001)
    (True, True)
    """
    validate_parameter_constraints(
        {"confidence": [Interval(Real, 0, 1, closed="neither")]},
        {"confidence": confidence},
        caller_name="ab_test",
    )
    a, b = _arm(control, "control"), _arm(treatment, "treatment")
    difference = float(b.mean() - a.mean())
    relative = difference / float(a.mean()) if a.mean() else float("nan")
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    variance = parts.sum()
    if variance == 0:
        p_value = 1.0 if difference == 0 else 0.0
        return ABTest(difference, difference, difference, relative, p_value, len(a), len(b))
    # Welch and Satterthwaite's degrees of freedom.
    freedom = variance**2 / (parts**2 / np.array([len(a) - 1, len(b) - 1])).sum()
    error = np.sqrt(variance)
    half = stats.t.ppf((1 + confidence) / 2, freedom) * error
    p_value = 2 * stats.t.sf(abs(difference) / error, freedom)
    return ABTest(
        difference,
        float(difference - half),
        float(difference + half),
        relative,
        float(p_value),
        len(a),
        len(b),
    )


def ab_sample_size(
    difference: float, deviation: float, *, power: float = 0.8, level: float = 0.05
) -> int:
    r"""Return the number of users that each arm needs to detect a difference.

    .. math:: n = \frac{2 \sigma^2 (z_{1 - level / 2} + z_{power})^2}{\delta^2}

    Parameters
    ----------
    difference : float
        The smallest difference of means that matters.
    deviation : float
        Standard deviation of the users' values; ``sqrt(p * (1 - p))`` for a conversion rate p.
    power : float, default=0.8
        How often a difference of that size is found.
    level : float, default=0.05
        How often a difference is found where there is none, two-sided.

    Returns
    -------
    n_users : int
        For each of two arms.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    From 10 % to 11 % conversion:

    >>> from sklearn_llmrec.metrics import ab_sample_size
    >>> ab_sample_size(0.01, (0.1 * 0.9) ** 0.5)
    14128
    """
    inside = Interval(Real, 0, 1, closed="neither")
    validate_parameter_constraints(
        {
            "difference": [Real],
            "deviation": [Interval(Real, 0, None, closed="neither")],
            "power": [inside],
            "level": [inside],
        },
        {"difference": difference, "deviation": deviation, "power": power, "level": level},
        caller_name="ab_sample_size",
    )
    if difference == 0:
        raise ValueError("difference must not be 0: no number of users finds it.")
    z = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(power)
    return int(np.ceil(2 * (deviation * z / difference) ** 2))
