"""Embeddings on disk: one SQLite file per model and settings, keyed by the hash of the text."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Bound variables of one statement: SQLite's oldest default is 999.
_AT_ONCE = 900


def text_key(text: str) -> bytes:
    """Hash that stands for a text in the cache."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class EmbeddingCache:
    """Vectors by text, shared by processes.

    Texts themselves are not stored, only their hashes.

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
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=120)
        except (OSError, sqlite3.OperationalError) as error:
            raise OSError(
                f"The embedding cache {self.path} cannot be opened ({error}). Pass another folder "
                f"as cache, or cache=False."
            ) from error
        try:
            with connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings (text BLOB PRIMARY KEY, vector BLOB "
                    "NOT NULL)"
                )
                yield connection
        except sqlite3.DatabaseError as error:
            raise OSError(
                f"The embedding cache {self.path} cannot be used ({error}). Delete the file, pass "
                f"another folder as cache, or cache=False."
            ) from error
        finally:
            connection.close()

    def get(self, keys: list[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Vectors of the keys that are there."""
        found = {}
        with self._open() as connection:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT text, vector FROM embeddings WHERE text IN ({marks})", part
                )
                found.update({key: np.frombuffer(vector, np.dtype("<f4")) for key, vector in rows})
        return found

    def put(self, keys: Iterable[bytes], vectors: NDArray[np.float32]) -> None:
        """Store vectors; what another process stored meanwhile stays."""
        rows = [
            (key, vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors, strict=True)
        ]
        with self._open() as connection:
            connection.executemany("INSERT OR IGNORE INTO embeddings VALUES (?, ?)", rows)
