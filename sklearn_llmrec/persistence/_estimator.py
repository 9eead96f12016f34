"""Store the parts of a model other than large arrays: by skops, or by pickle where skops cannot."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

from sklearn_llmrec.persistence._arrays import array_of
from sklearn_llmrec.persistence._errors import BundleError
from sklearn_llmrec.persistence._trusted import trusted_types
from sklearn_llmrec.utils import require, warn


def skops_io() -> Any:
    """Return `skops.io`, or raise an error that names the missing extra."""
    return require("skops.io", "io")


def skops_bytes(value: Any) -> bytes:
    """Return a value in the format of skops, after reading it back once.

    Raises
    ------
    Exception
        Whatever skops raises for what it cannot store or read.
    """
    io_ = skops_io()
    content = bytes(io_.dumps(value))
    check_members(memoryview(content), "the estimator")
    io_.loads(content, trusted=io_.get_untrusted_types(data=content))
    return content


def pickle_bytes(value: Any, reason: Exception) -> bytes:
    """Return a value as a pickle, and warn that it must be trusted.

    Raises
    ------
    BundleError
        If it cannot be pickled either.
    """
    try:
        content = pickle.dumps(value, protocol=5)
        pickle.loads(content)
    except Exception as error:
        raise BundleError(
            f"The model cannot be stored: skops says {str(reason)!r} and pickle {str(error)!r}. Functions and classes "
            "that a model contains must be importable: move them from a lambda or a notebook into a module."
        ) from error
    warn(
        f"The model contains what skops cannot store ({reason}), so the bundle contains a pickle. Reading one can run "
        "any code: load needs trusted=True or for a bundle that is signed with SKLEARN_LLMREC_BUNDLE_KEY."
    )
    return content


def foreign_types(content: bytes) -> list[str]:
    """Return the types in a skops file that neither skops nor this library trusts."""
    return sorted({*skops_io().get_untrusted_types(data=content)} - {*trusted_types()})


def check_members(content: memoryview, name: str) -> None:
    """Refuse a skops file with anything but small plain arrays and the schema, before skops opens it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            plain = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not plain or sum(member.file_size for member in members) > len(content):
                raise BundleError(
                    f"{name} is compressed or claims more bytes than it has: save writes no such file."
                )
            for member in members:
                if member.filename.endswith(".npy"):
                    array_of(memoryview(archive.read(member)), f"{name}/{member.filename}")
                elif member.filename != "schema.json":
                    raise BundleError(
                        f"{name} contains {member.filename!r}, which save does not write."
                    )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"{name} is no file of skops ({error}). Save the bundle again."
        ) from error


def value_of_skops(content: memoryview, name: str, trusted: bool | list[str]) -> Any:
    """Return the value of a skops file whose types are all trusted.

    Raises
    ------
    BundleError
        If it contains types that are not, or cannot be read.
    """
    check_members(content, name)
    data = bytes(content)
    try:
        foreign = foreign_types(data)
        refused = [] if trusted is True else sorted({*foreign} - {*(trusted or ())})
        if refused:
            raise BundleError(
                f"{name} contains types that are not trusted: {refused}. If you know where the bundle comes from, pass "
                f"load(path, trusted={refused}), or sign bundles with SKLEARN_LLMREC_BUNDLE_KEY."
            )
        return skops_io().loads(data, trusted=[*foreign, *trusted_types()])
    except BundleError:
        raise
    except Exception as error:
        # Whatever a schema that nobody wrote makes skops do: nothing of it was used.
        raise BundleError(
            f"{name} cannot be read by skops: {error!r}. Its types may be missing here (install or import what defines "
            "them), or the file was made by another version; save the model again."
        ) from error


def value_of_pickle(content: memoryview, name: str, trusted: bool) -> Any:
    """Return the value of a pickle that is trusted.

    Raises
    ------
    BundleError
        If it is not trusted, or cannot be read.
    """
    if not trusted:
        raise BundleError(
            f"{name} is a pickle, which can run any code while it is read. If you know where the bundle comes from, "
            "pass load(path, trusted=True), or sign bundles with SKLEARN_LLMREC_BUNDLE_KEY."
        )
    try:
        return pickle.loads(content)
    except Exception as error:
        raise BundleError(
            f"{name} cannot be unpickled: {error!r}. Import or install what defines its types."
        ) from error
