"""Texts as means of word vectors: an encoder without a language model."""

import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec.decomposition import Item2Vec
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.text._texts import as_texts
from sklearn_llmrec.text._words import words
from sklearn_llmrec.utils import Interval


class WordVectorEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Texts as the weighted mean of the vectors of their words.

    Parameters
    ----------
    vectors : mapping, str or path, default=None
        Vectors of words: a mapping from word to vector (gensim's ``KeyedVectors`` is one), or a
        text file in the format of GloVe or word2vec. None learns them from the texts given to
        `fit`: words are to a text what items are to a history, so `Item2Vec` with a window learns
        them.
    n_components : int, default=100
        Dimensions of learned vectors; fewer where there are fewer words.
    window : int, default=5
        For learned vectors: words at most this far apart count as a pair.
    idf : bool, default=True
        Whether rare words weigh more, by the inverse document frequency among the texts given to
        `fit`.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Words of the texts given to `fit`.
    idf_ : ndarray of shape (n_words,)
        Their weights.
    word_vectors_ : ndarray of shape (n_words, n_dimensions)
        Their vectors; zeros for a word that has none.

    See Also
    --------
    SentenceEncoder : Reads sentences, not words.

    Notes
    -----
    Words are runs of letters and digits, in lower case; letters and pairs of letters where a script writes no spaces.
    Words that were not in the texts of `fit` are read too if `vectors` knows them. A text without a known word gets a
    vector of zeros.

    References
    ----------
    S. Arora, Y. Liang, T. Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR
    2017.

    Examples
    --------
    >>> from sklearn_llmrec.text import WordVectorEncoder
    >>> words = {"tea": [1.0, 0.0], "cup": [1.0, 1.0], "spade": [0.0, 1.0]}
    >>> WordVectorEncoder(words, idf=False).fit_transform(["Tea cup", "spade", "?"]).round(2)
    array([[0.89, 0.45],
           [0.  , 1.  ],
           [0.  , 0.  ]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "vectors": "no_validation",
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "idf": ["boolean"],
    }

    def __init__(
        self,
        vectors: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        n_components: int = 100,
        window: int = 5,
        idf: bool = True,
    ) -> None:
        self.vectors = vectors
        self.n_components = n_components
        self.window = window
        self.idf = idf

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the words, their weights, and their vectors if none are given.

        Parameters
        ----------
        X : array-like of str of shape (n_texts,)
            Texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If no text contains a word, or no word has a vector.
        """
        self._validate_params()
        texts = [words(text) for text in as_texts(X)]
        names = sorted({word for text in texts for word in text})
        if not names:
            raise ValueError(
                "No text contains a word: there is nothing to learn word vectors from."
            )
        self.vocabulary_ = {word: i for i, word in enumerate(names)}
        found = np.concatenate(
            [list({self.vocabulary_[w] for w in text}) for text in texts]
        ).astype(int)
        counts = np.bincount(found, minlength=len(names))
        self._rare_ = float(np.log(1 + len(texts)) + 1) if self.idf else 1.0
        self.idf_ = np.log((1 + len(texts)) / (1 + counts)) + 1 if self.idf else np.ones(len(names))
        if self.vectors is None:
            self._known_: Mapping[str, Any] = {}
            self.word_vectors_ = self._learned(texts)
            return self
        if isinstance(self.vectors, (str, os.PathLike)):
            self._known_ = _read_vectors(self.vectors)
        else:
            self._known_ = self.vectors
        rows = {word: self._known_[word] for word in names if word in self._known_}
        if not rows:
            raise ValueError(
                f"None of the {len(names)} words of the texts has a vector: are they of another "
                f"language or case?"
            )
        self.word_vectors_ = np.zeros(
            (len(names), len(next(iter(rows.values())))), dtype=np.float32
        )
        for word, row in rows.items():
            self.word_vectors_[self.vocabulary_[word]] = row
        return self

    def _learned(self, texts: list[list[str]]) -> NDArray[Any]:
        """Learn vectors of words from which words occur near each other."""
        indices = np.array([self.vocabulary_[word] for text in texts for word in text])
        indptr = np.append(0, np.cumsum([len(text) for text in texts]))
        shape = (len(texts), len(self.vocabulary_))
        if shape[1] < 2 or np.diff(indptr).max() < 2:
            return np.eye(shape[1], dtype=np.float32)
        read = Interactions(
            (np.ones(len(indices), dtype=np.float32), indices, indptr),
            shape=shape,
            timestamps=np.arange(len(indices)),
        )
        model = Item2Vec(min(self.n_components, shape[1]), window=self.window)
        return model.fit(read).item_embeddings_

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return vectors of texts.

        Parameters
        ----------
        X : array-like of str of shape (n_texts,)
            Texts.

        Returns
        -------
        vectors : ndarray of shape (n_texts, n_dimensions), float32
            Of unit length; zeros for a text without a known word.
        """
        check_is_fitted(self)
        texts = [words(text) for text in as_texts(X)]
        new = sorted({w for text in texts for w in text} - self.vocabulary_.keys())
        new = [word for word in new if word in self._known_]
        place = {**self.vocabulary_, **{w: len(self.vocabulary_) + i for i, w in enumerate(new)}}
        vectors, weights = self.word_vectors_, self.idf_
        if new:
            vectors = np.vstack(
                [vectors, [np.asarray(self._known_[w], vectors.dtype) for w in new]]
            )
            weights = np.append(weights, np.full(len(new), self._rare_))
        entries = [[place[word] for word in text if word in place] for text in texts]
        indices = np.array([entry for text in entries for entry in text], dtype=np.int64)
        indptr = np.append(0, np.cumsum([len(text) for text in entries])).astype(np.int64)
        bags = sp.csr_array((weights[indices], indices, indptr), shape=(len(texts), len(place)))
        return unit_rows(bags @ vectors.astype(np.float64)).astype(np.float32)

    @property
    def _n_features_out(self) -> int:
        return self.word_vectors_.shape[1]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        return tags


def _read_vectors(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """Read word vectors from a text file: a word and its numbers per line.

    The first line of word2vec files (two numbers) is skipped.
    """
    known: dict[str, NDArray[np.float32]] = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            word, _, numbers = line.rstrip().partition(" ")
            if " " in numbers:
                known[word] = np.array(numbers.split(" "), dtype=np.float32)
    return known
