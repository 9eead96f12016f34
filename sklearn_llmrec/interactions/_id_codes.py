"""Codes of ids that come in batches, by hash tables of Arrow.

Each batch is encoded alone; its distinct ids wait until they are as many as a quarter of those known. Then both are
encoded together, so that a table of all ids is built a number of times that grows with the logarithm of their number.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions._ids import arrow_texts, factorize
from sklearn_llmrec.utils import require

# Distinct ids of batches that wait at least.
_WAITING = 2**18
# An array of all events grows by as much.
_GROWTH = 2**21
# Codes that are replaced at a time.
_BLOCK = 2**20


class GrowingArray:
    """An array to which parts are appended in place, without a second copy of what it contains."""

    def __init__(self) -> None:
        self._array: NDArray[Any] | None = None
        self._length = 0

    def append(self, part: NDArray[Any]) -> None:
        """Copy a part to the end; the dtype becomes one for all parts."""
        if self._array is None:
            self._array = np.empty(max(len(part), _GROWTH), dtype=part.dtype)
        dtype = np.result_type(self._array.dtype, part.dtype)
        if self._array.dtype != dtype:
            self._array = self._array.astype(dtype)
        stop = self._length + len(part)
        if stop > len(self._array):
            # The allocator moves large arrays without copying them.
            self._array.resize(max(stop, len(self._array) + _GROWTH), refcheck=False)
        self._array[self._length : stop] = part
        self._length = stop

    def pop(self) -> NDArray[Any] | None:
        """Return what was appended, and forget it; None if nothing was."""
        array, self._array = self._array, None
        if array is not None:
            array.resize(self._length, refcheck=False)
        return array


class IdCodes:
    """The ids of a column that comes in batches: a code per event, in the order in which ids first occur."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: Any = None
        self._type: Any = None
        self._waiting: list[tuple[NDArray[Any], Any]] = []
        self._n_waiting = 0
        self._codes = GrowingArray()

    def append(self, column: Any) -> None:
        """Add the ids of a batch, an Arrow array without nulls.

        Raises
        ------
        TypeError
            If they are of another type than those before, and no type represents both exactly.
        """
        pa = require("pyarrow", "arrow")
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        self._type = column.type if self._type is None else self._type
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        encoded = column.dictionary_encode()
        self._waiting.append((encoded.indices.to_numpy(), encoded.dictionary))
        self._n_waiting += len(encoded.dictionary)
        if self._n_waiting >= max(_WAITING, 0 if self._known is None else len(self._known) // 4):
            self._merge()

    def _merge(self) -> None:
        """Give codes to the ids that wait."""
        pa = require("pyarrow", "arrow")
        parts = [ids for _, ids in self._waiting]
        if self._known is not None:
            parts.insert(0, self._known)
        parts = self._of_one_type(parts)
        encoded = pa.concat_arrays(parts).dictionary_encode()
        start = 0 if self._known is None else len(self._known)
        codes, self._known = encoded.indices.to_numpy(), encoded.dictionary
        for local, ids in self._waiting:
            self._codes.append(codes[start : start + len(ids)][local])
            start += len(ids)
        self._waiting, self._n_waiting = [], 0

    def _of_one_type(self, parts: list[Any]) -> list[Any]:
        """Cast arrays to a type that represents all of them."""
        pa = require("pyarrow", "arrow")
        # More than 2**31 bytes of texts need wider offsets.
        wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
        schemas = [pa.schema([("id", wide.get(part.type, part.type))]) for part in parts]
        try:
            kind = pa.unify_schemas(schemas, promote_options="permissive").field("id").type
            return [part if part.type == kind else part.cast(kind) for part in parts]
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            types = sorted({str(part.type) for part in parts})
            raise TypeError(
                f"Batches have ids of several types in column {self._name!r}, {types}: convert them to one."
            ) from error

    def factorized(self) -> tuple[NDArray[Any], Any]:
        """Return the position of every id among the sorted ids, and these; forget both.

        Texts are an Arrow array, which takes a fraction of the memory of objects.
        """
        pa = require("pyarrow", "arrow")
        if self._waiting:
            self._merge()
        codes = self._codes.pop()
        if codes is None:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=object)
        known, self._known = self._known, None
        pa.default_memory_pool().release_unused()
        if pa.types.is_dictionary(self._type):
            known = known.dictionary_encode()
        column = pa.chunked_array([known])
        if pa.types.is_string(known.type) or pa.types.is_large_string(known.type):
            ranks, ids = arrow_texts(column)
        else:
            ranks, ids = factorize(nw.from_native(column, series_only=True), self._name)
        for start in range(0, len(codes), _BLOCK):
            block = slice(start, start + _BLOCK)
            codes[block] = ranks[codes[block]]
        del known, column
        pa.default_memory_pool().release_unused()
        return codes, ids
