"""Bandits: rerankers that learn from clicks and explore items about which little is known."""

from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.ensemble._mmr import greedy
from sklearn_llmrec.ensemble._propensities import list_propensities
from sklearn_llmrec.ensemble._reranker import BaseReranker
from sklearn_llmrec.utils import Interval, StrOptions, built_aside, canonical

_POLICIES = ("thompson", "epsilon_greedy", "ucb")


class BanditReranker(BaseReranker):
    r"""Rerank the first items of a recommender by feedback, and keep exploring.

    Every item has an unknown rate of reward :math:`\theta_i`, of clicks per showing. Before any feedback, the
    candidate at place p of m (from 0) in the list of the base counts as shown c times, c being `prior_strength`, with
    the rate :math:`\mu_p = (m - p) / (m + 1)`. After n showings and s rewards, given to `partial_fit`,

    .. math:: \theta_i \sim \mathrm{Beta}\big(c \mu_p + s_i,\; c (1 - \mu_p) + n_i - s_i\big).

    So the base decides where nothing is known, and feedback where there is some. "thompson" ranks by one draw from
    each of these distributions. "epsilon_greedy" ranks by their means, with a random candidate at a share of the
    places. "ucb" ranks by the mean and a bonus for items that were seldom shown.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    policy : {"thompson", "epsilon_greedy", "ucb"}, default="thompson"
        How items are tried out. Thompson sampling (Beta-Bernoulli) has nothing to tune and stops trying what it knows
        to be worse.
    epsilon : float, default=0.1
        For "epsilon_greedy": the share of places that go to a random candidate; 0 is greedy, 1 random.
    width : float, default=0.3
        For "ucb": the bonus is ``width * sqrt(2 log(1 + n_total) / (n_shown + prior_strength))``. The guarantee of
        UCB1 is for 1.
    prior_strength : float, default=1.0
        How many showings the opinion of the base is worth.
    n_candidates : int, default=20
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.
    random_state : int, RandomState instance or None, default=None
        Source of the seed, drawn at `fit`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    n_shown_ : ndarray of shape (n_items,)
        Showings of every item fed back so far.
    n_rewards_ : ndarray of shape (n_items,)
        Rewards of every item fed back so far.
    n_updates_ : int
        Number of calls of `partial_fit`.
    seed_ : int
        The seed drawn at `fit`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.metrics.replay_value : What a policy would have earned, from logged feedback.

    Notes
    -----
    Draws are a function of the seed, the number of updates and the row's items: a user gets the same list alone, in a
    batch and again, until feedback comes in; users with other histories get other draws. `fit` forgets the
    feedback. A rate belongs to an item, not to a user: what is personal comes from the base.

    References
    ----------
    O. Chapelle and L. Li, "An empirical evaluation of Thompson sampling", NeurIPS 2011. P. Auer, N. Cesa-Bianchi and
    P. Fischer, "Finite-time analysis of the multiarmed bandit problem", Machine Learning 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import BanditReranker
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]])
    >>> bandit = BanditReranker(PopularityRecommender(), policy="epsilon_greedy", epsilon=0)
    >>> bandit.fit(X).recommend([[1, 0, 0, 0]], k=3)[0]
    array([[1, 2, 3]])
    >>> shown, clicked = [[0, 9, 9, 9]], [[0, 1, 0, 8]]
    >>> bandit.partial_fit(shown, clicked).recommend([[1, 0, 0, 0]], k=3)[0]
    array([[3, 1, 2]])
    """

    _parameter_constraints = {
        **BaseReranker._parameter_constraints,
        "policy": [StrOptions(set(_POLICIES))],
        "epsilon": [Interval(Real, 0, 1, closed="both")],
        "width": [Interval(Real, 0, None, closed="left")],
        "prior_strength": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        policy: str = "thompson",
        epsilon: float = 0.1,
        width: float = 0.3,
        prior_strength: float = 1.0,
        n_candidates: int = 20,
        exclude_seen: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.policy = policy
        self.epsilon = epsilon
        self.width = width
        self.prior_strength = prior_strength
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen
        self.random_state = random_state

    def _fit(self, X: Any) -> None:
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.n_shown_ = np.zeros(X.shape[1])
        self.n_rewards_ = np.zeros(X.shape[1])
        self.n_updates_ = 0
        super()._fit(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from feedback on what was shown. The base stays as it is.

        Feedback adds up over calls: showings to a user seen before, also the same ones passed again, are counted as
        further showings.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            How often each item was shown to each user; rows need not be those of `fit`. Without `y`, feedback with
            a sign: v > 0 is v showings with reward (clicks, purchases), v < 0 is -v showings without (dislikes, what
            was passed over).
        y : {array-like, sparse} of shape (n_users, n_items), default=None
            Rewards, from 0 to the number of showings. A one-dimensional y is ignored.

        Returns
        -------
        self : object
            An estimator that was not fitted is fitted on the rewarded items first.

        Raises
        ------
        ValueError
            If there are rewards without showings, or X has another number of columns than at fit.
        """
        with built_aside(self) as changed:
            fitted = hasattr(changed, "n_shown_")
            shown = canonical(changed._check_X(X, reset=not fitted))
            if y is None or (not sp.issparse(y) and np.ndim(y) == 1):
                rewards, shown = shown.maximum(0), abs(shown)
            else:
                rewards = sp.csr_array(y).astype(np.float64)
                changed._check_feedback(shown, rewards)
            if not fitted:
                changed.fit(rewards)
            changed.n_shown_ = changed.n_shown_ + np.asarray(shown.sum(axis=0)).ravel()
            changed.n_rewards_ = changed.n_rewards_ + np.asarray(rewards.sum(axis=0)).ravel()
            changed.n_updates_ += 1
            changed._remember_empty_row(shown)
        return self

    def _check_feedback(self, shown: sp.csr_array, rewards: sp.csr_array) -> None:
        """Refuse rewards that exceed what was shown.

        Raises
        ------
        ValueError
            If shapes differ, or rewards are negative, not finite, or more than showings.
        """
        if rewards.shape != shown.shape:
            raise ValueError(
                f"y has shape {rewards.shape} and X has {shown.shape}: both are equal."
            )
        if shown.nnz and shown.data.min() < 0:
            raise ValueError(
                "X contains negative numbers of showings; only without y has X a sign."
            )
        if not np.isfinite(rewards.data).all() or (rewards.nnz and rewards.data.min() < 0):
            raise ValueError("y must contain finite rewards of at least 0.")
        if rewards.nnz and (rewards - shown).max() > 0:
            raise ValueError(
                "y contains more rewards than X has showings: X counts what was shown, y what of it was rewarded."
            )

    def _rates(self, items: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return both parameters of the Beta distribution of every candidate's rate."""
        safe = np.maximum(items, 0)
        m = (items >= 0).sum(axis=1, keepdims=True)
        mean = np.clip((m - np.arange(items.shape[1])) / (m + 1), 1e-3, 1)
        won = self.prior_strength * mean + self.n_rewards_[safe]
        lost = self.prior_strength * (1 - mean) + (self.n_shown_ - self.n_rewards_)[safe]
        return won, lost

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        won, lost = self._rates(items)
        mean = won / (won + lost)
        if self.policy == "thompson":
            return ordered(items, self._drawn(X, lambda rng, row: rng.beta(won[row], lost[row])))
        if self.policy == "ucb":
            spread = 2 * np.log1p(self.n_shown_.sum()) / (won + lost)
            return ordered(items, mean + self.width * np.sqrt(spread))
        width = items.shape[1]
        chances = self._drawn(X, lambda rng, row: rng.random(2 * width))
        coins, noise = chances[:, :width] < self.epsilon, chances[:, width:]
        place = iter(range(width))

        def objective(chosen: NDArray[np.int64] | None) -> NDArray[np.float64]:
            random = coins[:, next(place)][:, None]
            return np.where(items < 0, -np.inf, np.where(random, noise, np.round(mean, 9)))

        return greedy(items, objective, depth)

    def propensities(
        self,
        X: Any,
        items: NDArray[np.int64],
        *,
        seen: sp.csr_array | None = None,
        candidates: sp.csr_array | None = None,
        n_draws: int = 2000,
    ) -> NDArray[np.float64]:
        """Return how probable it was that each item of a list got its place, over all seeds.

        These are the `propensities` that the off-policy metrics take. They belong to the feedback known now, so they
        are computed when a list is shown, before the next `partial_fit`.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories that lists were made for.
        items : ndarray of shape (n_users, k)
            The lists, as `recommend` returned them; -1 for an empty place.
        seen, candidates : boolean csr_array of shape (n_users, n_items), default=None
            What the lists left out, and the only items that they could contain, if `recommend` was given these.
        n_draws : int, default=2000
            Draws per list that the probabilities of "thompson" are counted in; one is added to each count, so that none
            is zero. Those of "epsilon_greedy" are exact, given the items at the places before; items that `seen` or
            `candidates` forbid count as no candidates there.

        Returns
        -------
        probabilities : ndarray of shape (n_users, k)
            1 for "ucb", for items that are no candidates, which have fixed places, and for empty places.

        See Also
        --------
        sklearn_llmrec.metrics.ips_value : Weighs rewards by inverse propensities.

        Notes
        -----
        O(n_draws * n_candidates) per list for "thompson", O(k * n_candidates) for the others.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_llmrec.dummy import PopularityRecommender
        >>> from sklearn_llmrec.ensemble import BanditReranker
        >>> X = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]])
        >>> bandit = BanditReranker(
        ...     PopularityRecommender(), policy="epsilon_greedy", epsilon=0.3, random_state=0
        ... ).fit(X)
        >>> items, _ = bandit.recommend([[1, 0, 0, 0]], k=3)
        >>> bandit.propensities([[1, 0, 0, 0]], items).round(2)
        array([[0.8 , 0.85, 1.  ]])
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))
        pool, _ = self._fast_candidates(X)
        return list_propensities(self, pool, self._rates(pool), items, (seen, candidates), n_draws)

    def _drawn(self, X: Any, draw: Any) -> NDArray[np.float64]:
        """Draw random numbers for every row that depend only on its items: the same alone and in a batch."""
        histories = canonical(X)
        rows = []
        for row in range(histories.shape[0]):
            history = histories.indices[histories.indptr[row] : histories.indptr[row + 1]].tolist()
            rng = np.random.default_rng([self.seed_, self.n_updates_, *history])
            rows.append(draw(rng, row))
        return np.array(rows)


def ordered(items: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sort candidates by falling value; equal ones keep their order, -1 comes last."""
    rounded = np.where(items < 0, -np.inf, np.round(values, 9))
    order = np.argsort(-rounded, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1)
