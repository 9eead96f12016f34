"""Popularity and random order: the baselines of every comparison."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.base import (
    BaseRecommender,
    BlockPlace,
    BlockSumsMixin,
    PartialFitMixin,
    Phase,
    Statistics,
    Tags,
    Totals,
    check_public_settings,
    count_vector,
    released_counts,
)
from sklearn_llmrec.interactions import decayed_popularity
from sklearn_llmrec.privacy import GaussianMechanism
from sklearn_llmrec.utils import Interval, StrOptions


class PopularityRecommender(BlockSumsMixin, PartialFitMixin):
    r"""Recommend to everyone what most users interacted with, or most users recently.

    Parameters
    ----------
    weighting : {"users", "values"}, default="users"
        What popularity counts: users who interacted with the item, or the sum of the values of its column.
    half_life : float or None, default=None
        Time after which an interaction counts half, in the unit of the timestamps of X (seconds for unix seconds, so
        ``7 * 86_400`` is a week): an interaction of age a, measured from the newest event of the fit, has the weight
        :math:`2^{-a/h}`. A user counts once per item, at the latest event; with ``weighting="values"`` every event has
        the weight of its own time. None weights all alike and needs no times.
    privacy : GaussianMechanism, default=None
        Fit with user-level differential privacy: see :class:`~sklearn_llmrec.privacy.GaussianMechanism`, and Notes.

    Attributes
    ----------
    item_scores_ : ndarray of shape (n_items,), float64
        The score of each item.
    reference_ : int, float or None
        Time of the newest event of the fit, from which ages are measured; None without `half_life`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`, not weighted by time.
    privacy_spent_ : tuple (epsilon, delta)
        What the fit spent; only with `privacy`.
    n_features_in_ : int
        Number of items.

    Raises
    ------
    ValueError
        At fit with `half_life`, if X has no timestamps; with `privacy`, if `half_life` is given or `weighting` is not
        "users".

    See Also
    --------
    RandomRecommender : Chance instead of popularity.
    sklearn_llmrec.ensemble.FallbackRecommender : Serves users without history by a model of your choice.
    sklearn_llmrec.ensemble.TrendReranker : Prefers what gains popularity among the items of another model.

    Notes
    -----
    Fit is O(nnz). Scores do not depend on the row; seen items are removed row by row. With ``weighting="users"``
    values of X are ignored, only which items a row contains counts: a negative value (a dislike) is an interaction like
    any other. `partial_fit` of later parts gives the scores of one fit on all parts, also where a part contains the
    newest event: the earlier scores are then multiplied by the decay since the last reference time.

    With `privacy`, neighbouring data sets differ by one user, and the catalogue is public. A user of n items counts
    :math:`1 / \sqrt n` for each, a vector of norm 1 whatever n is, so the sensitivity is 1; a hundredth of the squared
    norm counts the users. `item_scores_` are the noisy sums, `item_popularity_` the same cut at 0. `partial_fit` is
    refused.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> X = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1]])
    >>> model = PopularityRecommender().fit(X)
    >>> items, scores = model.recommend(np.array([[0, 1, 0]]), k=2)
    >>> items, scores
    (array([[2, 0]]), array([[2., 1.]]))

    Item 0 had two users long ago, item 1 one user lately:

    >>> import scipy.sparse as sp
    >>> from sklearn_llmrec import Interactions
    >>> X = Interactions(
    ...     sp.csr_array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), timestamps=[10, 10, 30]
    ... )
    >>> PopularityRecommender(half_life=10).fit(X).item_scores_
    array([0.5, 1. ])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "weighting": [StrOptions({"users", "values"})],
        "half_life": [Interval(Real, 0, None, closed="neither"), None],
        "privacy": [GaussianMechanism, None],
    }

    item_scores_: NDArray[np.float64]

    def __init__(
        self,
        weighting: str = "users",
        *,
        half_life: float | None = None,
        privacy: GaussianMechanism | None = None,
    ) -> None:
        self.weighting = weighting
        self.half_life = half_life
        self.privacy = privacy

    def _sums(self, X: Any, reference: Any) -> tuple[NDArray[np.float64], Any]:
        """Return the contribution of the rows of X to the scores, and the reference time."""
        by_values = self.weighting == "values"
        if self.half_life is not None:
            return decayed_popularity(
                X,
                self.half_life,
                name=f"{type(self).__name__}(half_life=...)",
                reference=reference,
                by_values=by_values,
            )
        weights = X.data if by_values else None
        return np.bincount(X.indices, weights, minlength=X.shape[1]).astype(np.float64), None

    def _plan(self, totals: Totals) -> Phase:
        if self.privacy is not None:
            check_public_settings(self, weighting="users", half_life=None)
        return Phase("counts")

    def _statistics(self, X: Any, phase: Phase, place: BlockPlace) -> Statistics:
        if self.privacy is not None:
            return {"scores": count_vector(X), "reference": None}
        scores, reference = self._sums(X, None)
        return {"scores": scores, "reference": reference}

    def _add(self, a: Statistics, b: Statistics) -> Statistics:
        """Add decayed sums after both decayed to the later of their reference times."""
        times = [part["reference"] for part in (a, b) if part["reference"] is not None]
        if not times:
            return {"scores": a["scores"] + b["scores"], "reference": None}
        latest = max(times)
        return {"scores": sum(self._decayed(part, latest) for part in (a, b)), "reference": latest}

    def _decayed(self, part: Statistics, latest: Any) -> NDArray[np.float64]:
        """Return the scores of a part as they are at a later time."""
        scores: NDArray[np.float64] = part["scores"]
        if part["reference"] is None or self.half_life is None:
            return scores  # of no events
        return scores * np.exp2(-float(latest - part["reference"]) / self.half_life)

    def _advance(self, phase: Phase, total: Statistics) -> None:
        scores, self.reference_ = total["scores"], total["reference"]
        if self.privacy is not None:
            counts = released_counts(scores, self.privacy)
            self.privacy_spent_ = self.privacy.spent()
            self.n_users_fit_ = max(1, round(counts.n_users))
            scores, self.item_popularity_ = counts.per_item, np.maximum(counts.per_item, 0)
        self.item_scores_ = scores

    def _extend_items(self, X: sp.csr_array) -> None:
        n_new = X.shape[1] - len(self.item_scores_)
        self.item_scores_ = np.append(self.item_scores_, np.zeros(n_new))

    def _partial_fit(self, X: Any) -> None:
        if (self.half_life is None) != (self.reference_ is None):
            raise ValueError(
                f"half_life={self.half_life} differs from that of the first part: the decay of earlier events cannot "
                "be undone. Set it before the first fit, or fit on all rows again."
            )
        scores, reference = self._sums(X, self.reference_)
        known = {"scores": self.item_scores_, "reference": self.reference_}
        total = self._add(known, {"scores": scores, "reference": reference})
        self.item_scores_, self.reference_ = total["scores"], total["reference"]

    def _forget(self, X: Any) -> None:
        if self.reference_ is not None:
            raise ValueError(
                "A popularity that decays (half_life) cannot forget rows: the newest event may be theirs. Fit it again."
            )
        self.item_scores_ = self.item_scores_ - self._sums(X, None)[0]

    def _score_rows(self, X: Any) -> NDArray[Any]:
        return np.tile(self.item_scores_.astype(X.dtype), (X.shape[0], 1))

    def _fallback_scores(self) -> NDArray[Any]:
        return self.item_scores_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Times are read from X as given.
        tags.recommender_tags.keeps_input = self.half_life is not None
        return tags


class RandomRecommender(BaseRecommender):
    """Recommend items in random order, the same for equal histories.

    The order is a hash of the row's items and a seed drawn from `random_state`: a user gets the same list alone and in
    a batch, and two users with different histories get unrelated ones.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Source of the seed, drawn at `fit`.

    Attributes
    ----------
    seed_ : int
        The seed drawn at `fit`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    PopularityRecommender : The floor that is harder to beat.

    Notes
    -----
    Values of X are ignored, only which items a row contains counts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import RandomRecommender
    >>> X = np.array([[1, 1, 0, 0], [0, 1, 1, 0]])
    >>> items, _ = RandomRecommender(random_state=0).fit(X).recommend(X, k=2)
    >>> sorted(items[0].tolist())
    [2, 3]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {"random_state": ["random_state"]}

    def __init__(self, random_state: Integral | RandomState | None = None) -> None:
        self.random_state = random_state

    def _fit(self, X: sp.csr_array) -> None:
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        scores = np.empty(X.shape, dtype=X.dtype)
        for row in range(X.shape[0]):
            history = X.indices[X.indptr[row] : X.indptr[row + 1]].astype(np.uint32)
            rng = np.random.default_rng([self.seed_, *history.tolist()])
            scores[row] = rng.random(X.shape[1])
        return scores
