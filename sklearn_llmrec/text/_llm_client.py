"""Call language models: within a deadline, from the cache where possible, with a count of every failure."""

import http.client
import json
import logging
import os
import re
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, Protocol

from sklearn_llmrec.text._answer_cache import AnswerCache
from sklearn_llmrec.text._http import Reply, chat_url, post
from sklearn_llmrec.text._llm_answers import UnreadableAnswer
from sklearn_llmrec.text._prompts import Messages
from sklearn_llmrec.utils import content_hash

_log = logging.getLogger(__name__)

# After so many chats in a row that failed with all their retries the endpoint counts as dead.
_DEAD_AFTER = 3
# Longest wait, in seconds, that a server may request.
_MAX_RETRY_AFTER = 30.0
_RETRIED = {408, 409, 425, 429}
_FATAL = {401, 403, 404}
_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)
_SECRET = re.compile(r"(?i)(bearer\s+|\bsk-)[^\s'\",;]+")


class ChatFailed(Exception):
    """No answer; `kind` is the count to which it belongs."""

    def __init__(self, kind: str, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.fatal = fatal


class Count(Protocol):
    """A function that adds to a count by name."""

    def __call__(self, name: str, n: int = 1, /) -> None: ...


def failure_of(error: BaseException) -> ChatFailed:
    """Return the failure for an exception: its type only; its text may contain a key, and is logged redacted."""
    _log.debug("A language model failed: %s: %s", type(error).__name__, without_secrets(str(error)))
    return ChatFailed("failed", type(error).__name__)


def without_secrets(text: str) -> str:
    """Return a text without bearer tokens and without the values of environment variables that contain secrets."""
    values = {value.strip() for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, "***")
    return _SECRET.sub(r"\1***", text)


def asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function instead of a model.

    Raises
    ------
    ChatFailed
        If it fails, whatever its reason: it may be a client with exceptions of its own.
    """
    try:
        return function(*arguments)
    except Exception as error:
        failure = failure_of(error)
    raise failure  # outside of the handler: no traceback leads to the text of the exception


def model_name(model: Any) -> str:
    """Return the name of a function or object in the keys of a cache: its `cache_key`, else a hash of its content.

    Two functions that one factory makes for two models have one name, and must not share answers.

    Raises
    ------
    UnstableContentError
        If it has neither.
    """
    given = getattr(model, "cache_key", None)
    return f"named {given}" if isinstance(given, str) else content_hash(model)


@dataclass(frozen=True)
class ChatEndpoint:
    """Address and settings of a chat endpoint. The key is read from the environment for every request, never stored."""

    base_url: str
    model: str
    api_key_env: str
    timeout: float
    max_retries: int
    backoff: float
    max_tokens: int

    def payload(self, messages: Messages) -> bytes:
        """Return the body of a request."""
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self.max_tokens,
            "stream": False,
        }
        return json.dumps(body, sort_keys=True).encode()

    def ask(self, messages: Messages, deadline: float, count: Count) -> str:
        """Return the answer to a chat; retry after temporary failures.

        Raises
        ------
        ChatFailed
            If there is no answer before the deadline, or none after all retries.
        """
        body, url, key = self.payload(messages), self._url(), self._key()
        kind, reason = "out_of_budget", "the budget is spent"
        for attempt in range(self.max_retries + 1):
            if time.monotonic() >= deadline:
                break
            count("requests")
            reply = _posted(url, body, key, min(deadline, time.monotonic() + self.timeout))
            wait = self.backoff * 2**attempt
            kind = "out_of_budget" if time.monotonic() >= deadline else "failed"
            if isinstance(reply, str):
                reason = reply
            elif 200 <= reply.status < 300:
                return _content(reply.body, count)
            else:
                reason = f"HTTP status {reply.status}"
                if reply.status not in _RETRIED and reply.status < 500:
                    raise ChatFailed("failed", reason, fatal=reply.status in _FATAL)
                wait = max(wait, retry_after(reply.headers.get("Retry-After")))
            if attempt == self.max_retries or time.monotonic() + wait >= deadline:
                break
            count("retries")
            time.sleep(wait)
        raise ChatFailed(kind, reason)

    def _url(self) -> str:
        """Return the address of the chats.

        Raises
        ------
        ChatFailed
            If there is none.
        """
        try:
            return chat_url(self.base_url)
        except ValueError as error:
            raise ChatFailed("failed", str(error), fatal=True) from None

    def _key(self) -> str | None:
        """Return the key, without the line break that files end with.

        Raises
        ------
        ChatFailed
            If no request can carry it. The message shows neither the key nor the name of its variable, which may be
            the key by mistake.
        """
        key = os.environ.get(self.api_key_env, "").strip()
        if any(not 32 < ord(character) < 127 for character in key):
            raise ChatFailed(
                "failed",
                "the environment variable that api_key_env names contains characters that no request can carry, such "
                "as spaces or typographic quotes",
                fatal=True,
            )
        return key or None


def _posted(url: str, body: bytes, key: str | None, end: float) -> Reply | str:
    """Return the reply of a server, or the name of the failure.

    An exception of the libraries may contain the address, the header or a reply; only its type is passed on.
    """
    try:
        return post(url, body, key, end)
    except urllib.error.URLError as error:
        cause = error.reason if isinstance(error.reason, BaseException) else error
        return type(cause).__name__
    except (OSError, http.client.HTTPException, ValueError) as error:
        return type(error).__name__


def retry_after(value: Any) -> float:
    """Return the seconds to wait from a header, a number or a date; capped, and 0 for anything else."""
    text = str(value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        seconds = float(text[:20])
    else:
        try:
            date = parsedate_to_datetime(text)
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time()
        except (TypeError, ValueError, IndexError, OverflowError):
            seconds = 0.0
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _content(body: bytes, count: Count) -> str:
    """Return the text of a chat completion, and count the tokens it cost.

    Raises
    ------
    ChatFailed
        If the model refused, or the body is no chat completion.
    """
    content = None
    try:
        completion = json.loads(body)
        _count_tokens(completion.get("usage"), count)
        choice = completion["choices"][0]
        message = choice["message"]
        refused = message.get("refusal") or choice.get("finish_reason") == "content_filter"
        content = "" if refused else _text(message["content"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        refused = False
    if refused:
        raise ChatFailed("refused", "the model refused")
    if content is None:
        raise ChatFailed("unreadable", "the body is no chat completion with a text")
    return content


def _text(content: Any) -> str | None:
    """Return the text of a message: a text, or a list of parts some of which are texts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _count_tokens(usage: Any, count: Count) -> None:
    if isinstance(usage, dict):
        for name in ("prompt_tokens", "completion_tokens"):
            n = usage.get(name)
            if isinstance(n, int) and n > 0:
                count(name, n)


class Answer(NamedTuple):
    """The result of a prompt: the parsed answer, or the reason why there is none."""

    found: Any = None
    failure: ChatFailed | None = None
    cached: bool = False


@dataclass
class Session:
    """One call of a reranker: its deadline, its answers, and its counts."""

    complete: Callable[[Any, float, Count], str]
    key: Callable[[Any], bytes]
    cache: AnswerCache
    deadline: float
    n_jobs: int
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    answers: dict[bytes, Answer] = field(default_factory=dict)
    seconds: float = 0.0
    failures: int = 0
    last_failure: str = ""
    lock: Lock = field(default_factory=Lock)

    def count(self, name: str, n: int = 1, /) -> None:
        """Add to a count; tokens are counted separately."""
        with self.lock:
            (self.tokens if name.endswith("_tokens") else self.counts)[name] += n

    def counted(self) -> Counter[str]:
        """Return a copy of all counts except tokens; an abandoned thread may still add to them."""
        with self.lock:
            return self.counts + self.reasons

    def _cached(self, key: bytes, read: Callable[[str], Any]) -> Answer | None:
        """Return the answer in the cache; an unreadable one counts as none."""
        answer = self.cache.get(key)
        if answer is None:
            return None
        try:
            found = read(answer)
        except UnreadableAnswer:
            self.cache.report("damaged")
            return None
        self.count("cached")
        return Answer(found, cached=True)

    def _one(self, question: Any, key: bytes, read: Callable[[str], Any]) -> Answer:
        """Answer a prompt; only readable answers are cached."""
        cached = self._cached(key, read)
        if cached is not None:
            return cached
        if self.failures >= _DEAD_AFTER:
            return Answer(failure=ChatFailed("failed", "the endpoint is dead"))
        try:
            answer = self.complete(question, self.deadline, self.count)
        except ChatFailed as failure:
            return self._failed(failure)
        except Exception as error:  # every failure keeps the order of the base, and is counted
            return self._failed(failure_of(error))
        with self.lock:
            self.failures = 0
        try:
            found = read(answer)
        except UnreadableAnswer as error:
            return Answer(failure=ChatFailed("unreadable", str(error)))
        self.cache.put(key, answer)
        return Answer(found)

    def _failed(self, failure: ChatFailed) -> Answer:
        if failure.kind == "failed":
            with self.lock:
                self.last_failure = str(failure)
                self.failures += _DEAD_AFTER if failure.fatal else 1
        return Answer(failure=failure)

    def ask(self, questions: list[Any], reads: Sequence[Callable[[str], Any]]) -> list[Answer]:
        """Answer prompts before the deadline, several at a time, equal ones once.

        Parameters
        ----------
        questions : list
        reads : sequence of callable
            One per question: reads an answer, or raises `UnreadableAnswer`.
        """
        start = time.monotonic()
        keys = [self.key(question) for question in questions]
        jobs: dict[bytes, Future[Answer]] = {}
        waiting: SimpleQueue[tuple[Future[Answer], tuple[Any, ...]]] = SimpleQueue()
        for key, question, read in zip(keys, questions, reads, strict=True):
            if key not in self.answers and key not in jobs:
                jobs[key] = Future()
                waiting.put((jobs[key], (question, key, read)))
        # Daemons: a request that is still under way at the deadline must not keep the process alive.
        for _ in range(min(self.n_jobs, len(jobs))):
            Thread(target=self._work, args=(waiting,), daemon=True).start()
        for key, job in jobs.items():
            seconds = max(self.deadline - time.monotonic(), 0)
            try:
                self.answers[key] = job.result(timeout=seconds if seconds < 1e8 else None)
            except FutureTimeout:
                job.cancel()
                spent = ChatFailed("out_of_budget", "the budget is spent")
                self.answers[key] = Answer(failure=spent)
        self.seconds += time.monotonic() - start
        return [self.answers[key] for key in keys]

    def _work(self, waiting: "SimpleQueue[tuple[Future[Answer], tuple[Any, ...]]]") -> None:
        """Answer waiting prompts until none is left."""
        while True:
            try:
                job, question = waiting.get_nowait()
            except Empty:
                return
            if not job.set_running_or_notify_cancel():
                continue
            try:
                job.set_result(self._one(*question))
            except BaseException as error:
                job.set_exception(error)
