"""Recency, frequency, monetary value: customers as features, segments and weights."""

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.preprocessing._base import check_events, row_extremes, row_sums
from sklearn_llmrec.utils import (
    StrOptions,
    canonical,
    check_feature_names_in,
    entry_rows,
    fit_context,
    restored_on_error,
)

_NAMES = ("recency", "frequency", "monetary")
_QUANTILES = (0.2, 0.4, 0.6, 0.8)
# Rows: recency score 1 to 5; columns: frequency score 1 to 5.
_SEGMENTS = np.array(
    [
        ["hibernating", "hibernating", "at risk", "at risk", "cannot lose"],
        ["hibernating", "hibernating", "at risk", "at risk", "cannot lose"],
        ["about to sleep", "about to sleep", "need attention", "loyal", "loyal"],
        ["promising", "potential loyalist", "potential loyalist", "loyal", "loyal"],
        ["new", "potential loyalist", "potential loyalist", "champion", "champion"],
    ]
)
_NO_EVENTS = "no events"


class RFMTransformer(TransformerMixin, BaseEstimator):
    """Recency, frequency and monetary value of every user, with scores from 1 to 5.

    - recency: time from the user's latest event to the latest event seen at fit, in the unit of
      the times;
    - frequency: number of purchase occasions, that is of distinct times. Where times are not
      used, the number of events of an `Interactions`, and of non-zero entries of another matrix
      (several stored entries of one user and item are one);
    - monetary: sum of the values.

    Scores are fifths of the users at fit, 5 the best: most recent, most frequent, highest value.
    Users seen later are scored against the same quantiles.

    Parameters
    ----------
    output : {"all", "values", "scores"}, default="all"
        Columns that `transform` returns: the three quantities, their scores, or both.
    use_times : bool or "auto", default="auto"
        Whether recency is computed and occasions are separated by their times. "auto" does where `X` at
        fit has `timestamps`; True refuses a matrix without. Without times the columns of recency
        are left out.
    monetary : {"sum", "mean"}, default="sum"
        Total value of a user, or value per occasion.
    score_weights : tuple of three floats, default=(1, 1, 1)
        Weights of recency, frequency and monetary value in `user_weights`.

    Attributes
    ----------
    quantiles_ : ndarray of shape (2 or 3, 4)
        Bounds between the scores, a row per quantity; recency is negated (higher is better).
    reference_ : float or int or None
        Latest time seen at fit.
    longest_recency_ : float or None
        Recency of a row without events: the time that the training log spans.
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    RecencyDecayTransformer : Weights single interactions by age.

    Notes
    -----
    A value on a bound gets the lower score, so equal users score equally, also where more than a
    fifth of them are equal (most bought once). Build `X` with ``Interactions.from_frame(...,
    value=<money>, timestamp=..., repeats="keep")``: where repeats were summed, only the time that
    was kept for each item counts as an occasion. Events of zero value are no events. Cost: O(nnz
    log nnz).

    References
    ----------
    J. R. Bult and T. Wansbeek (1995), "Optimal selection for direct mail", Marketing Science 14(4).
    P. S. Fader, B. G. S. Hardie and K. L. Lee (2005), "RFM and CLV: Using iso-value curves for
    customer base analysis", Journal of Marketing Research 42(4).

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sklearn_llmrec import Interactions
    >>> from sklearn_llmrec.preprocessing import RFMTransformer
    >>> X = Interactions(sp.csr_array([[5.0, 7.0], [0.0, 3.0]]), timestamps=[10, 40, 20])
    >>> rfm = RFMTransformer(output="values").fit(X)
    >>> rfm.get_feature_names_out()
    array(['recency', 'frequency', 'monetary'], dtype=object)
    >>> rfm.transform(X)
    array([[ 0.,  2., 12.],
           [20.,  1.,  3.]])
    >>> rfm.segments(X)
    array(['champion', 'hibernating'], dtype=object)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "output": [StrOptions({"all", "values", "scores"})],
        "use_times": ["boolean", StrOptions({"auto"})],
        "monetary": [StrOptions({"sum", "mean"})],
        "score_weights": ["array-like"],
    }

    def __init__(
        self,
        output: Literal["all", "values", "scores"] = "all",
        *,
        use_times: bool | Literal["auto"] = "auto",
        monetary: Literal["sum", "mean"] = "sum",
        score_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        self.output = output
        self.use_times = use_times
        self.monetary = monetary
        self.score_weights = score_weights

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the quantiles that scores are read from.

        Parameters
        ----------
        X : {array-like, sparse, Interactions} of shape (n_users, n_items)
            Money spent by every user on every item, with times.
        y : Ignored

        Returns
        -------
        self : object
        """
        with restored_on_error(self):
            weights = np.asarray(self.score_weights, dtype=np.float64)
            if weights.shape != (3,) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
                raise ValueError(
                    "score_weights must be three numbers >= 0, not all zero, for recency, "
                    f"frequency and monetary value; got {self.score_weights!r}."
                )
            X = self._check(X, reset=True)
            times = getattr(X, "timestamps", None)
            use_times = times is not None if self.use_times == "auto" else bool(self.use_times)
            self.reference_ = self.longest_recency_ = None
            if use_times:
                times = self._times(X)
                self.reference_ = times.max() if len(times) else 0
                self.longest_recency_ = float(times.max() - times.min()) if len(times) else 0.0
            quantities = self._quantities(X)
            active = np.diff(X.indptr) > 0
            if not active.any():
                raise ValueError(
                    f"X of shape {X.shape} contains no interaction (every entry is zero): "
                    f"{type(self).__name__} has no users to compare."
                )
            self.quantiles_ = np.quantile(
                self._higher_is_better(quantities)[active], _QUANTILES, axis=0
            ).T
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Compute the quantities and scores of users.

        Parameters
        ----------
        X : {array-like, sparse, Interactions} of shape (n_users, n_items)
            Users, whether they were seen at fit or not; with times where `fit` used times.

        Returns
        -------
        features : ndarray of shape (n_users, n_features_out)
            The columns named by `get_feature_names_out`. A row without events has frequency 0,
            monetary value 0, the recency `longest_recency_`, and scores 1.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        quantities = self._quantities(X)
        if self.output == "values":
            features = quantities
        elif self.output == "scores":
            features = self._scores(X, quantities)
        else:
            features = np.hstack([quantities, self._scores(X, quantities)])
        return features.astype(X.dtype, copy=False)

    def segments(self, X: Any) -> NDArray[np.object_]:
        """Return the segment of every user, from the scores of recency and frequency.

        Parameters
        ----------
        X : Interactions of shape (n_users, n_items)
            Users with times.

        Returns
        -------
        segments : ndarray of shape (n_users,), object
            "champion", "loyal", "potential loyalist", "new", "promising", "need attention",
            "about to sleep", "at risk", "cannot lose", "hibernating", or "no events" for an empty
            row.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        if self.reference_ is None:
            raise ValueError(
                "Segments compare recency with frequency, and this transformer was fitted without "
                "times: fit it on Interactions with timestamps."
            )
        scores = self._scores(X, self._quantities(X)).astype(np.int64)
        names = _SEGMENTS[scores[:, 0] - 1, scores[:, 1] - 1].astype(object)
        names[np.diff(X.indptr) == 0] = _NO_EVENTS
        return names

    def user_weights(self, X: Any) -> NDArray[np.float64]:
        """Return a weight for every user from its scores.

        Parameters
        ----------
        X : {array-like, sparse, Interactions} of shape (n_users, n_items)
            Users, with times where `fit` used times.

        Returns
        -------
        weights : ndarray of shape (n_users,)
            Mean score over 5, weighted by `score_weights`: from 0.2 to 1.
        """
        check_is_fitted(self)
        X = self._check(X, reset=False)
        scores = self._scores(X, self._quantities(X))
        weights = np.asarray(self.score_weights, dtype=np.float64)[-scores.shape[1] :]
        if not weights.any():
            weights = np.ones_like(weights)  # all the weight was on recency, which is not known
        result: NDArray[np.float64] = scores @ (weights / weights.sum()) / 5
        return result

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the items; only checked.

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features, generate_names=False)
        names = list(_NAMES[-len(self.quantiles_) :])
        scores = [f"{name}_score" for name in names]
        chosen = {"values": names, "scores": scores, "all": names + scores}[self.output]
        return np.asarray(chosen, dtype=object)

    def _check(self, X: Any, *, reset: bool) -> Any:
        X = check_events(self, X, reset=reset)
        if hasattr(X, "timestamps"):  # an Interactions, also where it has no times
            return X  # repeated entries are events of their own
        # Those of a plain matrix are parts of one sum, as SciPy reads them.
        return canonical(X if sp.issparse(X) else sp.csr_array(X))

    def _times(self, X: Any) -> NDArray[Any]:
        times: NDArray[Any] | None = getattr(X, "timestamps", None)
        if times is None:
            raise ValueError(
                f"X ({type(X).__name__}) has no timestamps, and {type(self).__name__} "
                + ("was fitted with them. " if self.use_times == "auto" else "has use_times=True. ")
                + "Build it with Interactions.from_frame(df, user=..., item=..., value=..., "
                "timestamp=...)."
            )
        return times

    def _quantities(self, X: Any) -> NDArray[np.float64]:
        """Return (recency,) frequency and monetary value, one row per user."""
        monetary = row_sums(X, X.data)
        if self.reference_ is None:
            frequency = np.diff(X.indptr).astype(np.float64)
            columns = []
        else:
            times = self._times(X)
            frequency = _n_occasions(X, times)
            latest = row_extremes(X, times)[1]
            recency = np.maximum(np.asarray(self.reference_ - latest, dtype=np.float64), 0)
            recency[frequency == 0] = self.longest_recency_
            columns = [recency]
        if self.monetary == "mean":
            monetary = monetary / np.maximum(frequency, 1)
        return np.column_stack([*columns, frequency, monetary])

    def _higher_is_better(self, quantities: NDArray[np.float64]) -> NDArray[np.float64]:
        return quantities if self.reference_ is None else quantities * np.array([-1.0, 1.0, 1.0])

    def _scores(self, X: Any, quantities: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._higher_is_better(quantities)
        scores = 1.0 + np.column_stack(
            [
                np.searchsorted(bounds, column, side="left")
                for bounds, column in zip(self.quantiles_, values.T)
            ]
        )
        scores[np.diff(X.indptr) == 0] = 1
        return scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _n_occasions(X: Any, times: NDArray[Any]) -> NDArray[np.float64]:
    """Return the number of distinct times in every row."""
    rows = entry_rows(X)
    order = np.lexsort((times, rows))
    rows, times = rows[order], times[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(rows) != 0) | (times[1:] != times[:-1])
    counts: NDArray[np.float64] = np.bincount(rows[first], minlength=X.shape[0]).astype(np.float64)
    return counts
