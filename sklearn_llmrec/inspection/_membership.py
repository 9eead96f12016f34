"""Test empirically how much a fit reveals about one user."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta
from sklearn.base import clone
from sklearn.utils import check_random_state

from sklearn_llmrec.metrics import checked_csr


class MembershipAudit(NamedTuple):
    """Result of `membership_audit`.

    Attributes
    ----------
    epsilon : float
        Lower bound of epsilon; 0 where the fits show no difference.
    confidence : float
        Probability that the bound is true, before the fits are drawn.
    true_positive_rate, false_positive_rate : float
        Shares of the evaluated fits with and without the canary that are taken for fits with it.
    n_evaluated : int
        Number of evaluated fits of each kind.
    scores_with, scores_without : ndarray of shape (n_fits,)
        The statistic of every fit.
    """

    epsilon: float
    confidence: float
    true_positive_rate: float
    false_positive_rate: float
    n_evaluated: int
    scores_with: NDArray[np.float64]
    scores_without: NDArray[np.float64]


def membership_audit(
    estimator: Any,
    X: Any,
    *,
    canary: ArrayLike | None = None,
    n_fits: int = 100,
    max_samples: float = 0.5,
    delta: float = 1e-5,
    confidence: float = 0.99,
    statistic: Callable[[Any, NDArray[Any]], float] | None = None,
    random_state: Any = None,
) -> MembershipAudit:
    r"""Measure at least how much a fit reveals about one user, by shadow fits with and without a canary.

    Each shadow fit takes a random part of the rows, once with the canary's row and once, for another part, without it.
    If the fit is (epsilon, delta)-private, no test can distinguish the two kinds better than epsilon allows. The audit
    chooses a test on half of the fits, measures its error rates on the other half, and returns the epsilon that these
    rates prove.

    Parameters
    ----------
    estimator : estimator
        An unfitted recommender, or a fitted one, which is cloned. With a `PrivacyLedger`, every shadow fit is charged:
        audit a mechanism without one, on data whose fits are not published.
    X : {array-like, sparse} of shape (n_users, n_items)
        Genuine users.
    canary : array-like of shape (n_items,), default=None
        The row of the user who is looked for, with at least two interactions. None: two of the rarest items that no row
        has together. A private fit drops rare items, so give it a canary of popular items as well.
    n_fits : int, default=100
        Number of shadow fits of each kind, at least 4. The largest bound that n fits can prove at 99 % is about
        ``log(n / 11)``.
    max_samples : float, default=0.5
        Share of the rows of X in each shadow fit, above 0 and at most 1.
    delta : float, default=1e-5
        The delta for which epsilon is bounded.
    confidence : float, default=0.99
        Level of the bound.
    statistic : callable, default=None
        ``statistic(model, canary) -> float``, larger where the canary was in the fit. None: the mean score of each item
        of the canary for a history of its other items.
    random_state : int, RandomState instance or None, default=None
        Draws the parts, and the seeds of shadow fits whose estimator has a `random_state`.

    Returns
    -------
    audit : MembershipAudit

    Raises
    ------
    ValueError
        If a parameter is out of range, or the canary has another length than X or fewer than two interactions.

    Notes
    -----
    With the Clopper-Pearson bounds t of the true and f of the false positive rate, each at half the error probability,
    the bound is :math:`\log((t - \delta) / f)` or :math:`\log((1 - f - \delta) / (1 - t))`, whichever is larger. It
    is true for the average over random parts, hence for at least one data set. An audit finds leaks; it cannot prove
    that there are none. Cost: ``2 * n_fits`` fits.

    References
    ----------
    M. Jagielski, J. Ullman, A. Oprea, "Auditing Differentially Private Machine Learning: How Private is Private SGD?",
    NeurIPS 2020, arXiv:2006.07709.

    Examples
    --------
    >>> from sklearn_llmrec import EASE
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.inspection import membership_audit
    >>> X = make_interactions(200, 40, random_state=0).interactions
    >>> audit = membership_audit(EASE(), X, n_fits=40, random_state=0)
    >>> audit.epsilon > 1
    True
    """
    if n_fits < 4:
        raise ValueError(f"n_fits must be at least 4, got {n_fits!r}.")
    if not 0 < max_samples <= 1:
        raise ValueError(f"max_samples must be above 0 and at most 1, got {max_samples!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    if not 0 <= delta < 1:
        raise ValueError(f"delta must be from 0 to below 1, got {delta!r}.")
    X = sp.csr_array(checked_csr(X, "X"))
    row = _rare_pair(X) if canary is None else np.asarray(canary, dtype=X.dtype).ravel()
    if len(row) != X.shape[1] or np.count_nonzero(row) < 2:
        raise ValueError(
            f"canary must be a row of {X.shape[1]} values with at least two interactions, got {len(row)} values with "
            f"{np.count_nonzero(row)}."
        )
    measure = leave_one_out_score if statistic is None else statistic
    rng = check_random_state(random_state)
    added = sp.csr_array(row[None, :])
    n_rows = max(1, round(max_samples * X.shape[0]))
    scores = np.empty((2, n_fits))
    for fit in range(n_fits):
        for with_canary in (0, 1):
            part = sp.csr_array(X[np.sort(rng.choice(X.shape[0], n_rows, replace=False))])
            if with_canary:
                part = sp.csr_array(sp.vstack([part, added], format="csr"))
            model = clone(estimator)
            if "random_state" in model.get_params(deep=False):
                model.set_params(random_state=int(rng.randint(2**31 - 1)))
            scores[with_canary, fit] = measure(model.fit(part), row)
    half = n_fits // 2
    threshold, sign = _best_test(scores[1, :half], scores[0, :half], delta, confidence)
    hits = [int(np.sum(sign * part >= threshold)) for part in (scores[1, half:], scores[0, half:])]
    n = n_fits - half
    return MembershipAudit(
        epsilon_bound(hits[0], hits[1], n, delta=delta, confidence=confidence),
        confidence,
        hits[0] / n,
        hits[1] / n,
        n,
        scores[1],
        scores[0],
    )


def leave_one_out_score(model: Any, row: NDArray[Any]) -> float:
    """Return the mean score of each item of a row for a history of its other items."""
    items = np.flatnonzero(row)
    histories = np.repeat(row[None, :], len(items), axis=0)
    histories[np.arange(len(items)), items] = 0
    return float(model.predict(histories)[np.arange(len(items)), items].mean())


def epsilon_bound(
    true_positives: int, false_positives: int, n: int, *, delta: float, confidence: float
) -> float:
    """Return the epsilon that these counts among n fits of each kind prove at this confidence."""
    error = (1 - confidence) / 2
    low = beta.ppf(error, true_positives, n - true_positives + 1) if true_positives else 0.0
    high = (
        beta.ppf(1 - error, false_positives + 1, n - false_positives)
        if false_positives < n
        else 1.0
    )
    bounds = [0.0]
    if low > delta:
        bounds.append(math.log((low - delta) / high))
    if 1 - high > delta:
        bounds.append(math.log((1 - high - delta) / (1 - low)))
    return max(bounds)


def _best_test(
    inside: NDArray[np.float64], outside: NDArray[np.float64], delta: float, confidence: float
) -> tuple[float, int]:
    """Return the threshold, and the sign of the statistic, with the largest bound on these fits."""
    best = (-1.0, 0.0, 0.0, 1)
    for sign in (1, -1):
        values = np.sort(np.concatenate([sign * inside, sign * outside]))
        # Between two values, so that rounding of equal statistics does not decide.
        for threshold in np.append((values[1:] + values[:-1]) / 2, values[0]):
            hits = int(np.sum(sign * inside >= threshold))
            alarms = int(np.sum(sign * outside >= threshold))
            bound = epsilon_bound(hits, alarms, len(inside), delta=delta, confidence=confidence)
            # Among equal bounds the test that separates best, which also decides where all are 0.
            best = max(best, (bound, float(hits - alarms), float(threshold), sign))
    return best[2], best[3]


def _rare_pair(X: sp.csr_array) -> NDArray[Any]:
    """Return a row with the two rarest items that no row has together, or the two rarest."""
    counts = np.bincount(X.indices, minlength=X.shape[1])
    rare = np.argsort(np.where(counts > 0, counts, counts.max() + 1), kind="stable")[:50]
    present = sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)[:, rare]
    together = (present.T @ present).toarray()
    first, second = np.nonzero(np.triu(together == 0, 1))
    pair = rare[[first[0], second[0]]] if len(first) else rare[:2]
    row = np.zeros(X.shape[1], dtype=X.dtype)
    row[pair] = np.median(X.data)
    return row
