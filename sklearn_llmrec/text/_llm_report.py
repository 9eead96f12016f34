"""Count the answers of language models outside the estimators, which change in `fit` only."""

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sklearn_llmrec.text._llm_client import Session


@dataclass(frozen=True)
class RerankReport:
    """Counts of a reranker by a language model since its last fit, in this process.

    Attributes
    ----------
    lists : int
        Lists that the model was to rerank: rows with a history and at least two candidates.
    reranked : int
        Of these, lists in the order of the model.
    from_cache : int
        Of the reranked, lists whose answer came from the cache.
    fallen_back : dict of str to int
        Lists that kept the order of the base, by cause: "failed", "unreadable", "refused", "out_of_budget", "no_model".
    requests, retries : int
        Requests to the model, and those that repeat a failed one.
    prompt_tokens, completion_tokens : int
        Tokens that the model read and wrote, where it says so; a function does not.
    seconds : float
        Time spent waiting for the model.
    """

    lists: int = 0
    reranked: int = 0
    from_cache: int = 0
    fallen_back: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


_REPORTS: "WeakKeyDictionary[Any, RerankReport]" = WeakKeyDictionary()
_LOCK = Lock()


def reset_report(estimator: Any) -> None:
    """Start new counts."""
    with _LOCK:
        _REPORTS.pop(estimator, None)


def report_of(estimator: Any) -> RerankReport:
    """Return the counts of an estimator since its last fit."""
    with _LOCK:
        return _REPORTS.get(estimator, RerankReport())


def add_session(estimator: Any, session: Session) -> None:
    """Add the counts of a call."""
    with session.lock:
        counts, tokens, lists = session.counts.copy(), session.tokens.copy(), session.lists.copy()
    reranked, cached = lists.pop("reranked", 0), lists.pop("from_cache", 0)
    with _LOCK:
        old = _REPORTS.get(estimator, RerankReport())
        _REPORTS[estimator] = RerankReport(
            lists=old.lists + reranked + lists.total(),
            reranked=old.reranked + reranked,
            from_cache=old.from_cache + cached,
            fallen_back=dict(Counter(old.fallen_back) + lists),
            requests=old.requests + counts["requests"],
            retries=old.retries + counts["retries"],
            prompt_tokens=old.prompt_tokens + tokens["prompt_tokens"],
            completion_tokens=old.completion_tokens + tokens["completion_tokens"],
            seconds=old.seconds + session.seconds,
        )
