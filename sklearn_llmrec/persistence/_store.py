"""Read and write the files of a bundle: a folder, or one zip whose members are stored uncompressed.

The members of a zip start at multiples of 64 bytes, so that arrays can be mapped from the zip as from a folder. Reading
checks names, sizes and kinds of files before any content is used.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn_llmrec.persistence._errors import BundleError

MANIFEST, SIGNATURE = "manifest.json", "manifest.hmac"
_MANIFEST_BYTES = 2**26
_ALIGNMENT = 64
_FILE_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)?\.[a-z0-9]+")
# Header id of padding in the extra field of a zip member, as Android's zipalign writes it.
_PADDING_ID = 0xD935
_LOCAL_HEADER, _LOCAL_HEADER_BYTES = struct.Struct("<4s22xHH"), 30


def check_file_name(name: Any, where: str) -> str:
    """Refuse a name that could lead outside of the bundle."""
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise BundleError(
            f"{where} names a file {name!r}, which is no name that save writes: the bundle was not made by this "
            "library or was edited. Do not use it; save the model again."
        )
    return name


class Store:
    """The files of a bundle that is read: their names and sizes, and their content by name.

    Parameters
    ----------
    path : Path
        A folder or a zip.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}

    @staticmethod
    def open(path: Path) -> Store:
        """Return the store at a path.

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        BundleError
            If it is neither a folder nor a zip of a bundle.
        """
        if not path.exists():
            raise FileNotFoundError(f"There is no bundle at {str(path)!r}.")
        return _Folder(path) if path.is_dir() else _Zip(path)

    def content(self, name: str, mapped: bool) -> memoryview:
        """Return a file as memory of the process, or mapped read-only."""
        raise NotImplementedError

    def manifest(self) -> bytes:
        """Return the manifest, unchecked but for its size."""
        if MANIFEST not in self.sizes:
            raise BundleError(
                f"{str(self.path)!r} contains no {MANIFEST}: it is no bundle, or the copy of one is incomplete. Pass "
                "the path that save returned, or copy the bundle again."
            )
        if self.sizes[MANIFEST] > _MANIFEST_BYTES:
            raise BundleError(f"{MANIFEST} is longer than any that save writes: do not use it.")
        return bytes(self.content(MANIFEST, False))

    def check_names(self, sizes: dict[str, int]) -> None:
        """Refuse a bundle whose files are not exactly those of the manifest, with their sizes."""
        present = {name for name in self.sizes if name not in (MANIFEST, SIGNATURE)}
        for name in sorted(sizes.keys() - present):
            raise BundleError(
                f"The file {name!r} of the manifest is not in the bundle: it was removed or renamed. Copy the bundle "
                "again, or save it again."
            )
        for name in sorted(present - sizes.keys()):
            raise BundleError(
                f"The bundle contains a file {name!r} that its manifest does not list: it was added or renamed. Remove "
                "it if you know where it comes from, or copy the bundle again."
            )
        for name, size in sizes.items():
            if self.sizes[name] != size:
                raise BundleError(
                    f"The file {name!r} has {self.sizes[name]} bytes and the manifest says {size}: the bundle is "
                    "truncated or damaged. Copy it again, or save it again."
                )


