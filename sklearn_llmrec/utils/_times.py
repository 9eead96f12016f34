"""Times of events, and weights that halve with the age of an event."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def required_times(X: Any, name: str, remedy: str = "") -> NDArray[Any]:
    """Return the timestamps of X.

    Raises
    ------
    ValueError
        If X has none; the message names the estimator and ends with the remedy.
    """
    times: NDArray[Any] | None = getattr(X, "timestamps", None)
    if times is None:
        raise ValueError(
            f"{name} needs to know when: X ({type(X).__name__}) has no timestamps. Build it with "
            f"Interactions.from_frame(df, user=..., item=..., timestamp=...){remedy}. A step before this one may have "
            "dropped the times."
        )
    return times


def ages(times: NDArray[Any], reference: Any) -> NDArray[np.float64]:
    """Return the time from each event to the reference time; 0 for later events."""
    # Subtracted as integers where times are: unix nanoseconds do not fit a float64.
    return np.maximum(np.asarray(reference - times, dtype=np.float64), 0)
