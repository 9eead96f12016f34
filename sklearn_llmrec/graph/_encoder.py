"""Facts of a knowledge graph as features of items: a transformer from item ids to sparse rows of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.graph._knowledge_graph import Direction, KnowledgeGraph
from sklearn_llmrec.utils import Interval, StrOptions, warn


class KnowledgeGraphEncoder(TransformerMixin, BaseEstimator):
    """Encode items by their facts: one column per (relation, entity).

    Use it wherever an encoder is taken: `ContentColdStart`, `L3AE`, `ContentItemKNN`,
    `FeatureALSRecommender`, or a `ColumnTransformer` beside an encoder of texts. Recommenders pass it the item ids of
    `Interactions`; a `ColumnTransformer` passes it the column of ids that it names.

    Parameters
    ----------
    graph : KnowledgeGraph
        The facts, and the links from item ids to entities.
    relations : sequence of str, default=None
        The relations that are used; by default all.
    direction : {"out", "in", "both"}, default="out"
        How triples are followed; see `KnowledgeGraph.facts`.
    n_hops : int, default=1
        Length of the longest path.
    idf : bool, default=True
        Whether a fact of m of n items weighs ``log(n / m)``, so that a rare fact counts more than a common one.
    min_items : int, default=2
        Facts of fewer items of the fit are left out: a fact of one item says nothing about another.
    n_components : int, default=None
        Dimensions of a truncated singular value decomposition. None keeps one column per fact, which was better as a
        feature in all our measurements, and which `explain_paths` needs.
    counts : bool, default=False
        Whether the number of facts of every relation is a column too, as ``log(1 + n)``. It is popularity by the back
        door: what is famous is described at length. Measure a gain against a graph of shuffled tails.
    random_state : int, RandomState or None, default=0
        Seed of the decomposition.

    Attributes
    ----------
    relations_ : ndarray of shape (n_facts,), object
        Relation of every fact that is used.
    entities_ : ndarray of shape (n_facts,), object
        Entity of every fact that is used.
    weights_ : ndarray of shape (n_facts,), float64
        Weights before rows get unit length.

    See Also
    --------
    KnowledgeGraph.check_links : Tests whether the links are right.
    explain_paths : Explains recommendations by facts.

    Notes
    -----
    Time and memory are proportional to the number of facts. An item without facts is a row of zeros.

    Examples
    --------
    >>> from sklearn_llmrec.graph import KnowledgeGraph, KnowledgeGraphEncoder
    >>> graph = KnowledgeGraph(
    ...     [("a", "by", "Ann"), ("b", "by", "Ann"), ("c", "by", "Bob"), ("d", "by", "Bob")]
    ... )
    >>> encoder = KnowledgeGraphEncoder(graph)
    >>> encoder.fit_transform(["a", "b", "c", "d"]).toarray()
    array([[1., 0.],
           [1., 0.],
           [0., 1.],
           [0., 1.]])
    >>> encoder.get_feature_names_out()
    array(['by: Ann', 'by: Bob'], dtype=object)
    """

    # Recommenders pass the ids of items instead of their texts.
    _reads_item_ids = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "graph": [KnowledgeGraph],
        "relations": ["array-like", None],
        "direction": [StrOptions({"out", "in", "both"})],
        "n_hops": [Interval(Integral, 1, None, closed="left")],
        "idf": ["boolean"],
        "min_items": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "counts": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        graph: KnowledgeGraph,
        *,
        relations: Sequence[str] | None = None,
        direction: Direction = "out",
        n_hops: int = 1,
        idf: bool = True,
        min_items: int = 2,
        n_components: int | None = None,
        counts: bool = False,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.graph = graph
        self.relations = relations
        self.direction = direction
        self.n_hops = n_hops
        self.idf = idf
        self.min_items = min_items
        self.n_components = n_components
        self.counts = counts
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the choice and the weights of facts.

        Parameters
        ----------
        X : array-like of shape (n_items,) or (n_items, 1)
            Item ids.
        y : None
            Ignored.

        Returns
        -------
        self : KnowledgeGraphEncoder

        Raises
        ------
        ValueError
            If a relation is not in the graph, the ids are of another kind than those of the links, or there are fewer
            facts than `n_components`.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit, and encode the same items.

        Parameters
        ----------
        X : array-like of shape (n_items,) or (n_items, 1)
            Item ids.
        y : None
            Ignored.

        Returns
        -------
        features : csr_array of shape (n_items, n_facts), or ndarray of shape (n_items, n_components)
            Rows of unit length; zeros for an item without facts.
        """
        self._validate_params()
        ids = column_of_ids(X)
        facts = self._facts(ids)
        if len(ids) and not facts.matrix.nnz:
            warn(
                f"None of the {len(ids)} items has a fact in the graph: compare their ids with the links of the graph, "
                "whose report_ counts those that are linked."
            )
        n_with = np.diff(facts.matrix.tocsc().indptr)
        chosen = np.flatnonzero(n_with >= self.min_items)
        self.relations_, self.entities_ = facts.relations[chosen], facts.entities[chosen]
        n = max(1, len(ids))
        self.weights_ = (
            np.log(n / n_with[chosen]) if self.idf else np.ones(len(chosen), dtype=np.float64)
        )
        # A fact of all items does not distinguish them; where that is the only one, it counts all the same.
        if not self.weights_.any():
            self.weights_ = np.ones(len(chosen))
        self._decomposition: TruncatedSVD | None = None
        features = self._weighted(facts.matrix[:, chosen], facts)
        if self.n_components is not None:
            if self.n_components >= min(features.shape):
                raise ValueError(
                    f"n_components={self.n_components} must be below the {features.shape[1]} facts and the "
                    f"{features.shape[0]} items: pass None to keep the facts."
                )
            self._decomposition = TruncatedSVD(self.n_components, random_state=self.random_state)
            return _unit(self._decomposition.fit_transform(features))
        return features

    def transform(self, X: Any) -> Any:
        """Encode items by the facts that were chosen at fit.

        Parameters
        ----------
        X : array-like of shape (n_items,) or (n_items, 1)
            Item ids.

        Returns
        -------
        features : csr_array of shape (n_items, n_facts), or ndarray of shape (n_items, n_components)
        """
        check_is_fitted(self)
        facts = self._facts(column_of_ids(X))
        place_of = {
            key: place
            for place, key in enumerate(zip(self.relations_, self.entities_, strict=True))
        }
        places = np.array(
            [place_of.get(key, -1) for key in zip(facts.relations, facts.entities, strict=True)],
            dtype=np.int64,
        )
        there = np.flatnonzero(places >= 0)
        known = sp.csr_array(
            (np.ones(len(there)), (there, places[there])), shape=(len(places), len(place_of))
        )
        features = self._weighted(sp.csr_array(facts.matrix @ known), facts)
        if self._decomposition is not None:
            return _unit(self._decomposition.transform(features))
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the name of each output column: ``relation: entity``, or a component.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of shape (n_features_out,), object
        """
        check_is_fitted(self)
        if self._decomposition is not None:
            names = [f"knowledgegraph{place}" for place in range(self.n_components or 0)]
        else:
            names = [f"{r}: {e}" for r, e in zip(self.relations_, self.entities_, strict=True)]
            if self.counts:
                names += [f"number of {name}" for name in self._counted()]
        return np.array(names, dtype=object)

    def _facts(self, ids: Any) -> Any:
        return self.graph.facts(
            ids, relations=self.relations, direction=self.direction, n_hops=self.n_hops
        )

    def _counted(self) -> list[str]:
        """Return the relations whose facts are counted."""
        names = self.graph.relations_ if self.relations is None else list(self.relations)
        both = [f"is {name} of" for name in names]
        return {"out": names, "in": both, "both": [*names, *both]}[self.direction]

    def _weighted(self, matrix: sp.csr_array, facts: Any) -> sp.csr_array:
        """Weigh facts, add counts, and bring rows to unit length."""
        features = matrix.copy()
        features.data[:] = 1
        features = sp.csr_array(features @ sp.diags_array(self.weights_))
        if self.counts:
            column = {name: place for place, name in enumerate(self._counted())}
            first_hop = np.array([column.get(name, -1) for name in facts.relations], dtype=np.int64)
            there = np.flatnonzero(first_hop >= 0)
            adding = sp.csr_array(
                (np.ones(len(there)), (there, first_hop[there])),
                shape=(len(first_hop), len(column)),
            )
            numbers = sp.csr_array(facts.matrix @ adding)
            numbers.data = np.log1p(numbers.data)
            features = sp.csr_array(sp.hstack([features, numbers]))
        features.sort_indices()
        return _unit(features)

    def __sklearn_tags__(self) -> Tags:
        return ids_as_input(super().__sklearn_tags__())


def ids_as_input(tags: Tags) -> Tags:
    """Set the tags of an encoder that reads one column of item ids, and return them."""
    tags.input_tags.two_d_array = False
    tags.input_tags.one_d_array = True
    tags.input_tags.string = True
    tags.no_validation = True
    return tags


def column_of_ids(X: Any) -> Any:
    """Return item ids as one column."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) != 1:
            raise ValueError(
                f"An encoder of item ids reads one column of item ids, and got the columns {frame.columns}."
            )
        return frame[:, 0].to_native()
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return X[:, 0]
    return X


def _unit(features: Any) -> Any:
    """Scale rows to unit length; rows of zeros stay so."""
    if sp.issparse(features):
        lengths = np.sqrt(np.asarray(features.multiply(features).sum(axis=1)).ravel())
        scale = 1 / np.where(lengths > 0, lengths, 1)
        return sp.csr_array(sp.diags_array(scale) @ features)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)
