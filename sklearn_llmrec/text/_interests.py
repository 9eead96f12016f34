"""Explain text models in words: interests of a user, and the choices that led to a recommendation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_llmrec.text._profiles import clusters
from sklearn_llmrec.text._words import content_words


@dataclass
class Interest:
    """One interest of a user.

    Attributes
    ----------
    share : float
        Its part of the weight of the history.
    items : list of int
        The most typical items of the history, nearest to the centre of the interest first.
    terms : list of str
        The words that set its texts apart from those of all items; empty without texts.
    """

    share: float
    items: list[int]
    terms: list[str] = field(default_factory=list)


def _members(
    X: sp.csr_array, V: NDArray[Any], row: int, n_interests: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Return the items of a history that have a vector, their weights and their clusters."""
    part = slice(X.indptr[row], X.indptr[row + 1])
    items, weights = X.indices[part], X.data[part]
    known = V[items].any(axis=1) & (weights > 0)
    items, weights = items[known], weights[known]
    labels = np.zeros(0, dtype=np.int64)
    if len(items):
        labels = clusters(V[items], weights, n_interests)
    return items, weights, labels


def interests_in_words(
    X: sp.csr_array,
    V: NDArray[Any],
    texts: list[str] | None,
    n_interests: int,
    n_items: int,
    n_terms: int,
) -> list[list[Interest]]:
    """Return the interests of every row, the largest first."""
    vectorizer = TfidfVectorizer(analyzer=content_words)
    words = None
    if texts is not None and any(map(content_words, texts)):
        words = sp.csr_array(vectorizer.fit_transform(texts))
        names = vectorizer.get_feature_names_out()
        usual = words.mean(axis=0)
    result = []
    for row in range(X.shape[0]):
        items, weights, labels = _members(X, V, row, n_interests)
        found = []
        for label in np.unique(labels):
            members, member_weights = items[labels == label], weights[labels == label]
            near = V[members] @ (member_weights @ V[members])
            interest = Interest(
                share=float(member_weights.sum() / weights.sum()),
                items=members[np.argsort(-near, kind="stable")[:n_items]].tolist(),
            )
            if words is not None:
                # Words of every text do not distinguish interests.
                excess = words[members].T @ member_weights / member_weights.sum() - usual
                best = np.argsort(-excess, kind="stable")[:n_terms]
                interest.terms = names[best[excess[best] > 0]].tolist()
            found.append(interest)
        result.append(sorted(found, key=lambda interest: -interest.share))
    return result


def contributions(
    weights: sp.csr_array, V: NDArray[Any], items: NDArray[np.int64], n_interests: int | None
) -> sp.csr_array:
    """Return the contribution of each item of a history to the cosine of the recommended items.

    Parameters
    ----------
    weights : csr_array of shape (n_rows, n_items)
        How much each item of a history counts.
    V : ndarray of shape (n_items, d)
    items : ndarray of shape (n_rows, k)
        Recommended items; -1 for an empty place.
    n_interests : int or None
        Only the nearest of so many clusters counts; None is the whole history.

    Returns
    -------
    parts : csr_array of shape (n_rows * k, n_items)
        Row ``u * k + r`` belongs to ``items[u, r]`` and sums to its score.
    """
    n_rows, k = items.shape
    rows, columns, values = [], [], []
    for row in range(n_rows):
        part = slice(weights.indptr[row], weights.indptr[row + 1])
        history, history_weights = weights.indices[part], weights.data[part]
        groups = [np.ones(len(history), dtype=bool)]
        if n_interests is not None:
            history, history_weights, labels = _members(weights, V, row, n_interests)
            groups = [labels == label for label in np.unique(labels)]
        if not len(history):
            continue
        shares = []
        for group in groups:
            weighted = history_weights[:, None] * V[history] * group[:, None]
            norm = np.linalg.norm(weighted.sum(axis=0))
            shares.append((weighted / (norm if norm > 0 else 1)) @ V[items[row]].T)
        stacked = np.stack(shares)
        best = stacked.sum(axis=1).argmax(axis=0)
        chosen = stacked[best, :, np.arange(k)]  # (k, n_history)
        chosen[items[row] < 0] = 0
        rows.append(np.repeat(row * k + np.arange(k), len(history)))
        columns.append(np.tile(history, k))
        values.append(chosen.ravel())
    shape = (n_rows * k, weights.shape[1])
    if not rows:
        return sp.csr_array(shape, dtype=V.dtype)
    parts = sp.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    )
    parts.eliminate_zeros()
    return parts
