"""Save a fitted model with all it needs to recommend by ids, and load it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base import last_step, recommend_ids
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.persistence import _compress
from sklearn_llmrec.persistence._arrays import array_of, write_array
from sklearn_llmrec.persistence._errors import BundleError
from sklearn_llmrec.persistence._estimator import (
    foreign_types,
    pickle_bytes,
    skops_bytes,
    skops_io,
    value_of_pickle,
    value_of_skops,
)
from sklearn_llmrec.persistence._manifest import (
    checked_content,
    digest,
    is_signed,
    read_manifest,
    write_manifest,
)
from sklearn_llmrec.persistence._store import MANIFEST, Store, write_file, written
from sklearn_llmrec.persistence._tables import (
    arrow_bytes,
    column_arrays,
    has_pyarrow,
    library_of,
    table_of_arrow,
    table_of_columns,
)
from sklearn_llmrec.persistence._tree import Detached, attach, detach, freeze

_SKOPS, _PICKLE = "model.skops", "model.pickle"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A saved model with its ids and features, as `load` returns it.

    Attributes
    ----------
    estimator : object
        The fitted recommender, Pipeline or search.
    item_ids : ndarray of shape (n_items,) or None
        The caller's id of every column.
    item_features : table or None
        One row per column, such as titles.
    histories : Interactions or None
        The histories of the users, with their ids, where ``save(histories=True)`` stored them.
    manifest : dict
        Versions, time, metrics and files of the bundle.
    version : str
        SHA-256 of the manifest, which names exactly this bundle.

    See Also
    --------
    save : Write a bundle.
    """

    estimator: Any
    item_ids: NDArray[Any] | None
    item_features: Any
    histories: Interactions | None
    manifest: dict[str, Any]
    version: str

    def recommend_ids(self, histories: Any, k: int = 10, **options: Any) -> Any:
        """Recommend to histories that are lists of item ids, and return a table with ids and titles.

        Parameters
        ----------
        histories : list of lists, dict of lists, or Interactions
            Item ids of every user; unknown ids are skipped.
        k : int, default=10
            Length of the lists.
        **options : dict
            Further arguments of `sklearn_llmrec.recommend_ids`, such as ``item_columns="title"``.

        Returns
        -------
        frame : dataframe
            One row per recommendation.
        """
        return recommend_ids(self, histories, k, **options)

    def __repr__(self) -> str:
        n_items = None if self.item_ids is None else len(self.item_ids)
        return (
            f"Bundle({type(self.estimator).__name__}, item_ids={n_items}, "
            f"created={self.manifest['created']!r}, version={self.version[:12]!r})"
        )


