"""Errors that become HTTP answers."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """The feedback database cannot be reached or written; the message contains no data of users.

    Parameters
    ----------
    message : str
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Refused(Exception):
    """Raised if a request is refused, with the status of the answer.

    Parameters
    ----------
    status : int
        Status of HTTP.
    code : str
        One word for programs.
    message : str
        One sentence for people.
    headers : tuple of (bytes, bytes), default=()
        Further headers of the answer.
    where : str or None, default=None
        The field of the body that is refused.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        where: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers
        self.where = where


def busy(message: str, seconds: int = 1) -> Refused:
    """Return a refusal with status 503, which means "try again"."""
    retry = ((b"retry-after", str(seconds).encode()),)
    return Refused(503, "unavailable", message, retry)
