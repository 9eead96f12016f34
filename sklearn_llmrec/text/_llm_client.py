"""Chats with an OpenAI-compatible endpoint: in time, in budget, from the cache where it can."""

import http.client
import json
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from types import CodeType
from typing import Any

from sklearn_llmrec.text._prompts import Messages

# After so many chats in a row that failed with all their retries the endpoint counts as dead.
_DEAD_AFTER = 3
_MAX_ANSWER_BYTES = 2**20
_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}


class ChatFailed(Exception):
    """No answer; `kind` says which count it belongs to."""

    def __init__(self, kind: str, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.fatal = fatal


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *arguments: Any, **keywords: Any) -> None:
        return None


def asked(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function in the place of a model returns.

    Raises
    ------
    ChatFailed
        If it fails, whatever its reason: it may be a client with exceptions of its own.
    """
    try:
        return function(*arguments)
    except Exception as error:
        raise ChatFailed("failed", f"{type(error).__name__}: {error}") from error


def function_name(function: Any) -> str:
    """What a function is called in the keys of a cache: by its name, its code and what it holds.

    Two functions that one factory makes for two models have one name, and must not share answers.
    """
    name = getattr(function, "__qualname__", function)
    cells = getattr(function, "__closure__", None) or ()
    held = (
        *_code_parts(getattr(function, "__code__", None)),
        getattr(function, "__defaults__", None),
        getattr(function, "__kwdefaults__", None),
        getattr(function, "__self__", None),
        *(cell.cell_contents for cell in cells),
    )
    content = blake2b(repr(held).encode("utf-8", "replace"), digest_size=16).hexdigest()
    return f"{getattr(function, '__module__', '')}.{name}.{content}"


def _code_parts(code: Any) -> tuple[Any, ...]:
    """What a function does, the same in every process."""
    if code is None:
        return ()
    constants = [_code_parts(c) if isinstance(c, CodeType) else c for c in code.co_consts]
    return code.co_code, code.co_names, constants


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask. The key is read from the environment for every request, never kept."""

    base_url: str
    model: str
    api_key_env: str
    timeout: float
    max_retries: int
    backoff: float
    max_tokens: int

    def payload(self, messages: Messages) -> bytes:
        """The body of a request."""
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self.max_tokens,
            "stream": False,
        }
        return json.dumps(body, sort_keys=True).encode()

    def ask(self, messages: Messages, deadline: float, counts: Callable[[str], None]) -> str:
        """The answer to a chat, asked again after failures that may pass.

        Raises
        ------
        ChatFailed
            If there is no answer before the deadline, or none after all retries.
        """
        body = self.payload(messages)
        for attempt in range(self.max_retries + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                raise ChatFailed("out_of_budget", "the budget is spent")
            counts("requests")
            wait = self.backoff * 2**attempt
            try:
                return _content(self._post(body, min(self.timeout, left)))
            except urllib.error.HTTPError as error:
                error.close()
                reason = f"HTTP status {error.code}"
                if error.code not in _RETRIED:
                    fatal = error.code in (401, 403, 404)
                    raise ChatFailed("failed", reason, fatal=fatal) from error
                wait = max(wait, _retry_after(error))
            except (OSError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__}"
            if attempt == self.max_retries or time.monotonic() + wait >= deadline:
                break
            counts("retries")
            time.sleep(wait)
        raise ChatFailed("failed", reason)

    def _post(self, body: bytes, timeout: float) -> bytes:
        url = self.base_url.rstrip("/") + "/chat/completions"
        if not url.startswith(("http://", "https://")):
            raise ChatFailed("failed", "base_url must start with http:// or https://", fatal=True)
        request = urllib.request.Request(
            url, data=body, headers={"Content-Type": "application/json"}
        )
        key = os.environ.get(self.api_key_env, "")
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        end = time.monotonic() + timeout
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=timeout) as response:
            parts, size = [], 0
            while part := response.read1(65536):
                parts.append(part)
                size += len(part)
                if size > _MAX_ANSWER_BYTES:
                    raise ChatFailed("failed", "the answer is longer than 1 MiB")
                if time.monotonic() > end:
                    raise TimeoutError("the answer came too slowly")
            if response.length:
                raise http.client.IncompleteRead(b"".join(parts), response.length)
        return b"".join(parts)


