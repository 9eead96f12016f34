"""Tables for notebooks, as HTML."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def html_table(
    head: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str = "", *, labels: int = 1
) -> str:
    """Return a table of texts; every text is escaped.

    Parameters
    ----------
    head : sequence
        The cells above the columns.
    rows : iterable of sequences
    caption : str
        The caption above the table.
    labels : int, default=1
        How many cells of a row, from the left, are its labels.
    """
    lines = ["<table>"]
    if caption:
        lines.append(f'<caption style="text-align:left">{escape(caption)}</caption>')
    if len(head):
        cells = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    for row in rows:
        cells = "".join(
            f"<{tag}>{escape(str(cell))}</{tag}>"
            for tag, cell in zip(["th"] * labels + ["td"] * len(row), row)
        )
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])
