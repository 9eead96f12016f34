"""Turn content of items into one vector per item, for all models that read texts."""

import os
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from sklearn_llmrec.base import Tags
from sklearn_llmrec.interactions import n_table_rows
from sklearn_llmrec.text._encoder import SentenceEncoder
from sklearn_llmrec.text._texts import as_texts, table_columns, texts_from_features
from sklearn_llmrec.text._words import words
from sklearn_llmrec.utils import HasMethods, canonical, is_missing, require_memory, warn

#: What `item_texts` and `encoder` may be, for `_parameter_constraints`.
CONTENT_CONSTRAINTS: dict[str, Any] = {
    "item_texts": "no_validation",
    "encoder": [None, str, os.PathLike, HasMethods(["fit_transform", "transform"])],
}


class _LatentWords(TransformerMixin, BaseEstimator):
    """Latent semantic analysis: tf-idf of words, reduced where there are more words than dimensions.

    Where a script writes no spaces, letters and pairs of letters take the place of words.
    """

    def __init__(self, n_components: int = 256) -> None:
        self.n_components = n_components

    def fit(self, X: list[str], y: Any = None) -> "_LatentWords":
        self.fit_transform(X)
        return self

    def fit_transform(self, X: list[str], y: Any = None) -> NDArray[Any]:
        """Learn the words and their directions; return the vectors of the same texts."""
        self.words_ = TfidfVectorizer(sublinear_tf=True, analyzer=words)
        weights = self.words_.fit_transform(X)
        if min(weights.shape) <= self.n_components:
            self.directions_ = None
            return weights.toarray()
        self.directions_ = TruncatedSVD(self.n_components, random_state=0)
        return self.directions_.fit_transform(weights)

    def transform(self, X: list[str]) -> NDArray[Any]:
        """Return vectors of texts; words that `fit` did not see are ignored."""
        weights = self.words_.transform(X)
        return (
            weights.toarray() if self.directions_ is None else self.directions_.transform(weights)
        )


class ContentMixin:
    """Mixin of models with the parameters `item_texts` and `encoder`."""

    item_texts: Any
    encoder: Any

    def _item_vectors(self, X: Any, *, instead: str, sparse: bool = False) -> Any:
        """Return vectors of the columns of X; None, with a warning, where nothing is known of them.

        With `sparse`, vectors that the encoder returned sparse stay so.

        Sets `encoder_` (fitted, or None for ready vectors) and `item_texts_` (a list, or None for a
        table).
        """
        self.encoder_: Any = None
        self.item_texts_: list[str] | None = None
        content = item_content(self, X)
        reads_ids = _reads_ids(self.encoder)
        if content is None or (isinstance(content, list) and not reads_ids and not any(content)):
            name = type(self).__name__
            warn(
                f"{name} knows no text of any item, and {instead}. Pass item_texts, or an "
                "Interactions with item_features, or a dataframe whose column names are texts."
            )
            return None
        if isinstance(content, list) and not reads_ids:
            self.item_texts_ = content
        if isinstance(self.encoder, str) and self.encoder == "passthrough":
            vectors = content
        else:
            self.encoder_ = unfitted(self.encoder)
            vectors = embedded(self.encoder_, content, X)
        return as_vectors(vectors, X.shape[1], sparse=sparse)

    def _features_of_columns(self, X: Any) -> Any:
        """Return what the fitted encoder computes from the columns of X, sparse or dense; None without an encoder.

        Raises
        ------
        ValueError
            If X brings neither texts nor ids of its columns and the model has none.
        """
        content = item_content(self, X)
        if content is None:
            return None
        encoder = self.encoder_
        vectors = content if encoder is None else encoder.transform(content)
        return as_vectors(vectors, X.shape[1], sparse=True)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.recommender_tags.keeps_input = True
        return tags


def embedded(encoder: Any, content: Any, X: Any) -> Any:
    """Return vectors of the content of the columns of X; an encoder that learns from histories gets them too.

    Raises
    ------
    ValueError
        If an encoder of words finds none.
    """
    last = encoder
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    learns = hasattr(last, "__sklearn_tags__") and get_tags(last).target_tags.required
    try:
        return encoder.fit_transform(content, *([canonical(X).T] if learns else []))
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        raise ValueError(
            f"The texts of the items contain no words, for example {content[0]!r}: pass other item_texts, or an "
            "encoder that reads such texts."
        ) from error


def unfitted(encoder: Any) -> Any:
    if encoder is None:
        return _LatentWords()
    if isinstance(encoder, (str, os.PathLike)):
        return SentenceEncoder(encoder)
    return clone(encoder)


