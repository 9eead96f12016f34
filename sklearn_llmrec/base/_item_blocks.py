"""Fits by products of all users of one block of items at a time, so that all pairs are never in memory at once.

    work = sum over users of the entries that each item is multiplied with
    for every block of items of about equal work:
        products = sum over blocks of users of ``A[:, items].T @ B``
        keep the best products of every item

Where blocks of users share a disk, each writes its A and B there, once. The products of a block of items with all users
are then made in one loop that stores none of them, as in a fit of one matrix. Elsewhere, products are summed: a phase
per block of items.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from sklearn_llmrec.base._block_sums import BlockSumsMixin, Phase
from sklearn_llmrec.utils import csr_of, rows_between

# Entries of the products of a block of items, at most: some 100 MB with all their sums. An item with more has a block
# of its own.
_BLOCK_ENTRIES = 2**22
_PARTS = ("data", "indices", "indptr")


class ItemBlocksMixin(BlockSumsMixin):
    """Fits a recommender from products of all users, a block of items at a time.

    The phase of the first block is that of `first_block`. From it, `fit_shards` continues by `_factors` and
    `_best_of_items`; a fit whose blocks of users share no disk, by sums and `_next_items`.
    """

    _best_blocks_: list[sp.csr_array]

    @abstractmethod
    def _factors(self, X: sp.csr_array, phase: Phase) -> tuple[sp.csr_array, sp.csr_array]:
        """Return A transposed and B of a block of prepared rows, with the values of a fit of one matrix."""

    @abstractmethod
    def _best_of_items(
        self, A: sp.csr_array, B: sp.csr_array, phase: Phase, items: slice
    ) -> sp.csr_array:
        """Return the best products of a block of items, a row per item, from the factors of all users."""

    @abstractmethod
    def _set_best(self, best: sp.csr_array, phase: Phase) -> None:
        """Learn from the best products of all items."""

    def _next_items(self, phase: Phase, best: sp.csr_array) -> Phase | None:
        """Keep the best products of a block of items, and return the phase of the next block; None after the last."""
        edges, block = phase.known["edges"], phase.known["block"]
        if block == 0:
            self._best_blocks_ = []
        self._best_blocks_.append(best)
        if block + 2 < len(edges):
            return Phase(phase.name, {**phase.known, "block": block + 1})
        self._set_best(sp.csr_array(sp.vstack(self._best_blocks_, format="csr")), phase)
        del self._best_blocks_
        return None


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


def items_of(phase: Phase) -> slice:
    """Return the items of the block of a phase."""
    return item_blocks(phase)[phase.known["block"]]


def item_blocks(phase: Phase) -> list[slice]:
    """Return all blocks of items."""
    edges = phase.known["edges"].tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


# -- factors on a disk ------------------------------------------------------------------------------------------------


def write_factors(folder: Path, factors: tuple[sp.csr_array, sp.csr_array]) -> None:
    """Write A transposed and B of a block of users into its folder.

    Both are renamed into place when they are complete, so that a process that ends early leaves none that is not.
    """
    for name, factor in zip(("columns", "rows"), factors, strict=True):
        made = Path(mkdtemp(dir=folder))
        for part in _PARTS:
            np.save(made / f"{part}.npy", getattr(factor, part))
        np.save(made / "shape.npy", np.array(factor.shape))
        try:
            made.rename(folder / name)
        except OSError:  # another attempt at the same block was first, with the same arrays
            if not (folder / name).exists():
                raise


def read_factor(folder: Path) -> sp.csr_array:
    """Return a factor that is on a disk; its arrays are memory-mapped."""
    # Plain arrays on the mapped memory, whose slices cost less than those of `memmap`.
    data, indices, indptr = (
        np.asarray(np.load(folder / f"{part}.npy", mmap_mode="r")) for part in _PARTS
    )
    n_rows, n_columns = np.load(folder / "shape.npy").tolist()
    return csr_of(data, indices, indptr, (n_rows, n_columns))


def columns_of_factors(folders: Sequence[Path], items: slice) -> sp.csr_array:
    """Return the rows of A transposed of a block of items, over the users of all blocks."""
    parts = [rows_between(read_factor(folder / "columns"), items) for folder in folders]
    return sp.csr_array(sp.hstack(parts, format="csr"))


def join_rows(folders: Sequence[Path], joined: Path) -> None:
    """Write B of all users, from those of the blocks, which are removed."""
    parts = [read_factor(folder / "rows") for folder in folders]
    n_entries, n_rows = sum(part.nnz for part in parts), sum(part.shape[0] for part in parts)
    shape = n_rows, parts[0].shape[1]
    index = np.int32 if max(n_entries, *shape) < 2**31 else np.int64
    joined.mkdir()
    data = open_memmap(joined / "data.npy", "w+", parts[0].dtype, (n_entries,))
    indices = open_memmap(joined / "indices.npy", "w+", index, (n_entries,))
    indptr = open_memmap(joined / "indptr.npy", "w+", index, (n_rows + 1,))
    indptr[0] = entry = row = 0
    for folder, part in zip(folders, parts, strict=True):
        entries, rows = slice(entry, entry + part.nnz), slice(row + 1, row + 1 + part.shape[0])
        data[entries], indices[entries] = part.data, part.indices
        np.add(part.indptr[1:], entry, out=indptr[rows], casting="same_kind")
        entry, row = entries.stop, rows.stop - 1
        for name in _PARTS:
            (folder / "rows" / f"{name}.npy").unlink()
    np.save(joined / "shape.npy", np.array(shape))
    for array in (data, indices, indptr):
        array.flush()
