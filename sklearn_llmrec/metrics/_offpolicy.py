"""Estimate the reward of another recommender from the log of the one that ran.

Every estimator is a ratio of two means over the logged events, so one bootstrap serves all.
"""

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.metrics._intervals import _generator, resampled_means
from sklearn_llmrec.utils import Interval, as_ids, id_positions, validate_parameter_constraints

__all__ = [
    "OffPolicyEstimate",
    "doubly_robust_value",
    "ips_value",
    "replay_value",
    "snips_value",
]

Floats = NDArray[np.float64]


class OffPolicyEstimate(NamedTuple):
    """An estimate of the mean reward of a policy that was not run.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        Ends of the bootstrap interval.
    n_effective : float
        ``(sum w)**2 / sum w**2`` of the weights w: how many events of the policy itself the log is worth. Far below
        the size of the log, a few events decide.
    """

    value: float
    low: float
    high: float
    n_effective: float


def _column(values: Any, name: str, length: int | None = None) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or length not in (None, len(values)):
        raise ValueError(
            f"{name} must contain one number per logged event"
            + (f", {length} as rewards does" if length else "")
            + f"; got shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} contains NaN or infinity at event {np.argmin(np.isfinite(values))}."
        )
    return values


def _weights(
    rewards: Any, propensities: Any, target: Any, clip: float | None
) -> tuple[Floats, Floats]:
    """Return the rewards, and the ratio of target probability to propensity of every event."""
    validate_parameter_constraints(
        {"clip": [Interval(Real, 0, None, closed="neither"), None]},
        {"clip": clip},
        caller_name="Off-policy estimators",
    )
    rewards = _column(rewards, "rewards")
    propensities = _column(propensities, "propensities", len(rewards))
    target = _column(target, "target_probabilities", len(rewards))
    if not ((propensities > 0) & (propensities <= 1)).all():
        raise ValueError("propensities must be in (0, 1]: what was shown had some chance to be.")
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError("target_probabilities must be in [0, 1].")
    weights = target / propensities
    return rewards, weights if clip is None else np.minimum(weights, clip)


def _estimate(
    numerator: Floats, denominator: Floats, weights: Floats, settings: dict[str, Any]
) -> OffPolicyEstimate:
    """Return a ratio of sums with an interval over events or groups of events."""
    validate_parameter_constraints(
        {
            "confidence": [Interval(Real, 0, 1, closed="neither")],
            "n_resamples": [Interval(Integral, 1, None, closed="left")],
            "random_state": ["random_state"],
        },
        {name: settings[name] for name in ("confidence", "n_resamples", "random_state")},
        caller_name="Off-policy estimators",
    )
    total = denominator.sum()
    if total <= 0:
        raise ValueError(
            "The target policy never shows what was logged: the log has no information about it."
        )
    columns = np.column_stack([numerator, denominator])
    if settings["groups"] is not None:
        groups = as_ids(settings["groups"], "groups")
        if groups.shape != numerator.shape:
            raise ValueError(f"groups must contain one label per logged event, got {groups.shape}.")
        same = id_positions(groups, groups, "groups are", "groups are")
        _, member = np.unique(same, return_inverse=True)
        columns = np.column_stack([np.bincount(member, column) for column in columns.T])
    means = resampled_means(columns, settings["n_resamples"], _generator(settings["random_state"]))
    drawn = means[means[:, 1] > 0]
    tail = (1 - settings["confidence"]) / 2
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [tail, 1 - tail])
    n_effective = weights.sum() ** 2 / (weights**2).sum()
    return OffPolicyEstimate(
        float(numerator.sum() / total), float(low), float(high), float(n_effective)
    )


