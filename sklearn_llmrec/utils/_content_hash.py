"""Hash values by their content, for the keys of caches and checkpoints.

A key must be the same in every process and differ where the content differs. So no address and no `repr` enters it:
functions are described by their code and what they read, objects by what their pickle would contain.
"""

import copyreg
import dis
import sys
import sysconfig
from collections.abc import Iterable
from hashlib import blake2b
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

# Entries of a class that do not change what it does.
_CLASS_FACTS = frozenset(
    {
        *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__"),
        *("__static_attributes__", "__annotations__", "__annotate_func__", "__annotations_cache__"),
        *("__abstractmethods__", "_abc_impl"),
    }
)
# Attributes of a torch module that say where it came from, or are counted apart.
_MODULE_FACTS = frozenset({"training", "name_or_path", "_parameters", "_buffers", "_modules"})
_PLAIN = (bool, int, float, str, bytes, type(None))
_SKIPPED = (GetSetDescriptorType, MemberDescriptorType)


class UnstableContentError(ValueError):
    """A value has no description that is the same in every process, such as an open connection."""


def content_hash(*parts: Any) -> str:
    """Return a hash of values that is the same in every process.

    Parameters
    ----------
    *parts : object
        Numbers, texts, arrays, containers, functions, torch modules, tokenizers and whatever pickles.

    Returns
    -------
    key : str
        32 hexadecimal digits.

    Raises
    ------
    UnstableContentError
        If a part cannot be described by its content: it contains a lock, a connection, an open file.
    """
    try:
        return _Describer().digest(tuple(parts)).hex()
    except RecursionError:
        raise UnstableContentError("it is nested too deeply") from None


