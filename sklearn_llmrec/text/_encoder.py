"""Sentence embeddings as a transformer with a cache that embeds each text once."""

import json
import os
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.text import _fine_tune, _models
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
from sklearn_llmrec.text._texts import as_texts
from sklearn_llmrec.utils import Interval, StrOptions, UnstableContentError, warn

# What else shapes stored vectors: their form on disk, and that special tokens in texts are read as texts.
_FORMAT = 2


class SentenceEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embeddings of texts by a language model.

    A transformer around sentence-transformers. Every text is embedded only once, because vectors are kept on disk.
    Their key is a hash of the model's content, of prompt, pooling and backend, and of the text. A second fit, another
    process, or a search over other parameters finds them there. Texts are batched by length, because a batch costs as
    much as its longest text.

    Parameters
    ----------
    model : str, path or object, default="sentence-transformers/all-MiniLM-L6-v2"
        Name on the model hub, folder, or an object with ``encode(texts, batch_size=...,
        show_progress_bar=..., convert_to_numpy=True)``. Prefer a name or folder: an object is
        copied by `clone`.
    prompt : str, default=None
        What the model wants before each text, such as ``"passage: "``.
    pooling : {"mean", "cls", "max", "lasttoken"}, default=None
        How token vectors become one. None is what the model was trained with.
    truncate_dim : int, default=None
        Keep only the first dimensions, for models trained so that these mean most.
    normalize : bool, default=True
        Whether vectors get unit length.
    batch_size : int, default=64
        Texts per batch.
    device : str, default="auto"
        "cpu", "cuda", "mps", ... "auto" takes the fastest there is.
    backend : {"torch", "onnx", "onnx-int8", "openvino"}, default="torch"
        What computes; ONNX needs ``pip install 'sklearn-llmrec[onnx]'``, OpenVINO
        ``pip install sentence-transformers[openvino]``. "onnx-int8" has weights of eight bits: faster and a
        quarter of the memory, with vectors that differ a little. A model without ONNX files is exported once, to
        a folder beside the cache.
    model_kwargs : dict, default=None
        Further arguments for loading, such as ``{"dtype": "bfloat16"}`` or ``{"file_name": ...}`` for an ONNX file
        of the model's own. Plain values only.
    fine_tune : int or dict, default=None
        Whether `fit` trains the model on what is consumed together: the number of passes over pairs of texts that
        one user had, or arguments of `SentenceTransformerTrainingArguments` such as
        ``{"num_train_epochs": 2, "learning_rate": 1e-5, "max_steps": 500}``. Then `fit` needs `y`, which recommenders
        pass on; so in ``TextEmbeddingRecommender(encoder=SentenceEncoder(fine_tune=1))``. Needs
        ``pip install 'sklearn-llmrec[train]'``. The trained model is kept beside the cache and trained once.
    random_state : int, default=0
        Seed of `fine_tune`.
    cache : bool, str or path, default=True
        Folder of the cache. True is the folder ``sklearn_llmrec/embeddings`` in `sklearn.datasets.get_data_home`;
        False keeps nothing. Stored are vectors and hashes of texts, never texts. An object is identified by its
        attribute `cache_key` (a text), else by its content. An object whose content cannot be identified, such as an
        open connection, is not cached, with a warning.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_hash_ : str or None
        Hash of the model's content; None for an object without a cache.
    model_folder_ : str or None
        Where the model's files lie; None for an object.

    See Also
    --------
    TextCleaner : Removes markup and unifies texts before.
    TextEmbeddingRecommender : Recommends by such vectors.

    Notes
    -----
    A text of blanks only, or a missing one (None, NaN), gets the vector of zeros: similar to
    nothing. Texts beyond the model's length (256 tokens for the default) are cut there. `fit` reads
    the model's files for their hash but loads no model; `transform` loads it for texts that are not
    in the cache, once per process. With all texts in the cache not even torch is imported. `fine_tune` draws up to 20
    pairs of each user and takes the other texts of a batch as wrong answers [2]_; whether it helps has to be measured
    on held-out interactions.

    References
    ----------
    .. [1] N. Reimers, I. Gurevych, "Sentence-BERT: Sentence embeddings using Siamese BERT-networks", EMNLP 2019.
    .. [2] M. Henderson et al., "Efficient natural language response suggestion for Smart Reply", 2017.

    Examples
    --------
    >>> from sklearn_llmrec.text import SentenceEncoder
    >>> class Letters:  # any object that encodes
    ...     def encode(self, texts, **options):
    ...         return [[text.count(letter) for letter in "abc"] for text in texts]
    >>> SentenceEncoder(Letters(), normalize=False, cache=False).fit_transform(["abba", "cab", ""])
    array([[2., 2., 0.],
           [1., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": "no_validation",
        "prompt": [str, None],
        "pooling": [StrOptions({"mean", "cls", "max", "lasttoken"}), None],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "normalize": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "backend": [StrOptions({"torch", "onnx", "onnx-int8", "openvino"})],
        "model_kwargs": [dict, None],
        "fine_tune": [Interval(Integral, 1, None, closed="left"), dict, None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "cache": ["boolean", str, os.PathLike],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model: Any = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        prompt: str | None = None,
        pooling: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool = True,
        batch_size: int = 64,
        device: str = "auto",
        backend: str = "torch",
        model_kwargs: dict[str, Any] | None = None,
        fine_tune: int | dict[str, Any] | None = None,
        random_state: int = 0,
        cache: bool | str | os.PathLike[str] = True,
        verbose: bool | int = False,
    ) -> None:
        self.model = model
        self.prompt = prompt
        self.pooling = pooling
        self.truncate_dim = truncate_dim
        self.normalize = normalize
        self.batch_size = batch_size
        self.device = device
        self.backend = backend
        self.model_kwargs = model_kwargs
        self.fine_tune = fine_tune
        self.random_state = random_state
        self.cache = cache
        self.verbose = verbose

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Find the model; train it only if `fine_tune` is set.

        Parameters
        ----------
        X : array-like of str, default=None
            Texts; only checked but for `fine_tune`.
        y : {array-like, sparse} of shape (n_texts, n_users), default=None
            Who had which text, or in which session: what `fine_tune` learns from. Ignored without it.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If sentence-transformers, or what the backend or training need, is not installed.
        OSError, ValueError
            If there is no such model, or nothing to learn from.
        """
        self._validate_params()
        texts = None if X is None else as_texts(X)
        if isinstance(self.model, (str, os.PathLike)):
            _models.require_text_extra(self.backend)
            name = os.fspath(self.model)
            folder = _models.find_folder(name) or _models.download(name)
            if self.fine_tune is not None:
                folder = self._tuned(folder, texts or [], y)
            self.model_folder_: str | None = str(folder)
            self.model_hash_: str | None = _models.folder_hash(folder, self.backend)
            return self
        if not callable(getattr(self.model, "encode", None)):
            raise TypeError(
                "model must be a name, a folder, or an object with a method encode; got "
                f"{self.model!r} of type {type(self.model).__name__}."
            )
        if (
            self.pooling is not None
            or self.backend != "torch"
            or self.model_kwargs
            or self.fine_tune is not None
        ):
            raise ValueError(
                "pooling, backend, model_kwargs and fine_tune say how a model is loaded, and model is an "
                "object that is loaded already: set them there."
            )
        self.model_folder_ = None
        self.model_hash_ = None
        if self.cache is not False:
            try:
                self.model_hash_ = model_name(self.model)
            except UnstableContentError as error:
                warn(
                    f"SentenceEncoder keeps no vectors in its cache, because the model has no stable description: "
                    f"{error}. Give it an attribute cache_key, a text that names it with all its settings, or pass "
                    "cache=False.",
                )
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed texts.

        Parameters
        ----------
        X : array-like of str of shape (n_texts,)
            A list, an array, a column of a dataframe, or a table of one column.

        Returns
        -------
        embeddings : ndarray of shape (n_texts, n_dimensions), float32
        """
        check_is_fitted(self)
        return self._embedded(as_texts(X))

    def _embedded(self, texts: list[str]) -> NDArray[np.float32]:
        """Embed texts, without the container of `set_output`."""
        unique = {text: text_key(text) for text in texts if text}
        vectors = self._vectors(unique or {"a": text_key("a")})
        width = len(next(iter(vectors.values())))
        result = np.zeros((len(texts), width), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                result[row] = vectors[unique[text]]
        if self.truncate_dim is not None:
            result = np.ascontiguousarray(result[:, : self.truncate_dim])
        if self.normalize:
            result = unit_length(result)
        return result

    def _vectors(self, unique: dict[str, bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return vectors of texts, from the cache if it has them."""
        model_hash = self._current_hash()
        # Longest first: a batch that does not fit into memory fails at once.
        by_length = sorted(unique.items(), key=lambda pair: len(pair[0]), reverse=True)
        return embedded_once(
            self._cache(model_hash),
            {key: text for text, key in by_length},
            lambda texts: self._embed(texts, model_hash),
            progress_bar(self.verbose, "texts"),
        )

    def _embed(self, texts: list[str], model_hash: str | None) -> NDArray[np.float32]:
        options: dict[str, Any] = {
            "batch_size": self.batch_size,
            "show_progress_bar": False,
            "convert_to_numpy": True,
        }
        if self.prompt is not None:
            options["prompt"] = self.prompt
        return checked_vectors(self._loaded(model_hash).encode(texts, **options), texts, "texts")

    def _tuned(self, folder: Path, texts: list[str], y: Any) -> Path:
        """Return the folder of the model trained on items consumed together, from an earlier fit if it is there."""
        home = self._home()
        if home is None:
            raise ValueError(
                "fine_tune keeps the trained model beside the cache: pass cache=True or a folder as cache."
            )
        options: dict[str, Any] = {
            "per_device_train_batch_size": self.batch_size,
            "learning_rate": 2e-5,
            "use_cpu": self.device == "cpu",
        }
        options |= (
            self.fine_tune
            if isinstance(self.fine_tune, dict)
            else {"num_train_epochs": self.fine_tune}
        )
        rows = _fine_tune.pairs(
            _fine_tune.checked_groups(y, len(texts)), texts, int(self.random_state)
        )
        if not rows:
            raise ValueError(
                "fine_tune found no two different texts that one user had: there is nothing to learn from."
            )
        base = _models.folder_hash(folder, "torch")
        made_of = json.dumps([base, rows, options, int(self.random_state)], sort_keys=True)
        target = home / f"{base}-tuned-{text_key(made_of).hex()}"
        if not _models.is_whole(target):
            _fine_tune.tune(
                folder, target, rows, options, int(self.random_state), bool(self.verbose)
            )
        return target

    def _current_hash(self) -> str | None:
        """Return the hash of the model that embeds now, which may have changed since `fit`."""
        if self.model_hash_ is None:
            return None
        if self.model_folder_ is None:
            return model_name(self.model)
        if not Path(self.model_folder_).is_dir():
            return self.model_hash_  # on another machine: what is in the cache still serves
        current = _models.folder_hash(Path(self.model_folder_), self.backend)
        if current != self.model_hash_:
            warn(
                f"The files of the model {self.model_folder_} have changed since SentenceEncoder was fitted: its "
                "vectors do not belong beside those made before. Fit again.",
            )
        return current

    def _loaded(self, model_hash: str | None) -> Any:
        if self.model_folder_ is None:
            return self.model
        return _models.load(
            self.model_folder_,
            model_hash,
            self.device,
            self.backend,
            self.pooling,
            json.dumps(self.model_kwargs or {}, sort_keys=True),
            self._home(),
        )

    def _home(self) -> Path | None:
        """Return the folder of derived models."""
        folder = cache_folder(self.cache)
        return None if folder is None else folder / "models"

    def _cache(self, model_hash: str | None) -> EmbeddingCache | None:
        folder = cache_folder(self.cache)
        if folder is None or model_hash is None:
            return None
        settings = json.dumps(
            [_FORMAT, self.backend, self.prompt, self.pooling, self.model_kwargs or {}],
            sort_keys=True,
        )
        name = f"{text_key(model_hash).hex()}-{text_key(settings).hex()[:12]}.sqlite"
        return EmbeddingCache(folder / name)

    @property
    def _n_features_out(self) -> int:
        return self._embedded(["a"]).shape[1]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        tags.requires_fit = True
        tags.target_tags.required = self.fine_tune is not None
        return tags
