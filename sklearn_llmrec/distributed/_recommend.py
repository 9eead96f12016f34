"""Ranking lists of many users: block by block here, or shard by shard in processes and on clusters."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.base import recommend
from sklearn_llmrec.distributed._engines import check_client, run_tasks
from sklearn_llmrec.distributed._shards import EventShards
from sklearn_llmrec.persistence import Bundle, load
from sklearn_llmrec.utils import equal_ids, first_repeated, require, row_chunks

_UNFINISHED = ".unfinished-"


class Lists(NamedTuple):
    """Ranking lists of a block of rows.

    Attributes
    ----------
    rows : slice
        Which rows of X.
    items : ndarray of shape (n_rows, k)
        Column numbers, or item ids.
    scores : ndarray of shape (n_rows, k)
    """

    rows: slice
    items: NDArray[Any]
    scores: NDArray[Any]


def iter_recommend(
    estimator: Any,
    X: Any,
    k: int = 10,
    *,
    rows_per_block: int = 10_000,
    exclude_seen: bool = True,
    ids: bool = False,
) -> Iterator[Lists]:
    """Yield ranking lists block by block, so that those of all users are never in memory.

    Parameters
    ----------
    estimator : object
        A fitted recommender, Pipeline or search.
    X : sparse array or Interactions of shape (n_users, n_items)
        Histories, which may be memory-mapped.
    k : int, default=10
        Length of the lists.
    rows_per_block : int, default=10_000
        Users per block.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out.
    ids : bool, default=False
        Whether items are given as item ids.

    Yields
    ------
    lists : Lists
        A named tuple of `rows`, `items` and `scores`, as `recommend` returns them.

    Raises
    ------
    ValueError
        If `rows_per_block` is below 1, or as `recommend` raises it for the first block.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from sklearn_llmrec import EASE
    >>> from sklearn_llmrec.distributed import iter_recommend
    >>> X = sp.csr_array(np.array([[1.0, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]]))
    >>> model = EASE().fit(X)
    >>> for lists in iter_recommend(model, X, k=1, rows_per_block=2):
    ...     print(lists.rows, lists.items.ravel())
    slice(0, 2, None) [2 2]
    slice(2, 4, None) [0 1]
    """
    if rows_per_block < 1:
        raise ValueError(f"rows_per_block must be at least 1, got {rows_per_block}.")
    return _blocks(estimator, X, k, rows_per_block, {"exclude_seen": exclude_seen, "ids": ids})


def _blocks(estimator: Any, X: Any, k: int, width: int, options: dict[str, Any]) -> Iterator[Lists]:
    for start in range(0, X.shape[0], width):
        rows = slice(start, min(start + width, X.shape[0]))
        yield Lists(rows, *recommend(estimator, X[rows], k, **options))


@dataclass(frozen=True)
class RecommendTask:
    """Ranking lists of a block of users as an Arrow table, by a saved model: a function to run on any engine.

    A pickled task contains only the path and the options, less than 2 kB. A process loads the model at its first block
    and keeps it. The arrays of the model are memory-mapped from the file.

    Parameters
    ----------
    path : str
        A bundle of `sklearn_llmrec.save`, on a disk that the process sees.
    version : str
        The version of the bundle that must be there.
    k : int, default=10
        Length of the lists.
    exclude_seen : bool, default=True
        Whether items of the history are left out.
    trusted : bool or tuple of str, default=False
        As in `sklearn_llmrec.load`.
    """

    path: str
    version: str
    k: int = 10
    exclude_seen: bool = True
    trusted: bool | tuple[str, ...] = False

    def __call__(self, X: Any) -> Any:
        """Return the lists of an `Interactions` with user ids.

        Parameters
        ----------
        X : Interactions of shape (n_users, n_items)
            With `user_ids`. Where X and the model know item ids, columns are matched by id, and items that the model
            does not know are left out of histories: shards may contain newer items than the model.

        Returns
        -------
        table : pyarrow.Table
            Columns "user", "rank" (from 1), "item" and "score"; as many rows per user as there are items to recommend,
            at most k. Items are ids, or column numbers where the model has no ids.

        Raises
        ------
        ValueError
            If X has no user ids, or another bundle is at the path.
        """
        pa = require("pyarrow", "arrow")
        if getattr(X, "user_ids", None) is None:
            raise ValueError(
                "X has no user_ids, and the lists need them: pass Interactions with user_ids."
            )
        bundle = _bundle(self.path, self.version, self.trusted)
        known, ids = bundle.item_ids, X.item_ids
        if known is not None and ids is not None:
            same = len(ids) == len(known) and equal_ids(ids, known).all()
            X = X if same else X.with_items(known)
        items, scores = recommend(bundle.estimator, X, self.k, exclude_seen=self.exclude_seen)
        present = items >= 0
        users = np.repeat(np.arange(X.shape[0]), present.sum(axis=1))
        ranks = np.broadcast_to(np.arange(1, self.k + 1, dtype=np.int32), items.shape)[present]
        chosen = items[present]
        return pa.table(
            {
                "user": pa.array(X.user_ids[users]),
                "rank": ranks,
                "item": pa.array(chosen if bundle.item_ids is None else bundle.item_ids[chosen]),
                "score": scores[present],
            }
        )


@lru_cache(maxsize=1)
def _bundle(path: str, version: str, trusted: bool | tuple[str, ...]) -> Bundle:
    """Load a bundle once per process, and check that it is the one that was named."""
    bundle = load(path, mmap=True, trusted=list(trusted) if isinstance(trusted, tuple) else trusted)
    if bundle.version != version:
        raise ValueError(
            f"The bundle at {path!r} is version {bundle.version[:12]}, and this task needs version {version[:12]}: the "
            "bundle was replaced meanwhile. Start again with a new folder for the lists."
        )
    return bundle


@dataclass(frozen=True)
class ShardsReport:
    """What a call of `recommend_shards` did.

    Attributes
    ----------
    files : list of Path
        The files of all shards, in their order.
    n_users : int
        Users in all files.
    n_computed : int
        Shards that this call computed; the others were there.
    seconds : float
        Wall-clock time.
    peak_memory : int or None
        The largest memory of a process that computed shards, in bytes, imports included; None where none was computed
        or the system does not say.
    """

    files: list[Path]
    n_users: int
    n_computed: int
    seconds: float
    peak_memory: int | None


def _n_users(file: Path) -> int:
    """Return the number of users in a file of lists."""
    pa, pq = require("pyarrow", "arrow"), require("pyarrow.parquet", "arrow")
    try:
        return int(pq.read_metadata(file).metadata[b"n_users"])
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(file)!r} is damaged: {error}. Delete it and call again, which writes this file only."
        ) from error


def recommend_shards(
    model_path: str | Path,
    shards: EventShards | Sequence[Any],
    out: str | Path,
    k: int = 10,
    *,
    exclude_seen: bool = True,
    client: Any = None,
    n_jobs: int | None = None,
    trusted: bool | Sequence[str] = False,
    verbose: bool = False,
) -> ShardsReport:
    """Recommend to all users of shards, and write one Parquet file per shard.

    A file is written under another name and renamed when it is complete. A call that was interrupted is resumed by the
    same call: shards whose file is there are left out, so that a second call does nothing. What the files were made
    from is in ``manifest.json`` beside them.

    Parameters
    ----------
    model_path : str or Path
        A bundle of `sklearn_llmrec.save`, on a disk that all workers see.
    shards : EventShards or sequence of Interactions
        Histories with user ids. Every user is in one shard.
    out : str or Path
        A folder for the files, on a disk that all workers see.
    k : int, default=10
        Length of the lists.
    exclude_seen : bool, default=True
        Whether items of the history are left out.
    client : distributed.Client, default=None
        Computes on a Dask cluster (extra ``distributed``).
    n_jobs : int, default=None
        Processes of joblib where `client` is None. None means 1 unless in a joblib context, -1 all cores.
    trusted : bool or sequence of str, default=False
        As in `sklearn_llmrec.load`.
    verbose : bool, default=False
        Whether to print a line per shard.

    Returns
    -------
    report : ShardsReport

    Raises
    ------
    ImportError
        If the extra ``arrow`` or ``io`` is not installed, or ``distributed`` for `client`.
    TypeError
        If `model_path` is no path, or `client` is no client.
    ValueError
        If the folder has lists of another model, k, option or source, a file is damaged, a user is in two shards, or a
        shard has no user ids.

    See Also
    --------
    iter_recommend : Lists block by block, in this process.
    RecommendTask : The function that workers run, for other engines.
    """
    check_client(client)
    if not isinstance(model_path, str | PathLike):
        raise TypeError(
            f"model_path must be the path of a bundle, got {type(model_path).__name__}: workers load the model from "
            "disk. Save it first: save(path, model)."
        )
    start = time.perf_counter()
    path, out = str(Path(model_path).absolute()), Path(out).absolute()
    names = trusted if isinstance(trusted, bool) else tuple(trusted)
    version = load(path, mmap=True, trusted=trusted).version
    task = RecommendTask(path, version, k, exclude_seen, names)
    manifest = {"bundle": version, "k": k, "exclude_seen": exclude_seen, "source": _source(shards)}
    out.mkdir(parents=True, exist_ok=True)
    _check_manifest(out, manifest)
    for leftover in out.glob(f"{_UNFINISHED}*"):
        leftover.unlink()
    files = [out / f"part-{number:05d}.parquet" for number in range(len(shards))]
    loader = getattr(shards, "loader", None)
    missing = [
        _Part(task, shards[number] if loader is None else loader(number), file)
        for number, file in enumerate(files)
        if not file.exists()
    ]
    peaks = []
    for done, (part, peak) in enumerate(
        zip(missing, run_tasks(_write_part, missing, client=client, n_jobs=n_jobs), strict=True), 1
    ):
        peaks.append(peak)
        if verbose:
            seconds = time.perf_counter() - start
            print(
                f"[recommend_shards] {part.file.name}, {done} of {len(missing)}, {seconds:.0f} s",
                flush=True,
            )
    n_users = sum(map(_n_users, files))
    return ShardsReport(
        files,
        n_users,
        len(missing),
        time.perf_counter() - start,
        max((peak for peak in peaks if peak is not None), default=None),
    )


@dataclass(frozen=True)
class _Part:
    """The lists of a shard, and where they are written."""

    task: RecommendTask
    shard: Any
    file: Path


def _write_part(part: _Part) -> int | None:
    """Write the file of a shard unless it is there, and return the peak memory of this process."""
    pq = require("pyarrow.parquet", "arrow")
    if part.file.exists():
        return _peak_memory()
    X = part.shard() if callable(part.shard) else part.shard
    unfinished = part.file.with_name(f"{_UNFINISHED}{part.file.name}-{os.getpid()}")
    writer = None
    try:
        # Lists of a block are written before the next is made.
        for rows in [*row_chunks(X.shape[0], 32 * part.task.k)] or [slice(0, 0)]:
            table = part.task(X[rows]).replace_schema_metadata({"n_users": str(X.shape[0])})
            writer = writer or pq.ParquetWriter(unfinished, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    unfinished.replace(part.file)
    return _peak_memory()


def _peak_memory() -> int | None:
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    return int(getrusage(RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def _source(shards: Any) -> str:
    """Return a SHA-256 digest of the histories, which differs for other shards.

    Raises
    ------
    ValueError
        If a user is in two shards, or a shard has no user ids.
    """
    if isinstance(shards, EventShards):  # the id decides the shard, so no user is in two
        return sha256(json.dumps(shards.manifest, sort_keys=True).encode()).hexdigest()
    digest = sha256()
    for number, X in enumerate(shards):
        if getattr(X, "user_ids", None) is None:
            raise ValueError(
                f"Shard {number} has no user_ids, and the lists need them: pass Interactions with user_ids."
            )
        for part in (X.data, X.indices, X.indptr):
            digest.update(np.ascontiguousarray(part).data)
        digest.update("\0".join(map(str, X.user_ids)).encode())
    if len(shards):
        ids = np.concatenate([X.user_ids for X in shards])
        repeated = first_repeated(ids)
        if repeated is not None:
            raise ValueError(
                f"User {ids[[repeated]].tolist()[0]!r} is in two places: every user must be in one row of one shard. "
                "Interactions.concat joins rows, and partition_events divides a log by user."
            )
    return digest.hexdigest()


def _check_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Write ``manifest.json``, which describes what the lists are made from.

    Raises
    ------
    ValueError
        If the folder has lists that were made from something else.
    """
    path = out / "manifest.json"
    if path.exists():
        known = json.loads(path.read_text())
        differs = [name for name in manifest if known.get(name) != manifest[name]]
        if differs:
            raise ValueError(
                f"{str(out)!r} has lists of another {', '.join(differs)}: name a new folder, or remove this one."
            )
        return
    if any(out.glob("part-*.parquet")):
        raise ValueError(f"{str(out)!r} has lists without a manifest: name a new folder.")
    unfinished = out / f"{_UNFINISHED}manifest.json"
    unfinished.write_text(json.dumps(manifest, indent=1))
    unfinished.replace(path)
