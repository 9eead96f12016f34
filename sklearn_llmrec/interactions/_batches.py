"""Read event logs batch by batch, from files, datasets and queries, through Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from sklearn_llmrec.utils import require

# Events that are in memory at a time, per batch of a file.
_BATCH_ROWS = 2**17
# Bytes of a column of a Parquet file that are read at once.
_BUFFER = 2**20


def event_batches(source: Any, columns: list[str]) -> Callable[[], Iterator[Any]]:
    """Return a function that reads a log from its start, as Arrow tables of some columns, a table per batch.

    Parameters
    ----------
    source : str, Path, list of these, pyarrow.Table, pyarrow.dataset.Dataset or callable
        Parquet or CSV files, which may be patterns (``"log-*.parquet"``); a table; a dataset; or a function that
        returns a new iterator of record batches at every call. An empty field of a CSV file is missing.
    columns : list of str

    Raises
    ------
    ImportError
        If the extra ``arrow`` is not installed.
    FileNotFoundError
        If no file has the name, or matches the pattern.
    TypeError
        If the source is something else.
    ValueError
        If it lacks a column, or a file is neither Parquet nor CSV.
    """
    pa, ds = require("pyarrow", "arrow"), require("pyarrow.dataset", "arrow")

    def as_table(batch: Any) -> Any:
        return pa.Table.from_batches([batch])

    if isinstance(source, (str, Path, list, tuple)):
        names, kind = _files(source)
        if kind == "parquet":
            return _parquet_batches(names, columns)
        # An empty field is missing, also in a column of texts, where Arrow would read an empty text.
        csv = require("pyarrow.csv", "arrow")
        missing = csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
        source = ds.dataset(names, format=ds.CsvFileFormat(convert_options=missing))
    if isinstance(source, pa.Table):
        source = ds.dataset(source)
    if isinstance(source, ds.Dataset):
        _check_columns(columns, source.schema.names)
        # Batches that are read ahead would be in memory together.
        options = {"batch_size": _BATCH_ROWS, "batch_readahead": 1, "fragment_readahead": 1}
        return lambda: map(as_table, source.to_batches(columns=columns, **options))
    if not callable(source):
        raise TypeError(
            f"source must be paths of Parquet or CSV files, a pyarrow table or dataset, or a function that returns "
            f"a new iterator of Arrow record batches; got {type(source).__name__}."
        )

    def batches() -> Iterator[Any]:
        for batch in source():
            _check_columns(columns, batch.schema.names)
            yield as_table(batch.select(columns))

    return batches


def _files(source: Any) -> tuple[list[str], str]:
    """Return the files that are named, or that match patterns, and their format."""
    names: list[str] = []
    for name in [source] if isinstance(source, (str, Path)) else source:
        found = sorted(glob(str(name))) if has_magic(str(name)) else [str(name)]
        if not found or not Path(found[0]).exists():
            raise FileNotFoundError(f"No file {str(name)!r}.")
        names += found
    kinds = {Path(name).suffix.lower() for name in names}
    if len(kinds) != 1 or not kinds <= {".parquet", ".csv"}:
        raise ValueError(
            f"Files must all be .parquet or all .csv, got {sorted(kinds)}: pass a pyarrow dataset for other formats."
        )
    return names, kinds.pop()[1:]


def _parquet_batches(names: list[str], columns: list[str]) -> Callable[[], Iterator[Any]]:
    """Return a function that reads Parquet files, whose columns are checked at once."""
    pa, pq = require("pyarrow", "arrow"), require("pyarrow.parquet", "arrow")
    for name in names:
        _check_columns(columns, pq.read_schema(name).names)

    def batches() -> Iterator[Any]:
        for name in names:
            # A dataset would read whole groups of rows at once: several times the memory.
            with pq.ParquetFile(name, pre_buffer=False, buffer_size=_BUFFER) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                    yield pa.Table.from_batches([batch])

    return batches


def _check_columns(columns: list[str], names: list[str]) -> None:
    absent = [name for name in columns if name not in names]
    if absent:
        raise ValueError(f"The log has no column {absent}; it has {list(names)}.")
