"""Sums over users of products of items, a block of items per phase, so that all pairs are never in memory at once.

    work = sum over users of the entries that each item is multiplied with
    for every block of items of about equal work:
        products = sum over blocks of users of ``A[:, items].T @ B``
        keep the best products of every item

A and B are made from a block of users once, in the first phase that needs them, and read from files afterwards where
the block has a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import BlockPlace, Phase
from sklearn_llmrec.utils import csr_of

# Entries of the products of a block of items, at most: some 100 MB with all their sums. An item with more has a block
# of its own.
_BLOCK_ENTRIES = 2**22


def work_of_items(X: sp.csr_array) -> NDArray[np.float64]:
    """Return the number of pairs of entries that each item is in, which limits the entries of its products."""
    lengths = np.diff(X.indptr)
    pairs = np.bincount(X.indices, np.repeat(lengths, lengths), X.shape[1])
    return pairs.astype(np.float64, copy=False)


def first_block(work: NDArray[np.float64], known: dict[str, Any]) -> Phase:
    """Return the phase of the first block of items."""
    entries = np.cumsum(np.minimum(work, len(work)))
    block = np.minimum(entries // _BLOCK_ENTRIES, np.arange(len(work)))
    edges = np.append(np.flatnonzero(np.diff(block, prepend=-1)), len(work))
    return Phase("products", {**known, "edges": edges, "block": 0})


def next_block(phase: Phase) -> Phase | None:
    """Return the phase of the block of items after that of `phase`; None after the last."""
    block = phase.known["block"] + 1
    return (
        None
        if block == len(phase.known["edges"]) - 1
        else Phase("products", {**phase.known, "block": block})
    )


def items_of(phase: Phase) -> slice:
    """Return the items of the block of a phase."""
    edges, block = phase.known["edges"], phase.known["block"]
    return slice(int(edges[block]), int(edges[block + 1]))


def kept_factors(
    place: BlockPlace, make: Callable[[], tuple[sp.csr_array, sp.csr_array]]
) -> tuple[sp.csr_array, sp.csr_array]:
    """Return A transposed and B of a block of users: made anew, or read from its folder, where they are written once.

    Files are renamed into place when they are complete, so that a process that ends early leaves none that is not.
    """
    if place.folder is None:
        return make()
    paths = [place.folder / f"factor-{number}" for number in range(2)]
    if not all(path.exists() for path in paths):
        for path, factor in zip(paths, make(), strict=True):
            _write(path, factor)
    first, second = (_read(path) for path in paths)
    return first, second


def _write(path: Path, X: sp.csr_array) -> None:
    from tempfile import mkdtemp

    folder = Path(mkdtemp(dir=path.parent))
    for name in ("data", "indices", "indptr"):
        np.save(folder / f"{name}.npy", getattr(X, name))
    np.save(folder / "shape.npy", np.array(X.shape))
    try:
        folder.rename(path)
    except OSError:  # another attempt at the same block was first, with the same arrays
        if not path.exists():
            raise


def _read(path: Path) -> sp.csr_array:
    data, indices, indptr = (
        np.load(path / f"{name}.npy", mmap_mode="r") for name in ("data", "indices", "indptr")
    )
    n_rows, n_columns = np.load(path / "shape.npy").tolist()
    return csr_of(data, indices, indptr, (n_rows, n_columns))
