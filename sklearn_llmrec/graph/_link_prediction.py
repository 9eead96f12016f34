"""Scores of triples by vectors of entities and relations, and the filtered ranks of true entities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.graph._knowledge_graph import KnowledgeGraph, columns_of_triples
from sklearn_llmrec.utils import row_chunks


class LinkRanks(NamedTuple):
    """Filtered ranks of true entities; see `link_prediction`.

    Attributes
    ----------
    ranks : ndarray of shape (n_triples, 2), float64
        Rank of the true head among all entities, and of the true tail, from 1.
    mrr : float
        Mean of 1 / rank over heads and tails.
    """

    ranks: NDArray[np.float64]
    mrr: float

    def hits(self, k: int) -> float:
        """Return the share of ranks that are at most k."""
        return float((self.ranks <= k).mean())


def queries(xp: Any, kind: str, entities: Any, relations: Any, backwards: bool) -> Any:
    """Return the vectors that the true entities are compared with; `xp` is numpy or torch.

    Forwards, `entities` are heads and the result is near the tails; backwards the other way. A complex vector is stored
    as its real parts, then its imaginary parts.
    """
    if kind == "transe":
        return entities - relations if backwards else entities + relations
    half = entities.shape[-1] // 2
    real, imaginary = entities[..., :half], entities[..., half:]
    if kind == "rotate":
        a, b = xp.cos(relations), xp.sin(relations)
    else:
        a, b = relations[..., :half], relations[..., half:]
    if backwards:
        b = -b
    return xp.concatenate([real * a - imaginary * b, real * b + imaginary * a], -1)


def scores_of_all(kind: str, q: NDArray[Any], entities: NDArray[Any]) -> NDArray[np.float64]:
    """Return the scores of all entities for queries, (n_queries, n_entities): inner products or minus distances."""
    q, entities = q.astype(np.float64), entities.astype(np.float64)
    products = q @ entities.T
    if kind == "complex":
        return np.asarray(products)
    squares = np.einsum("ij,ij->i", q, q)[:, None] + np.einsum("ij,ij->i", entities, entities)
    return np.asarray(-np.sqrt(np.maximum(squares - 2 * products, 0)))


def link_prediction(embedding: Any, triples: Any) -> LinkRanks:
    """Rank the true head and the true tail of held-out triples among all entities.

    Other entities that form a triple of the graph, or of `triples`, are left out of the ranking (filtered ranks). Equal
    scores share their mean rank, so that a model of equal scores gets no credit.

    Parameters
    ----------
    embedding : KnowledgeGraphEmbedding
        Fitted on a graph without the held-out triples.
    triples : dataframe, ndarray of shape (n, 3), or iterable of triples
        Held-out triples (head, relation, tail) whose entities and relations are in the graph.

    Returns
    -------
    ranks : LinkRanks
        With `mrr`, `ranks` and ``hits(k)``.

    Raises
    ------
    ValueError
        If an entity or a relation is not in the graph, or there is no triple.

    Notes
    -----
    Costs O(n_triples n_entities n_components) time; scores are computed in chunks of scikit-learn's working memory.

    References
    ----------
    A. Bordes, N. Usunier, A. Garcia-Duran, J. Weston, O. Yakhnenko, "Translating embeddings for modeling
    multi-relational data", NIPS 2013.

    Examples
    --------
    >>> from sklearn_llmrec.graph import KnowledgeGraph, KnowledgeGraphEmbedding, link_prediction
    >>> triples = [(f"item {i}", "by", f"maker {i % 3}") for i in range(30)]
    >>> triples += [(f"item {i}", "in", f"place {i % 3}") for i in range(1, 30)]
    >>> model = KnowledgeGraphEmbedding(KnowledgeGraph(triples), n_components=8, random_state=0)
    >>> ranks = link_prediction(model.fit(["item 0"]), [("item 0", "in", "place 0")])
    >>> ranks.ranks[:, 1]
    array([1.])
    """
    check_is_fitted(embedding)
    graph = embedding.graph
    codes = _codes_of(graph, triples)
    entities, relations = embedding.entity_vectors_, embedding.relation_vectors_
    n = len(entities)
    known = np.vstack([np.column_stack([graph._head, graph._relation, graph._tail]), codes])
    ranks = np.empty((len(codes), 2))
    for side, (given, true) in enumerate(((2, 0), (0, 2))):
        # Triples ordered by what is given, so that the known entities of a query are one slice.
        keys = known[:, 1] * n + known[:, given]
        order = np.argsort(keys, kind="stable")
        keys, others = keys[order], known[order, true]
        wanted = codes[:, 1] * n + codes[:, given]
        first, last = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, side="right")
        for chunk in row_chunks(len(codes), 24 * n):
            part = codes[chunk]
            q = queries(
                np, embedding.model, entities[part[:, given]], relations[part[:, 1]], not side
            )
            scores = scores_of_all(embedding.model, q, entities)
            rows = np.arange(len(part))
            own = scores[rows, part[:, true]].copy()
            counts = (last - first)[chunk]
            filtered = np.repeat(rows, counts)
            # Entry e of `filtered` is known triple first[row] + (e - offset of row).
            offsets = np.arange(len(filtered)) - np.repeat(np.cumsum(counts) - counts, counts)
            scores[filtered, others[np.repeat(first[chunk], counts) + offsets]] = -np.inf
            better = (scores > own[:, None]).sum(axis=1)
            ranks[chunk, side] = 1 + better + (scores == own[:, None]).sum(axis=1) / 2
    return LinkRanks(ranks, float((1 / ranks).mean()))


def _codes_of(graph: KnowledgeGraph, triples: Any) -> NDArray[np.int64]:
    """Return the codes of triples in a graph as rows of head, relation and tail."""
    heads, relations, tails, _ = columns_of_triples(triples, (None, None, None))
    if not heads:
        raise ValueError("There is no triple to rank: pass one or more (head, relation, tail).")
    n_heads = len(graph._own_ids)
    labels = graph.entities_.tolist()
    first = {label: code for code, label in enumerate(labels[:n_heads])}
    # Labels of tails follow those of heads where both are distinguished.
    later = (
        first
        if n_heads == len(labels)
        else dict(zip(labels[n_heads:], range(n_heads, len(labels))))
    )
    names = {name: code for code, name in enumerate(graph.relations_)}
    codes = np.empty((len(heads), 3), dtype=np.int64)
    parts = (
        ("head", heads, first),
        ("relation", [str(r) for r in relations], names),
        ("tail", tails, later),
    )
    for column, (part, values, known) in enumerate(parts):
        for row, value in enumerate(values):
            if value not in known:
                raise ValueError(
                    f"The graph has no {part} {value!r}: leave out triples with parts that it has not."
                )
            codes[row, column] = known[value]
    return codes
