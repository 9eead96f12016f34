"""Images and sound as vectors: transformers around any function or model, with the cache of `SentenceEncoder`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import blake2b
from math import gcd
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.text import _models
from sklearn_llmrec.text._cache import (
    EmbeddingCache,
    cache_folder,
    checked_vectors,
    embedded_once,
    progress_bar,
    text_key,
    unit_length,
)
from sklearn_llmrec.text._llm_client import model_name
from sklearn_llmrec.utils import Interval, UnstableContentError, is_missing, require, warn

# What else shapes stored vectors: how contents are read before the model gets them.
_FORMAT = 1


class _MediaEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of encoders of images and sound; a subclass reads one entry and names what it reads."""

    _what: ClassVar[str]
    model: Any
    normalize: bool
    batch_size: int
    device: str
    cache: bool | str | os.PathLike[str]
    verbose: bool | int

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": "no_validation",
        "normalize": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "cache": ["boolean", str, os.PathLike],
        "verbose": ["verbose"],
    }

    def _read(self, entry: Any) -> NDArray[Any]:
        """Return one entry as the array that a function gets."""
        raise NotImplementedError

    def _for_model(self, content: NDArray[Any]) -> Any:
        """Return an array in the form that a method `encode` takes."""
        return content

    def _example(self) -> NDArray[Any]:
        """Return a valid content, to find out how long vectors are."""
        raise NotImplementedError

    def _settings(self) -> list[Any]:
        """Return what shapes vectors besides the model."""
        return [type(self).__name__, _FORMAT]

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Find the model.

        Parameters
        ----------
        X : sequence of length n_items, default=None
            Ignored; nothing is learned.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If sentence-transformers is needed and not installed.
        OSError, ValueError
            If there is no such model.
        TypeError
            If `model` is none of the forms above.
        """
        self._validate_params()
        self.model_folder_: str | None = None
        self.model_hash_: str | None = None
        if isinstance(self.model, (str, os.PathLike)):
            _models.require_text_extra()
            name = os.fspath(self.model)
            folder = _models.find_folder(name) or _models.download(name)
            self.model_folder_, self.model_hash_ = (
                str(folder),
                _models.folder_hash(folder, "torch"),
            )
            return self
        if not (callable(self.model) or callable(getattr(self.model, "encode", None))):
            raise TypeError(
                f"model must be a function from a list of {self._what} to vectors, a name, a folder, or an object with "
                f"a method encode; got {self.model!r} of type {type(self.model).__name__}."
            )
        if self.cache is not False:
            try:
                self.model_hash_ = model_name(self.model)
            except UnstableContentError as error:
                warn(
                    f"{type(self).__name__} keeps no vectors in its cache, because the model has no stable "
                    f"description: {error}. Give it an attribute cache_key, a text that names it with all its "
                    "settings, or pass cache=False.",
                )
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed contents.

        Parameters
        ----------
        X : sequence of length n_items, or table or array of one column
            One entry per item; None or NaN where there is none.

        Returns
        -------
        vectors : ndarray of shape (n_items, n_dimensions), float32
            Zeros where an entry is missing.

        Raises
        ------
        TypeError, ValueError
            If an entry is of another kind.
        OSError
            If a file cannot be read.
        """
        check_is_fitted(self)
        return self._embedded(_entries(X))

    def _embedded(self, entries: list[Any]) -> NDArray[np.float32]:
        """Embed entries, without the container of `set_output`."""
        keys = [None if _is_none(entry) else _content_key(entry) for entry in entries]
        contents = {key: entry for key, entry in zip(keys, entries, strict=True) if key is not None}
        if not contents:
            example = self._example()
            contents = {_content_key(example): example}
        vectors = embedded_once(
            self._cache(), contents, self._embed, progress_bar(self.verbose, self._what)
        )
        width = len(next(iter(vectors.values())))
        result = np.zeros((len(keys), width), dtype=np.float32)
        for row, key in enumerate(keys):
            if key is not None:
                result[row] = vectors[key]
        return unit_length(result) if self.normalize else result

    def _embed(self, entries: list[Any]) -> NDArray[np.float32]:
        parts = []
        for begin in range(0, len(entries), self.batch_size):
            # Files are read batch by batch: not all contents fit into memory.
            contents = [self._read(entry) for entry in entries[begin : begin + self.batch_size]]
            parts.append(checked_vectors(self._encoded(contents), contents, self._what))
        return np.concatenate(parts)

    def _encoded(self, contents: list[NDArray[Any]]) -> Any:
        model: Any = self.model
        if self.model_folder_ is not None:
            model = _models.load(
                self.model_folder_, self.model_hash_, self.device, "torch", None, "{}", None
            )
        if not callable(getattr(model, "encode", None)):
            return model(contents)
        return model.encode(
            [self._for_model(content) for content in contents],
            batch_size=self.batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
        )

    def _cache(self) -> EmbeddingCache | None:
        folder = cache_folder(self.cache)
        if folder is None or self.model_hash_ is None:
            return None
        settings = text_key(json.dumps(self._settings())).hex()[:12]
        return EmbeddingCache(folder / f"{text_key(self.model_hash_).hex()}-{settings}.sqlite")

    @property
    def _n_features_out(self) -> int:
        return self._embedded([None]).shape[1]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        tags.no_validation = True
        return tags