def save(
    path: str | Path,
    model: Any,
    X: Any = None,
    *,
    histories: bool = False,
    dtype: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """Save a fitted model as a bundle: a folder, or one file if the path ends with ``.zip``.

    The bundle is written beside `path` and renamed when it is complete, so that an interrupted save leaves what was
    there. A bundle that is there is replaced; anything else at `path` is refused.

    Parameters
    ----------
    path : str or Path
        Where to. A zip is replaced in one step. A folder is replaced in two, so a reader that opens it at that moment
        may not find it: write to a new path where a server reads.
    model : object
        A fitted recommender, Pipeline or search.
    X : Interactions, default=None
        Gives the item ids and the feature table of the catalogue, and the histories. By default the ids are those of
        the fit.
    histories : bool, default=False
        Whether to store the rows of X with their user ids, so that a server answers for known users. They are personal
        data.
    dtype : {"float16", "int8"}, default=None
        Store factors and embeddings in this type, int8 with one scale per vector. They are loaded in the dtype of the
        fit. Everything else is stored as it is.
    metrics : dict, default=None
        Figures for the manifest, such as ``{"ndcg@10": 0.31}``: numbers, texts, lists and dicts of them.

    Returns
    -------
    path : Path

    Raises
    ------
    ImportError
        If skops is not installed; the extra ``io`` brings it.
    BundleError
        If something else is at `path`, or the model contains functions that cannot be imported.
    ValueError
        If X does not fit the model, has no user ids that ``histories=True`` needs, or `dtype` is unknown.
    TypeError
        If `path` is no path, or metrics are nothing that JSON knows.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.

    See Also
    --------
    load : Read a bundle.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions, ItemKNN, load, save
    >>> X = Interactions(
    ...     np.eye(3)[[0, 1, 1]] + np.eye(3)[[1, 2, 2]], item_ids=["cup", "mug", "tea"]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(f"{folder}/model.zip", ItemKNN().fit(X), X, metrics={"ndcg@10": 0.5})
    ...     bundle = load(path)
    >>> bundle.estimator, bundle.item_ids.tolist(), bundle.manifest["metrics"]
    (ItemKNN(), ['cup', 'mug', 'tea'], {'ndcg@10': 0.5})
    """
    skops_io()
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str or Path; got {path!r}. The path comes first: save(path, model)."
        )
    path = Path(path)
    if dtype not in (None, "float16", "int8"):
        raise ValueError(f'dtype must be None, "float16" or "int8"; got {dtype!r}.')
    catalogue = _catalogue(model, X, histories)
    found = Detached()
    remainder = detach({**catalogue, "estimator": model}, found)
    with written(path) as folder:
        arrays = [
            _write_array(
                folder, number, array.values, dtype if _compress.is_factors(array) else None
            )
            for number, array in enumerate(found.arrays)
        ]
        tables = [_write_table(folder, number, table) for number, table in enumerate(found.tables)]
        remainder["columns"] = [columns for _, columns in tables]
        stored = _write_remainder(folder, remainder)
        kind = type(model)
        write_manifest(
            folder,
            {
                "estimator": {"class": f"{kind.__module__}.{kind.__qualname__}", **stored},
                "n_items": getattr(last_step(model), "n_features_in_", None),
                "dtype": dtype,
                "metrics": dict(metrics or {}),
                "arrays": arrays,
                "tables": [entry for entry, _ in tables],
            },
        )
    return path


def _catalogue(model: Any, X: Any, histories: bool) -> dict[str, Any]:
    """Return ids, features and histories of a catalogue that fits the model."""
    check_is_fitted(model)
    fitted = last_step(model)
    item_ids, features, rows = getattr(fitted, "item_ids_", None), None, None
    if histories and getattr(X, "user_ids", None) is None:
        raise ValueError("histories=True needs an Interactions with user_ids as X.")
    if X is not None:
        width = getattr(fitted, "n_features_in_", None)
        if width is not None and X.shape[1] != width:
            raise ValueError(
                f"X has {X.shape[1]} columns and the model was fitted on {width}: pass the matrix of the fit."
            )
        given = getattr(X, "item_ids", None)
        if item_ids is not None and given is not None and not np.array_equal(item_ids, given):
            raise ValueError(
                "X has other item_ids than the model was fitted with: pass the matrix of the fit."
            )
        item_ids = given if item_ids is None else item_ids
        features = getattr(X, "item_features", None)
        rows = X if histories else None
    return {"item_ids": item_ids, "item_features": features, "histories": rows}


def _write_array(
    folder: Path, number: int, values: NDArray[Any], dtype: str | None
) -> dict[str, Any]:
    """Write an array and return its entry of the manifest."""
    entry: dict[str, Any] = {"file": f"arrays/{number:05d}.npy"}
    if dtype is not None:
        entry["dtype"] = values.dtype.name
        values, scales = _compress.compressed(values, dtype)
        if scales is not None:
            entry["scales"] = f"arrays/{number:05d}_scales.npy"
            write_array(folder / entry["scales"], scales)
    write_array(folder / entry["file"], values)
    return entry


def _write_table(folder: Path, number: int, table: Any) -> tuple[dict[str, Any], Any]:
    """Write a table and return its entry of the manifest, and its columns where no Arrow file contains them."""
    entry = {"library": library_of(table)}
    if not has_pyarrow():
        return entry, column_arrays(table)
    entry["file"] = f"tables/{number:05d}.arrow"
    write_file(folder / entry["file"], arrow_bytes(table))
    return entry, None