def ips_value(
    rewards: Any,
    propensities: Any,
    target_probabilities: Any,
    *,
    clip: float | None = None,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> OffPolicyEstimate:
    """Estimate a policy's value by inverse propensity scores: the mean of ``w * reward`` [1]_.

    The weight is ``w = target probability / propensity``.

    Unbiased where the propensities are right and everything that the target policy shows had a chance to be logged;
    its variance grows with the weights.

    Parameters
    ----------
    rewards : array-like of shape (n_events,)
        What every shown item earned: a click, a purchase, money.
    propensities : array-like of shape (n_events,)
        With which probability the logging policy showed that item then.
    target_probabilities : array-like of shape (n_events,)
        With which probability the policy in question would have shown it; 0 or 1 for a deterministic one.
    clip : float, default=None
        Largest weight; less variance for some bias.
    groups : array-like of shape (n_events,), default=None
        Labels, such as users, whose events are resampled together.
    confidence : float, default=0.95
        Level of the bootstrap interval.
    n_resamples : int, default=1000
        Number of resamples.
    random_state : int, RandomState instance or None, default=0
        Seed of the resamples.

    Returns
    -------
    estimate : OffPolicyEstimate
        A named tuple of `value`, `low`, `high` and `n_effective`.

    Raises
    ------
    ValueError
        If lengths disagree, a probability is out of range, or all weights are zero.

    References
    ----------
    .. [1] D. G. Horvitz and D. J. Thompson, "A generalization of sampling without replacement from a finite universe",
       JASA, 1952.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import ips_value
    >>> estimate = ips_value([1, 0, 1, 0], [0.5, 0.5, 0.25, 0.25], [1.0, 0.0, 0.5, 0.5])
    >>> estimate.value, round(estimate.n_effective, 2)
    (1.0, 3.0)
    """
    rewards, weights = _weights(rewards, propensities, target_probabilities, clip)
    settings = _settings(groups, confidence, n_resamples, random_state)
    if not weights.any():
        return _estimate(weights, weights, weights, settings)  # refuses
    return _estimate(weights * rewards, np.ones_like(rewards), weights, settings)


def snips_value(
    rewards: Any,
    propensities: Any,
    target_probabilities: Any,
    *,
    clip: float | None = None,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> OffPolicyEstimate:
    """Estimate a policy's value by self-normalised inverse propensity: ``sum w * reward / sum w`` [1]_.

    A little bias, much less variance than `ips_value`, and never outside the range of the rewards.

    Parameters
    ----------
    rewards, propensities, target_probabilities, clip, groups, confidence, n_resamples, random_state
        As in `ips_value`.

    Returns
    -------
    estimate : OffPolicyEstimate

    References
    ----------
    .. [1] A. Swaminathan and T. Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 2015.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import snips_value
    >>> round(snips_value([1, 0, 1, 0], [0.5, 0.5, 0.25, 0.25], [1.0, 0.0, 0.5, 0.5]).value, 3)
    0.667
    """
    rewards, weights = _weights(rewards, propensities, target_probabilities, clip)
    settings = _settings(groups, confidence, n_resamples, random_state)
    return _estimate(weights * rewards, weights, weights, settings)


def doubly_robust_value(
    rewards: Any,
    propensities: Any,
    target_probabilities: Any,
    *,
    expected_logged: Any,
    expected_target: Any,
    clip: float | None = None,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> OffPolicyEstimate:
    """Estimate a policy's value doubly robustly [1]_.

    It is a model's expectation, corrected by the weighted errors of the model on the log.

    Unbiased where either the propensities or the model are right. Predict with a model that was not fitted on the same
    events (`cross_val_predict`).

    Parameters
    ----------
    rewards, propensities, target_probabilities, clip, groups, confidence, n_resamples, random_state
        As in `ips_value`.
    expected_logged : array-like of shape (n_events,)
        The reward that a model expects of the item that was shown.
    expected_target : array-like of shape (n_events,)
        The reward that it expects there under the policy in question, over all that the policy may show.

    Returns
    -------
    estimate : OffPolicyEstimate

    References
    ----------
    .. [1] M. Dudík, J. Langford and L. Li, "Doubly robust policy evaluation and learning", ICML 2011.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import doubly_robust_value
    >>> estimate = doubly_robust_value(
    ...     [1, 0, 1],
    ...     [0.5, 0.5, 0.5],
    ...     [1.0, 0.0, 0.5],
    ...     expected_logged=[0.5, 0.5, 1.0],
    ...     expected_target=[0.5, 0.5, 1.0],
    ... )
    >>> estimate.value
    1.0
    """
    rewards, weights = _weights(rewards, propensities, target_probabilities, clip)
    logged = _column(expected_logged, "expected_logged", len(rewards))
    target = _column(expected_target, "expected_target", len(rewards))
    settings = _settings(groups, confidence, n_resamples, random_state)
    if not weights.any():
        return _estimate(weights, weights, weights, settings)  # refuses
    numerator = target + weights * (rewards - logged)
    return _estimate(numerator, np.ones_like(rewards), weights, settings)


def replay_value(
    rewards: Any,
    logged: Any,
    recommended: Any,
    *,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> OffPolicyEstimate:
    """Estimate a policy's value by replay: the mean reward of events whose shown item it would show too [1]_.

    Right only where the log was drawn at random, every item alike.

    Parameters
    ----------
    rewards, groups, confidence, n_resamples, random_state
        As in `ips_value`.
    logged : array-like of shape (n_events,), integer
        The item that was shown.
    recommended : array-like of shape (n_events,) or (n_events, k), integer
        The item, or the list of items, that the policy would show.

    Returns
    -------
    estimate : OffPolicyEstimate
        `n_effective` is the number of events that match.

    References
    ----------
    .. [1] L. Li, W. Chu, J. Langford and X. Wang, "Unbiased offline evaluation of contextual-bandit-based news article
       recommendation algorithms", WSDM 2011.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import replay_value
    >>> estimate = replay_value([1, 0, 1, 1], logged=[3, 1, 2, 0], recommended=[3, 1, 1, 1])
    >>> estimate.value, estimate.n_effective
    (0.5, 2.0)
    """
    rewards = _column(rewards, "rewards")
    logged, recommended = np.asarray(logged), np.asarray(recommended)
    if logged.shape != rewards.shape or recommended.shape[:1] != rewards.shape:
        raise ValueError(
            f"logged and recommended must have one row per event, {len(rewards)}; got shapes {logged.shape} and "
            f"{recommended.shape}."
        )
    logged_ids, recommended_ids = (
        as_ids(logged, "logged"),
        as_ids(recommended.ravel(), "recommended"),
    )
    number, numbers = (
        id_positions(logged_ids, ids, "logged are", "recommended are")
        for ids in (logged_ids, recommended_ids)
    )
    match = (numbers.reshape(len(rewards), -1) == number[:, None]).any(axis=1).astype(np.float64)
    settings = _settings(groups, confidence, n_resamples, random_state)
    return _estimate(match * rewards, match, match, settings)


def _settings(
    groups: Any, confidence: float, n_resamples: int, random_state: Any
) -> dict[str, Any]:
    return {
        "groups": groups,
        "confidence": confidence,
        "n_resamples": n_resamples,
        "random_state": random_state,
    }
