"""Reasons for recommendations as paths: from the user's items through a shared fact to the recommended item."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.compose import ColumnTransformer
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base import check_lists_to_explain
from sklearn_llmrec.graph._encoder import KnowledgeGraphEncoder


class Path(NamedTuple):
    """One reason, or what all other reasons add up to.

    Attributes
    ----------
    user : int
        Row of X.
    item : object
        Column number of the recommended item, or its id with ``ids=True``.
    relation, entity : str, object
        The fact. Relation ``other features`` adds up all that is not listed, and ``base`` is the part of the score that
        no feature of the item changes; their entity is None.
    because : tuple
        Items of the history that have the fact, as column numbers or ids.
    contribution : float
        What the fact adds to the score. All contributions of a user and an item sum to the score.
    """

    user: int
    item: Any
    relation: str
    entity: Any
    because: tuple[Any, ...]
    contribution: float


def explain_paths(
    model: Any,
    X: Any,
    items: ArrayLike,
    *,
    n_paths: int | None = 3,
    ids: bool = False,
) -> list[Path]:
    """Give reasons for recommendations: facts that a recommended item shares with the user's history.

    Parameters
    ----------
    model : ContentColdStart, ContentItemKNN or BilinearContentRecommender
        Fitted with a `KnowledgeGraphEncoder` of one column per fact, alone or in a `ColumnTransformer`.
    X : Interactions of shape (n_users, n_items)
        Histories, with the item ids that the encoder reads.
    items : array-like of shape (n_users,) or (n_users, k)
        Items to explain: one per row, or lists as `recommend` returns them, with -1 for an empty place.
    n_paths : int, default=3
        How many facts are listed for an item, those of the largest contributions; None for all.
    ids : bool, default=False
        Whether `items`, and the items in the result, are ids instead of column numbers.

    Returns
    -------
    paths : list of Path
        ``pandas.DataFrame(paths)`` makes a table of it. By user, place in the list, and contribution.

    Raises
    ------
    TypeError
        If the model's features are no facts.
    ValueError
        If there is not one item, or one list of items, per row.

    Notes
    -----
    A path alone proves nothing: two random items often share a fact. What counts is its contribution. For
    `ContentColdStart` the regression is solved again, in O(n^3) with n known items or features, whichever are fewer.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import EASE, ContentColdStart, Interactions
    >>> from sklearn_llmrec.graph import KnowledgeGraph, KnowledgeGraphEncoder, explain_paths
    >>> graph = KnowledgeGraph(
    ...     [
    ...         ("a", "by", "Ann"),
    ...         ("b", "by", "Ann"),
    ...         ("c", "by", "Bob"),
    ...         ("d", "by", "Bob"),
    ...         ("e", "by", "Ann"),
    ...         ("f", "by", "Bob"),
    ...     ]
    ... )
    >>> X = Interactions(
    ...     np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]] * 3), item_ids=list("abcdef")
    ... )
    >>> model = ContentColdStart(EASE(1.0), encoder=KnowledgeGraphEncoder(graph)).fit(X)
    >>> for path in explain_paths(model, X[:1], ["e"], ids=True):
    ...     print(path.item, path.relation, path.entity, path.because, round(path.contribution, 3))
    e by Ann ('a', 'b') 0.083
    e base None () 0.167
    """
    check_is_fitted(model)
    encoder, places = _fact_columns(model)
    given = X
    X = model._prepared(model._check_X(X, reset=False))
    lists = check_lists_to_explain(model, items, X.shape, ids)
    rows, ranks = np.nonzero(lists >= 0)
    columns = lists[rows, ranks]
    terms, rests, features = model._content_terms(X, rows, columns)
    labels: Any = getattr(given, "item_ids", None) if ids else None
    labels = np.arange(X.shape[1]) if labels is None else labels
    names = list(zip(encoder.relations_, encoder.entities_, strict=True))
    of_feature = np.full(terms.shape[1], -1)
    of_feature[places] = np.arange(len(places))
    of_feature[of_feature >= len(names)] = -1  # numbers of facts
    having = sp.csc_array(features)
    history = sp.csr_array(X)
    paths: list[Path] = []
    for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
        own = slice(terms.indptr[place], terms.indptr[place + 1])
        which, values = terms.indices[own], terms.data[own]
        fact = of_feature[which]
        # Centred features have terms for facts that the item has not; they are no reasons in words.
        stated = (fact >= 0) & np.isin(which, _features_of(having, column))
        order = np.flatnonzero(stated)[np.argsort(-values[stated], kind="stable")][:n_paths]
        seen = history.indices[history.indptr[row] : history.indptr[row + 1]]
        user, item = int(row), _label(labels, column)
        for entry in order:
            relation, entity = names[fact[entry]]
            with_fact = having.indices[
                having.indptr[which[entry]] : having.indptr[which[entry] + 1]
            ]
            because = tuple(_label(labels, other) for other in np.intersect1d(seen, with_fact))
            paths.append(Path(user, item, relation, entity, because, float(values[entry])))
        remaining = float(values.sum() - values[order].sum())
        if len(order) < len(values):
            paths.append(Path(user, item, "other features", None, (), remaining))
        paths.append(Path(user, item, "base", None, (), float(rests[place])))
    return paths


def in_words(path: Path, titles: Any = None) -> str:
    """Describe a path in words: ``director Tim Burton, as in Batman Returns``.

    Parameters
    ----------
    path : Path
        One of the paths of `explain_paths`.
    titles : mapping or sequence, default=None
        From the items in `path.because` to their titles; by default they are named as they are.

    Returns
    -------
    words : str

    Examples
    --------
    >>> from sklearn_llmrec.graph import Path, in_words
    >>> in_words(Path(0, 7, "director", "Tim_Burton", (3,), 0.2), {3: "Batman Returns"})
    'director Tim Burton, as in Batman Returns'
    """
    if path.entity is None:
        return path.relation
    fact = f"{path.relation} {str(path.entity).replace('_', ' ')}"
    if not path.because:
        return f"{fact}, liked by users of similar taste"
    items = [str(item if titles is None else titles[item]) for item in path.because]
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{fact}, as in {', '.join(items[:3])}{more}"


def _label(labels: NDArray[Any], column: Any) -> Any:
    label = labels[column]
    return label.item() if isinstance(label, np.generic) else label


def _features_of(having: sp.csc_array, column: int) -> NDArray[np.int64]:
    """Return the features that an item has."""
    own = sp.csr_array(having[[column]])
    return own.indices


def _fact_columns(model: Any) -> tuple[KnowledgeGraphEncoder, NDArray[np.int64]]:
    """Return the encoder of facts, and which features of the model are its columns."""
    encoder = getattr(model, "encoder_", None)
    if hasattr(model, "_content_terms"):
        if isinstance(encoder, KnowledgeGraphEncoder) and encoder.n_components is None:
            return encoder, np.arange(len(encoder.get_feature_names_out()))
        if isinstance(encoder, ColumnTransformer):
            for name, part, _ in encoder.transformers_:
                if isinstance(part, KnowledgeGraphEncoder) and part.n_components is None:
                    places = encoder.output_indices_[name]
                    return part, np.arange(places.start, places.stop)
    raise TypeError(
        "explain_paths reads ContentColdStart, ContentItemKNN and BilinearContentRecommender whose encoder is a "
        f"KnowledgeGraphEncoder with n_components=None, alone or in a ColumnTransformer; got {type(model).__name__} "
        f"with the encoder {encoder!r}."
    )
