"""Split texts into words, also in languages that write no spaces."""

import re

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

# Letters of scripts without spaces between words: Thai and Lao, Burmese, Khmer, Chinese, Japanese.
_SPACELESS = (
    "\u0e01-\u0e4e\u0e80-\u0ece\u1000-\u103f\u1780-\u17d3\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Marks that belong to the letter before them and that `\w` leaves out: accents, and the vowels of Indian scripts.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0962\u0963\u0980-\u0dff"
)
_WORD = rf"(?:(?![{_SPACELESS}])[\w{_MARKS}])+"
_RUNS = re.compile(rf"[{_SPACELESS}]+|{_WORD}")
_TOKENS = re.compile(rf"[{_SPACELESS}]|{_WORD}|[^\w\s]")
_IS_SPACELESS = re.compile(f"[{_SPACELESS}]")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; letters and pairs of letters where a script writes no spaces.

    Taken whole, a title of such a script would be one long word, which no other title contains.
    """
    found = []
    for run in _RUNS.findall(text.lower()):
        if _IS_SPACELESS.match(run):
            found += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
        else:
            found.append(run)
    return found


def long_words(text: str) -> list[str]:
    """Return the words of two letters or more."""
    return [word for word in words(text) if len(word) > 1]


def content_words(text: str) -> list[str]:
    """Return the words of two letters or more that are no English stop words."""
    return [word for word in long_words(text) if word not in ENGLISH_STOP_WORDS]


def title_tokens(text: str) -> list[str]:
    """Return words, single letters of scripts without spaces, and punctuation, in the order of the text.

    Unlike `words`, it returns no pairs of letters, so the tokens spell the text.
    """
    return _TOKENS.findall(text.lower())
