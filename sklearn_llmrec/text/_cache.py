"""Keep embeddings on disk: one SQLite file per model and settings, keyed by the hash of the text."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import warn

# Bound variables of one statement: SQLite's oldest default is 999.
_AT_ONCE = 900
_CHECK_BYTES = 8


def text_key(text: str) -> bytes:
    """Return the hash of a text in the cache."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class EmbeddingCache:
    """Vectors by text, shared by processes.

    Texts themselves are not stored, only their hashes. Every vector is stored behind a check of its text and values, so
    that what is damaged or was written by something else is a miss, with a warning.

    Parameters
    ----------
    path : Path
        The file; it and its folder are made when first needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection per call: nothing to pickle, nothing shared between threads or forked
        # processes.
        connection = sqlite3.connect(self.path, timeout=120, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def _require_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"The embedding cache {self.path} cannot be opened ({error}). Pass another folder "
                f"as cache, or cache=False."
            ) from error

    def get(self, keys: list[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors of the keys that are there."""
        self._require_folder()
        if not self.path.exists():
            return {}
        rows: list[tuple[bytes, bytes]] = []
        try:
            with self._open() as connection:
                for start in range(0, len(keys), _AT_ONCE):
                    part = keys[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(part))
                    rows += connection.execute(
                        f"SELECT text, vector FROM embeddings WHERE text IN ({marks})", part
                    ).fetchall()
        except sqlite3.DatabaseError as error:
            if not _is_new(error):
                self._warn(f"cannot be read ({error})")
            return {}
        found = {
            key: vector for key, stored in rows if (vector := _vector(key, stored)) is not None
        }
        widths = [len(vector) for vector in found.values()]
        usual = max(set(widths), key=widths.count, default=0)
        found = {key: vector for key, vector in found.items() if len(vector) == usual}
        if len(found) < len(rows):
            self._warn(f"has {len(rows) - len(found)} damaged vectors among those looked for")
        return found

    def put(self, keys: Iterable[bytes], vectors: NDArray[np.float32]) -> None:
        """Store finite vectors, in the place of damaged ones; several processes may do so at once."""
        self._require_folder()
        rows = []
        for key, vector in zip(keys, vectors, strict=True):
            values = np.ascontiguousarray(vector, "<f4").tobytes()
            rows.append((key, _check(key, values) + values))
        try:
            with self._open() as connection:
                # The lock for writing is taken at once: a transaction that begins by reading cannot wait for it.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings (text BLOB PRIMARY KEY, vector BLOB NOT NULL)"
                )
                connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)
                connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._warn(f"cannot be written ({error})")

    def _warn(self, problem: str) -> None:
        warn(
            f"The embedding cache {self.path} {problem}; texts are embedded anew. Delete the file, pass another folder "
            "as cache, or cache=False.",
        )


def _is_new(error: sqlite3.DatabaseError) -> bool:
    """Return whether a database has no table yet: another process has just made the file."""
    return "no such table" in str(error)


def _check(key: bytes, values: bytes) -> bytes:
    return blake2b(key + values, digest_size=_CHECK_BYTES).digest()


def _vector(key: bytes, stored: object) -> NDArray[np.float32] | None:
    """Return the vector of a stored entry, or None if the entry is not the one stored under this key."""
    if not isinstance(stored, bytes) or len(stored) % 4 or len(stored) <= _CHECK_BYTES:
        return None
    check, values = stored[:_CHECK_BYTES], stored[_CHECK_BYTES:]
    if check != _check(key, values):
        return None
    vector = np.frombuffer(values, np.dtype("<f4"))
    return vector if np.isfinite(vector).all() else None
