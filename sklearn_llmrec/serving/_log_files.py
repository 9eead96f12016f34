"""Logs and tables in files: CSV and Parquet, by pandas, polars or pyarrow."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import narwhals as nw

from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import require

_LIBRARIES = ("pandas", "polars", "pyarrow")


def _library() -> str:
    found = [name for name in _LIBRARIES if find_spec(name)]
    require((found or ["pandas"])[0], "all")
    return found[0]


def read_table(path: str | Path, text: tuple[str, ...] = ()) -> Any:
    """Return the table of a CSV or Parquet file, in the first library that is installed.

    Parameters
    ----------
    path : path-like
        Its name ends with .csv, .csv.gz, .tsv or .parquet.
    text : tuple of str, default=()
        Columns that are read as texts.

    Raises
    ------
    ValueError
        If the name has another ending.
    ImportError
        If no table library is installed.
    """
    path, library = Path(path), _library()
    kinds = [suffix for suffix in path.suffixes if suffix in (".csv", ".tsv", ".parquet")]
    if not kinds:
        raise ValueError(f"{path} must end with .csv, .tsv or .parquet.")
    module = require(library, None)
    if kinds[-1] == ".parquet":
        if library == "pyarrow":
            table = require("pyarrow.parquet", None).read_table(path)
        else:
            table = module.read_parquet(path)
        frame = nw.from_native(table, eager_only=True)
        return frame.with_columns(nw.col(*text).cast(nw.String)).to_native() if text else table
    separator = "\t" if kinds[-1] == ".tsv" else ","
    if library == "pandas":
        return module.read_csv(path, sep=separator, dtype=dict.fromkeys(text, "str"))
    if library == "polars":
        overrides = dict.fromkeys(text, module.String)
        return module.read_csv(path, separator=separator, schema_overrides=overrides)
    csv = require("pyarrow.csv", None)
    types = {name: module.string() for name in text}
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=separator),
        convert_options=csv.ConvertOptions(column_types=types),
    )


def write_table(table: Any, path: str | Path) -> None:
    """Write a table to a CSV or Parquet file.

    Raises
    ------
    ValueError
        If the name has another ending.
    """
    frame, path = nw.from_native(table, eager_only=True), Path(path)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".csv":
        frame.write_csv(path)
    else:
        raise ValueError(f"{path} must end with .csv or .parquet.")


def add_log_options(parser: ArgumentParser) -> None:
    """Add the options of a command that define how its log is read."""
    group = parser.add_argument_group("columns of the log")
    group.add_argument("--user", default="user", help="column of user ids (default: user)")
    group.add_argument("--item", default="item", help="column of item ids (default: item)")
    group.add_argument("--value", help="column of values; without it an event is worth 1")
    group.add_argument("--timestamp", help="column of times: numbers or ISO dates")
    group.add_argument("--event", help="column of event types")
    group.add_argument(
        "--event-weights", type=weights, metavar="TYPE=WEIGHT,...", help="such as view=1,purchase=5"
    )
    group.add_argument(
        "--repeats",
        default="sum",
        choices=("sum", "mean", "count", "last", "keep"),
        help="what becomes of several events of a user and an item (default: sum)",
    )
    group.add_argument("--text-ids", action="store_true", help="read ids as texts, as 007")
    group.add_argument("--items", metavar="FILE", help="table of items, with the item column")


def weights(text: str) -> dict[str, float]:
    """Parse event weights such as ``view=1,purchase=5`` into a dict."""
    pairs = (part.partition("=") for part in text.split(","))
    return {kind.strip(): float(value) for kind, _, value in pairs}


def read_log(path: str, options: Namespace, items: Any = None) -> Interactions:
    """Return the interactions of a log file.

    Parameters
    ----------
    path : str
    options : Namespace
        As `add_log_options` defines them.
    items : array-like, default=None
        The catalogue; events of other items are left out.
    """
    ids = (options.user, options.item) if options.text_ids else ()
    log = read_table(path, ids)
    if options.timestamp is not None:
        log = _with_times(log, options.timestamp)
    features = None
    if options.items is not None:
        features = read_table(options.items, (options.item,) if options.text_ids else ())
    return Interactions.from_frame(
        log,
        user=options.user,
        item=options.item,
        value=options.value,
        timestamp=options.timestamp,
        event=options.event,
        event_weights=options.event_weights,
        repeats=options.repeats,
        items=items,
        item_features=features,
    )


def _with_times(log: Any, name: str) -> Any:
    """Return a log whose times in text are parsed."""
    frame = nw.from_native(log, eager_only=True)
    if name not in frame.columns or frame[name].dtype != nw.String:
        return log
    return frame.with_columns(nw.col(name).str.to_datetime()).to_native()
