"""Chain recommenders: the first one that has evidence decides, the next ones fill the rest."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import equal_but_for_rounding
from sklearn_llmrec.base import BaseRecommender, Scores
from sklearn_llmrec.ensemble._members import BaseMembers, member_scores
from sklearn_llmrec.ensemble._reranker import unit_interval
from sklearn_llmrec.utils import rows_without_entries


def evidence(member: Any, X: Any) -> Scores:
    """Score rows by a fitted member once, and return which scores rest on evidence about the row and the item."""
    inner, given = member, X
    if isinstance(member, Pipeline):
        given, inner = member[:-1].transform(X) if len(member.steps) > 1 else X, member[-1]
    if isinstance(inner, BaseRecommender):
        check_is_fitted(inner)
        return inner._scored(inner._prepared(inner._check_X(given, reset=False)))
    scores = member_scores(member, X)
    informed = ~equal_but_for_rounding(scores.min(axis=1), scores.max(axis=1))
    informed &= ~rows_without_entries(X)
    return Scores(scores, np.repeat(informed[:, None], X.shape[1], axis=1))


class FallbackRecommender(BaseMembers):
    r"""A chain of recommenders that always fills a list.

    A member has evidence about a user and an item if it knows something about the pair. Items about which the first
    member has evidence come first, in its order. Below them come the items that only the second member knows, in its
    order, and so on. The last member orders all other items, so a chain that ends with popularity fills every list.

    No member has evidence about an empty row, or about a row whose scores are all equal. If a zero score means that
    the member knows nothing (neighbours: no common user), it has no evidence about such an item.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        Recommenders or Pipelines that end with one, the most personal first. A member set to
        ``"drop"`` is left out; its parameters are set as ``name__parameter``.
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
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SwitchRecommender : One member for the whole row.
    VotingRecommender : All members for every item.

    Notes
    -----
    Member j of m scores its items in (m - j - 1, m - j - 1/2], by its own scores brought to the unit
    interval within the row. Cost: that of the members.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import FallbackRecommender
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
    >>> chain = FallbackRecommender([("similar", ItemKNN()), ("popular", PopularityRecommender())])
    >>> items, _ = chain.fit(X).recommend([[1, 0, 0, 0], [0, 0, 1, 0]], k=3)
    >>> items
    array([[1, 3, 2],
           [3, 0, 1]])
    """

    _passes_on_known = True
    _parameter_constraints = {
        "estimators": [list],
        "n_jobs": [int, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimators = estimators
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit(self, X: Any) -> None:
        self._fit_members(X, n_jobs=self.n_jobs, verbose=self.verbose)
        empty = sp.csr_array((1, X.shape[1]), dtype=X.dtype)
        self._empty_row_scores_ = self._score_rows(empty).values[0]

    def _fallback_scores(self) -> NDArray[Any]:
        return self._empty_row_scores_

    def _score_rows(self, X: Any) -> Scores:
        n_members = len(self.estimators_)
        result = np.zeros(X.shape)
        unscored = np.full(X.shape, True)
        known_at_all = np.full(X.shape, False)
        for level, member in enumerate(self.estimators_):
            scores, known = evidence(member, X)
            known_at_all |= known
            mine = unscored & known if level < n_members - 1 else unscored
            # Rounded, so that scaling does not part what is equal.
            scaled = np.round(unit_interval(np.where(mine, scores.astype(np.float64), -np.inf)), 9)
            result = np.where(mine, n_members - level - 1 + 0.5 * scaled, result)
            unscored &= ~mine
        return Scores(result, known_at_all)
