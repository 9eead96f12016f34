"""A hidden Markov model: unobserved interests that change along a history."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.base import BaseRecommender, Tags
from sklearn_llmrec.interactions import (
    ORDER_CONSTRAINTS,
    Sequences,
    event_sequences,
    fit_sequences,
)
from sklearn_llmrec.utils import Interval, iterations, row_chunks

# Rounds that every start gets before only the one of the highest posterior continues.
_TRIAL_ROUNDS = 10


@dataclass(frozen=True)
class _Steps:
    """Histories sorted by length, longest first: step t contains event t of the rows that are long enough.

    Attributes
    ----------
    items : ndarray of shape (n_events,), int64
        Step after step.
    bounds : ndarray of shape (n_steps + 1,), int64
        Step t consists of ``items[bounds[t]:bounds[t + 1]]``, of the first rows.
    order : ndarray of shape (n_rows,), int64
        Which row of the sequences each row is.
    n_items : int
    """

    items: NDArray[np.int64]
    bounds: NDArray[np.int64]
    order: NDArray[np.int64]
    n_items: int

    @classmethod
    def of(cls, sequences: Sequences) -> "_Steps":
        order = np.argsort(-sequences.lengths, kind="stable")
        sorted_ = sequences.take(order)
        step = np.arange(len(sorted_.items)) - np.repeat(sorted_.bounds[:-1], sorted_.lengths)
        bounds = np.append(0, np.cumsum(np.bincount(step)))
        return cls(sorted_.items[np.argsort(step, kind="stable")], bounds, order, sequences.n_items)

    @cached_property
    def spans(self) -> list[slice]:
        """Return where the events of every step are."""
        return [slice(b, e) for b, e in zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist())]

    def by_item(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of a value per event and state, over the events of every item."""
        n = len(self.items)
        events = sp.csr_array((np.ones(n), self.items, np.arange(n + 1)), shape=(n, self.n_items))
        return np.asarray(events.T @ values)