def _retry_after(error: urllib.error.HTTPError) -> float:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    return float(value) if value.replace(".", "", 1).isdigit() else 0.0


def _content(body: bytes) -> str:
    """The text of a chat completion.

    Raises
    ------
    ChatFailed
        If the model refused, or the body is no chat completion.
    """
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            raise ChatFailed("refused", "the model refused")
        content = message["content"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ChatFailed("unreadable", "the body is no chat completion") from error
    if not isinstance(content, str):
        raise ChatFailed("unreadable", "the answer has no text")
    return content


class AnswerCache:
    """Answers on disk, one file each, named by a hash of the question; questions are not stored."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()

    def path(self, key: bytes) -> Path | None:
        """Where the answer to a question lies."""
        if self.folder is None:
            return None
        return self.folder / f"{blake2b(key, digest_size=16).hexdigest()}.txt"

    def get(self, key: bytes) -> str | None:
        """The answer, or None."""
        path = self.path(key)
        if path is None or not path.exists():
            return None
        return path.read_text(encoding="utf-8")

    def put(self, key: bytes, answer: str) -> None:
        """Keep an answer; readers see it whole or not at all."""
        path = self.path(key)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, delete=False
        ) as file:
            file.write(answer.encode("utf-8", "replace").decode("utf-8"))
        os.replace(file.name, path)


@dataclass
class Session:
    """One call of a reranker: its deadline, its answers, and what happened."""

    complete: Callable[[Any, float, Callable[[str], None]], str]
    key: Callable[[Any], bytes]
    cache: AnswerCache
    deadline: float
    n_jobs: int
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    answers: dict[bytes, str | ChatFailed] = field(default_factory=dict)
    failures: int = 0
    last_failure: str = ""
    lock: Lock = field(default_factory=Lock)

    def count(self, name: str, n: int = 1) -> None:
        """Add to a count."""
        with self.lock:
            self.counts[name] += n

    def _one(self, question: Any, key: bytes) -> str:
        answer = self.cache.get(key)
        if answer is not None:
            self.count("cached")
            return answer
        if self.failures >= _DEAD_AFTER:
            raise ChatFailed("failed", "the endpoint is dead")
        try:
            answer = self.complete(question, self.deadline, self.count)
        except ChatFailed as failure:
            with self.lock:
                if failure.kind == "failed":
                    self.last_failure = str(failure)
                    self.failures += _DEAD_AFTER if failure.fatal else 1
            raise
        with self.lock:
            self.failures = 0
        self.cache.put(key, answer)
        return answer

    def ask(self, questions: list[Any]) -> list[str | ChatFailed]:
        """Answers to questions, several at a time, each asked once, before the deadline."""
        keys = [self.key(question) for question in questions]
        new = {key: asked for key, asked in zip(keys, questions) if key not in self.answers}
        pool = ThreadPoolExecutor(max_workers=self.n_jobs)
        futures = {key: pool.submit(self._one, asked, key) for key, asked in new.items()}
        for key, future in futures.items():
            left = max(self.deadline - time.monotonic(), 0)
            try:
                self.answers[key] = future.result(timeout=left if left < 1e8 else None)
            except ChatFailed as failure:
                self.answers[key] = failure
            except FutureTimeout:
                self.answers[key] = ChatFailed("out_of_budget", "the budget is spent")
        # What is still under way ends at its own time-out; nobody waits for it.
        pool.shutdown(wait=False, cancel_futures=True)
        return [self.answers[key] for key in keys]