class _Folder(Store):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._scan(path, "")

    def _scan(self, folder: Path, prefix: str) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, mode = prefix + entry.name, entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode) and not prefix:
                    self._scan(folder / entry.name, f"{entry.name}/")
                elif stat.S_ISREG(mode):
                    self.sizes[name] = entry.stat(follow_symlinks=False).st_size
                else:
                    raise BundleError(
                        f"{name!r} in the bundle is a link, or no plain file: save writes none. Copy the bundle with "
                        "its files."
                    )

    def content(self, name: str, mapped: bool) -> memoryview:
        # Nothing outside of the folder, also if a link took the place of the file since it was listed.
        descriptor = os.open(self.path / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if mapped and os.fstat(file.fileno()).st_size:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return _read(file, self.sizes[name])


class _Zip(Store):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._starts: dict[str, int] = {}
        self._map: memoryview | None = None
        try:
            with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
                for member in archive.infolist():
                    self._add(member, file)
        except (zipfile.BadZipFile, struct.error, NotImplementedError, OSError) as error:
            raise BundleError(
                f"{str(path)!r} is no zip that save wrote, or it is truncated ({error}). Copy the bundle again."
            ) from error
        # Members that share their bytes could pretend to contain more than there is.
        if sum(self.sizes.values()) > path.stat().st_size:
            raise BundleError(
                f"The members of {str(path)!r} claim more bytes than the file has: it was not written by save. Do not "
                "use it."
            )

    def _add(self, member: zipfile.ZipInfo, file: Any) -> None:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG) and not member.is_dir() and not member.flag_bits & 1
        if not plain or member.compress_type != zipfile.ZIP_STORED:
            raise BundleError(
                f"The member {name!r} is compressed, encrypted or no plain file: save writes none such. Do not unpack "
                "and pack bundles; copy the zip as it is."
            )
        if name in self.sizes or member.file_size != member.compress_size:
            raise BundleError(
                f"The zip contains {name!r} twice, or with two sizes: it was not written by save."
            )
        file.seek(member.header_offset)
        magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER_BYTES))
        start = member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
        if magic != b"PK\x03\x04" or start + member.file_size > os.fstat(file.fileno()).st_size:
            raise zipfile.BadZipFile(f"the member {name!r} ends beyond the file")
        self.sizes[name], self._starts[name] = member.file_size, start

    def content(self, name: str, mapped: bool) -> memoryview:
        start, size = self._starts[name], self.sizes[name]
        with open(self.path, "rb", buffering=0) as file:
            if mapped:
                if self._map is None:
                    self._map = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                return self._map[start : start + size]
            file.seek(start)
            return _read(file, size)


def _read(file: Any, size: int) -> memoryview:
    """Read `size` bytes into writable memory; fewer if the file has fewer."""
    buffer = bytearray(size)
    view, n_read = memoryview(buffer), 0
    while n_read < size and (n := file.readinto(view[n_read:])):
        n_read += n
    return view[:n_read]


# -- writing -----------------------------------------------------------------------------------------------------------


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a new folder whose content becomes the bundle at `path` when the block ends without an error.

    The folder lies beside `path` and is renamed, or packed into a zip that is renamed. After an error, or if the
    process dies, nothing at `path` has changed.
    """
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp makes folders that only the user can read; a bundle has the permissions of other new files.
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        folder = scratch / "bundle"
        folder.mkdir()
        yield folder
        if path.suffix == ".zip":
            _pack(folder, scratch / "bundle.zip")
            os.replace(scratch / "bundle.zip", path)
        else:
            if path.is_dir():
                os.rename(path, scratch / "old")
            try:
                os.rename(folder, path)
            except OSError:
                if (scratch / "old").exists():
                    os.rename(scratch / "old", path)
                raise
    finally:
        shutil.rmtree(scratch)


def check_target(path: Path) -> None:
    """Refuse to replace what is no bundle."""
    is_zip = path.suffix == ".zip"
    replaceable = not path.exists() or (
        zipfile.is_zipfile(path) if is_zip else (path / MANIFEST).is_file() or _is_empty(path)
    )
    if path.is_symlink() or not replaceable:
        raise BundleError(
            f"{str(path)!r} is there already and is no bundle: save replaces bundles only. Choose another path, or "
            "remove what is there."
        )


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def write_file(path: Path, content: Any) -> None:
    """Write a file and wait until it is on disk."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _pack(folder: Path, target: Path) -> None:
    """Pack a folder into a zip whose members start at multiples of 64 bytes."""
    with open(target, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for source in sorted(path for path in folder.rglob("*") if path.is_file()):
                member = zipfile.ZipInfo(source.relative_to(folder).as_posix())
                member.file_size = source.stat().st_size
                member.external_attr = (stat.S_IFREG | 0o644) << 16
                # zipfile adds 20 bytes to the headers of members that need sizes of 64 bits.
                is_large = member.file_size * 1.05 > zipfile.ZIP64_LIMIT
                header = _LOCAL_HEADER_BYTES + len(member.filename.encode()) + 20 * is_large + 4
                padding = -(file.tell() + header) % _ALIGNMENT
                member.extra = struct.pack("<HH", _PADDING_ID, padding) + bytes(padding)
                with open(source, "rb") as content, archive.open(member, "w") as packed:
                    shutil.copyfileobj(content, packed, 2**20)
        file.flush()
        os.fsync(file.fileno())
