"""Cache what was computed from an array that does not change, as long as the array lives."""

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")
_KEPT: dict[tuple[int, Callable[..., Any]], tuple[weakref.ref[Any], Any]] = {}


def remembered(array: NDArray[Any], make: Callable[[NDArray[Any]], _T]) -> _T:
    """Return ``make(array)``, computed once for a read-only array.

    Looking up one id in a catalogue of 100,000 would otherwise sort the catalogue at every request. The result is in a
    global cache, and not in the object that has the array. So it is neither pickled nor copied with that object.

    Parameters
    ----------
    array : ndarray
        Results are cached for a read-only array that is no view. For others, `make` runs at every call.
    make : callable
        A function of the array.
    """
    if array.flags.writeable or isinstance(array.base, np.ndarray):
        return make(array)
    key = id(array), make
    found = _KEPT.get(key)
    if found is not None and found[0]() is array:
        value: _T = found[1]
        return value
    value = make(array)
    _KEPT[key] = weakref.ref(array, lambda _: _KEPT.pop(key, None)), value
    return value
