"""Arrays in the `.npy` format: written plainly or compressed, read without copying."""

from __future__ import annotations

import io
import os
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sklearn_llmrec.persistence._errors import BundleError

# What numpy raises for headers that nobody wrote.
_BAD_HEADERS = (ValueError, KeyError, TypeError, SyntaxError, TokenError)


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array that contains no Python objects."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        npy.write_array(file, np.asarray(values), version=None, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def array_of(content: memoryview, name: str) -> NDArray[Any]:
    """Return the array of a `.npy` file as a view of its memory.

    Raises
    ------
    BundleError
        If the file contains Python objects, or is longer or shorter than its header says.
    """
    file = io.BytesIO(content[: npy.MAGIC_LEN + 4 + 10_000])
    try:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, in_columns, dtype = read_header[version](file)
    except (*_BAD_HEADERS, RecursionError, MemoryError) as error:
        raise BundleError(
            f"{name!r} is no valid array file ({error!r}). Save the bundle again."
        ) from error
    start = file.tell()
    size = int(np.prod([int(length) for length in shape], dtype=object)) if shape else 1
    if dtype.hasobject:
        raise BundleError(
            f"{name!r} contains Python objects, which are read by running code: save writes no such file. Do not use "
            "this bundle."
        )
    if min(shape, default=0) < 0 or start + size * dtype.itemsize != len(content):
        raise BundleError(
            f"{name!r} has {len(content) - start} bytes of values and its header says {size * dtype.itemsize}: the "
            "bundle is damaged. Save it again."
        )
    if not size or not dtype.itemsize:
        return np.zeros(shape, dtype)
    values = np.frombuffer(content, dtype=dtype, count=size, offset=start)
    return values.reshape(shape, order="F" if in_columns else "C")
