"""Weights that fade with time."""

from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.preprocessing._base import InteractionTransformer, row_extremes
from sklearn_llmrec.utils import Interval, StrOptions, ages, entry_rows, required_times


class RecencyDecayTransformer(InteractionTransformer):
    r"""Exponential decay of interactions with their age.

    The value x of an event at time t becomes :math:`x \, 2^{-(T - t) / h}`: an event loses half its
    weight every half-life h before the reference time T. Events after T keep their value.

    Parameters
    ----------
    half_life : float or None, default=None
        Half-life, in the unit of the times (seconds where times are unix seconds). None takes the
        median age of the training events, so that half of them keep at least half their weight.
    reference : {"latest", "user"} or float, default="latest"
        The time that ages are counted from: the latest event seen at fit, the latest event of every user, or a time.
        With the latest event of every user, old histories weigh as much as fresh ones, and recommendations do not
        depend on the day of the request.
    order : {"timestamps", "values"}, default="timestamps"
        Where times are read from: `timestamps` of :class:`~sklearn_llmrec.Interactions`, or the
        values of a matrix that contains times instead of weights (every weight is then 1). Ratings and
        counts are not times.

    Attributes
    ----------
    half_life_ : float
        Half-life in use.
    reference_ : float or int or None
        Reference time in use; None where `reference` is "user".
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    RFMTransformer : How recent, frequent and valuable a user is.

    Notes
    -----
    Every event is weighted by its own time, repeated events of a user with an item too. Weights too
    small for the dtype become its smallest positive number. Cost: O(nnz).

    References
    ----------
    Y. Ding and X. Li (2005), "Time weight collaborative filtering", CIKM.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sklearn_llmrec import Interactions
    >>> from sklearn_llmrec.preprocessing import RecencyDecayTransformer
    >>> X = Interactions(sp.csr_array([[1.0, 1.0, 0.0], [0.0, 0.0, 4.0]]), timestamps=[10, 20, 30])
    >>> RecencyDecayTransformer(half_life=10).fit_transform(X).toarray()
    array([[0.25, 0.5 , 0.  ],
           [0.  , 0.  , 4.  ]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "half_life": [Interval(Real, 0, None, closed="neither"), None],
        "reference": [StrOptions({"latest", "user"}), Interval(Real, None, None, closed="neither")],
        "order": [StrOptions({"timestamps", "values"})],
    }
    _per_event = True

    def __init__(
        self,
        half_life: float | None = None,
        *,
        reference: Literal["latest", "user"] | float = "latest",
        order: Literal["timestamps", "values"] = "timestamps",
    ) -> None:
        self.half_life = half_life
        self.reference = reference
        self.order = order

    def _fit(self, X: Any) -> None:
        times = self._times(X)
        if self.reference == "latest":
            self.reference_ = times.max() if len(times) else 0
        else:
            self.reference_ = None if self.reference == "user" else self.reference
        if self.half_life is not None:
            self.half_life_ = float(self.half_life)
            return
        past = self._ages(X, times)
        # The reference events themselves say nothing about how fast the rest fades.
        past = past[past > 0]
        self.half_life_ = float(np.median(past)) if len(past) else 1.0

    def _values(self, X: Any) -> NDArray[Any]:
        if not len(X.data):  # rows without history need no times
            return np.zeros(0)
        decay = np.exp2(-self._ages(X, self._times(X)) / self.half_life_)
        return decay if self.order == "values" else decay * X.data

    def _times(self, X: Any) -> NDArray[Any]:
        if self.order == "values":
            return X.data.astype(np.float64, copy=False)
        remedy = ", or pass order='values' where the values of a plain matrix are times"
        return required_times(X, type(self).__name__, remedy)

    def _ages(self, X: Any, times: NDArray[Any]) -> NDArray[np.float64]:
        latest: Any = self.reference_
        if latest is None:
            latest = row_extremes(X, times)[1][entry_rows(X)]
        return ages(times, latest)
