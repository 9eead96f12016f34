"""Items as sequences of tokens: one each, or the words of their titles."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions import Sequences
from sklearn_llmrec.text import title_tokens

#: The token before every history and in no item.
BEGIN = 0

_N_BYTES = 256


def numbered(n_items: int) -> Sequences:
    """Return one token per item."""
    return Sequences(np.arange(1, n_items + 1), np.arange(n_items + 1), n_items + 1)


def of_titles(titles: Sequence[str], n_words: int, max_tokens: int) -> Sequences:
    """Return the words of titles and an end; equal titles get a number before it.

    Where a script writes no spaces, every letter is a word.

    The `n_words` most frequent words are one token each, others are spelled in bytes, so that no title is without
    tokens of its own. The end keeps a title that another one begins with apart from it.
    """
    split = [title_tokens(title) for title in titles]
    counts = Counter(word for line in split for word in line)
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:n_words]
    whole = {word: [_N_BYTES + number] for number, word in enumerate(frequent)}
    words = [
        [token for word in line for token in whole.get(word) or word.encode(errors="replace")]
        for line in split
    ]
    return ended([line[:max_tokens] for line in words], with_end=True)


def of_codes(codes: NDArray[np.int64]) -> Sequences:
    """Return the codes of every item, level by level; equal codes get a number at the end."""
    first = np.append(0, np.cumsum(codes.max(axis=0) + 1))[:-1]
    return ended((codes + first).tolist(), with_end=False)


def ended(words: Sequence[Sequence[int]], *, with_end: bool) -> Sequences:
    """Return the tokens of every item such that none is a prefix of another's; unused tokens are removed."""
    n_words = 1 + max((max(line, default=0) for line in words), default=0)
    groups: dict[tuple[int, ...], int] = {}
    numbers = []
    for line in words:
        numbers.append(groups.get(tuple(line), 0))
        groups[tuple(line)] = numbers[-1] + 1
    # Where codes have no end, every item that shares its codes is numbered, the first one too.
    shared = [with_end or groups[tuple(line)] > 1 for line in words]
    lines = [
        [*line, *([n_words + number + 1] if marked and (number or not with_end) else [])]
        for line, number, marked in zip(words, numbers, shared)
    ]
    if with_end:
        lines = [[*line, n_words] for line in lines]
    _, tokens = np.unique(np.concatenate([np.asarray(line) for line in lines]), return_inverse=True)
    bounds = np.append(0, np.cumsum([len(line) for line in lines]))
    return Sequences(tokens.astype(np.int64) + 1, bounds, int(tokens.max()) + 2)


def prefixes(histories: Sequences, catalogue: Sequences) -> Sequences:
    """Return the tokens of every history, with `BEGIN` before them."""
    taken = catalogue.take(histories.items)
    bounds = taken.bounds[histories.bounds]
    tokens = np.insert(taken.items, bounds[:-1], BEGIN)
    return Sequences(tokens, bounds + np.arange(len(bounds)), catalogue.n_items)