class ImageEncoder(_MediaEncoder):
    """Vectors of images by a model such as CLIP, or by any function.

    Every image is embedded once: vectors are kept in the cache of `SentenceEncoder`, under the hashes of the model and
    of the image.

    Parameters
    ----------
    model : callable, str, path or object, default="sentence-transformers/clip-ViT-B-32"
        A function from a list of images, uint8 arrays of shape (height, width, 3), to an array with one row per image;
        the name or folder of a model of sentence-transformers that reads images; or an object with such an
        ``encode``. Names, folders and objects get images of Pillow.
    normalize : bool, default=True
        Whether vectors get unit length.
    batch_size : int, default=32
        Images per call of the model.
    device : str, default="auto"
        "cpu", "cuda", "mps", ... for a model by name. "auto" takes the fastest there is.
    cache : bool, str or path, default=True
        Folder of the cache. True is the folder ``sklearn_llmrec/embeddings`` in `sklearn.datasets.get_data_home`;
        False keeps nothing. A function or object is known by its attribute `cache_key`, else by its content.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_hash_ : str or None
        Hash of the model; None without a cache.
    model_folder_ : str or None
        Where the model's files lie; None for a function or object.

    See Also
    --------
    AudioEncoder : The same for sound.
    SentenceEncoder : The same for texts.

    Notes
    -----
    An entry is a path, a Pillow image, or an array of shape (height, width), (height, width, 3) or (height, width, 4),
    of uint8 or of floats from 0 to 1. A fourth channel is left out. A missing entry (None, NaN) gets the vector of
    zeros, similar to nothing. Images are not resized: models by name do that, functions must.

    References
    ----------
    A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021,
    arXiv:2103.00020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import ImageEncoder
    >>> def mean_color(images):
    ...     return [image.mean(axis=(0, 1)) for image in images]
    >>> red, blue = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> red[..., 0], blue[..., 2] = 255, 255
    >>> ImageEncoder(mean_color, cache=False).fit_transform([red, blue, None])
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    _what = "images"

    def __init__(
        self,
        model: Callable[..., Any]
        | str
        | os.PathLike[str]
        | Any = "sentence-transformers/clip-ViT-B-32",
        *,
        normalize: bool = True,
        batch_size: int = 32,
        device: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        verbose: bool | int = False,
    ) -> None:
        self.model = model
        self.normalize = normalize
        self.batch_size = batch_size
        self.device = device
        self.cache = cache
        self.verbose = verbose

    def _read(self, entry: Any) -> NDArray[np.uint8]:
        if isinstance(entry, (str, os.PathLike)):
            image_module = require("PIL.Image", extra="text")
            with image_module.open(entry) as image:
                return np.asarray(image.convert("RGB"))
        if callable(getattr(entry, "convert", None)):  # an image of Pillow
            return np.asarray(entry.convert("RGB"))
        if not isinstance(entry, np.ndarray):
            raise TypeError(
                f"An image must be a path, an array or an image of Pillow, got {type(entry).__name__}."
            )
        if entry.ndim == 2:
            entry = np.repeat(entry[:, :, None], 3, axis=2)
        if entry.ndim != 3 or entry.shape[2] not in (3, 4) or not entry.size:
            raise ValueError(
                f"An image must have the shape (height, width), (height, width, 3) or (height, width, 4), got "
                f"{entry.shape}."
            )
        entry = entry[:, :, :3]
        if entry.dtype == np.uint8:
            return entry
        if not np.issubdtype(entry.dtype, np.floating) or not (
            entry.min() >= 0 and entry.max() <= 1
        ):
            raise ValueError(
                f"An image must be of uint8 or of floats from 0 to 1, got values of {entry.dtype} from "
                f"{entry.min()} to {entry.max()}."
            )
        return np.asarray(np.round(entry * 255), dtype=np.uint8)

    def _for_model(self, content: NDArray[np.uint8]) -> Any:
        return require("PIL.Image", extra="text").fromarray(content)

    def _example(self) -> NDArray[np.uint8]:
        return np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)


class AudioEncoder(_MediaEncoder):
    """Vectors of sound by any function or model.

    Every sound is embedded once: vectors are kept in the cache of `SentenceEncoder`, under the hashes of the model and
    of the sound.

    Parameters
    ----------
    model : callable, str, path or object
        A function from a list of sounds, float32 arrays of shape (n_samples,), to an array with one row per sound; the
        name or folder of a model of sentence-transformers that reads sound; or an object with such an ``encode``.
    sampling_rate : int, default=16000
        Samples per second that the model expects. Files are resampled to it; arrays are taken to have it.
    normalize : bool, default=True
        Whether vectors get unit length.
    batch_size : int, default=8
        Sounds per call of the model.
    device : str, default="auto"
        "cpu", "cuda", "mps", ... for a model by name. "auto" takes the fastest there is.
    cache : bool, str or path, default=True
        Folder of the cache. True is the folder ``sklearn_llmrec/embeddings`` in `sklearn.datasets.get_data_home`;
        False keeps nothing. A function or object is known by its attribute `cache_key`, else by its content.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_hash_ : str or None
        Hash of the model; None without a cache.
    model_folder_ : str or None
        Where the model's files lie; None for a function or object.

    See Also
    --------
    ImageEncoder : The same for images.

    Notes
    -----
    An entry is the path of a WAV file or an array of shape (n_samples,) or (n_samples, n_channels); integers are
    scaled to [-1, 1], and channels are averaged. A missing entry (None, NaN) gets the vector of zeros. Convert other
    formats to arrays by a library of your choice.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import AudioEncoder
    >>> def loudest_band(sounds):
    ...     spectra = [np.abs(np.fft.rfft(sound, 1600)) for sound in sounds]
    ...     return [spectrum[:800].reshape(4, -1).sum(axis=1) for spectrum in spectra]
    >>> seconds = np.arange(1600) / 16000
    >>> low, high = np.sin(2 * np.pi * 500 * seconds), np.sin(2 * np.pi * 7000 * seconds)
    >>> AudioEncoder(loudest_band, cache=False).fit_transform([low, high, None]).round(1)
    array([[1., 0., 0., 0.],
           [0., 0., 0., 1.],
           [0., 0., 0., 0.]], dtype=float32)
    """

    _what = "sounds"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_MediaEncoder._parameter_constraints,
        "sampling_rate": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        model: Callable[..., Any] | str | os.PathLike[str] | Any,
        *,
        sampling_rate: int = 16000,
        normalize: bool = True,
        batch_size: int = 8,
        device: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        verbose: bool | int = False,
    ) -> None:
        self.model = model
        self.sampling_rate = sampling_rate
        self.normalize = normalize
        self.batch_size = batch_size
        self.device = device
        self.cache = cache
        self.verbose = verbose

    def _settings(self) -> list[Any]:
        return [*super()._settings(), int(self.sampling_rate)]

    def _read(self, entry: Any) -> NDArray[np.float32]:
        rate = self.sampling_rate
        if isinstance(entry, (str, os.PathLike)):
            from scipy.io import wavfile

            rate, entry = wavfile.read(entry)
        if not isinstance(entry, np.ndarray):
            raise TypeError(
                f"A sound must be the path of a WAV file or an array, got {type(entry).__name__}."
            )
        if entry.ndim not in (1, 2) or not entry.size:
            raise ValueError(
                f"A sound must have the shape (n_samples,) or (n_samples, n_channels), got {entry.shape}."
            )
        samples = entry.astype(np.float64)
        if entry.dtype == np.uint8:  # WAV files of 8 bits are unsigned
            samples = (samples - 128) / 128
        elif np.issubdtype(entry.dtype, np.integer):
            samples /= -float(np.iinfo(entry.dtype).min)
        if samples.ndim == 2:
            samples = samples.mean(axis=1)
        if rate != self.sampling_rate:
            from scipy.signal import resample_poly

            common = gcd(rate, self.sampling_rate)
            samples = resample_poly(samples, self.sampling_rate // common, rate // common)
        return np.asarray(samples, dtype=np.float32)

    def _example(self) -> NDArray[np.float32]:
        return np.random.default_rng(0).uniform(-1, 1, self.sampling_rate).astype(np.float32)


def _entries(X: Any) -> list[Any]:
    """Return the entries of a sequence, a column, or a table or array of one column.

    Raises
    ------
    TypeError
        If X is one path.
    ValueError
        If a table has several columns.
    """
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError("X must be a sequence, got one path: pass [X].")
    native = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        if native.shape[1] != 1:
            raise ValueError(
                f"X must be one column, got a table of {native.shape[1]} columns: select one."
            )
        return native[:, 0].to_list()
    if isinstance(native, nw.Series):
        return native.to_list()
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    return list(X)


def _is_none(entry: Any) -> bool:
    """Return whether an entry is missing; an empty path is."""
    if isinstance(entry, str):
        return not entry.strip()
    return not isinstance(entry, np.ndarray) and is_missing(entry)


def _content_key(entry: Any) -> bytes:
    """Return the hash of a file, an array or an image."""
    digest = blake2b(digest_size=16)
    if isinstance(entry, (str, os.PathLike)):
        digest.update(b"file")
        digest.update(Path(entry).read_bytes())
        return digest.digest()
    mode = getattr(entry, "mode", "")
    # An image with a palette has its colors apart from its pixels.
    array = np.asarray(entry.convert("RGB")) if mode == "P" else np.asarray(entry)
    digest.update(f"{mode} {array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
