"""Find sentence models by name or folder, distinguish them by content, and load each once per process."""

import json
import platform
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sklearn_llmrec.utils import require, warn

_EXTRA = "text"
# Files that change no embedding.
_IGNORED = (".md", ".gitattributes", ".lock")
# Where an export keeps its int8 weights.
_INT8_FILE = "onnx/model_int8.onnx"
# A file beside a kept model that contains the hash of all others; its ending keeps it out of hashes of the model.
_MARK = "kept.lock"


def require_text_extra(backend: str = "torch") -> None:
    """Refuse a missing sentence-transformers or backend, without the seconds that an import takes.

    Raises
    ------
    ImportError
        If one is not installed.
    """
    if find_spec("sentence_transformers") is None:
        require("sentence_transformers", extra=_EXTRA)
    if backend.startswith("onnx") and find_spec("optimum") is None:
        require("optimum", extra="onnx")


def find_folder(name: str) -> Path | None:
    """Return the folder of a model, given as a folder or by the name of one downloaded before, else None.

    Raises
    ------
    ValueError
        If `name` can only be a path and nothing is there.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2:
        raise ValueError(
            f"There is no model folder {name!r}: pass an existing folder, or a name on the model "
            f"hub."
        )
    hub = require("huggingface_hub", extra=_EXTRA)
    for full in [name] if "/" in name else [f"sentence-transformers/{name}", name]:
        try:
            return Path(hub.snapshot_download(full, local_files_only=True))
        except OSError:
            continue
    return None


def download(name: str) -> Path:
    """Download a model of the hub and return its folder.

    Raises
    ------
    OSError
        If it cannot be had.
    """
    hub = require("huggingface_hub", extra=_EXTRA)
    try:
        if hub.constants.HF_HUB_OFFLINE:
            raise OSError("the hub is switched off (HF_HUB_OFFLINE).")
        require("sentence_transformers", extra=_EXTRA).SentenceTransformer(name, device="cpu")
    except OSError as error:
        raise OSError(
            f"The model {name!r} is no folder, was not downloaded before, and cannot be downloaded "
            f"now: {error} Pass the path of a folder that contains the model, or allow its download "
            "once while online."
        ) from error
    folder = find_folder(name)
    if folder is None:
        raise OSError(
            f"The model {name!r} was loaded but its files were not found: pass the path of its "
            f"folder."
        )
    return folder


def folder_hash(folder: Path, backend: str) -> str:
    """Return a hash of the files of a model."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.name.endswith(_IGNORED)
        and not ({"onnx", "openvino"} - {backend.partition("-")[0]}).intersection(
            path.relative_to(folder).parts[:-1]
        )
    )
    return _files_hash(str(folder), file_stamps(files))


Stamps = tuple[tuple[str, int, int, int, int], ...]


def file_stamps(files: Iterable[Path]) -> Stamps:
    """Return the paths of files with sizes and times that change when a file is written."""
    stamps = []
    for path in sorted(files):
        facts = path.stat()
        stamps.append(
            (str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
        )
    return tuple(stamps)


@lru_cache(maxsize=16)
def _files_hash(folder: str, stamps: Stamps) -> str:
    digest = blake2b(digest_size=16)
    for path, size, *_ in stamps:
        digest.update(f"{Path(path).relative_to(folder).as_posix()}:{size}:".encode())
        with open(path, "rb") as file:
            while block := file.read(2**22):
                digest.update(block)
    return digest.hexdigest()


def is_whole(target: Path) -> bool:
    """Return whether a folder is complete as `keep` wrote it; warn if it contains something else."""
    if not target.is_dir() or _is_marked(target):
        return target.is_dir()
    warn(f"The kept model {target} is damaged or was written by something else: it is made again.")
    return False


def _is_marked(folder: Path) -> bool:
    mark = folder / _MARK
    return mark.is_file() and mark.read_text(encoding="utf-8") == _content_of(folder)


def _content_of(folder: Path) -> str:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != _MARK)
    return _files_hash(str(folder), file_stamps(files))


def keep(target: Path, save: Callable[[Path], object]) -> Path:
    """Return a folder that `save` fills completely or not at all; an existing complete one is reused."""
    if is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as scratch:
        place = Path(scratch) / "model"
        save(place)
        (place / _MARK).write_text(_content_of(place), encoding="utf-8")
        try:
            if target.is_dir() and not _is_marked(target):
                target.rename(Path(scratch) / "damaged")
            place.rename(target)
        except OSError:
            if not target.is_dir():  # another process was not faster
                raise
    return target


def with_onnx(folder: Path, home: Path | None, int8: bool) -> Path:
    """Return the folder of a model with its ONNX file: its own, or an export in `home`.

    Raises
    ------
    ValueError
        If int8 weights have no place to be kept.
    """
    wanted = _INT8_FILE if int8 else "onnx/model.onnx"
    if (folder / wanted).is_file() or (not int8 and any(folder.rglob("*.onnx"))):
        return folder
    if home is None:
        if int8:
            raise ValueError(
                "backend='onnx-int8' keeps its weights beside the cache: pass cache=True or a folder as cache."
            )
        return folder  # exported anew by every process
    target = home / f"{folder_hash(folder, 'torch')}-{f'int8-{_int8_kind()}' if int8 else 'onnx'}"

    def save(place: Path) -> None:
        library = require("sentence_transformers", extra=_EXTRA)
        model = library.SentenceTransformer(
            str(folder), device="cpu", backend="onnx", local_files_only=True
        )
        model.save(str(place), create_model_card=False)
        if int8:
            library.export_dynamic_quantized_onnx_model(
                model, _int8_kind(), str(place), file_suffix="int8"
            )
            (place / "onnx" / "model.onnx").unlink()

    return keep(target, save)


def _int8_kind() -> str:
    """Return the fastest quantisation that this machine computes without overflow; "avx2" is safe on any x86."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "arm64"
    known = Path("/proc/cpuinfo")  # where there is none, what every machine can
    flags = set(known.read_text().split()) if known.is_file() else set()
    kinds = {"avx512_vnni": "avx512_vnni", "avx512f": "avx512"}
    return next((kind for flag, kind in kinds.items() if flag in flags), "avx2")


@lru_cache(maxsize=2)
def load(
    folder: str,
    content: str,
    device: str,
    backend: str,
    pooling: str | None,
    model_kwargs: str,
    home: Path | None,
) -> Any:
    """Load a sentence-transformers model and cache it for the next call; a changed `content` reloads it.

    What has to be created from it first (ONNX files) is kept in `home`.
    """
    library = require("sentence_transformers", extra=_EXTRA)
    options = json.loads(model_kwargs)
    if backend.startswith("onnx"):
        folder = str(with_onnx(Path(folder), home, backend == "onnx-int8"))
    if backend == "onnx-int8":
        backend, options = "onnx", {"file_name": _INT8_FILE, **options}
    model = library.SentenceTransformer(
        folder,
        device=None if device == "auto" else device,
        backend=backend,
        local_files_only=True,
        model_kwargs=options or None,
    )
    # A text that spells a special token, such as "[SEP]", is a text like any other.
    if getattr(model, "tokenizer", None) is not None:
        model.tokenizer.split_special_tokens = True
    if pooling is not None:
        for position, module in enumerate(model):
            kind = type(module)
            if kind.__name__ == "Pooling":  # where it is imported from changed between versions
                config = module.get_config_dict()
                # The name changed between versions.
                width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
                model[position] = kind(width, pooling_mode=pooling)
    return model
