"""Events divided into shards by user, on disk, over one catalogue of items.

A folder of shards contains

    manifest.json               columns, options and counts; what it does not name is not part of the shards
    events-0000/shard-00000.parquet, ...    the events of each shard, a folder per source
    matrices-0000/items.parquet             the ids of all items
    matrices-0000/shard-00000/data.npy, ... the matrix of each shard, and its users.parquet

Folders are written under another name and renamed when complete, and the manifest is replaced last: a process that
ends early leaves the shards as they were.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from zlib import crc32

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.interactions import Interactions, event_batches, sorted_ids
from sklearn_llmrec.utils import csr_of, require

_FORMAT = 1
# Events of a shard that are gathered before they are written.
_GATHERED = 2**16
_REMEDY = "Restore the file from a copy, or make the shards again with partition_events."


def shard_of(ids: Any, n_shards: int) -> NDArray[np.int64]:
    """Return the shard of every user id of an Arrow array: CRC-32 of its text, modulo the number of shards.

    The text of an integer is its decimal digits. CRC-32 is a standard, so other programs find the same shard, and so
    does every later version.
    """
    texts = ids.dictionary_encode()
    hashes = [crc32(str(value).encode()) % n_shards for value in texts.dictionary.to_pylist()]
    return np.array(hashes, dtype=np.int64)[texts.indices.to_numpy(zero_copy_only=False)]


def partition_events(
    source: Any,
    folder: str | Path,
    n_shards: int,
    *,
    user: str,
    item: str,
    value: str | None = None,
    timestamp: str | None = None,
    repeats: str = "sum",
    nonpositive: str = "drop",
) -> EventShards:
    """Divide an event log into shards by user, and build the matrix of every shard.

    The log is read once, batch by batch: memory is that of a batch and of one shard. All events of a user are in the
    shard that a hash of the user id names, the same for every file and every version of this library.

    Parameters
    ----------
    source : str, Path, list of these, pyarrow.Table, pyarrow.dataset.Dataset or callable
        Parquet or CSV files, which may be patterns (``"log-*.parquet"``); a table; a dataset; or a function that
        returns a new iterator of Arrow record batches.
    folder : str or Path
        A new folder.
    n_shards : int
        So many that one shard fits in the memory of a worker: a shard of n events takes about 60 n bytes while its
        matrix is built, 16 n bytes later.
    user, item : str
        Columns of user and item ids: integers or texts. Events without one of them are dropped.
    value, timestamp : str, default=None
        Columns of values and times, as in `Interactions.from_frame`.
    repeats : {"sum", "mean", "count", "last", "keep"}, default="sum"
        What becomes of several events of one user and item, as in `Interactions.from_frame`.
    nonpositive : {"drop", "keep"}, default="drop"
        Whether events whose value is zero or negative are dropped.

    Returns
    -------
    shards : EventShards

    Raises
    ------
    ImportError
        If the extra ``arrow`` is not installed.
    ValueError
        If the folder contains something, the log lacks a column or has no event, or a parameter is out of range.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from sklearn_llmrec.distributed import partition_events
    >>> log = pa.table({"who": ["bob", "ann", "bob"], "what": ["tea", "tea", "mug"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = partition_events(log, folder, 2, user="who", item="what")
    ...     len(shards), sum(shard.shape[0] for shard in shards), shards.item_ids.tolist()
    (2, 2, ['mug', 'tea'])
    """
    folder = Path(folder)
    if n_shards < 1:
        raise ValueError(f"n_shards must be at least 1, got {n_shards}.")
    if nonpositive not in ("drop", "keep"):
        raise ValueError(f"nonpositive must be 'drop' or 'keep', got {nonpositive!r}.")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{str(folder)!r} is not empty: name a new folder, or add events with EventShards(folder).append(source)."
        )
    names = {"user": user, "item": item, "value": value, "timestamp": timestamp}
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        "n_shards": n_shards,
        "columns": {name: column for name, column in names.items() if column is not None},
        "repeats": repeats,
        "nonpositive": nonpositive,
        "events": [],
        "rows": [],
        "n_events": 0,
        "n_dropped": 0,
    }
    read = event_batches(source, list(manifest["columns"].values()))
    folder.mkdir(parents=True, exist_ok=True)
    _add_events(folder, manifest, read)
    return EventShards(folder)


class EventShards(Sequence[Interactions]):
    """Shards of users on disk that `partition_events` made: a sequence of memory-mapped matrices over the same items.

    Parameters
    ----------
    folder : str or Path

    Attributes
    ----------
    folder : Path
    manifest : dict
        Columns, options and counts.
    item_ids : ndarray of shape (n_items,)
        The ids of all items, sorted.

    Raises
    ------
    ImportError
        If the extra ``arrow`` is not installed.
    FileNotFoundError
        If the folder contains no shards.
    ValueError
        If a later version wrote them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        path = self.folder / "manifest.json"
        if not path.exists():
            raise FileNotFoundError(f"No shards in {str(folder)!r}: partition_events makes them.")
        self.manifest: dict[str, Any] = json.loads(path.read_text())
        if self.manifest["format"] > _FORMAT:
            raise ValueError(
                f"A later version wrote the shards in {str(folder)!r}: update this library."
            )
        self.item_ids = _read_ids(self._matrices / "items.parquet")

    @property
    def _matrices(self) -> Path:
        return self.folder / str(self.manifest["matrices"])

    def __len__(self) -> int:
        return int(self.manifest["n_shards"])

    def __getitem__(self, number: Any) -> Any:
        """Return the matrix of a shard, or a list of those of a slice; arrays are read from disk as they are used."""
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"Shard {number} of {len(self)}.")
        return _read_matrix(self._matrices / _name(number % len(self)), self.item_ids)

    def loader(self, number: int) -> Callable[[], Interactions]:
        """Return a picklable function that loads a shard, in any process that sees the folder."""
        return partial(_load, self.folder, number)

    def append(self, source: Any) -> EventShards:
        """Add the events of a further source, such as those of the next day, and build the matrices again.

        Parameters
        ----------
        source : object
            As in `partition_events`, with the same columns.

        Returns
        -------
        shards : EventShards
            With the new events; matrices of this object are removed.

        Raises
        ------
        ValueError
            If a file of earlier events is missing or damaged, a column has another type than before, or no event
            counts. The shards then stay as they were.
        """
        _check_files(self.folder, self.manifest)
        read = event_batches(source, list(self.manifest["columns"].values()))
        _add_events(self.folder, self.manifest, read)
        return EventShards(self.folder)

    def __repr__(self) -> str:
        return (
            f"EventShards({str(self.folder)!r}, n_shards={len(self)}, n_items={len(self.item_ids)})"
        )


def _load(folder: Path, number: int) -> Interactions:
    shard: Interactions = EventShards(folder)[number]
    return shard


def _name(number: int) -> str:
    return f"shard-{number:05d}"


def _add_events(folder: Path, manifest: dict[str, Any], read: Callable[[], Iterator[Any]]) -> None:
    """Write the events of a source, build all matrices, and replace the manifest."""
    known = {*manifest["events"], manifest.get("matrices"), "manifest.json"}
    for leftover in folder.iterdir():
        if leftover.name not in known:
            shutil.rmtree(leftover)
    events = f"events-{len(manifest['events']):04d}"
    new = Path(mkdtemp(prefix="unfinished-", dir=folder))
    try:
        n_events, n_dropped = _write_events(new, manifest, read, _schema_of(folder, manifest))
    except BaseException:
        shutil.rmtree(new)
        raise
    rows = [_n_rows(new / f"{_name(number)}.parquet") for number in range(manifest["n_shards"])]
    new.rename(folder / events)
    manifest = {
        **manifest,
        "events": [*manifest["events"], events],
        "rows": [*manifest["rows"], rows],
        "n_events": manifest["n_events"] + n_events,
        "n_dropped": manifest["n_dropped"] + n_dropped,
    }
    if not manifest["n_events"]:
        shutil.rmtree(folder / events)
        raise ValueError(f"The log has no event that counts; {n_dropped} were dropped.")
    old, matrices = manifest.get("matrices"), f"matrices-{len(manifest['events']) - 1:04d}"
    new = Path(mkdtemp(prefix="unfinished-", dir=folder))
    manifest |= {"matrices": matrices, **_build(new, folder, manifest)}
    new.rename(folder / matrices)
    unfinished = folder / "unfinished-manifest.json"
    unfinished.write_text(json.dumps(manifest, indent=1))
    os.replace(unfinished, folder / "manifest.json")
    if old is not None:
        shutil.rmtree(folder / old)


def _n_rows(path: Path) -> int:
    """Return the number of events in a file of events; 0 if there is none."""
    if not path.exists():
        return 0
    return int(require("pyarrow.parquet", "arrow").read_metadata(path).num_rows)


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse to build on files of events that are missing or damaged: their users would be lost.

    Raises
    ------
    ValueError
        If a file does not have the number of events that the manifest names.
    """
    pa = require("pyarrow", "arrow")
    for events, rows in zip(manifest["events"], manifest["rows"], strict=True):
        for number, expected in enumerate(rows):
            path = folder / events / f"{_name(number)}.parquet"
            try:
                found = _n_rows(path)
            except (OSError, pa.ArrowInvalid) as error:
                raise ValueError(f"{str(path)!r} is damaged: {error}. {_REMEDY}") from error
            if found != expected:
                raise ValueError(
                    f"{str(path)!r} has {found} events, and the manifest names {expected}. {_REMEDY}"
                )


def _schema_of(folder: Path, manifest: dict[str, Any]) -> Any:
    """Return the schema of the earlier events, or None if there are none."""
    pq = require("pyarrow.parquet", "arrow")
    for events in manifest["events"]:
        for path in sorted((folder / events).glob("*.parquet")):
            return pq.read_schema(path)
    return None


def _like_earlier(batch: Any, schema: Any) -> Any:
    """Return a batch with the types of earlier events; widths may differ, kinds may not.

    Raises
    ------
    ValueError
        If a column is of another kind than before.
    """
    types = require("pyarrow", "arrow").types

    def kind(t: Any) -> Any:
        if types.is_dictionary(t):
            t = t.value_type
        tests = (types.is_integer, types.is_floating, types.is_timestamp)
        if types.is_string(t) or types.is_large_string(t):
            return "text"
        return next((test.__name__ for test in tests if test(t)), t)

    for field in schema:
        found = batch.schema.field(field.name).type
        if kind(found) != kind(field.type):
            raise ValueError(
                f"Column {field.name!r} is {found}, and {field.type} in the earlier events: convert it before it is "
                "appended."
            )
    return batch.select(schema.names).cast(schema)


def _write_events(
    folder: Path, manifest: dict[str, Any], read: Callable[[], Iterator[Any]], earlier: Any
) -> tuple[int, int]:
    """Write events to a file per shard, and return how many were written and dropped."""
    pa, pc = require("pyarrow", "arrow"), require("pyarrow.compute", "arrow")
    pq = require("pyarrow.parquet", "arrow")
    columns, n_shards = manifest["columns"], manifest["n_shards"]
    writers: dict[int, Any] = {}
    gathered: dict[int, list[Any]] = {}
    n_gathered = np.zeros(n_shards, dtype=np.int64)
    n_events = n_read = 0

    def write(shard: int) -> None:
        table = pa.concat_tables(gathered.pop(shard))
        if shard not in writers:
            writers[shard] = pq.ParquetWriter(folder / f"{_name(shard)}.parquet", table.schema)
        writers[shard].write_table(table)
        n_gathered[shard] = 0

    try:
        for batch in read():
            n_read += batch.num_rows
            if earlier is not None:
                batch = _like_earlier(batch, earlier)
            for column in columns.values():
                batch = batch.filter(pc.is_valid(batch[column]))
            if "value" in columns and manifest["nonpositive"] == "drop":
                batch = batch.filter(pc.greater(batch[columns["value"]], 0))
            n_events += batch.num_rows
            if not batch.num_rows:
                continue
            shards = shard_of(batch[columns["user"]].combine_chunks(), n_shards)
            order = np.argsort(shards, kind="stable")
            batch, shards = batch.take(pa.array(order)), shards[order]
            starts = np.flatnonzero(np.diff(shards, prepend=-1))
            for start, stop in zip(starts, np.append(starts[1:], len(shards)), strict=True):
                shard = int(shards[start])
                gathered.setdefault(shard, []).append(batch.slice(start, stop - start))
                n_gathered[shard] += stop - start
                if n_gathered[shard] >= _GATHERED:
                    write(shard)
        for shard in list(gathered):
            write(shard)
    finally:
        for writer in writers.values():
            writer.close()
    return n_events, n_read - n_events


def _build(new: Path, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the matrices of all shards over the items of all, and return their counts."""
    pa, pq = require("pyarrow", "arrow"), require("pyarrow.parquet", "arrow")
    columns = manifest["columns"]
    files = [
        [
            path
            for events in manifest["events"]
            if (path := folder / events / f"{name}.parquet").exists()
        ]
        for name in map(_name, range(manifest["n_shards"]))
    ]
    distinct: Any = None
    for path in (path for paths in files for path in paths):
        found = pq.read_table(path, columns=[columns["item"]])[0].unique()
        chunks = [found] if distinct is None else [distinct, found.cast(distinct.type)]
        distinct = pa.chunked_array(chunks).unique()
    ids = sorted_ids(_plain(distinct), columns["item"])
    _write_ids(new / "items.parquet", ids)
    n_users = n_entries = 0
    for number, paths in enumerate(files):
        shard = new / _name(number)
        shard.mkdir()
        X = (
            _matrix(pa.concat_tables([pq.read_table(path) for path in paths]), ids, manifest)
            if paths
            else None
        )
        if X is None:
            X = Interactions(sp.csr_array((0, len(ids))), user_ids=ids[:0], item_ids=ids)
        _write_matrix(shard, X)
        n_users, n_entries = n_users + X.shape[0], n_entries + X.nnz
    return {"n_users": n_users, "n_items": len(ids), "n_entries": n_entries}


def _matrix(table: Any, items: NDArray[Any], manifest: dict[str, Any]) -> Interactions:
    options = {"repeats": manifest["repeats"], "nonpositive": manifest["nonpositive"]}
    return Interactions.from_frame(table, items=items, **manifest["columns"], **options)


def _plain(ids: Any) -> NDArray[Any]:
    """Return Arrow ids as an array of integers or of texts."""
    array: NDArray[Any] = ids.to_numpy(zero_copy_only=False)
    return array


def _write_ids(path: Path, ids: NDArray[Any]) -> None:
    pa, pq = require("pyarrow", "arrow"), require("pyarrow.parquet", "arrow")
    pq.write_table(pa.table({"id": pa.array(ids)}), path)


def _read_ids(path: Path) -> NDArray[Any]:
    ids = _plain(require("pyarrow.parquet", "arrow").read_table(path)["id"])
    ids.flags.writeable = False
    return ids


def _write_matrix(folder: Path, X: Interactions) -> None:
    arrays = {"data": X.data, "indices": X.indices, "indptr": X.indptr}
    if X.timestamps is not None:
        arrays |= {"timestamps": X.timestamps}
        arrays |= {} if X._log_order is None else {"log_order": X._log_order}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    assert X.user_ids is not None
    _write_ids(folder / "users.parquet", X.user_ids)


def _read_matrix(folder: Path, item_ids: NDArray[Any]) -> Interactions:
    try:
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
        n_users = len(arrays["indptr"]) - 1
        parts = arrays["data"], arrays["indices"], arrays["indptr"]
        if not len(parts[0]) == len(parts[1]) == parts[2][-1]:
            raise ValueError("its arrays have different lengths")
        plain = csr_of(*parts, (n_users, len(item_ids)))
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"The shard in {str(folder)!r} is damaged: {error}. {_REMEDY}") from error
    X = Interactions(plain, item_ids=item_ids, user_ids=_read_ids(folder / "users.parquet"))
    if "timestamps" in arrays:
        X._timestamps, X._log_order = arrays["timestamps"], arrays.get("log_order")
    return X
