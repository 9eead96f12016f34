"""Gaussian noise with the analytic calibration of Balle and Wang (2018)."""

from __future__ import annotations

import math
import secrets
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.privacy._calibration import epsilon_of, ratio_of
from sklearn_llmrec.privacy._ledger import PrivacyLedger, check_budget
from sklearn_llmrec.utils import require

_SAMPLERS = ("bulk", "exact", "unsafe_seeded")
# Released values are multiples of a power of two at most this share of the noise.
_GRID_BITS = 10
# The discrete noise of OpenDP lies on a grid this much finer than the noise of all values together.
_EXACT_BITS = 16


class GaussianMechanism:
    r"""Add Gaussian noise that makes a statistic (epsilon, delta)-differentially private.

    Two data sets are neighbours if one has one user (one row) more than the other. A statistic of sensitivity
    :math:`\Delta` changes by at most :math:`\Delta` in Euclidean norm between neighbours. The noise has the standard
    deviation :math:`\Delta / \mu`, with the largest :math:`\mu` for which

    .. math:: \Phi(\mu / 2 - \epsilon / \mu) - e^\epsilon \Phi(-\mu / 2 - \epsilon / \mu) \le \delta.

    Pass it to an estimator as ``privacy=``.

    Parameters
    ----------
    epsilon : float
        How much one user may change the probability of any outcome, as a logarithm; greater than 0. 1 is strong
        protection, 10 weak.
    delta : float, default=1e-5
        The probability up to which epsilon may be exceeded; between 0 and 1, well below 1 / n_users.
    sampler : {"bulk", "exact", "unsafe_seeded"}, default="bulk"
        "bulk" draws floating-point noise from numpy's generator, seeded by the operating system, and rounds the result
        to a grid. "exact" draws discrete Gaussian noise by OpenDP (extra ``privacy``): safe against attacks on the last
        bits of floating-point numbers, at about 70 s per million values. "unsafe_seeded" draws from `random_state`:
        for tests only, since whoever knows the seed can subtract the noise.
    ledger : PrivacyLedger, default=None
        Account to charge. None: what is spent is reported, and not limited.
    random_state : int, default=None
        Seed of "unsafe_seeded"; refused otherwise.

    See Also
    --------
    PrivacyLedger : Adds up releases.
    sklearn_llmrec.linear_model.EASE : Can be fitted with ``privacy=``.

    Notes
    -----
    numpy's generator is no cryptographic one, and sums of floating-point numbers are rounded, which the calibration
    does not count. Rounding the result to a grid (1/1024 of the noise or finer) removes most of what the last bits show
    (Mironov, 2012), not all. Where an opponent can study many releases bit by bit, use "exact". The noise of
    "exact" is slightly larger, since rounding the values to OpenDP's grid adds to their sensitivity.

    References
    ----------
    B. Balle, Y.-X. Wang, "Improving the Gaussian Mechanism for Differential Privacy: Analytical Calibration and Optimal
    Denoising", ICML 2018, arXiv:1805.06530.

    I. Mironov, "On Significance of the Least Significant Bits for Differential Privacy", CCS 2012.

    Examples
    --------
    >>> from sklearn_llmrec.privacy import GaussianMechanism
    >>> mechanism = GaussianMechanism(epsilon=1.0, delta=1e-5)
    >>> round(mechanism.noise_scale(sensitivity=1.0), 2)
    3.73
    >>> noisy = mechanism.release([100.0, 20.0], sensitivity=1.0)
    >>> noisy.shape
    (2,)
    """

    def __init__(
        self,
        epsilon: float,
        delta: float = 1e-5,
        *,
        sampler: str = "bulk",
        ledger: PrivacyLedger | None = None,
        random_state: int | None = None,
    ) -> None:
        check_budget(epsilon, delta)
        if sampler not in _SAMPLERS:
            raise ValueError(
                f"sampler must be one of {', '.join(map(repr, _SAMPLERS))}, got {sampler!r}."
            )
        if (sampler == "unsafe_seeded") != (random_state is not None):
            raise ValueError(
                f"random_state={random_state!r} with sampler={sampler!r}: noise from a known seed protects nobody. "
                'Leave random_state out, or in a test pass sampler="unsafe_seeded" with an integer.'
            )
        if ledger is not None and not isinstance(ledger, PrivacyLedger):
            raise TypeError(f"ledger must be a PrivacyLedger or None, got {type(ledger).__name__}.")
        self.epsilon = epsilon
        self.delta = delta
        self.sampler = sampler
        self.ledger = ledger
        self.random_state = random_state

    def noise_scale(self, sensitivity: float = 1.0, *, share: float = 1.0) -> float:
        """Return the standard deviation of the noise.

        Parameters
        ----------
        sensitivity : float, default=1.0
            How far one user can move the statistic, in Euclidean norm.
        share : float, default=1.0
            Share of the budget, in squared ratios of sensitivity to noise: releases whose shares sum to 1 are
            (epsilon, delta)-private together.

        Returns
        -------
        scale : float
            In the unit of the statistic.

        Raises
        ------
        ValueError
            If `sensitivity` is not a finite number above 0, or `share` not above 0 and at most 1.
        """
        if not 0 < sensitivity < float("inf"):
            raise ValueError(f"sensitivity must be a finite number above 0, got {sensitivity!r}.")
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share!r}.")
        return sensitivity / (ratio_of(self.epsilon, self.delta) * math.sqrt(share))

    def release(
        self,
        values: ArrayLike,
        sensitivity: float = 1.0,
        *,
        share: float = 1.0,
        label: str = "release",
    ) -> NDArray[np.float64]:
        """Return the values with noise, and charge the ledger first.

        Parameters
        ----------
        values : array-like
            The exact statistic, finite.
        sensitivity : float, default=1.0
            How far one user can move the statistic, in Euclidean norm. The caller proves it.
        share : float, default=1.0
            Share of the budget that is spent.
        label : str, default="release"
            What is released, for the ledger.

        Returns
        -------
        noisy : ndarray of the shape of `values`, float64

        Raises
        ------
        PrivacyBudgetError
            If the ledger has not enough left; nothing is released.
        ValueError
            If `values` are not finite, or `sensitivity` or `share` is out of range; nothing is released.
        ImportError
            With ``sampler="exact"`` and without OpenDP; nothing is released.
        """
        values = np.asarray(values, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("values must be finite: noise cannot hide NaN or infinity.")
        scale = self.noise_scale(sensitivity, share=share)
        exact = None
        if self.sampler == "exact":
            exact = _opendp_measurement(values.size, sensitivity, scale)
        if self.ledger is not None:
            self.ledger.charge((sensitivity / scale) ** 2, label)
        if exact is not None:
            return np.reshape(exact(values.ravel().tolist()), values.shape).astype(np.float64)
        seed: Any = secrets.randbits(256)
        if self.random_state is not None:
            seed = [self.random_state, zlib.crc32(label.encode())]  # releases differ by label
        noisy = np.random.default_rng(seed).normal(0.0, scale, values.shape)
        noisy += values
        grid = 2.0 ** (math.floor(math.log2(scale)) - _GRID_BITS)
        noisy /= grid
        np.round(noisy, out=noisy)
        noisy *= grid
        return noisy

    def spent(self, share: float = 1.0) -> tuple[float, float]:
        """Return ``(epsilon, delta)`` of releases with this total share; an infinite epsilon where noise is seeded.

        Parameters
        ----------
        share : float, default=1.0
            Sum of the shares of the releases; above 1 where the whole budget was spent more than once.

        Returns
        -------
        epsilon, delta : float
        """
        if self.sampler == "unsafe_seeded":
            return math.inf, self.delta
        if share == 1:
            return float(self.epsilon), float(self.delta)
        return epsilon_of(share * ratio_of(self.epsilon, self.delta) ** 2, self.delta), self.delta

    def __repr__(self) -> str:
        extra = "" if self.ledger is None else f", ledger={self.ledger!r}"
        seed = "" if self.random_state is None else f", random_state={self.random_state!r}"
        return (
            f"GaussianMechanism(epsilon={self.epsilon!r}, delta={self.delta!r}, sampler={self.sampler!r}"
            f"{extra}{seed})"
        )


def _opendp_measurement(size: int, sensitivity: float, scale: float) -> Any:
    """Return OpenDP's discrete Gaussian on a vector, with the noise raised until its zCDP is that of `scale`."""
    dp = require("opendp.prelude", "privacy")
    # OpenDP requires to switch on whatever its vetting committee has not reviewed; the names differ by version.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        dp.enable_features("contrib", "floating-point")
    domain = dp.vector_domain(dp.atom_domain(T=float, nan=False), size=size)
    metric = dp.l2_distance(T=float)
    wanted = (sensitivity / scale) ** 2 / 2
    step = math.floor(math.log2(scale / math.sqrt(max(size, 1)))) - _EXACT_BITS
    for _ in range(20):
        measurement = dp.m.make_gaussian(domain, metric, scale=scale, k=step)
        rho = measurement.map(sensitivity)
        if rho <= wanted:
            return measurement
        scale *= math.sqrt(rho / wanted) * (1 + 1e-9)
    raise RuntimeError(
        f"OpenDP's noise of {size} values did not reach rho {wanted:.3g} at scale {scale:.3g}."
    )