@dataclass
class _Chain:
    """Start, transitions and emissions, each a distribution per row."""

    start: NDArray[np.float64]
    transitions: NDArray[np.float64]
    emissions: NDArray[np.float64]

    def forward(
        self, steps: _Steps
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Run the forward pass and return three values of every event.

        The chances of the states given the events up to it, its chance given those before, and its chance in every
        state.
        """
        emitted = self.emissions.T[steps.items]
        states, chance = np.empty_like(emitted), np.empty(len(emitted))
        before = None
        for span in steps.spans:
            n = span.stop - span.start
            states[span] = self.start if before is None else states[before][:n] @ self.transitions
            states[span] *= emitted[span]
            chance[span] = states[span].sum(axis=1)
            states[span] /= chance[span, None]
            before = span
        return states, chance, emitted

    def expected(self, steps: _Steps) -> tuple[float, "_Chain"]:
        """Return the log-likelihood of the histories and the expected counts of starts, transitions and emissions."""
        states, chance, emitted = self.forward(steps)
        emitted /= chance[:, None]
        pairs, after = np.zeros_like(self.transitions), np.ones_like(states)
        for now, following in zip(steps.spans[-2::-1], steps.spans[:0:-1]):
            n = following.stop - following.start
            weight = emitted[following] * after[following]
            after[now][:n] = weight @ self.transitions.T
            pairs += states[now][:n].T @ weight
        states *= after
        counts = _Chain(
            states[steps.spans[0]].sum(axis=0),
            pairs * self.transitions,
            steps.by_item(states).T,
        )
        return float(np.log(chance).sum()), counts


@dataclass
class _Run:
    """An optimisation from one start: its current state, and the log-posterior per event before every round."""

    chain: _Chain
    curve: list[float]


class HMMRecommender(BaseRecommender):
    r"""Hidden Markov model: the user is in one of a few interests, which change from event to event.

    An interest z emits item j with probability :math:`b_{zj}` and is followed by interest z' with probability
    :math:`a_{zz'}`. After a history h

    .. math:: p(j \mid h) = \sum_{z, z'} p(z \mid h)\, a_{zz'}\, b_{z'j},

    so what is likely next follows from what the latest events say about the interest, and an interest may return after
    any number of events. Parameters are those of the highest posterior, found by expectation and maximisation.

    Parameters
    ----------
    n_components : int, default=32
        Number of interests.
    smoothing : float, default=100.0
        How many events, spread like all events, are added to those of every interest: more keeps interests of few
        events near the common taste.
    max_iter : int, default=50
        Rounds of expectation and maximisation. The first ten are made from three starts, one of interests that rarely
        change and two of interests that follow one another; the best one continues.
    tol : float, default=1e-3
        A later round that adds less than this to the log-posterior per event is the last.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    random_state : int, RandomState instance or None, default=None
        Where the search starts.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), float64
        What every interest chooses, as probabilities.
    transitions_ : ndarray of shape (n_components, n_components), float64
        Row z: how likely each interest follows interest z.
    start_ : ndarray of shape (n_components,), float64
        How likely each interest is at the first event.
    log_posterior_curve_ : list of float
        Log-posterior per event, up to a constant, before every round: it never falls.
    n_iter_ : int
        Rounds made.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    MarkovRecommender : What followed the last items themselves; nothing hidden.
    sklearn_llmrec.decomposition.NMFRecommender : Parts of taste without an order.

    Notes
    -----
    A round is O(n_events n_components^2) time. Scores are probabilities that sum to 1 over the items; a row costs
    O(length n_components^2 + n_items n_components). Starts and transitions get one more event each, spread evenly.

    References
    ----------
    L. Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", Proceedings of
    the IEEE, 1989. N. Sahoo, P. Singh, T. Mukhopadhyay, "A hidden Markov model for collaborative filtering", MIS
    Quarterly, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import HMMRecommender
    >>> X = np.array([[1, 2, 3, 0, 0, 0], [0, 0, 0, 1, 2, 3]] * 20)  # values are times
    >>> model = HMMRecommender(6, smoothing=1.0, random_state=0).fit(X)
    >>> items, scores = model.recommend([[1, 2, 0, 0, 0, 0]], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "smoothing": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        **ORDER_CONSTRAINTS,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 32,
        *,
        smoothing: float = 100.0,
        max_iter: int = 50,
        tol: float = 1e-3,
        order: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.smoothing = smoothing
        self.max_iter = max_iter
        self.tol = tol
        self.order = order
        self.random_state = random_state

    def _fit(self, X: sp.csr_array) -> None:
        sequences = fit_sequences(X, self.order, type(self).__name__)
        counts = np.bincount(sequences.items, minlength=sequences.n_items) + 1.0
        shares: NDArray[np.float64] = counts / counts.sum()
        blocks = list(self._blocks(sequences))
        runs = [_Run(chain, []) for chain in self._starts(sequences, shares)]
        self.log_posterior_curve_: list[float] = []
        for _ in iterations(self, self.max_iter, X=X, stop=self._settled):
            for run in runs:
                self._advance(run, blocks, shares)
            best = max(runs, key=lambda run: run.curve[-1])
            self.log_posterior_curve_ = best.curve
            if len(best.curve) == _TRIAL_ROUNDS:
                runs = [best]
        self.n_iter_ = len(best.curve)
        self.start_, self.transitions_ = best.chain.start, best.chain.transitions
        self.components_ = best.chain.emissions

    def _advance(self, run: _Run, blocks: list[_Steps], shares: NDArray[np.float64]) -> None:
        """Run one round of expectation and maximisation."""
        found = [run.chain.expected(steps) for steps in blocks]
        value = sum(likelihood for likelihood, _ in found) + self._log_prior(run.chain, shares)
        run.curve.append(value / sum(len(steps.items) for steps in blocks))
        run.chain = self._maximised([counts for _, counts in found], shares)

    def _settled(self) -> bool:
        curve = self.log_posterior_curve_
        return len(curve) > _TRIAL_ROUNDS and curve[-1] - curve[-2] < self.tol

    def _blocks(self, sequences: Sequences) -> Iterator[_Steps]:
        """Yield blocks of non-empty histories, the longest first, as many at once as fit in a chunk."""
        order = np.argsort(-sequences.lengths, kind="stable")
        order = order[: (sequences.lengths > 0).sum()]
        last = np.cumsum(sequences.lengths[order])
        # Three values of every event and state are in memory at once.
        edges = [part.stop for part in row_chunks(int(last[-1]), 3 * 8 * self.n_components)]
        for rows in np.split(order, np.searchsorted(last, edges[:-1], side="right")):
            if len(rows):
                yield _Steps.of(sequences.take(rows))

    def _starts(self, sequences: Sequences, shares: NDArray[np.float64]) -> list[_Chain]:
        """Return three starts: interests that rarely change, as in tastes, and interests that follow one another.

        The latter begin wide in one start and narrow, nearer to a chain over single items, in the other. Interests
        that are all alike are a saddle point of the posterior, where the first rounds gain nothing. Random sums over
        users come closer to it with every user more, so they are brought to unit variance.
        """
        rng = check_random_state(self.random_state)
        n = self.n_components
        counts = sequences.counts(np.float64)
        scale = np.sqrt(np.asarray(counts.power(2).sum(axis=0)))
        start, events = np.full(n, 1 / n), len(sequences.items) / n
        lasting = np.full((n, n), 0.2 / n) + 0.8 * np.eye(n)
        starts = []
        for spread in (1.0, 2.0, 4.0):
            sums = np.asarray(counts.T @ rng.standard_normal((len(sequences), n))).T
            chosen = shares * np.exp(spread * sums / np.maximum(scale, 1))
            chosen *= events / chosen.sum(axis=1, keepdims=True)
            transitions = lasting if spread == 1 else rng.dirichlet(np.ones(n), size=n)
            starts.append(_Chain(start, transitions, self._smoothed(chosen, shares)))
        return starts

    def _smoothed(
        self, counts: NDArray[np.float64], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        counts = counts + self.smoothing * shares
        smoothed: NDArray[np.float64] = counts / counts.sum(axis=-1, keepdims=True)
        return smoothed

    def _maximised(self, counts: list[_Chain], shares: NDArray[np.float64]) -> _Chain:
        start, pairs, emitted = (
            np.sum([getattr(part, name) for part in counts], axis=0)
            for name in ("start", "transitions", "emissions")
        )
        start, pairs = start + 1 / self.n_components, pairs + 1 / self.n_components
        return _Chain(
            start / start.sum(),
            pairs / pairs.sum(axis=1, keepdims=True),
            self._smoothed(emitted, shares),
        )

    def _log_prior(self, chain: _Chain, shares: NDArray[np.float64]) -> float:
        even = (np.log(chain.start).sum() + np.log(chain.transitions).sum()) / self.n_components
        return float(even + self.smoothing * (np.log(chain.emissions) @ shares).sum())

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        sequences = event_sequences(X, self.order)
        chain = _Chain(self.start_, self.transitions_, self.components_)
        following = np.tile(self.start_, (len(sequences), 1))
        if len(sequences.items):
            steps = _Steps.of(sequences)
            states, _, _ = chain.forward(steps)
            n_steps = sequences.lengths[steps.order]
            rows = np.flatnonzero(n_steps)
            following[steps.order[rows]] = (
                states[steps.bounds[n_steps[rows] - 1] + rows] @ self.transitions_
            )
        return following @ self.components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        return tags
