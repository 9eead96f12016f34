"""Add up what releases spend, and refuse the one that would exceed the budget."""

from __future__ import annotations

from threading import Lock
from typing import Any, Self

from sklearn_llmrec.privacy._calibration import epsilon_of, ratio_of

# One for all ledgers: charging takes no time, and a ledger without a lock of its own can be copied and pickled.
_LOCK = Lock()
# Sums of squared ratios are compared with this relative tolerance, so that ten tenths of a budget fit in it.
_ROUNDING = 1e-9


class PrivacyBudgetError(ValueError):
    """Is raised before a release that would exceed the budget of a ledger; nothing was released or charged."""


class PrivacyLedger:
    """Account of all releases about the same users, which refuses to exceed its budget.

    Pass one ledger to every mechanism that reads the same data. A release is charged before its noise is drawn, so a
    fit that fails afterwards has spent what it released.

    Parameters
    ----------
    epsilon : float
        The budget, greater than 0.
    delta : float, default=1e-5
        The probability up to which epsilon may be exceeded, between 0 and 1; well below 1 / n_users.

    Attributes
    ----------
    releases : list of (str, float)
        What was charged: a label and the squared ratio of sensitivity to noise.

    See Also
    --------
    GaussianMechanism : Draws the noise and charges the ledger.

    Notes
    -----
    Gaussian releases compose exactly: their squared ratios of sensitivity to noise add up, and the sum is converted
    to epsilon once (`spent`). Copies made by `copy`, `deepcopy` and `sklearn.base.clone` are the same ledger, so the
    fits of a search are charged to it too. A ledger that was pickled or loaded is a record: it reports, and refuses
    further releases, because two copies could each spend the whole budget.

    References
    ----------
    J. Dong, A. Roth, W. J. Su, "Gaussian Differential Privacy", Journal of the Royal Statistical Society B 84(1), 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.privacy import GaussianMechanism, PrivacyLedger
    >>> ledger = PrivacyLedger(epsilon=1.0, delta=1e-5)
    >>> mechanism = GaussianMechanism(0.6, delta=1e-5, ledger=ledger)
    >>> noisy = mechanism.release(np.zeros(3), label="first")
    >>> noisy = mechanism.release(np.zeros(3), label="second")
    >>> round(ledger.spent()[0], 2)
    0.88
    >>> mechanism.release(np.zeros(3), label="third")
    Traceback (most recent call last):
        ...
    sklearn_llmrec.privacy._ledger.PrivacyBudgetError: The release 'third' would raise ...
    """

    def __init__(self, epsilon: float, delta: float = 1e-5) -> None:
        check_budget(epsilon, delta)
        self.epsilon = epsilon
        self.delta = delta
        self.releases: list[tuple[str, float]] = []
        self._is_record = False

    def charge(self, squared_ratio: float, label: str = "release") -> None:
        """Record the cost of a Gaussian release, before its noise is drawn.

        Parameters
        ----------
        squared_ratio : float
            Square of sensitivity over standard deviation of the noise.
        label : str, default="release"
            What is released.

        Raises
        ------
        PrivacyBudgetError
            If the budget would be exceeded, or the ledger was loaded. Nothing is charged then.
        ValueError
            If `squared_ratio` is negative or not finite.
        """
        if not 0 <= squared_ratio < float("inf"):
            raise ValueError(f"squared_ratio must be a finite number >= 0, got {squared_ratio!r}.")
        with _LOCK:
            if self._is_record:
                raise PrivacyBudgetError(
                    f"The release {label!r} is refused: this ledger was pickled or loaded, and is a record of what was "
                    "spent. Charge the original, in the process that has it (n_jobs=1 in a search)."
                )
            before = sum(amount for _, amount in self.releases)
            if before + squared_ratio > self._budget() * (1 + _ROUNDING):
                raise PrivacyBudgetError(
                    f"The release {label!r} would raise the privacy spent from epsilon "
                    f"{epsilon_of(before, self.delta):.3g} to {epsilon_of(before + squared_ratio, self.delta):.3g}, "
                    f"above the budget of {self.epsilon:.3g} at delta {self.delta:.3g}. Release less, or with more "
                    "noise (a smaller epsilon)."
                )
            self.releases.append((label, float(squared_ratio)))

    def spent(self) -> tuple[float, float]:
        """Return ``(epsilon, delta)`` of all releases together, at the delta of the budget."""
        return epsilon_of(sum(amount for _, amount in self.releases), self.delta), self.delta

    def remaining(self) -> float:
        """Return the largest epsilon, at the delta of the budget, that one more release may have."""
        budget = self._budget() - sum(amount for _, amount in self.releases)
        return epsilon_of(max(budget, 0.0), self.delta)

    def _budget(self) -> float:
        return ratio_of(self.epsilon, self.delta) ** 2

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "releases": list(self.releases), "_is_record": True}

    def __repr__(self) -> str:
        spent = self.spent()[0]
        return f"PrivacyLedger(epsilon={self.epsilon!r}, delta={self.delta!r}, spent={spent:.3g})"


def check_budget(epsilon: float, delta: float) -> None:
    """Refuse values that are no privacy budget."""
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon must be a finite number above 0, got {epsilon!r}.")
    if not 0 < delta < 1:
        raise ValueError(f"delta must be between 0 and 1, got {delta!r}.")
