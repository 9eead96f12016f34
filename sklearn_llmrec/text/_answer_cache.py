"""Keep answers of language models on disk, each found only under the question that it answers."""

import json
import os
import tempfile
from collections import Counter
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock

_FORMAT = "sklearn_llmrec answer, version 1"


class AnswerCache:
    """Answers on disk, one file each, named by a hash of the question; questions are not stored.

    A file that is damaged, or was written by something else, is a miss. Problems are counted and not raised: a cache
    that does not work costs time, not lists.

    Parameters
    ----------
    folder : path or None
        None keeps nothing.

    Attributes
    ----------
    problems : Counter
        Files that could not be read ("damaged") and answers that could not be kept ("unwritable").
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        self.problems: Counter[str] = Counter()
        self._lock = Lock()

    def report(self, problem: str) -> None:
        """Count a problem."""
        with self._lock:
            self.problems[problem] += 1

    def path(self, key: bytes) -> Path | None:
        """Return where the answer to a question lies."""
        if self.folder is None:
            return None
        return self.folder / f"{blake2b(key, digest_size=16).hexdigest()}.json"

    def get(self, key: bytes) -> str | None:
        """Return the answer to a question, or None."""
        path = self.path(key)
        if path is None:
            return None
        try:
            stored = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError):
            self.report("damaged")
            return None
        answer = stored.get("answer") if isinstance(stored, dict) else None
        if not isinstance(answer, str) or stored != _entry(key, answer):
            self.report("damaged")
            return None
        return answer

    def put(self, key: bytes, answer: str) -> None:
        """Keep an answer; readers see it whole or not at all, whoever else writes it."""
        path = self.path(key)
        if path is None:
            return
        part = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="ascii", dir=path.parent, suffix=".part", delete=False
            ) as file:
                part = file.name
                json.dump(_entry(key, answer), file)
            os.replace(part, path)
        except OSError:
            self.report("unwritable")
            if part is not None:
                with suppress(OSError):
                    os.unlink(part)


def _entry(key: bytes, answer: str) -> dict[str, str]:
    """Return the content of a file; the check binds the answer to its question."""
    check = blake2b(key, digest_size=32)
    check.update(b"\0" + answer.encode("utf-8", "surrogatepass"))
    return {"format": _FORMAT, "check": check.hexdigest(), "answer": answer}
