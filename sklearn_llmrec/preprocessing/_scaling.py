"""Scaling within each user, since people use a rating scale differently."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.preprocessing._base import (
    InteractionTransformer,
    row_extremes,
    row_sums,
)
from sklearn_llmrec.utils import entry_rows

_NUDGE = 1e-6


class UserMinMaxScaler(InteractionTransformer):
    r"""Scale the values of every user to a common positive range.

    The lowest value of a user becomes the lower bound, the highest the upper bound, those between
    are mapped linearly. Where a user gave one value only, nothing was liked less than anything
    else, and all get the upper bound.

    Parameters
    ----------
    feature_range : tuple of (low, high), default=(0.1, 1.0)
        Bounds, ``0 < low < high``: a lower bound of zero would turn a user's lowest value into no
        event.

    Attributes
    ----------
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    UserStandardScaler : Mean and standard deviation instead of the extremes.
    sklearn.preprocessing.MinMaxScaler : Scales columns, over all users.

    Notes
    -----
    Only a user's own interactions count; what it never touched stays untouched. Nothing is learned
    at fit. Cost: O(nnz).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.preprocessing import UserMinMaxScaler
    >>> X = np.array([[1.0, 3.0, 5.0, 0.0], [4.0, 4.0, 0.0, 0.0]])
    >>> UserMinMaxScaler().fit_transform(X)
    array([[0.1 , 0.55, 1.  , 0.  ],
           [1.  , 1.  , 0.  , 0.  ]])
    """

    _parameter_constraints: dict[str, list[Any]] = {"feature_range": [tuple]}

    def __init__(self, feature_range: tuple[float, float] = (0.1, 1.0)) -> None:
        self.feature_range = feature_range

    def _check_parameters(self) -> None:
        bounds = self.feature_range
        if len(bounds) != 2 or not 0 < bounds[0] < bounds[1] < np.inf:
            raise ValueError(
                f"feature_range must be (low, high) with 0 < low < high, got {bounds!r}: a "
                "bound of zero or less would turn events into zeros."
            )

    def _values(self, X: Any) -> NDArray[Any]:
        low, high = self.feature_range
        values = X.data.astype(np.float64)
        smallest, largest = row_extremes(X, values)
        # Halves: the difference of two huge numbers of unlike sign would overflow.
        span = largest / 2 - smallest / 2
        constant = span == 0
        span[constant] = 1
        rows = entry_rows(X)
        share = (values / 2 - smallest[rows] / 2) / span[rows]
        share[constant[rows]] = 1
        return low + (high - low) * share


class UserStandardScaler(InteractionTransformer):
    r"""Standardise the values of every user: subtract its mean, divide by its standard deviation.

    Mean and standard deviation run over the user's own interactions, not over the zeros of what it never touched. A
    value within 1e-6 standard deviations of the mean becomes +1e-6, because a zero would mean that there was no
    event. An average rating thus stays an event, too small to count beside the others. Where a user gave one value
    only, its magnitude takes the place of the standard deviation, and all get 1e-6.

    Parameters
    ----------
    with_mean : bool, default=True
        Subtract the mean.
    with_std : bool, default=True
        Divide by the standard deviation.

    Attributes
    ----------
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    UserMinMaxScaler : Keeps values positive.
    sklearn.preprocessing.StandardScaler : Scales columns, over all users.

    Notes
    -----
    The result has negative values: not for models that need weights >= 0. Nothing is learned at
    fit. Cost: O(nnz).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.preprocessing import UserStandardScaler
    >>> X = np.array([[2.0, 4.0, 0.0], [4.0, 4.0, 0.0]])
    >>> UserStandardScaler().fit_transform(X)
    array([[-1.e+00,  1.e+00,  0.e+00],
           [ 1.e-06,  1.e-06,  0.e+00]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "with_mean": ["boolean"],
        "with_std": ["boolean"],
    }

    def __init__(self, with_mean: bool = True, *, with_std: bool = True) -> None:
        self.with_mean = with_mean
        self.with_std = with_std

    def _values(self, X: Any) -> NDArray[Any]:
        values = X.data.astype(np.float64)
        rows = entry_rows(X)
        counts = np.maximum(np.diff(X.indptr), 1)
        centred = values - (row_sums(X, values) / counts)[rows]
        spread = np.sqrt(row_sums(X, centred**2) / counts)
        _, largest = row_extremes(X, np.abs(values))
        # In rows of one value rounding may leave a trace of deviation, so the test is not "equal to
        # zero".
        spread = np.where(spread <= 1e-14 * largest, largest, spread)[rows]
        if self.with_mean:
            values = np.where(np.abs(centred) < _NUDGE * spread, _NUDGE * spread, centred)
        return values / spread if self.with_std else values