def _write_remainder(folder: Path, remainder: dict[str, Any]) -> dict[str, Any]:
    """Write the remaining parts of the model, by skops if possible, and return the format."""
    storage = "skops"
    try:
        content = skops_bytes(remainder)
    except Exception as error:
        storage = "pickle"
        write_file(folder / _PICKLE, pickle_bytes(remainder.pop("estimator"), error))
        content = skops_bytes(remainder)
    write_file(folder / _SKOPS, content)
    return {"storage": storage, "types_to_trust": foreign_types(content)}


def load(path: str | Path, *, mmap: bool = False, trusted: bool | Sequence[str] = False) -> Bundle:
    """Load a bundle that `save` wrote, after checking all of it.

    Names, sizes and hashes of all files are compared with the manifest, and the types in it with those trusted, before
    anything is created from its content. If the environment variable ``SKLEARN_LLMREC_BUNDLE_KEY`` is set, the
    manifest must be signed with that key.

    Parameters
    ----------
    path : str or Path
        A folder or a zip.
    mmap : bool, default=False
        Map arrays from the file read-only, instead of reading them. Processes that map one bundle share its memory.
        Arrays that were stored in a smaller dtype are read.
    trusted : bool or list of str, default=False
        True trusts whatever the bundle contains, as unpickling does. A list names types beside `trusted_types` that may
        be made. A bundle with a valid signature is trusted.

    Returns
    -------
    bundle : Bundle

    Raises
    ------
    BundleError
        If the bundle is damaged, changed, not signed, of a newer format or another major version, or contains types
        that are not trusted.
    FileNotFoundError
        If nothing is at `path`.
    ImportError
        If skops is not installed; the extra ``io`` brings it.

    See Also
    --------
    save : Write a bundle.
    trusted_types : Types of this library that are trusted.
    """
    skops_io()
    store = Store.open(Path(path))
    written_manifest = store.manifest()
    signed = is_signed(store, written_manifest)
    manifest = read_manifest(written_manifest)
    store.check_names({name: entry["size"] for name, entry in manifest["files"].items()})
    # All of it, before anything is created from any part.
    contents = {
        name: checked_content(store, manifest, name, mapped=mmap and name.startswith("arrays/"))
        for name in manifest["files"]
    }
    try:
        arrays = [_read_array(contents, entry) for entry in manifest["arrays"]]
        remainder = value_of_skops(contents[_SKOPS], _SKOPS, True if signed else _names(trusted))
        tables = [
            _read_table(contents, entry, columns)
            for entry, columns in zip(manifest["tables"], remainder["columns"], strict=True)
        ]
        if manifest["estimator"]["storage"] == "pickle":
            remainder["estimator"] = value_of_pickle(
                contents[_PICKLE], _PICKLE, signed or trusted is True
            )
        remainder = attach(remainder, arrays, tables)
        freeze(remainder["item_ids"])
        parts = {
            name: remainder[name]
            for name in ("estimator", "item_ids", "item_features", "histories")
        }
    except BundleError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise BundleError(
            f"{MANIFEST} and {_SKOPS} do not fit together ({error!r}): the bundle was edited. Save it again."
        ) from error
    return Bundle(**parts, manifest=manifest, version=digest(written_manifest))


def _names(trusted: bool | Sequence[str]) -> bool | list[str]:
    return trusted if isinstance(trusted, bool) else list(trusted)


def _read_array(contents: dict[str, memoryview], entry: dict[str, Any]) -> NDArray[Any]:
    values = array_of(contents[entry["file"]], entry["file"])
    if "dtype" not in entry:
        return values
    scales = array_of(contents[entry["scales"]], entry["scales"]) if "scales" in entry else None
    return _compress.decompressed(values, scales, entry["dtype"])


def _read_table(contents: dict[str, memoryview], entry: dict[str, Any], columns: Any) -> Any:
    if "file" not in entry:
        return table_of_columns(columns, entry["library"])
    return table_of_arrow(contents[entry["file"]], entry["library"], entry["file"])
