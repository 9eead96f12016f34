"""Keep embeddings on disk: one SQLite file per model and settings, keyed by the hash of the text."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import require, warn

# Bound variables of one statement: SQLite's oldest default is 999.
_AT_ONCE = 900
_CHECK_BYTES = 8
# Contents between two writes to the cache: what an interruption costs at most.
_BLOCK = 1024


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


def embedded_once(
    cache: EmbeddingCache | None,
    contents: dict[bytes, Any],
    embed: Callable[[list[Any]], NDArray[np.float32]],
    progress: Callable[[int], Any],
) -> dict[bytes, NDArray[np.float32]]:
    """Return vectors of contents by key; embed those that the cache has not, in the order given, and store them.

    `progress` gets the number of contents to embed, and returns a context of a progress bar or of None.
    """
    known = {} if cache is None else cache.get(list(contents))
    missing = [key for key in contents if key not in known]
    if not missing:
        return known
    with progress(len(missing)) as bar:
        for start in range(0, len(missing), _BLOCK):
            keys = missing[start : start + _BLOCK]
            vectors = embed([contents[key] for key in keys])
            if cache is not None:
                cache.put(keys, vectors)
            known.update(zip(keys, vectors, strict=True))
            if bar is not None:
                bar.update(len(keys))
    return known


def checked_vectors(encoded: Any, contents: list[Any], what: str) -> NDArray[np.float32]:
    """Return the output of a model as float32 vectors, one per content.

    Raises
    ------
    ValueError
        If there is not one vector per content, or values are not finite.
    """
    with np.errstate(over="ignore"):  # what is too large for float32 is refused below
        vectors = np.asarray(encoded, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(contents):
        raise ValueError(
            f"The model returned an array of shape {vectors.shape} for {len(contents)} {what}: it must return one "
            f"vector per {what.removesuffix('s')}."
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        first = contents[bad[0]]
        example = f", for example {first[:80]!r}" if isinstance(first, str) else ""
        raise ValueError(
            f"The model returned NaN or infinite values for {len(bad)} of {len(contents)} {what}{example}: check the "
            "model, or its dtype (float16 overflows on a CPU)."
        )
    return vectors


def cache_folder(cache: bool | str | os.PathLike[str]) -> Path | None:
    """Return the folder of the cache that the parameter `cache` names, or None without one."""
    if cache is False:
        return None
    if cache is True:
        from sklearn.datasets import get_data_home

        return Path(get_data_home()) / "sklearn_llmrec" / "embeddings"
    return Path(cache).expanduser()


def progress_bar(verbose: bool | int, what: str) -> Callable[[int], Any]:
    """Return a function from a number of contents to a progress bar as a context, or to a context of None."""
    if not verbose:
        return lambda n: nullcontext()
    tqdm = require("tqdm.auto", extra="text").tqdm
    return lambda n: tqdm(total=n, desc=f"Embedding {what}", unit=f" {what}")


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to unit length; zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))
