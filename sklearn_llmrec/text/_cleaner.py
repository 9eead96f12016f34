"""Clean texts from shops and web pages."""

import html
import re
import unicodedata
from collections.abc import Callable, Collection
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.utils import Tags

from sklearn_llmrec.text._texts import as_texts
from sklearn_llmrec.utils import Interval, StrOptions

# A tag begins with a letter, so "a < b" and "I <3 you" stay.
_TAG = re.compile(
    r"<!--.*?-->|<(script|style)\b.*?</\1\s*>|</?[A-Za-z][^<>]*>", re.DOTALL | re.IGNORECASE
)
_WORD = re.compile(r"\S+")
_EDGE = re.compile(r"^\W+|\W+$")


class TextCleaner(TransformerMixin, BaseEstimator):
    r"""Remove markup, unusual forms of letters, and words without meaning from texts.

    Parameters
    ----------
    html : bool, default=True
        Whether to replace entities (also those escaped twice, as in ``"&amp;amp;"``) and remove
        tags.
    unicode_form : {"NFC", "NFKC", "NFD", "NFKD"}, default="NFKC"
        Unicode normal form; None leaves texts as they are.
    lowercase : bool, default=False
        Whether to lower the case. Language models know cases, or lower it themselves.
    stop_words : "english" or collection of str, default=None
        Words to remove, whatever their case.
    tokenizer : callable, default=None
        From a text to its tokens, for languages without spaces; the result is joined by spaces.
    ngram_chars : int, default=None
        Write each text as its overlapping character n-grams of this length, separated by spaces:
        words for a vectorizer where a language has no spaces and no tokenizer is at hand.

    See Also
    --------
    SentenceEncoder : What to put after it.

    Notes
    -----
    The steps run in the order of the parameters; runs of white space become one space at the end.

    Examples
    --------
    >>> from sklearn_llmrec.text import TextCleaner
    >>> TextCleaner().fit_transform(["Tom &amp;amp; <b>Jerry</b>", "ﬁne\n tea", None]).tolist()
    ['Tom & Jerry', 'fine tea', '']
    >>> TextCleaner(ngram_chars=2).fit_transform(["红茶杯"]).tolist()
    ['红茶 茶杯']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "html": ["boolean"],
        "unicode_form": [StrOptions({"NFC", "NFKC", "NFD", "NFKD"}), None],
        "lowercase": ["boolean"],
        "stop_words": [StrOptions({"english"}), list, tuple, set, frozenset, None],
        "tokenizer": [callable, None],
        "ngram_chars": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        html: bool = True,
        *,
        unicode_form: str | None = "NFKC",
        lowercase: bool = False,
        stop_words: str | Collection[str] | None = None,
        tokenizer: Callable[[str], list[str]] | None = None,
        ngram_chars: int | None = None,
    ) -> None:
        self.html = html
        self.unicode_form = unicode_form
        self.lowercase = lowercase
        self.stop_words = stop_words
        self.tokenizer = tokenizer
        self.ngram_chars = ngram_chars

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters; nothing is learned.

        Parameters
        ----------
        X : array-like of str, default=None
            Texts; only checked.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
        """
        self._validate_params()
        if X is not None:
            as_texts(X)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Clean texts.

        Parameters
        ----------
        X : array-like of str of shape (n_texts,)
            A list, an array, a column of a dataframe, or a table of one column.

        Returns
        -------
        texts : ndarray of shape (n_texts,), object
            Missing texts are empty.
        """
        given = ENGLISH_STOP_WORDS if self.stop_words == "english" else self.stop_words or ()
        stop_words = frozenset(word.casefold() for word in given)
        texts = as_texts(X)
        cleaned = np.empty(len(texts), dtype=object)
        cleaned[:] = [self._clean(text, stop_words) for text in texts]
        return cleaned

    def _clean(self, text: str, stop_words: frozenset[str]) -> str:
        if self.html:
            text = _without_markup(text)
        if self.unicode_form is not None:
            text = unicodedata.normalize(self.unicode_form, text)  # type: ignore[arg-type]
        if self.lowercase:
            text = text.lower()
        if stop_words:
            words = _WORD.findall(text)
            text = " ".join(
                word for word in words if _EDGE.sub("", word).casefold() not in stop_words
            )
        if self.tokenizer is not None:
            text = " ".join(self.tokenizer(text))
        text = " ".join(text.split())
        if self.ngram_chars is not None:
            text = _character_ngrams(text, self.ngram_chars)
        return text

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        tags.requires_fit = False
        tags.no_validation = True
        return tags


def _without_markup(text: str) -> str:
    for _ in range(3):
        plain = html.unescape(text)
        if plain == text:
            break
        text = plain
    return _TAG.sub(" ", text)


def _character_ngrams(text: str, n: int) -> str:
    grams = []
    for word in text.split():
        grams += [word[i : i + n] for i in range(max(1, len(word) - n + 1))]
    return " ".join(grams)
