"""Weighted vote of several recommenders."""

from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.ensemble._base import _fit_single_estimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed

from sklearn_llmrec.base import BaseRecommender

# Scores of one row closer than this share of its largest are one score to every contract of the
# package, alone or in a batch; ranks must not tell them apart.
_SAME_SCORE = 1e-6


class VotingRecommender(MetaEstimatorMixin, _BaseComposition, BaseRecommender):
    r"""Weighted mean of the scores of several recommenders.

    The scores of every member are brought to one scale within each user, over all items, whether
    the user has seen them or not and whether they are candidates or not: a vote does not depend on
    what is asked for. Then

    .. math:: s_{ui} = \frac{\sum_m w_m \, \mathrm{norm}(s^{(m)}_u)_i}{\sum_m w_m} .

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        Recommenders, or Pipelines that end with one. Clones of them are fitted. A member set to
        ``"drop"`` by ``set_params(name="drop")`` is left out; its parameters are set as
        ``name__parameter``.
    weights : array-like of shape (n_estimators,) or None, default=None
        Weights >= 0 of the members, dropped ones included. None weights all alike. A member of
        weight 0 is fitted and does not vote.
    normalize : {"minmax", "zscore", "rank", "rrf"} or None, default="minmax"
        Scale of the votes: from 0 to 1; mean 0 and standard deviation 1; rank from 1 (best) down to
        0 (worst); reciprocal rank fusion, ``1 / (rrf_k + rank)`` with ranks from 1; None adds the
        scores as they are. Equal scores share the mean of their ranks.
    rrf_k : float, default=60
        Larger values make the first ranks less special. Only for ``normalize="rrf"``.
    n_jobs : int or None, default=None
        Number of members fitted in parallel. None means 1, -1 all processors.
    verbose : bool, default=False
        Print how long each member took to fit.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members, without dropped ones.
    named_estimators_ : :class:`~sklearn.utils.Bunch`
        The fitted members by name; ``"drop"`` for dropped ones.
    n_features_in_ : int
        Number of items seen at fit.
    item_popularity_ : ndarray of shape (n_items,)
        Number of users who interacted with each item at fit.

    See Also
    --------
    sklearn.ensemble.VotingRegressor : The same composition for regressors.

    Notes
    -----
    Members get `X` with the times and tables that it carries. If one of them is a model of order,
    so is the vote: `score` hides the latest interactions. Cost: that of the members, and for ranks
    O(n_items log n_items) a user.

    References
    ----------
    E. A. Fox and J. A. Shaw (1994), "Combination of multiple searches", TREC-2 (sums of normalised
    scores). G. V. Cormack, C. L. A. Clarke and S. Buettcher (2009), "Reciprocal rank fusion
    outperforms Condorcet and individual rank learning methods", SIGIR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_llmrec import ItemKNN, VotingRecommender
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.preprocessing import BM25Transformer
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
    >>> voting = VotingRecommender(
    ...     [
    ...         ("knn", make_pipeline(BM25Transformer(), ItemKNN())),
    ...         ("popular", PopularityRecommender()),
    ...     ],
    ...     weights=[2, 1],
    ... )
    >>> items, scores = voting.fit(X).recommend(X[1:2], k=2)
    >>> items
    array([[2, 3]])
    """

    _parameter_constraints = {
        "estimators": [list],
        "weights": ["array-like", None],
        "normalize": [StrOptions({"minmax", "zscore", "rank", "rrf"}), None],
        "rrf_k": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [int, None],
        "verbose": ["verbose"],
    }
    _keeps_input = True

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        weights: ArrayLike | None = None,
        normalize: Literal["minmax", "zscore", "rank", "rrf"] | None = "minmax",
        rrf_k: float = 60,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.normalize = normalize
        self.rrf_k = rrf_k
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def named_estimators(self) -> Bunch:
        """The members by name, as given."""
        return Bunch(**dict(self.estimators))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of the members included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the members and their parameters.

        Returns
        -------
        params : dict
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members (``name=estimator`` or ``name="drop"``) and their parameters.

        Parameters
        ----------
        **params : keyword arguments

        Returns
        -------
        self : object
        """
        self._set_params("estimators", **params)
        return self

    def _fit(self, X: Any) -> None:
        names, members, self._weights = self._checked_members()
        kept = [i for i, member in enumerate(members) if not _is_dropped(member)]
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_single_estimator)(
                clone(members[i]),
                X,
                None,
                {},
                message_clsname=type(self).__name__,
                message=f"({n} of {len(kept)}) Processing {names[i]}" if self.verbose else None,
            )
            for n, i in enumerate(kept, 1)
        )
        fitted = iter(self.estimators_)
        self.named_estimators_ = Bunch(
            **{
                name: member if _is_dropped(member) else next(fitted)
                for name, member in zip(names, members)
            }
        )

    def _checked_members(self) -> tuple[list[str], list[Any], NDArray[np.float64]]:
        """Names and members as given, and the weights of those that are not dropped."""
        if not self.estimators or not all(
            isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
            for entry in self.estimators
        ):
            raise ValueError(
                "estimators must be a non-empty list of (name, estimator) tuples, got "
                f"{self.estimators!r}."
            )
        names, members = (list(part) for part in zip(*self.estimators))
        self._validate_names(names)
        for name, member in zip(names, members):
            if isinstance(member, type) or not (
                _is_dropped(member) or (hasattr(member, "fit") and hasattr(member, "predict"))
            ):
                raise TypeError(
                    f"Member {name!r} must be an instance of a recommender, a Pipeline that ends "
                    f"with one, or 'drop'; got {member!r}."
                )
        weights = np.ones(len(members))
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=np.float64)
        if weights.shape != (len(members),):
            raise ValueError(
                f"weights must hold one number per member, {len(members)} (dropped ones included); "
                f"got an array of shape {weights.shape}."
            )
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(f"weights must be finite and >= 0, got {self.weights!r}.")
        weights = weights[[not _is_dropped(member) for member in members]]
        if not weights.any():
            raise ValueError(
                "No member is left to vote: all are 'drop' or have weight 0. At least one must be "
                "a recommender of positive weight."
            )
        return names, members, weights / weights.sum()

    def _score_rows(self, X: Any) -> NDArray[Any]:
        normalize = _normalizer(self.normalize, self.rrf_k)
        votes = np.zeros(X.shape)
        for member, weight in zip(self.estimators_, self._weights):
            if weight == 0:
                continue
            scores = np.asarray(member.predict(X), dtype=np.float64)
            if scores.shape != X.shape:
                raise ValueError(
                    f"{type(member).__name__}.predict returned shape {scores.shape} for X of shape "
                    f"{X.shape}: every member must return one score per item of X."
                )
            votes += weight * normalize(scores)
        return votes

    def _voters(self) -> list[Any]:
        """The members that are estimators, of a list that nobody has checked yet."""
        entries = self.estimators if isinstance(self.estimators, list) else []
        members = [entry[1] for entry in entries if isinstance(entry, tuple) and len(entry) == 2]
        return [member for member in members if isinstance(member, BaseEstimator)]

    @property
    def _needs_order(self) -> bool:  # type: ignore[override]
        """Whether a member is a model of order, so that `score` hides the latest events."""
        return any(getattr(_last_step(member), "_needs_order", False) for member in self._voters())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # What one member refuses, the vote cannot take.
        tags.input_tags.positive_only = any(
            get_tags(member).input_tags.positive_only for member in self._voters()
        )
        return tags


def _is_dropped(member: Any) -> bool:
    return isinstance(member, str) and member == "drop"


def _last_step(estimator: Any) -> Any:
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def _normalizer(name: str | None, rrf_k: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    if name == "minmax":
        return _minmax
    if name == "zscore":
        return _zscore
    if name == "rank":
        return lambda scores: 1 - (_ranks(scores) - 1) / (scores.shape[1] - 1)
    if name == "rrf":
        return lambda scores: 1 / (rrf_k + _ranks(scores))
    return lambda scores: scores


def _minmax(scores: NDArray[Any]) -> NDArray[Any]:
    low = scores.min(axis=1, keepdims=True)
    span = scores.max(axis=1, keepdims=True) - low
    span[span == 0] = 1
    return (scores - low) / span


def _zscore(scores: NDArray[Any]) -> NDArray[Any]:
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    # Rounding leaves a trace of deviation where all scores are equal.
    deviation[np.ptp(scores, axis=1) == 0] = np.inf
    return centred / deviation


def _ranks(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks within each row from 1, the best; equal scores share the mean of their ranks."""
    step = np.abs(scores).max(axis=1, keepdims=True) * _SAME_SCORE
    step[step == 0] = 1
    ranks: NDArray[np.float64] = rankdata(-np.rint(scores / step), axis=1)
    return ranks
