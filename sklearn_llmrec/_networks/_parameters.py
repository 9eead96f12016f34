"""Define the parameter constraints that all trained networks share."""

from numbers import Integral, Real
from typing import Any

from sklearn_llmrec.utils import Interval, warn

NETWORK_CONSTRAINTS: dict[str, Any] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "regularization": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
STOPPING_CONSTRAINTS: dict[str, Any] = {
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
}


def warn_without_validation(estimator: Any, n_users: int, needed: int) -> None:
    """Warn that early stopping is off because no user is left to validate with."""
    warn(
        f"{type(estimator).__name__} trains for all of max_iter={estimator.max_iter} epochs, without early stopping: "
        f"{n_users} users have at least {needed} events, and validation_fraction={estimator.validation_fraction:g} of "
        "them is no user. Fit on more users, raise validation_fraction, or choose max_iter with early_stopping=False."
    )
