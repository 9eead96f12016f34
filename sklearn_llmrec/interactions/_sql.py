"""Read the result of a query batch by batch, through cursors of Python's database interface (PEP 249)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from sklearn_llmrec.utils import require

# Rows that are fetched at a time.
_ROWS = 2**16


def query_batches(
    query: str, connection: Any, parameters: Any, columns: list[str]
) -> Callable[[], Iterator[Any]]:
    """Return a function that runs a query and yields some columns of its result as Arrow record batches.

    Connections of psycopg run it with a cursor of the server, so that the result stays there; other drivers fetch by
    `fetchmany`, and some of them keep the whole result in memory.

    Raises
    ------
    TypeError
        If the connection has no cursors.
    ValueError
        If the result lacks a column, or has one twice.
    """
    if not callable(getattr(connection, "cursor", None)):
        raise TypeError(
            f"connection must be one of Python's database interface (PEP 249), with a method cursor, got "
            f"{type(connection).__name__}: of SQLAlchemy it is engine.raw_connection()."
        )
    pa = require("pyarrow", "arrow")

    def batches() -> Iterator[Any]:
        cursor = _cursor(connection)
        try:
            cursor.execute(query, *(() if parameters is None else (parameters,)))
            rows = cursor.fetchmany(_ROWS)
            # Some cursors of servers have no description before the first rows.
            names = [column[0] for column in cursor.description or ()]
            wrong = [name for name in columns if names.count(name) != 1]
            if wrong:
                raise ValueError(
                    f"The result of the query must have each of the columns {wrong} once; it has {names}."
                )
            places = [names.index(name) for name in columns]
            while rows:
                lists = [[row[place] for row in rows] for place in places]
                arrays = [pa.array(values) for values in lists]
                # A batch without one value says nothing about the type of its column.
                arrays = [a.cast(pa.int64()) if pa.types.is_null(a.type) else a for a in arrays]
                yield pa.RecordBatch.from_arrays(arrays, columns)
                rows = cursor.fetchmany(_ROWS)
        finally:
            cursor.close()

    return batches


def _cursor(connection: Any) -> Any:
    """Return a cursor of the server where the driver is psycopg, else an ordinary one."""
    driver = type(connection).__module__.split(".")[0]
    if driver not in ("psycopg", "psycopg2"):
        return connection.cursor()
    cursor = connection.cursor(name=f"sklearn_llmrec_{uuid4().hex}")
    cursor.itersize = _ROWS
    return cursor
