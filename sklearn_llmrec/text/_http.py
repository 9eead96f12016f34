"""Post a request over HTTP with a deadline for the whole exchange."""

import http.client
import io
import ipaddress
import socket
import time
import urllib.request
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

# Longer answers are refused.
_MAX_BYTES = 2**20


class Reply(NamedTuple):
    """The answer of a server, whatever its status."""

    status: int
    headers: Any
    body: bytes


def chat_url(base_url: str) -> str:
    """Return the address of the chats of an OpenAI-compatible endpoint; a query of `base_url` is kept.

    Raises
    ------
    ValueError
        If it is no address of a server. The message does not show it: it may contain a password.
    """
    try:
        parts = urlsplit(base_url)
        parts.port  # noqa: B018 - raises where it is no number
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.hostname.encode("idna") if parts.hostname else b""
    except ValueError:
        good = False
    if not good or not base_url.isascii() or any(ord(c) <= 32 for c in base_url):
        raise ValueError(
            "base_url must start with http:// or https:// and name a host, as in 'http://localhost:8000/v1'."
        )
    if "@" in parts.netloc:
        raise ValueError(
            "base_url must contain no user and password: put the key into the environment variable that api_key_env "
            "names."
        )
    path = parts.path.rstrip("/") + "/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, which is reached without a proxy."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def post(url: str, body: bytes, key: str | None, end: float) -> Reply:
    """Send JSON and read the answer; redirects are not followed, they would carry the key to another host.

    Parameters
    ----------
    url : str
    body : bytes
    key : str or None
        Sent as a bearer token.
    end : float
        Time of `time.monotonic` at which the exchange ends, however slowly bytes come.

    Raises
    ------
    OSError, http.client.HTTPException, ValueError
        If there is no answer.
    """
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    if key is not None:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    handlers: list[Any] = [_Plain(end), _Secure(end), _AnyStatus()]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    with urllib.request.build_opener(*handlers).open(request, timeout=_left(end)) as response:
        parts, size = [], 0
        while part := response.read1(65536):
            parts.append(part)
            size += len(part)
            if size > _MAX_BYTES:
                raise ValueError("the answer is longer than 1 MiB")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return Reply(response.status, response.headers, b"".join(parts))


def _left(end: float) -> float:
    """Return the seconds until the deadline.

    Raises
    ------
    TimeoutError
        If there are none.
    """
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the answer came too slowly")
    return seconds


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Return answers of every status: nothing is raised, nothing redirected."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class _Plain(urllib.request.HTTPHandler):
    """Open HTTP connections with a deadline."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end

    def http_open(self, req: Any) -> Any:
        return self.do_open(partial(_Connection, end=self.end), req)


class _Secure(urllib.request.HTTPSHandler):
    """Open HTTPS connections with a deadline."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end

    def https_open(self, req: Any) -> Any:
        return self.do_open(partial(_SecureConnection, end=self.end), req)


class _Connection(http.client.HTTPConnection):
    """A connection whose socket has the deadline of the exchange."""

    def __init__(self, *arguments: Any, end: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.end = end

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, self.end)


class _SecureConnection(http.client.HTTPSConnection):
    """The same with TLS."""

    def __init__(self, *arguments: Any, end: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.end = end

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, self.end)


class _TimedSocket:
    """A socket whose every read and write is limited to the time that remains."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self._end = sock, end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(_left(self._end))
        self._sock.sendall(data)

    def makefile(self, mode: str = "rb", *arguments: Any, **keywords: Any) -> Any:
        raw = self._sock.makefile("rb", buffering=0)
        return io.BufferedReader(_TimedReader(raw, self._sock, self._end))


class _TimedReader(io.RawIOBase):
    """The reading side of such a socket."""

    def __init__(self, raw: Any, sock: socket.socket, end: float) -> None:
        self._raw, self._sock, self._end = raw, sock, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._end))
        n_read: int | None = self._raw.readinto(buffer)
        return n_read

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