class _Describer:
    """Digests of values; equal objects met twice are described once, cycles by their place."""

    def __init__(self) -> None:
        self.done: dict[int, bytes] = {}
        self.under_way: dict[int, int] = {}
        # Temporary objects must live as long as their ids are used.
        self.alive: list[Any] = []

    def digest(self, value: Any) -> bytes:
        if type(value) in _PLAIN:
            return _joined(type(value).__name__, _plain_bytes(value))
        number = id(value)
        if number in self.done:
            return self.done[number]
        if number in self.under_way:
            return _joined("cycle", str(self.under_way[number]).encode())
        self.alive.append(value)
        self.under_way[number] = len(self.under_way)
        try:
            self.done[number] = self._described(value)
        finally:
            del self.under_way[number]
        return self.done[number]

    def _all(self, kind: str, parts: Iterable[Any]) -> bytes:
        return _joined(kind, *map(self.digest, parts))

    def _described(self, value: Any) -> bytes:
        if type(value) in (list, tuple):
            return self._all(type(value).__name__, value)
        if type(value) is dict:
            return self._mapping("dict", value.items())
        if type(value) in (set, frozenset):
            return _joined("set", *sorted(map(self.digest, value)))
        if isinstance(value, (np.bool_, np.integer, np.float64)):
            return self.digest(value.item())
        if type(value) in (np.ndarray, np.memmap) or isinstance(value, np.generic):
            return self._array(np.asarray(value))
        if isinstance(value, ModuleType):
            return _joined("module", value.__name__.encode())
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, (FunctionType, type)):
            return self._named(value)
        if isinstance(value, MethodType):
            return self._all("method", (value.__func__, value.__self__))
        if isinstance(value, BuiltinFunctionType):
            owner = None if isinstance(value.__self__, ModuleType) else value.__self__
            return self._all("builtin", (value.__module__, value.__qualname__, owner))
        if isinstance(value, (staticmethod, classmethod)):
            return self._all(type(value).__name__, (value.__func__,))
        if isinstance(value, property):
            return self._all("property", (value.fget, value.fset, value.fdel))
        return self._object(value)

    def _mapping(self, kind: str, items: Iterable[tuple[Any, Any]]) -> bytes:
        """Describe pairs whatever their order."""
        return _joined(kind, *sorted(self._all("pair", pair) for pair in items))

    def _array(self, array: Any) -> bytes:
        facts = (
            array.dtype.str if array.dtype.names is None else str(array.dtype.descr),
            array.shape,
        )
        if array.dtype.hasobject:
            return self._all("array", (*facts, array.ravel().tolist()))
        return _joined("array", self.digest(facts), np.ascontiguousarray(array).tobytes())

    # -- code ---------------------------------------------------------------------------------------------------------

    def _code(self, code: CodeType) -> bytes:
        parts = (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
        return self._all("code", (*parts, *code.co_consts))

    def _named(self, value: Any) -> bytes:
        """Describe functions and classes: of installed libraries by name, others by their code too."""
        name = value.__module__, value.__qualname__
        made = "<locals>" in value.__qualname__
        if not made and _is_installed(value.__module__):
            return self._all("name", name)
        if isinstance(value, FunctionType):
            given = (value.__defaults__, value.__kwdefaults__, dict(value.__dict__))
            return self._all("function", (name, value.__code__, given, _read_by(value)))
        return self._all("class", (name, value.__bases__, _content_of(value)))

    # -- objects ------------------------------------------------------------------------------------------------------

    def _object(self, value: Any) -> bytes:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor(value, torch)
        if torch is not None and isinstance(value, torch.nn.Module):
            return self._module(value)
        if hasattr(value, "get_vocab") and hasattr(value, "all_special_tokens"):
            return self._tokenizer(value)
        try:
            registered = copyreg.dispatch_table.get(type(value))
            reduced = registered(value) if registered else value.__reduce_ex__(4)
        except Exception as error:
            raise UnstableContentError(f"a {type(value).__name__} has no stable content") from error
        if isinstance(reduced, str):
            return self._all("global", (type(value).__module__, reduced))
        maker, given, state, items, pairs = (*reduced, *(None,) * (5 - len(reduced)))[:5]
        parts = (maker, given, state, None if items is None else list(items))
        return _joined(
            "object",
            self._all("parts", parts),
            self._mapping("pairs", () if pairs is None else pairs),
        )

    def _tensor(self, tensor: Any, torch: Any) -> bytes:
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return _joined("tensor", f"{tensor.dtype}{tuple(tensor.shape)}".encode(), values.tobytes())

    def _module(self, model: Any) -> bytes:
        """Describe a torch module: weights, buffers, and of every part its class and plain attributes."""
        weights = {**dict(model.named_buffers()), **model.state_dict()}
        parts = []
        for name, part in model.named_modules():
            plain = {k: v for k, v in vars(part).items() if k not in _MODULE_FACTS and _is_plain(v)}
            for key in ("tokenizer", "max_seq_length", "config"):
                found = getattr(part, key, None)
                plain[key] = found.to_dict() if key == "config" and found is not None else found
            parts.append((name, type(part), {k: _without_origin(v) for k, v in plain.items()}))
        return self._all("network", (weights, parts))

    def _tokenizer(self, tokenizer: Any) -> bytes:
        """Describe a tokenizer of transformers; padding and truncation change with every call, and do not count."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        words: Any = tokenizer.get_vocab()
        if backend is not None:
            backend = type(backend).from_str(backend.to_str())
            backend.no_padding()
            backend.no_truncation()
            words = backend.to_str()
        names = ("model_max_length", "padding_side", "truncation_side", "split_special_tokens")
        facts = {name: getattr(tokenizer, name, None) for name in names}
        return self._all("tokenizer", (type(tokenizer), words, facts))


def _joined(kind: str, *parts: bytes) -> bytes:
    digest = blake2b(kind.encode() + b"\0", digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _plain_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value.hex() if isinstance(value, float) else str(value)
    return text.encode("utf-8", "surrogatepass")


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(_is_plain(v) for pair in value.items() for v in pair)
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN


def _without_origin(value: Any) -> Any:
    """Return the facts of a configuration without those that say where it was loaded from, and by which version."""
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if k not in ("_name_or_path", "transformers_version")}


def _content_of(cls: type) -> dict[str, Any]:
    """Return the methods and attributes of a class; containers that its methods assign (records) are its state."""
    functions = [getattr(entry, "__func__", entry) for entry in vars(cls).values()]
    written = {
        instruction.argval
        for function in functions
        if isinstance(function, FunctionType)
        for instruction in dis.get_instructions(function.__code__)
        if instruction.opname == "STORE_ATTR"
    }
    return {
        key: entry
        for key, entry in vars(cls).items()
        if key not in _CLASS_FACTS
        and not isinstance(entry, _SKIPPED)
        and not (key in written and isinstance(entry, (list, dict, set)))
    }


def _read_by(function: FunctionType) -> dict[str, Any]:
    """Return the variables outside a function that it reads: of its closure, and globals of code that is not installed.

    Variables that the function itself assigns (counters) are its state and no part of what it is.
    """
    read, written = _outer_names(function.__code__)
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # nothing was assigned yet
            continue
    if not _is_installed(function.__module__):
        known = function.__globals__
        found |= {name: known[name] for name in read if name in known}
    return {name: value for name, value in found.items() if name not in written}


def _outer_names(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the names of globals that code reads, and of globals and closure variables that it assigns."""
    read, written = set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(instruction.argval)
        elif instruction.opname == "STORE_GLOBAL" or (
            instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars
        ):
            written.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_read, inner_written = _outer_names(constant)
            read |= inner_read
            written |= inner_written & {*code.co_freevars, *code.co_names}
    return read, written


_LIBRARIES = tuple(
    path
    for path in {
        sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    if path
)


def _is_installed(name: str | None) -> bool:
    """Return whether a module belongs to an installed library, whose code changes with its version only."""
    package = (name or "").partition(".")[0]
    if package == "__main__":
        return False
    if package in sys.stdlib_module_names or package == "sklearn_llmrec":
        return True
    module = sys.modules.get(name or "")
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(_LIBRARIES)
