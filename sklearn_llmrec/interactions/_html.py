"""Show a matrix in a notebook: its size, its times and its first rows."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from sklearn_llmrec.interactions._tables import column_names
from sklearn_llmrec.utils import html_table

_N_ROWS = 5
_N_ENTRIES = 6
# Whole numbers in this range are shown as dates too: unix seconds of the years 1980 to 2100.
_SECONDS = (315_532_800, 4_102_444_800)


def matrix_html(X: Any) -> str:
    """Return HTML of an `Interactions`: a table of its properties and its first rows."""
    if X.ndim != 2:
        return html_table((), [("shape", X.shape), ("entries", X.nnz)])
    n_cells = X.shape[0] * X.shape[1]
    density = f" ({X.nnz / n_cells:.2%})" if n_cells else ""
    facts = [
        ("users", f"{X.shape[0]:,}"),
        ("items", f"{X.shape[1]:,}"),
        ("entries", f"{X.nnz:,}{density}, {X.dtype}"),
    ]
    times = X.timestamps
    if times is not None and len(times):
        facts.append(("times", f"{_time(times.min())} to {_time(times.max())}"))
    for name in ("item_features", "user_features"):
        table = getattr(X, name)
        if table is not None:
            columns = ", ".join(column_names(table)) or f"{np.shape(table)[1:]}"
            facts.append((name, columns))
    rows = [(_label(X.user_ids, row), _row(X, row)) for row in range(min(_N_ROWS, X.shape[0]))]
    more = X.shape[0] - len(rows)
    rows += [("...", f"{more:,} more users")] if more else []
    return html_table((), facts, type(X).__name__) + html_table(("user", "items: values"), rows)


def _time(value: Any) -> str:
    if float(value).is_integer() and _SECONDS[0] <= value <= _SECONDS[1]:
        return f"{datetime.fromtimestamp(int(value), UTC):%Y-%m-%d %H:%M:%S} UTC"
    return str(value)


def _label(ids: Any, place: int) -> str:
    return str(place if ids is None else ids[place])


def _row(X: Any, row: int) -> str:
    start, stop = int(X.indptr[row]), int(X.indptr[row + 1])
    texts = [
        f"{_label(X.item_ids, X.indices[entry])}: {X.data[entry]:g}"
        for entry in range(start, min(stop, start + _N_ENTRIES))
    ]
    more = stop - start - len(texts)
    return ", ".join([*texts, *([f"{more} more"] if more else [])])
