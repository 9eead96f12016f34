"""The base class of rerankers by a language model: sessions, budgets, counts, and only real candidates."""

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
from sklearn_llmrec.text._answer_cache import AnswerCache
from sklearn_llmrec.text._llm_client import Answer, ChatFailed, Session
from sklearn_llmrec.text._llm_report import RerankReport, add_session, report_of, reset_report
from sklearn_llmrec.text._texts import texts_of_items
from sklearn_llmrec.utils import (
    Interval,
    UnstableContentError,
    canonical,
    check_arguments,
    warn,
)

# The sessions of the calls under way, by the calling estimator (one may rerank what another has
# reranked): the estimator itself changes in fit only.
_SESSIONS: ContextVar[dict[int, Session]] = ContextVar("_SESSIONS")


def histories_of(X: Any, n: int) -> list[NDArray[np.int64]]:
    """Return the n last events of every row by time; without times those of the largest values."""
    latest = event_sequences(X).tail(n)
    return np.split(latest.items, latest.bounds[1:-1])


def blended(order: Sequence[int], blend: float) -> NDArray[np.int64]:
    """Return positions by the weighted mean of their place in the base and in `order`; ties as in the base."""
    places = np.empty(len(order))
    places[order] = np.arange(len(order))
    mean = (1 - blend) * np.arange(len(order)) + blend * places
    return np.argsort(np.round(mean, 9), kind="stable")


def _reader(read: Callable[[str, int], Any], n: int) -> Callable[[str], Any]:
    """Return the function that reads an answer about n candidates."""
    return lambda answer: read(answer, n)


class RerankResult(NamedTuple):
    """Lists, and a report about the model's answers."""

    items: NDArray[np.int64]
    scores: NDArray[Any]
    counts: Counter[str]
    seconds: float


class LanguageModelReranker(BaseReranker):
    """Base of rerankers that send a prompt per row to a language model and validate its answers.

    A subclass makes the question of a row, says who answers it, and reads the answer.
    """

    item_texts: ArrayLike | str | None
    blend: float
    max_length: int
    budget: float | None
    cache: str | PathLike[str] | None
    model: Any

    _parameter_constraints = {
        **BaseReranker._parameter_constraints,
        "item_texts": ["array-like", str, None],
        "blend": [Interval(Real, 0, 1, closed="both")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "budget": [Interval(Real, 0, None, closed="neither"), None],
        "cache": [str, PathLike, None],
    }

    # -- what a subclass writes -------------------------------------------------------------------

    @abstractmethod
    def _new_session(self, deadline: float) -> Session:
        """Return a new session: the model client and its deadline."""

    @abstractmethod
    def _question(self, history: list[str], candidates: list[str]) -> Any:
        """Return the prompt about one row."""

    @abstractmethod
    def _read(self, answer: str, n: int) -> tuple[list[int], Counter[str]]:
        """Return the n positions in the order of an answer, each once, and the counts of its faults."""

    # -- the call under way -----------------------------------------------------------------------

    def _fit(self, X: Any) -> None:
        self.item_texts_ = texts_of_items(self.item_texts, X)
        super()._fit(X)
        reset_report(self)

    @property
    def report_(self) -> RerankReport:
        """Return the counts since `fit`: lists reranked, from the cache, fallen back by cause, tokens, seconds."""
        check_is_fitted(self)
        return report_of(self)

    def _cache_of(self, describe: Callable[[], str]) -> tuple[str, AnswerCache]:
        """Return the name of the model in the keys of the cache, and the cache; none where the model has no name."""
        if self.cache is None or self.model is None:
            return "", AnswerCache(None)
        try:
            return describe(), AnswerCache(self.cache)
        except UnstableContentError as error:
            warn(
                f"{type(self).__name__} keeps no answers in its cache, because the model has no stable name: "
                f"{error}. Give the model an attribute cache_key, a text that names it with all its settings.",
            )
        return "", AnswerCache(None)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """Open the session of this estimator's outermost call; at its end, warn of failures."""
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
            add_session(self, session)
        for message in self._complaints(session):
            warn(f"{type(self).__name__} {message}")

    def _complaints(self, session: Session) -> Iterator[str]:
        """Yield the warnings after a call."""
        counts = session.counted()
        if counts["base_order"]:
            why = ", ".join(f"{n} {reason}" for reason, n in sorted(session.reasons.items()))
            last = f" Last failure: {session.last_failure}." if session.last_failure else ""
            yield (
                f"kept the order of the base for {counts['base_order']} of {counts['rows']} rows "
                f"({why}).{last}"
            )
        folder, problems = session.cache.folder, session.cache.problems
        if problems["damaged"]:
            yield (
                f"did not use {problems['damaged']} files of its cache {str(folder)!r}, which are damaged or were "
                "written by something else; the model was called again."
            )
        if problems["unwritable"]:
            yield (
                f"could not keep {problems['unwritable']} answers in its cache {str(folder)!r}: see that the folder "
                "can be written, or pass another one."
            )

    def predict(self, X: Any) -> NDArray[Any]:
        """Score all items for every row, seen items included.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.

        Returns
        -------
        scores : ndarray of shape (n_users, n_items), dtype of X
            Finite; higher is better. Candidates rank above all other items.
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
        """Recommend like `recommend`, and report what the model did.

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
            counts=session.counted(),
            seconds=time.monotonic() - start,
        )

    # -- how it works -----------------------------------------------------------------------------

    def _texts(self, items: Sequence[int] | NDArray[np.int64]) -> list[str]:
        return [self.item_texts_[item] for item in items]

    def _histories(self, X: Any) -> list[list[str]]:
        return [self._texts(events) for events in histories_of(X, self.max_length)]

    def _asked(
        self,
        session: Session,
        questions: list[Any],
        sizes: Sequence[int],
        read: Callable[[str, int], Any],
    ) -> list[Answer]:
        """Run the prompts of lists of some sizes, and count the rows."""
        if self.model is None:
            nobody = Answer(failure=ChatFailed("no_model", "there is no model"))
            answers = [nobody] * len(questions)
        else:
            answers = session.ask(questions, [_reader(read, int(size)) for size in sizes])
        for answer in answers:
            session.count("rows")
            session.count("answered" if answer.failure is None else "base_order")
            if answer.failure is not None:
                session.reasons[answer.failure.kind] += 1
        return answers

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
            answers = self._asked(session, questions, sizes[asked], self._read)
            for row, answer in zip(asked, answers):
                if answer.failure is not None:
                    session.lists[answer.failure.kind] += 1
                    continue
                order, wrong = answer.found
                for name, n in wrong.items():
                    session.count(name, n)
                session.lists["reranked"] += 1
                session.lists["from_cache"] += answer.cached
                result[row, : sizes[row]] = items[row, blended(order, self.blend)]
        return result
