"""Fast JSON endpoints: read a limited body in time, check the key, validate, answer in bytes.

FastAPI's own way from a request to a function costs more than ranking a row. These endpoints are called before its
router and answer ASGI messages directly; `_openapi` describes them beside FastAPI's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from sklearn_llmrec.serving._batching import QueueFull, TooLate
from sklearn_llmrec.serving._errors import Refused, StoreUnavailable, busy
from sklearn_llmrec.serving._keys import Keys
from sklearn_llmrec.serving._logs import log, where
from sklearn_llmrec.serving._metrics import Metrics
from sklearn_llmrec.serving._settings import Settings

_JSON = (b"content-type", b"application/json")
_CHALLENGE = ((b"www-authenticate", b"Bearer"),)

Answer = Callable[[Any], Awaitable[dict[str, Any]]]


class Door:
    """Check keys, sizes and time limits for every endpoint, and turn errors into refusals.

    Parameters
    ----------
    settings : Settings
    keys : Keys
        Without any, everybody may do everything.
    metrics : Metrics
    version : callable
        Returns the version of the current model, for refusals.
    """

    def __init__(
        self, settings: Settings, keys: Keys, metrics: Metrics, version: Callable[[], str | None]
    ) -> None:
        self.settings, self.metrics = settings, metrics
        self._keys, self._version = keys, version

    def check_key(self, scope: Any, right: str) -> None:
        """Refuse a request whose key lacks a right.

        Raises
        ------
        Refused
            With status 401 without a known key, 403 if the key has other rights, or if a page of another site sends it
            a server without keys.
        """
        if not self._keys:
            _refuse_other_sites(scope)
            return
        key = b""
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                key = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                key = value[7:].strip()
        if not key:
            message = "An API key is needed: 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
            raise Refused(401, "no_key", message, _CHALLENGE)
        holder = self._keys.holder(key)
        if holder is None:
            raise Refused(401, "unknown_key", "The API key is unknown.", _CHALLENGE)
        if right not in holder[1]:
            raise Refused(403, "no_right", f"The API key lacks the right {right!r}.")

    async def body(self, scope: Any, receive: Any) -> bytes:
        """Return the body of a request.

        Raises
        ------
        Refused
            With status 413 if it is too large, 408 if it does not arrive in time.
        """
        limit = self.settings.max_body
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise _too_large(limit)
        message = await _received(receive, self.settings.body_timeout)
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > limit:
                raise _too_large(limit)
            return body
        parts, size = [body], len(body)
        deadline = perf_counter() + self.settings.body_timeout
        while message.get("more_body"):
            if size > limit:
                raise _too_large(limit)
            message = await _received(receive, deadline - perf_counter())
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        return b"".join(parts)

    def refusal(self, error: BaseException) -> Refused:
        """Return the answer to an error."""
        if isinstance(error, Refused):
            return error
        if isinstance(error, QueueFull):
            return busy("Too many requests wait.")
        if isinstance(error, TooLate):
            return busy("The request was not answered in time.")
        if isinstance(error, StoreUnavailable):
            return busy(str(error), 5)
        log(logging.ERROR, "request failed", error=where(error))
        return Refused(500, "failed", "The server failed; its log says where.")

    def refusal_body(self, refused: Refused) -> bytes:
        """Return the body of a refusal."""
        detail = {"code": refused.code, "message": refused.message}
        if refused.where is not None:
            detail["where"] = refused.where
        return to_json({"error": detail, "version": self._version()})


def _refuse_other_sites(scope: Any) -> None:
    """Refuse requests from pages of other sites: a browser on this machine reaches the loopback address too.

    Raises
    ------
    Refused
        If the request has an origin that is not the host that it was sent to.
    """
    headers = dict(scope["headers"])
    origin: bytes | None = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        raise Refused(403, "other_site", "Pages of other sites need a server with API keys.")


async def _received(receive: Any, seconds: float) -> dict[str, Any]:
    """Wait for the next part of a body.

    Raises
    ------
    Refused
        If it does not come in time, or the client has gone.
    """
    try:
        async with asyncio.timeout(max(seconds, 0)):
            message: dict[str, Any] = await receive()
    except TimeoutError:
        raise Refused(408, "slow", "The body did not arrive in time.", _CLOSE) from None
    if message["type"] == "http.disconnect":
        raise Refused(400, "gone", "The client closed the connection.", _CLOSE)
    return message


_CLOSE = ((b"connection", b"close"),)


def _too_large(limit: int) -> Refused:
    # The rest of the body is not read, so the connection cannot be used again.
    return Refused(413, "too_large", f"The body may have {limit} bytes at most.", _CLOSE)


class Endpoint:
    """One endpoint that takes JSON by POST and answers JSON.

    Parameters
    ----------
    name : str
        Its name in metrics and logs.
    door : Door
    right : str
        The right that it requires.
    schema : type of BaseModel
        What the body must be.
    answer : coroutine function
        Takes the validated body and returns the answer.
    """

    def __init__(
        self, name: str, door: Door, right: str, schema: type[BaseModel], answer: Answer
    ) -> None:
        self._name, self._door, self._right, self._answer = name, door, right, answer
        self._validate = schema.__pydantic_validator__.validate_json

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request of ASGI."""
        start = perf_counter()
        status = 200
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            self._door.check_key(scope, self._right)
            raw = await self._door.body(scope, receive)
            body = to_json(await self._answer(self._validate(raw)), inf_nan_mode="null")
        except ValidationError as error:
            refused = _invalid(error)
            status, body = refused.status, self._door.refusal_body(refused)
        except Exception as error:
            refused = self._door.refusal(error)
            status, headers = refused.status, refused.headers
            body = self._door.refusal_body(refused)
        await _send(send, status, body, headers)
        seconds = perf_counter() - start
        self._door.metrics.observe(self._name, status, seconds)
        if status >= 400 or self._door.settings.log_requests:
            level = logging.WARNING if status >= 500 else logging.INFO
            log(level, "request", endpoint=self._name, status=status, ms=round(1e3 * seconds, 2))

    async def refuse_method(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request by another method than POST."""
        refused = Refused(405, "method", "Use POST.")
        await _send(send, 405, self._door.refusal_body(refused), ((b"allow", b"POST"),))
        self._door.metrics.observe(self._name, 405, 0.0)


async def _send(
    send: Any, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})


def _invalid(error: ValidationError) -> Refused:
    """Return the refusal of a body: 400 for what is no JSON, 422 for JSON of another form."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "no_json", first["msg"])
    place = ".".join(map(str, first["loc"])) or None
    return Refused(422, "invalid", first["msg"], where=place)


class Endpoints:
    """Middleware that passes requests for some paths to their endpoints, and all others to the app.

    Parameters
    ----------
    app : ASGI app
    endpoints : dict of str to Endpoint
        By path; all take POST.
    """

    def __init__(self, app: Any, endpoints: dict[str, Endpoint]) -> None:
        self._app, self._endpoints = app, endpoints

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request of ASGI, or pass it on."""
        found = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        await (found if scope["method"] == "POST" else found.refuse_method)(scope, receive, send)
