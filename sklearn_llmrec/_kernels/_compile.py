"""Compile loops once per dtype, at first use, with a cache on disk where one can be written.

A loop is a plain Python function over scalars and C-contiguous arrays, with an explicit signature. Explicit signatures
keep the number of compilations at one per dtype: numba would otherwise compile again for every mix of read-only and
writable arrays. Arrays that a loop only reads are declared read-only, which writable arrays and memory maps both match.

Signatures are words separated by blanks, one per argument:

====== ======================================================================
word   argument
====== ======================================================================
n      a number of 64 bits without sign: a count, a row, a column
flag   True or False
y      a number of 64 bits with a point
x      a number of the dtype that is compiled for
r:T    one-dimensional array that is read; T is a type of numba, x or p
w:T    one-dimensional array that is written
rr:T   the same with two dimensions, `rrr:T` and `www:T` with three
====== ======================================================================

The type p is the unsigned type of the index arrays of a model: 32 bits, or 64 where a matrix is that large.
"""

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sklearn_llmrec.utils import warn


@contextlib.contextmanager
def _pause_collection() -> Iterator[None]:
    """Stop the search for reference cycles, and start it again where it ran.

    Importing numba and compiling make so many objects that Python would search all objects of the process for cycles
    again and again. That takes a tenth of the time and more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


with _pause_collection():
    import numba
    from numba import types

_SCALARS = {"n": types.uint64, "y": types.float64, "flag": types.boolean}
_NUMBERS = {4: types.float32, 8: types.float64}
_INDICES = {4: types.uint32, 8: types.uint64}
#: Every compiled loop of the package.
KERNELS: list["Kernel"] = []
_lock = threading.RLock()
_warned = False

# Part of a loop: compiled with it, and not callable from Python, which saves half of the time.
part = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Kernel:
    """A loop that is compiled for a dtype at its first use.

    Parameters
    ----------
    function : callable
        What is compiled; it returns nothing.
    signature : str
        The types of its arguments, as the module's docstring describes.
    fastmath : set of str or False
        Freedoms of floating-point arithmetic, by LLVM's names.
    """

    def __init__(self, function: Any, signature: str, fastmath: Any = False) -> None:
        self.function = function
        self.signature = signature
        self.options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
        self.options["fastmath"] = fastmath
        self._compiled: dict[tuple[int, int], Any] = {}
        KERNELS.append(self)

    def of(self, dtype: Any, index: Any = np.int32) -> Any:
        """Return the loop for arrays of a floating dtype and a model's index dtype."""
        key = np.dtype(dtype).itemsize, np.dtype(index).itemsize
        compiled = self._compiled.get(key)
        if compiled is None:
            with _lock:
                compiled = self._compiled.get(key) or self._compile(*key)
                self._compiled[key] = compiled
        return compiled

    def compile(self) -> str:
        """Compile for float32 and float64 and for 32-bit indices; return the name."""
        for dtype in (np.float32, np.float64):
            self.of(dtype)
        return str(self.function.__name__)

    def _compile(self, number: int, index: int) -> Any:
        names = {"x": _NUMBERS[number], "p": _INDICES[index]}
        signature = types.void(*(_type_of(word, names) for word in self.signature.split()))
        with _pause_collection():
            try:
                return numba.njit(signature, cache=True, **self.options)(self.function)
            except (RuntimeError, OSError) as error:
                # numba raises RuntimeError where it finds no folder, OSError where the folder takes no file.
                if isinstance(error, RuntimeError) and "cannot cache" not in str(error):
                    raise
                _warn_without_cache(error)
            return numba.njit(signature, **self.options)(self.function)


def _type_of(word: str, names: dict[str, Any]) -> Any:
    kind, _, item = word.partition(":")
    if not item:
        return names.get(kind) or _SCALARS[kind]
    item_type = names.get(item) or getattr(types, item)
    return types.Array(item_type, len(kind), "C", readonly=kind[0] == "r")


def _warn_without_cache(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        warn(
            f"Compiled loops cannot be cached on disk ({error}), so every process compiles them again, which takes "
            "seconds. Set the environment variable NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
        )


def kernel(signature: str, *, fastmath: Any = False) -> Callable[[Any], Kernel]:
    """Return a decorator that makes a function a `Kernel`."""
    return lambda function: Kernel(function, signature, fastmath)
