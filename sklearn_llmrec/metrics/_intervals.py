"""Uncertainty of means over users: bootstrap intervals, paired tests, correction for many comparisons."""

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.utils import check_random_state

from sklearn_llmrec.utils import Interval, StrOptions, validate_parameter_constraints

__all__ = ["PairedTest", "adjust_p_values", "bootstrap_interval", "paired_test"]

Floats = NDArray[np.float64]

# Weights or signs drawn at once: few enough to stay in the caches.
_BLOCK_CELLS = 2**20
_RESAMPLES = Interval(Integral, 1, None, closed="left")


def _generator(random_state: Any) -> np.random.Generator:
    """Return a generator that any kind of `random_state` determines; it is faster than a RandomState."""
    seed = check_random_state(random_state).randint(2**31 - 1)
    return np.random.default_rng(seed)


def resampled_means(columns: Floats, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Return the mean of every column in bootstrap resamples of the rows; NaN is left out.

    A resample is stored as the number of times that each row was drawn. The product of these counts and the columns
    gives the sums of all columns, so they share their resamples: O(n_resamples n_rows) draws for any number of columns.
    """
    columns = columns[~np.isnan(columns).all(axis=1)]
    n_rows = len(columns)
    means = np.full((n_resamples, columns.shape[1]), np.nan)
    if not n_rows:
        return means
    defined = ~np.isnan(columns)
    whole = bool(defined.all())
    filled = np.where(defined, columns, 0.0)
    share = defined.astype(np.float64)
    size = max(1, _BLOCK_CELLS // n_rows)
    offsets = np.arange(size, dtype=np.int64)[:, None] * n_rows
    for begin in range(0, n_resamples, size):
        n = min(size, n_resamples - begin)
        drawn = rng.integers(n_rows, size=(n, n_rows))
        # Resample r counts in the cells from r * n_rows on, so one bincount serves the whole block.
        drawn += offsets[:n]
        weights = np.bincount(drawn.ravel(), minlength=n * n_rows).reshape(n, n_rows)
        weights = weights.astype(np.float64)
        total = weights @ filled
        count = np.float64(n_rows) if whole else weights @ share
        with np.errstate(invalid="ignore"):  # a resample without any defined row has no mean
            means[begin : begin + n] = total / count
    return means


def intervals(
    columns: Floats, confidence: float, n_resamples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of the percentile intervals of the columns' means."""
    low, high = np.full((2, columns.shape[1]), np.nan)
    known = ~np.isnan(columns).all(axis=0)
    if known.any():
        means = resampled_means(columns[:, known], n_resamples, rng)
        tail = (1 - confidence) / 2
        low[known], high[known] = np.nanquantile(means, [tail, 1 - tail], axis=0)
    return low, high


def bootstrap_interval(
    values: Any, *, confidence: float = 0.95, n_resamples: int = 1000, random_state: Any = 0
) -> tuple[Any, Any]:
    """Return the percentile bootstrap interval of the mean over users.

    Users are drawn with replacement, so the interval shows how far the mean of another sample of such users might be;
    it does not cover another fit, split or season.

    Parameters
    ----------
    values : array-like of shape (n_users,) or (n_users, n_columns)
        The values of every user (``per_user=True``), NaN where a metric is not defined. Columns, such as the values of
        several models, share their resamples.
    confidence : float, default=0.95
        How often such an interval contains the true mean.
    n_resamples : int, default=1000
        Number of resamples.
    random_state : int, RandomState instance or None, default=0
        Seed of the resamples.

    Returns
    -------
    low, high : float or ndarray of shape (n_columns,)
        The ends of the interval.

    Raises
    ------
    ValueError
        If a column has no value, or a parameter is out of range.

    See Also
    --------
    paired_test : Whether two models differ.

    References
    ----------
    .. [1] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import bootstrap_interval
    >>> values = np.random.default_rng(0).uniform(size=400)
    >>> low, high = bootstrap_interval(values)
    >>> bool(low < values.mean() < high), round(high - low, 2)
    (True, 0.06)
    """
    validate_parameter_constraints(
        {
            "confidence": [Interval(Real, 0, 1, closed="neither")],
            "n_resamples": [_RESAMPLES],
            "random_state": ["random_state"],
        },
        {"confidence": confidence, "n_resamples": n_resamples, "random_state": random_state},
        caller_name="bootstrap_interval",
    )
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim not in (1, 2):
        raise ValueError(
            f"values must be of shape (n_users,) or (n_users, n_columns), got {columns.shape}."
        )
    flat = columns.ndim == 1
    columns = columns[:, None] if flat else columns
    if np.isnan(columns).all(axis=0).any():
        raise ValueError("values contains a column without any number: there is no mean.")
    low, high = intervals(columns, confidence, n_resamples, _generator(random_state))
    return (float(low[0]), float(high[0])) if flat else (low, high)


class PairedTest(NamedTuple):
    """Result of `paired_test`.

    Attributes
    ----------
    difference : float
        Mean of a minus mean of b, over the users that both have a value for.
    p_value : float
        Probability of a difference at least as large if the true difference is zero, two-sided.
    n_users : int
        How many users were compared.
    """

    difference: float
    p_value: float
    n_users: int


def t_test(differences: Floats) -> float:
    """Return the p-value of Student's t over the differences."""
    n = len(differences)
    if n < 2:
        return float("nan")
    mean, deviation = differences.mean(), differences.std(ddof=1)
    # What rounding leaves of equal differences is no deviation.
    if deviation <= 1e-12 * abs(mean):
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / (deviation / np.sqrt(n)), n - 1))


