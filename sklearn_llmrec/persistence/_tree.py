"""Take large arrays and tables out of a tree of attributes, and put them back.

`detach` walks attributes, lists, tuples and dicts and replaces each array by an `ArrayRef`, each sparse matrix by a
`SparseRef` and each table by a `TableRef`. What is left is small and is stored by skops. `attach` walks the loaded tree
and puts the arrays back in place. Both leave objects alone that define their own way of being pickled.

Attributes that a class lists in `_derived` are not stored. Its method `_derive` computes them from the loaded ones.
Stored copies would not fit arrays that were stored in a smaller dtype.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.persistence._errors import BundleError
from sklearn_llmrec.persistence._tables import column_of_table, is_column, is_table, table_of_column

# Smaller arrays stay with the rest: a file of their own would be mostly padding.
SMALL_BYTES = 4096

_COMPRESSED_FORMATS = {
    f"{format_}_{kind}": getattr(sp, f"{format_}_{kind}")
    for format_ in ("csr", "csc")
    for kind in ("array", "matrix")
}
_ANNOTATIONS = (
    "_timestamps",
    "_log_order",
    "_user_ids",
    "_item_ids",
    "_user_features",
    "_item_features",
    "_table",
    "report_",
)


class ArrayRef:
    """The place of an array that is stored in a file of its own."""

    def __init__(self, number: int) -> None:
        self.number = number


class TableRef:
    """The place of a table, or of a column as a table, that is stored in a file of its own."""

    def __init__(self, number: int, is_column: bool) -> None:
        self.number = number
        self.is_column = is_column


class SparseRef:
    """The parts of a sparse matrix in compressed rows or columns."""

    def __init__(self, kind: str, shape: tuple[int, int], parts: list[Any]) -> None:
        self.kind = kind
        self.shape = shape
        self.parts = parts
        self.annotations: dict[str, Any] = {}


class FieldsRef:
    """A one-dimensional structured array as one array per field."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self.parts = parts


@dataclass
class StoredArray:
    """An array to be written, and its place in the model."""

    values: NDArray[Any]
    owner: str
    name: str


@dataclass
class Detached:
    """The arrays and tables that `detach` takes out, in the order of their references."""

    arrays: list[StoredArray] = field(default_factory=list)
    tables: list[Any] = field(default_factory=list)
    # Results by the identity of the original; the objects are kept, so that no identity is used twice.
    done: dict[int, tuple[Any, Any]] = field(default_factory=dict)


def _walks_into(value: Any) -> bool:
    """Return whether an object consists of its attributes only."""
    kind: Any = type(value)
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, (type, FunctionType, ModuleType))
        and kind.__reduce__ is object.__reduce__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and not any(getattr(base, "__slots__", ()) for base in kind.__mro__)
    )


def is_plain_array(value: Any) -> bool:
    """Return whether an array can be stored as bytes: no subclass but a memory map, no Python objects, no fields."""
    return (
        type(value) in (np.ndarray, np.memmap)
        and not value.dtype.hasobject
        and value.dtype.names is None
    )


def detach(value: Any, found: Detached, owner: str = "", name: str = "") -> Any:
    """Return a value with references in the place of arrays and tables, which go to `found`.

    Parameters
    ----------
    value : object
        A model or a part of one. It is not changed: what contains arrays is copied, what contains none is shared.
    found : Detached
        Takes the arrays and tables.
    owner, name : str
        Class and attribute that contain the value.
    """
    if isinstance(value, (str, int, float, type(None))):
        return value
    if id(value) in found.done:
        return found.done[id(value)][1]
    result = _detached(value, found, owner, name)
    found.done[id(value)] = (value, result)
    return result


def _detached(value: Any, found: Detached, owner: str, name: str) -> Any:
    if is_plain_array(value):
        if value.nbytes < SMALL_BYTES:
            return value
        found.arrays.append(StoredArray(value, owner, name))
        return ArrayRef(len(found.arrays) - 1)
    if type(value) is np.ndarray and value.dtype.names is not None and value.ndim == 1:
        # Arrays of their own also because skops stores no fields of Python objects.
        fields = {key: np.ascontiguousarray(value[key]) for key in value.dtype.names}
        return FieldsRef(
            {key: detach(part, found, owner, f"{name}[{key}]") for key, part in fields.items()}
        )
    if type(value) is Interactions or type(value).__name__ in _COMPRESSED_FORMATS:
        return _detached_sparse(value, found, owner, name)
    if is_table(value) or is_column(value):
        column = is_column(value)
        found.tables.append(table_of_column(value) if column else value)
        return TableRef(len(found.tables) - 1, column)
    if type(value) in (dict, Bunch):
        parts = {key: detach(part, found, owner, f"{name}[{key}]") for key, part in value.items()}
        unchanged = all(parts[key] is part for key, part in value.items())
        return value if unchanged else type(value)(**parts) if type(value) is Bunch else parts
    if type(value) is list or isinstance(value, tuple):
        items = [detach(part, found, owner, name) for part in value]
        if all(item is part for item, part in zip(items, value)):
            return value
        if type(value) in (list, tuple):
            return type(value)(items)
        return type(value)(*items) if hasattr(value, "_fields") else value
    if not _walks_into(value):
        return value
    kind: Any = type(value)
    state = {
        key: detach(part, found, kind.__name__, key)
        for key, part in vars(value).items()
        if key not in getattr(kind, "_derived", ())
    }
    if all(state.get(key, ...) is part for key, part in vars(value).items()):
        return value
    copied = kind.__new__(kind)
    copied.__dict__.update(state)
    return copied


