"""What rerankers by a language model share: sessions, budgets, counts, and that only candidates come out."""

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.ensemble import BaseReranker
from sklearn_llmrec.interactions import event_sequences
from sklearn_llmrec.text._llm_answers import UnreadableAnswer
from sklearn_llmrec.text._llm_client import ChatFailed, Session
from sklearn_llmrec.text._texts import texts_of_items
from sklearn_llmrec.utils import Interval, canonical, check_arguments, warn

# The sessions of the calls under way, by the estimator that asks (one may rerank what another has
# reranked): the estimator itself changes in fit only.
_SESSIONS: ContextVar[dict[int, Session]] = ContextVar("_SESSIONS")


def histories_of(X: Any, n: int) -> list[NDArray[np.int64]]:
    """The n last events of every row by time; without times those of the largest values."""
    latest = event_sequences(X).tail(n)
    return np.split(latest.items, latest.bounds[1:-1])


def blended(order: Sequence[int], blend: float) -> NDArray[np.int64]:
    """Positions by the weighted mean of their place in the base and in `order`; ties as in the base."""
    places = np.empty(len(order))
    places[order] = np.arange(len(order))
    mean = (1 - blend) * np.arange(len(order)) + blend * places
    return np.argsort(np.round(mean, 9), kind="stable")


class RerankResult(NamedTuple):
    """Lists, and what the model did for them."""

    items: NDArray[np.int64]
    scores: NDArray[Any]
    counts: Counter[str]
    seconds: float


class LanguageModelReranker(BaseReranker):
    """Base of rerankers that ask a language model about every row, and do not trust it.

    A subclass makes the question of a row, says who answers it, and reads the answer.
    """

    item_texts: ArrayLike | str | None
    blend: float
    n_history: int
    budget: float | None
    cache: str | PathLike[str] | None
    model: Any

    _parameter_constraints = {
        **BaseReranker._parameter_constraints,
        "item_texts": ["array-like", str, None],
        "blend": [Interval(Real, 0, 1, closed="both")],
        "n_history": [Interval(Integral, 1, None, closed="left")],
        "budget": [Interval(Real, 0, None, closed="neither"), None],
        "cache": [str, PathLike, None],
    }

    # -- what a subclass writes -------------------------------------------------------------------

    @abstractmethod
    def _new_session(self, deadline: float) -> Session:
        """Who answers, until when."""

    @abstractmethod
    def _question(self, history: list[str], candidates: list[str]) -> Any:
        """What is asked about one row."""

    @abstractmethod
    def _read(self, answer: str, n: int) -> tuple[list[int], Counter[str]]:
        """The n positions in the order of an answer, each once, and what was wrong with it."""

    # -- the call under way -----------------------------------------------------------------------

    def _fit(self, X: Any) -> None:
        self.item_texts_ = texts_of_items(self.item_texts, X)
        super()._fit(X)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """The session of this estimator's outermost call; it warns at its end of what went wrong."""
        under_way = _SESSIONS.get({})
        if id(self) in under_way:
            yield under_way[id(self)]
            return
        session = self._new_session(
            time.monotonic() + (np.inf if self.budget is None else self.budget)
        )
        token = _SESSIONS.set({**under_way, id(self): session})
        try:
            yield session
        finally:
            _SESSIONS.reset(token)
        kept = session.counts["base_order"]
        if kept:
            why = ", ".join(f"{n} {reason}" for reason, n in sorted(session.reasons.items()))
            last = f" Last failure: {session.last_failure}." if session.last_failure else ""
            warn(
                f"{type(self).__name__} kept the order of the base for {kept} of "
                f"{session.counts['rows']} rows ({why}).{last}"
            )

    def predict(self, X: Any) -> NDArray[Any]:
        """Scores of all items for every row, seen items included.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.

        Returns
        -------
        scores : ndarray of shape (n_users, n_items), dtype of X
            Finite; higher is better. Candidates stand above all other items.
        """
        check_is_fitted(self)
        with self._session():
            return super().predict(X)

    def _recommend(
        self, X: Any, seen: Any, k: int, candidates: Any
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        with self._session():
            return super()._recommend(X, seen, k, candidates)

    @check_arguments
    def rerank(
        self, X: Any, k: int = 10, *, exclude_seen: bool = True, ids: bool = False
    ) -> RerankResult:
        """`recommend`, with what the model did.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories.
        k : int, default=10
            Length of the lists.
        exclude_seen : bool, default=True
            Whether items of the row itself are left out.
        ids : bool, default=False
            Whether the items returned are item ids (those in `item_ids_`) instead of column numbers.

        Returns
        -------
        result : RerankResult
            `items` and `scores` as from `recommend`; `seconds`; and `counts`, a `Counter`: `rows`
            that had candidates and a history, `requests` sent, `retries`, answers `cached` on disk,
            rows `answered`; candidates `omitted` and `repeated` and numbers `invented`; rows in
            `base_order`, by reason `unreadable`, `refused`, `failed`, `out_of_budget`, `no_model`.
        """
        check_is_fitted(self)
        start = time.monotonic()
        with self._session() as session:
            items, scores = self.recommend(X, k, exclude_seen=exclude_seen, ids=ids)
        return RerankResult(
            items=items,
            scores=scores,
            counts=session.counts + session.reasons,
            seconds=time.monotonic() - start,
        )

    # -- how it works -----------------------------------------------------------------------------

    def _texts(self, items: Sequence[int] | NDArray[np.int64]) -> list[str]:
        return [self.item_texts_[item] for item in items]

    def _histories(self, X: Any) -> list[list[str]]:
        return [self._texts(events) for events in histories_of(X, self.n_history)]

    def _asked(self, session: Session, questions: list[Any]) -> list[str | ChatFailed]:
        if self.model is None:
            return [ChatFailed("no_model", "there is no model")] * len(questions)
        return session.ask(questions)

    def _outcome(
        self, session: Session, answer: str | ChatFailed, n: int, read: Callable[[str, int], Any]
    ) -> Any:
        """What `read` finds in an answer, or None, counted."""
        session.count("rows")
        if isinstance(answer, str):
            try:
                found = read(answer, n)
            except UnreadableAnswer:
                answer = ChatFailed("unreadable", "the answer is not what was asked for")
            else:
                session.count("answered")
                return found
        session.count("base_order")
        session.reasons[answer.kind] += 1
        return None

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        sizes = (items >= 0).sum(axis=1)
        asked = np.flatnonzero((np.diff(canonical(X).indptr) > 0) & (sizes > 1))
        if not len(asked) or self.blend == 0:
            return items
        histories = self._histories(X)
        questions = [
            self._question(histories[row], self._texts(items[row, : sizes[row]])) for row in asked
        ]
        result = items.copy()
        with self._session() as session:
            for row, answer in zip(asked, self._asked(session, questions)):
                found = self._outcome(session, answer, sizes[row], self._read)
                if found is not None:
                    order, wrong = found
                    for name, n in wrong.items():
                        session.count(name, n)
                    result[row, : sizes[row]] = items[row, blended(order, self.blend)]
        return result