def sign_flip_test(differences: Floats, n_resamples: int, rng: np.random.Generator) -> float:
    """Return the share of random sign flips whose mean is at least as far from zero as the observed mean.

    The observed signs count as one of the flips, so the p-value is never zero.
    """
    n = len(differences)
    if not n:
        return float("nan")
    observed = abs(differences.sum())  # sums instead of means: both sides are divided by n
    # A sum with flipped signs is twice the sum of the values whose sign is kept, less the sum of all values.
    half = differences.sum() / 2
    n_bytes = -(-n // 8)
    size = max(1, _BLOCK_CELLS // n)
    reached = 0
    for begin in range(0, n_resamples, size):
        drawn = rng.integers(256, size=(min(size, n_resamples - begin), n_bytes), dtype=np.uint8)
        kept = np.unpackbits(drawn, axis=1, count=n).astype(np.float64) @ differences
        # Equal sums may differ in their last digits; they count as reached.
        reached += int(np.count_nonzero(2 * abs(kept - half) >= observed * (1 - 1e-9)))
    return (1 + reached) / (1 + n_resamples)


def paired_test(
    a: Any, b: Any, *, method: str = "t", n_resamples: int = 10_000, random_state: Any = 0
) -> PairedTest:
    """Test whether two models differ in their mean over the same users.

    Parameters
    ----------
    a, b : array-like of shape (n_users,)
        The values of the same users under two models (``per_user=True``). Users with a NaN in either are left out.
    method : {"t", "permutation"}, default="t"
        Student's t of the differences, which kept its error rate best in [1]_; or random signs for the differences,
        which assumes no distribution and finds no p-value below ``1 / (n_resamples + 1)``.
    n_resamples : int, default=10_000
        Number of random assignments of signs.
    random_state : int, RandomState instance or None, default=0
        Seed of the signs.

    Returns
    -------
    result : PairedTest
        A named tuple of `difference`, `p_value` and `n_users`.

    Raises
    ------
    ValueError
        If the two differ in shape, share no user, or a parameter is out of range.

    See Also
    --------
    adjust_p_values : For more than one comparison.

    References
    ----------
    .. [1] J. Urbano, H. Lima and A. Hanjalic, "Statistical significance testing in information retrieval: an empirical
       analysis of type I, type II and type III errors", SIGIR 2019.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import paired_test
    >>> result = paired_test([0.5, 0.4, 0.6, 0.7], [0.4, 0.4, 0.5, 0.5])
    >>> round(result.difference, 3), round(result.p_value, 3)
    (0.1, 0.092)
    """
    validate_parameter_constraints(
        {
            "method": [StrOptions({"t", "permutation"})],
            "n_resamples": [_RESAMPLES],
            "random_state": ["random_state"],
        },
        {"method": method, "n_resamples": n_resamples, "random_state": random_state},
        caller_name="paired_test",
    )
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"a and b must contain one value per user, of the same users; got shapes {a.shape} and {b.shape}."
        )
    differences = a - b
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        raise ValueError("No user has a value in both a and b: there is nothing to compare.")
    p_value = (
        t_test(differences)
        if method == "t"
        else sign_flip_test(differences, n_resamples, _generator(random_state))
    )
    return PairedTest(float(differences.mean()), p_value, len(differences))


def adjust_p_values(p_values: Any, *, method: str = "holm") -> Floats:
    """Correct p-values for the number of comparisons.

    Parameters
    ----------
    p_values : array-like of shape (n_comparisons,)
        In [0, 1]; NaN stays and does not count.
    method : {"holm", "bonferroni", "benjamini-hochberg"}, default="holm"
        Holm's and Bonferroni's limit the chance of any false finding, Holm's with more power; Benjamini-Hochberg's
        limits the expected share of false ones among the findings.

    Returns
    -------
    adjusted : ndarray of shape (n_comparisons,)
        Compare them with the level itself, such as 0.05.

    Raises
    ------
    ValueError
        If a value is outside [0, 1] or the method is unknown.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import adjust_p_values
    >>> adjust_p_values([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    validate_parameter_constraints(
        {"method": [StrOptions({"holm", "bonferroni", "benjamini-hochberg"})]},
        {"method": method},
        caller_name="adjust_p_values",
    )
    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if p.ndim != 1 or ((p[known] < 0) | (p[known] > 1)).any():
        raise ValueError("p_values must be one-dimensional, in [0, 1].")
    n = int(known.sum())
    order = np.argsort(p[known])
    ranked = p[known][order]
    if method == "bonferroni":
        ranked = ranked * n
    elif method == "holm":
        # A p-value is never below a smaller one's: the running maximum keeps the order.
        ranked = np.maximum.accumulate(ranked * np.arange(n, 0, -1))
    else:
        ranked = np.minimum.accumulate((ranked * n / np.arange(1, n + 1))[::-1])[::-1]
    adjusted = np.full(len(p), np.nan)
    back = np.empty(n)
    back[order] = np.minimum(ranked, 1.0)
    adjusted[known] = back
    return adjusted
