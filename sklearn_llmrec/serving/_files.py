"""Detect changes of bundle files."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def signature(path: Path) -> tuple[Any, ...] | None:
    """Return a value that changes when another bundle replaces one; None if there is none."""
    try:
        found = path.resolve(strict=True)
        file = found / "manifest.json" if found.is_dir() else found
        status = file.stat()
    except OSError:
        return None
    return str(found), status.st_ino, status.st_mtime_ns, status.st_size
