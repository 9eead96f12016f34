"""Feature tables on disk: Arrow IPC where pyarrow is installed, plain columns otherwise."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

import narwhals as nw
import numpy as np

from sklearn_llmrec.persistence._errors import BundleError
from sklearn_llmrec.utils import require


def is_table(value: Any) -> bool:
    """Return whether a value is a dataframe that narwhals reads."""
    return isinstance(
        nw.from_native(value, eager_only=True, pass_through=True, allow_series=False), nw.DataFrame
    )


def is_column(value: Any) -> bool:
    """Return whether a value is a column of a dataframe, a Series."""
    return isinstance(nw.from_native(value, series_only=True, pass_through=True), nw.Series)


def table_of_column(column: Any) -> Any:
    """Return a column as a table; a column without a name gets one."""
    series = nw.from_native(column, series_only=True)
    return series.rename(str(series.name or "column")).to_frame().to_native()


def column_of_table(table: Any) -> Any:
    """Return the only column of a table."""
    frame = nw.from_native(table, eager_only=True)
    return frame.get_column(frame.columns[0]).to_native()


def library_of(table: Any) -> str:
    """Return the name of the library of a table."""
    return str(nw.from_native(table, eager_only=True).implementation.value)


def has_pyarrow() -> bool:
    """Return whether pyarrow can be imported."""
    return find_spec("pyarrow") is not None


def arrow_bytes(table: Any) -> bytes:
    """Return a table as an uncompressed Arrow IPC file.

    Raises
    ------
    BundleError
        If a column contains values of several types.
    """
    arrow = require("pyarrow", None)
    try:
        if library_of(table) == "pandas":
            converted = arrow.Table.from_pandas(table)
        else:
            converted = nw.from_native(table, eager_only=True).to_arrow()
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise BundleError(
            f"A feature table cannot be stored: {error}. Give every column one type, or leave the column out."
        ) from error
    sink = io.BytesIO()
    with require("pyarrow.ipc", None).new_file(sink, converted.schema) as writer:
        writer.write_table(converted)
    return sink.getvalue()


def table_of_arrow(buffer: Any, library: str, name: str) -> Any:
    """Return the table of an Arrow IPC file, in its library where that is installed, else of pyarrow.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    BundleError
        If the file is no valid table.
    """
    arrow = require("pyarrow", None)
    try:
        with require("pyarrow.ipc", None).open_file(arrow.py_buffer(buffer)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        if library == "pandas" and find_spec("pandas") is not None:
            return table.to_pandas()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise BundleError(
            f"{name} is no valid Arrow table: {error}. Save the bundle again."
        ) from error
    if library == "polars" and find_spec("polars") is not None:
        return require("polars", None).from_arrow(table)
    return table


def column_arrays(table: Any) -> dict[str, Any]:
    """Return the columns of a table as arrays, for an environment without pyarrow."""
    frame = nw.from_native(table, eager_only=True)
    return {name: np.asarray(frame[name].to_numpy()) for name in frame.columns}


def table_of_columns(columns: dict[str, Any], library: str) -> Any:
    """Return the table of `column_arrays`, in its library where that is installed, else as a dict of arrays."""
    libraries: tuple[Any, ...] = (library, "pandas", "polars", "pyarrow")
    for name in libraries:
        if find_spec(name) is not None:
            plain = {
                key: values.tolist() if values.dtype.kind == "O" and name != "pandas" else values
                for key, values in columns.items()
            }
            return nw.from_dict(plain, backend=name).to_native()
    return columns
