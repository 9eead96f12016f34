"""Write, read and check the manifest of a bundle: its files, their hashes and the versions that made them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sklearn_llmrec.persistence._errors import BundleError
from sklearn_llmrec.persistence._store import (
    MANIFEST,
    SIGNATURE,
    Store,
    check_file_name,
    write_file,
)
from sklearn_llmrec.utils import package_version

FORMAT, FORMAT_VERSION = "sklearn_llmrec bundle", 1
KEY_VARIABLE = "SKLEARN_LLMREC_BUNDLE_KEY"


def signing_key() -> bytes | None:
    """Return the key of the environment, None where it is not set."""
    return os.environ.get(KEY_VARIABLE, "").encode() or None


def library_versions() -> dict[str, str]:
    """Return the versions of what a bundle depends on."""
    packages = ("numpy", "scipy", "scikit-learn", "skops")
    return {
        "sklearn_llmrec": package_version(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest of the files in a folder, and its signature where there is a key.

    Raises
    ------
    TypeError
        If the metrics are nothing that JSON knows.
    """
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": library_versions(),
        **content,
        "files": {
            path.relative_to(folder).as_posix(): file_entry(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    written = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    key = signing_key()
    if key is not None:
        write_file(folder / SIGNATURE, _signature(key, written).encode())
    write_file(folder / MANIFEST, written)


def file_entry(path: Path) -> dict[str, Any]:
    """Return size and hash of a file."""
    with open(path, "rb") as file:
        return {
            "size": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _signature(key: bytes, manifest: bytes) -> str:
    return hmac.new(key, manifest, hashlib.sha256).hexdigest()


def digest(manifest: bytes) -> str:
    """Return the name of exactly this bundle."""
    return hashlib.sha256(manifest).hexdigest()


def is_signed(store: Store, manifest: bytes) -> bool:
    """Return whether the manifest is signed with the key of the environment; False without a key.

    Raises
    ------
    BundleError
        If there is a key, and no signature or another one.
    """
    key = signing_key()
    if key is None:
        return False
    given = (
        bytes(store.content(SIGNATURE, False)) if 0 < store.sizes.get(SIGNATURE, 0) < 200 else b""
    )
    if not hmac.compare_digest(given, _signature(key, manifest).encode()):
        state = "is not signed" if not given else "is signed with another key, or was changed"
        raise BundleError(
            f"{MANIFEST} {state}, and {KEY_VARIABLE} is set, so only bundles signed with that key are loaded. Save it "
            "again with the key set, or unset the variable if you trust the bundle without."
        )
    return True


def read_manifest(written: bytes) -> dict[str, Any]:
    """Return the manifest, after checking that this version can read the bundle.

    Raises
    ------
    BundleError
        If it is no manifest of a bundle, or one of a newer format or of another major version.
    """
    try:
        manifest = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} is no JSON ({error}): copy the bundle again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(
            f"{MANIFEST} is not that of a bundle of this library: pass a path of save."
        )
    number = manifest.get("format_version")
    if number != FORMAT_VERSION:
        raise BundleError(
            f"{MANIFEST} has format version {number!r}, and this version of the library reads {FORMAT_VERSION}: "
            "install the version that wrote it, or save the model again."
        )
    _check_versions(manifest)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise BundleError(f"{MANIFEST} lists no files: it was edited. Save the model again.")
    for name, entry in files.items():
        check_file_name(name, MANIFEST)
        size = entry.get("size") if isinstance(entry, dict) else None
        if not isinstance(size, int) or size < 0 or not isinstance(entry.get("sha256"), str):
            raise BundleError(f"{MANIFEST} gives no size and hash of {name!r}: it was edited.")
    return manifest


def _check_versions(manifest: dict[str, Any]) -> None:
    versions = manifest.get("versions")
    saved = versions.get("sklearn_llmrec") if isinstance(versions, dict) else None
    if not isinstance(saved, str) or saved.split(".")[0] != package_version().split(".")[0]:
        raise BundleError(
            f"{MANIFEST} was written by version {saved!r} of sklearn_llmrec, and this is {package_version()}: "
            "install a version with the same first number, or fit and save the model again."
        )


def checked_content(store: Store, manifest: dict[str, Any], name: str, mapped: bool) -> memoryview:
    """Return the content of a file, after comparing its hash.

    Raises
    ------
    BundleError
        If the manifest does not list it, or its content differs.
    """
    entry = manifest["files"].get(check_file_name(name, MANIFEST))
    if entry is None:
        raise BundleError(f"{MANIFEST} refers to {name!r} without listing it: it was edited.")
    content = store.content(name, mapped)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise BundleError(
            f"The content of {name!r} differs from the hash in {MANIFEST}: the file is damaged or was edited. Copy the "
            "bundle again, or save it again."
        )
    return content
