"""Download one file over HTTP: resume after an interruption, keep it only if the publisher's checksum agrees."""

import hashlib
import re
import sys
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

_BLOCK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte
_AGENT = {"User-Agent": "sklearn-llmrec"}


def download(
    url: str, path: Path, *, verbose: bool = True, n_retries: int = 3, delay: float = 1.0
) -> None:
    """Download `url` to `path` and verify it against the publisher's checksum file, ``url + ".md5"``.

    The bytes go to ``path + ".part"`` and are renamed once verified. A transfer that breaks off leaves that
    file, and the next call resumes from its end.

    Parameters
    ----------
    url : str
        Address of the file.
    path : Path
        Where it shall lie.
    verbose : bool, default=True
        Whether to show the progress on the standard error stream.
    n_retries : int, default=3
        How often a broken transfer is taken up again before giving up.
    delay : float, default=1.0
        Seconds between two tries.

    Raises
    ------
    OSError
        If the file or its checksum can't be had, or the two disagree.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(n_retries + 1):
        try:
            expected = _published_md5(url + ".md5")
            _transfer(url, part, verbose)
            break
        except HTTPError as error:
            error.close()
            if error.code < 500 or attempt == n_retries:
                raise OSError(_failure(error.url, f"{error.code} {error.reason}", part)) from error
        except (URLError, HTTPException, OSError) as error:
            if isinstance(error, _ChecksumMissing) or attempt == n_retries:
                reason = getattr(error, "reason", error)
                raise OSError(_failure(url, str(reason), part)) from error
        time.sleep(delay)
    actual = _md5(part)
    if actual != expected:
        # Resuming a file that is wrong somewhere in the middle could never mend it.
        part.unlink()
        raise OSError(
            f"{url} does not match its publisher's checksum: md5 {expected} in {url}.md5, {actual} received. "
            "The file was removed; try again."
        )
    part.replace(path)


class _ChecksumMissing(OSError):
    """The publisher's checksum file contains no checksum, so another try would not help."""


def _failure(url: str, reason: str, part: Path) -> str:
    kept = (
        f" What has arrived is kept in {part}, and the next call resumes there."
        if part.exists()
        else ""
    )
    return (
        f"{url} could not be downloaded: {reason}.{kept} Without a network, put the file there by other "
        f"means: as {part.with_suffix('').name} into {part.parent}, or anywhere with data_home naming its folder."
    )


def _published_md5(url: str) -> str:
    """Return the checksum from an md5 file, written "MD5 (name) = digest" or "digest name"."""
    with urlopen(Request(url, headers=_AGENT), timeout=_TIMEOUT) as response:
        text = response.read(4096).decode("ascii", errors="replace")
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise _ChecksumMissing(f"no md5 checksum in {url}")
    return found.group().lower()


def _transfer(url: str, part: Path, verbose: bool) -> None:
    """Fetch the missing bytes of `part`."""
    have = part.stat().st_size if part.exists() else 0
    headers = _AGENT | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies past the end of `part`: it is whole, or longer than the file and wrong.
        error.close()
        total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if total == str(have):
            return
        part.unlink()
        response = urlopen(Request(url, headers=_AGENT), timeout=_TIMEOUT)
    with response:
        # A server that knows no ranges answers 200 with the whole file.
        resumed = response.status == 206 and _starts_at(response, have)
        _receive(response, part, have if resumed else 0, verbose)


def _starts_at(response: HTTPResponse, offset: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {offset}-")


def _receive(response: HTTPResponse, part: Path, have: int, verbose: bool) -> None:
    """Write the body of `response` to `part`, from `have` on."""
    length = response.headers.get("Content-Length")
    total = None if length is None else have + int(length)
    progress = _Progress(part.with_suffix("").name, total, verbose)
    with part.open("ab" if have else "wb") as file:
        while block := response.read(_BLOCK):
            file.write(block)
            have += len(block)
            progress.show(have)
    progress.end(have)
    if total is not None and have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


class _Progress:
    """Progress line on the standard error stream, rewritten at most five times a second."""

    def __init__(self, name: str, total: int | None, verbose: bool) -> None:
        self.name, self.total, self.verbose = name, total, verbose
        self.shown = 0.0

    def show(self, have: int) -> None:
        now = time.monotonic()
        if self.verbose and now - self.shown >= 0.2:
            self.shown = now
            self._write(have, end="\r")

    def end(self, have: int) -> None:
        if self.verbose:
            self._write(have, end="\n")

    def _write(self, have: int, end: str) -> None:
        of = f" of {self.total / 1e6:.1f} MB ({have / self.total:.0%})" if self.total else " MB"
        print(f"{self.name}: {have / 1e6:.1f}{of}", end=end, file=sys.stderr, flush=True)


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