def _detached_sparse(matrix: Any, found: Detached, owner: str, name: str) -> SparseRef:
    parts = [
        detach(getattr(matrix, part), found, owner, f"{name}.{part}")
        for part in ("data", "indices", "indptr")
    ]
    ref = SparseRef(type(matrix).__name__, (int(matrix.shape[0]), int(matrix.shape[1])), parts)
    if isinstance(matrix, Interactions):
        ref.annotations = {
            key: detach(vars(matrix)[key], found, owner, f"{name}.{key}")
            for key in _ANNOTATIONS
            if key in vars(matrix)
        }
    return ref


def attach(value: Any, arrays: list[NDArray[Any]], tables: list[Any]) -> Any:
    """Return a loaded value with arrays and tables in the place of references.

    Parameters
    ----------
    value : object
        What skops or pickle returned; it is changed in place where it can be.
    arrays, tables : list
        What the references name.

    Raises
    ------
    BundleError
        If a sparse matrix has columns out of range.
    """
    return _Attaching(arrays, tables).attach(value)


class _Attaching:
    def __init__(self, arrays: list[NDArray[Any]], tables: list[Any]) -> None:
        self.arrays, self.tables = arrays, tables
        self.done: dict[int, tuple[Any, Any]] = {}

    def attach(self, value: Any) -> Any:
        if isinstance(value, (str, int, float, type(None))):
            return value
        if id(value) not in self.done:
            self.done[id(value)] = (value, value)  # for a value that contains itself
            self.done[id(value)] = (value, self._attached(value))
        return self.done[id(value)][1]

    def _attached(self, value: Any) -> Any:
        if isinstance(value, (ArrayRef, TableRef)):
            stored: list[Any] = self.arrays if isinstance(value, ArrayRef) else self.tables
            if not (isinstance(value.number, int) and 0 <= value.number < len(stored)):
                raise BundleError(
                    f"The estimator names array or table {value.number!r}, and the bundle contains {len(stored)}: it "
                    "is damaged. Save it again."
                )
            found = stored[value.number]
            is_part = isinstance(value, TableRef) and value.is_column
            return column_of_table(found) if is_part else found
        if isinstance(value, SparseRef):
            return self._matrix(value)
        if isinstance(value, FieldsRef):
            return self._fields(value)
        if type(value) in (dict, Bunch):
            for key in value:
                value[key] = self.attach(value[key])
        elif type(value) is list:
            value[:] = [self.attach(part) for part in value]
        elif isinstance(value, tuple):
            items = [self.attach(part) for part in value]
            if any(item is not part for item, part in zip(items, value)):
                return tuple(items) if type(value) is tuple else type(value)(*items)
        elif _walks_into(value):
            for key, part in list(vars(value).items()):
                value.__dict__[key] = self.attach(part)
            freeze(vars(value).get("item_ids_"))
            if hasattr(type(value), "_derived"):
                value._derive()
        return value

    def _fields(self, ref: FieldsRef) -> NDArray[Any]:
        parts = {key: self.attach(part) for key, part in ref.parts.items()}
        if len({len(part) for part in parts.values()}) != 1:
            raise BundleError(
                "The fields of a table in the bundle have different lengths: it was edited. Save the model again."
            )
        dtype = [(key, part.dtype, part.shape[1:]) for key, part in parts.items()]
        array = np.empty(len(next(iter(parts.values()))), dtype=dtype)
        for key, part in parts.items():
            array[key] = part
        return array

    def _matrix(self, ref: SparseRef) -> Any:
        data, indices, indptr = (self.attach(part) for part in ref.parts)
        check_parts(ref, data, indices, indptr)
        kind = Interactions if ref.kind == "Interactions" else _COMPRESSED_FORMATS[ref.kind]
        matrix = kind(ref.shape, dtype=data.dtype)
        # Set directly: the constructor would convert index arrays of 64 bits.
        matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
        for key in _ANNOTATIONS:
            if key in ref.annotations:
                matrix.__dict__[key] = self.attach(ref.annotations[key])
        freeze(matrix.__dict__.get("_item_ids"))
        return matrix


def freeze(ids: Any) -> None:
    """Make item ids read-only, as a fit does: matrices and models share them."""
    if isinstance(ids, np.ndarray):
        ids.flags.writeable = False


def check_parts(
    ref: SparseRef, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any]
) -> None:
    """Check the parts of a sparse matrix: wrong ones would make compiled loops read outside their arrays."""
    known = ref.kind == "Interactions" or ref.kind in _COMPRESSED_FORMATS
    parts = (data, indices, indptr)
    if not known or not all(isinstance(part, np.ndarray) and part.ndim == 1 for part in parts):
        raise BundleError(f"The bundle contains no valid sparse matrix of kind {ref.kind!r}.")
    n_rows, n_columns = ref.shape if not ref.kind.startswith("csc") else ref.shape[::-1]
    valid = (
        indices.dtype.kind == indptr.dtype.kind == "i"
        and len(indptr) == n_rows + 1
        and indptr[0] == 0
        and indptr[-1] == len(indices) == len(data)
        and bool((indptr[1:] >= indptr[:-1]).all())
        and (not len(indices) or (indices.min() >= 0 and indices.max() < n_columns))
    )
    if not valid:
        raise BundleError(
            f"A sparse matrix of shape {ref.shape} in the bundle has rows or columns out of range: it was made by "
            "something else than save. Save the model again."
        )