def as_vectors(vectors: Any, n_rows: int, *, sparse: bool = False) -> Any:
    """Return what an encoder returned as a finite floating array of `n_rows` rows; sparse only where `sparse`.

    Raises
    ------
    ValueError
        If it is none.
    """
    if sp.issparse(vectors) and sparse:
        vectors = sp.csr_array(vectors)
        if not np.issubdtype(vectors.dtype, np.floating):
            vectors = vectors.astype(np.float64)
        _check_vectors(vectors.shape, vectors.data, n_rows)
        return vectors
    if sp.issparse(vectors):
        require_memory(
            vectors.shape[0] * vectors.shape[1] * 8,
            f"The sparse output of the encoder, of shape {vectors.shape}, made dense,",
            "End the encoder with a TruncatedSVD.",
        )
        vectors = vectors.toarray()
    try:
        vectors = np.asarray(vectors)
        if not np.issubdtype(vectors.dtype, np.floating):
            vectors = vectors.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Vectors of items must be numbers ({error}): pass an encoder that makes numbers of "
            f"them."
        ) from error
    _check_vectors(vectors.shape, vectors, n_rows)
    return vectors


def _check_vectors(shape: tuple[int, ...], values: NDArray[Any], n_rows: int) -> None:
    """Refuse vectors of another number of items, and values that are not finite."""
    if len(shape) != 2 or shape[0] != n_rows:
        raise ValueError(
            f"The encoder returned an array of shape {shape}, and one vector for each of {n_rows} items is needed."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "The encoder returned NaN or infinite values: add an imputer where features are missing."
        )


def item_content(model: Any, X: Any) -> Any:
    """Return texts of the columns of X as a list, or a table for an encoder that reads tables, or None.

    Raises
    ------
    ValueError
        If a template names what is not there, or there is not one text per column.
    """
    given, features = model.item_texts, getattr(X, "item_features", None)
    if _reads_ids(model.encoder):
        return _ids_of_columns(given, X, model)
    if isinstance(given, str):
        return texts_from_features(given, features)
    if given is not None:
        if not hasattr(given, "__len__"):
            raise TypeError(
                "item_texts must be texts, a column or template of item features, or a table; got "
                f"{given!r}."
            )
        n_given = n_table_rows(given)
        if n_given != X.shape[1]:
            raise ValueError(
                f"item_texts has {n_given} entries and X has {X.shape[1]} columns: one text per "
                f"item is needed, in the order of the columns."
            )
        width = getattr(given, "shape", (0,))[1:]
        named = getattr(getattr(given, "dtype", None), "names", None)  # a structured array
        plain = not width or (width == (1,) and not _reads_tables(model.encoder))
        if plain and not named:
            return as_texts(given, "item_texts")
        if _reads_texts_only(model.encoder):
            return _texts_of_table(given, model.encoder)
        return given
    if features is not None:
        if _reads_tables(model.encoder):
            return features
        texts = _all_texts(table_columns(features))
        if texts is not None:
            return texts
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else as_texts(names)


def _ids_of_columns(given: Any, X: Any, model: Any) -> Any:
    """Return the item ids that an encoder of ids reads: those of X, or `item_texts`.

    Raises
    ------
    ValueError
        If there are none, or not one per column.
    """
    ids = getattr(X, "item_ids", None) if given is None else given
    if ids is None or isinstance(ids, str):
        raise ValueError(
            f"encoder={model.encoder!r} reads item ids, and X has none: pass Interactions with item_ids, or the ids as "
            "item_texts."
        )
    if len(ids) != X.shape[1]:
        raise ValueError(
            f"item_texts has {len(ids)} ids and X has {X.shape[1]} columns: one id per item is needed."
        )
    return ids


def _reads_ids(encoder: Any) -> bool:
    while isinstance(encoder, Pipeline):
        encoder = encoder.steps[0][1]
    return bool(getattr(encoder, "_reads_item_ids", False))


def _reads_tables(encoder: Any) -> bool:
    while isinstance(encoder, Pipeline):
        encoder = encoder.steps[0][1]
    return isinstance(encoder, ColumnTransformer) or (
        isinstance(encoder, str) and encoder == "passthrough"
    )


def _reads_texts_only(encoder: Any) -> bool:
    return encoder is None or (isinstance(encoder, (str, os.PathLike)) and encoder != "passthrough")


def _texts_of_table(table: Any, encoder: Any) -> list[str]:
    """Return the text columns of a table, joined, for an encoder of texts.

    Raises
    ------
    TypeError
        If it has none.
    """
    texts = _all_texts(table_columns(table))
    if texts is None:
        raise TypeError(
            f"item_texts is a table of shape {table.shape} without columns of texts, and encoder={encoder!r} reads "
            "texts. Where the rows are vectors of the items already, pass encoder='passthrough'; else an encoder "
            "that reads tables, such as a ColumnTransformer."
        )
    return texts


def _all_texts(columns: dict[str, list[Any]]) -> list[str] | None:
    """Return the text columns, joined; None if there are none."""
    textual = [
        values
        for values in columns.values()
        if any(isinstance(value, str) for value in values)
        and all(isinstance(value, str) or is_missing(value) for value in values)
    ]
    if not textual:
        return None
    return [
        " ".join(value for value in row if isinstance(value, str)).strip() for row in zip(*textual)
    ]
