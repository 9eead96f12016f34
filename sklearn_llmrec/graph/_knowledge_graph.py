"""Facts about items as triples of head, relation and tail, and the look-up of an item's facts.

`KnowledgeGraph` stores every triple as three codes. `facts` turns the triples that start at linked items into a sparse
matrix with one column per (relation, entity). `KnowledgeGraphEncoder` and `explain_paths` read only this matrix.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.utils import (
    as_ids,
    first_repeated,
    id_positions,
    is_missing,
    kind_of_ids,
    require,
    warn,
)

Direction = Literal["out", "in", "both"]

# Columns of X that `check_links` compares at most: their similarities are a dense matrix.
_MOST_COMPARED = 4000
# Pairs that share a fact, of which more are sampled.
_MOST_PAIRS = 300_000
# Below this z statistic links look like chance.
_LEAST_Z = 3.0


class Facts(NamedTuple):
    """Facts of items as a matrix with named columns.

    Attributes
    ----------
    matrix : csr_array of shape (n_items, n_facts), float64
        In how many ways the item has the fact: 1, or more on several paths of two or more hops.
    relations : ndarray of shape (n_facts,), object
        Relation of every column; the relations of a path are joined by ``" / "``.
    entities : ndarray of shape (n_facts,), object
        Entity at the other end.
    """

    matrix: sp.csr_array
    relations: NDArray[np.object_]
    entities: NDArray[np.object_]

    @property
    def names(self) -> list[str]:
        """Return the name of every column as ``relation: entity``."""
        return [f"{r}: {e}" for r, e in zip(self.relations, self.entities, strict=True)]


class LinkCheck(NamedTuple):
    """Result of `KnowledgeGraph.check_links`.

    Attributes
    ----------
    z : float
        Standard deviations between the observed similarity and that of permuted links.
    observed, expected : float
        Mean cosine of the users of pairs that share a fact: as linked, and under permuted links.
    n_items, n_pairs : int
        Items compared, and pairs of them that share a fact.
    better_shift : int
        1 or -1 where the links one id higher or lower fit better, else 0.
    """

    z: float
    observed: float
    expected: float
    n_items: int
    n_pairs: int
    better_shift: int = 0


class KnowledgeGraph:
    """Facts about items, as triples of head, relation and tail.

    Parameters
    ----------
    triples : dataframe, ndarray of shape (n, 3), or iterable of triples
        A table of any library (head, relation and tail are its first three columns, or those named), an array, or an
        iterable such as an `rdflib.Graph`. RDF literals as tails are dropped and counted.
    head, relation, tail : str, default=None
        Names of the columns, where `triples` is a table.
    links : mapping, dataframe, or sequence of pairs, default=None
        From item ids to entities; a table's first two columns. None means that item ids are entities themselves.
        Several items may share an entity.

    Attributes
    ----------
    entities_ : ndarray of shape (n_entities,), object
        Labels of heads and tails, as given.
    relations_ : list of str
        Labels of relations.
    item_ids_ : ndarray or None
        Ids of the linked items; None without `links`.
    report_ : dict of int
        ``triples``, ``relations``, ``entities``, ``linked_items`` (items whose entity has a triple),
        ``items_sharing_a_fact``, ``duplicates``, ``inverses`` (triples whose reverse is there too),
        ``loops``, ``literals`` and ``missing``. Duplicates, loops, literals and triples with a missing part are
        dropped.

    Raises
    ------
    TypeError
        If `triples` or `links` are of no known form, or ids are of several kinds.
    ValueError
        If a triple has not three parts, or an item is linked to two entities.

    See Also
    --------
    KnowledgeGraphEncoder : Turns facts into features of items.

    Notes
    -----
    Time and memory are proportional to the number of triples. Ids are compared exactly, with their types: the integer
    1 and the text "1" are two entities.

    Examples
    --------
    >>> from sklearn_llmrec.graph import KnowledgeGraph
    >>> graph = KnowledgeGraph(
    ...     [
    ...         ("Alien", "director", "Scott"),
    ...         ("Blade Runner", "director", "Scott"),
    ...         ("Jaws", "director", "Spielberg"),
    ...     ],
    ...     links={10: "Alien", 11: "Blade Runner", 12: "Jaws"},
    ... )
    >>> facts = graph.facts([10, 11, 12])
    >>> facts.names
    ['director: Scott', 'director: Spielberg']
    >>> facts.matrix.toarray()
    array([[1., 0.],
           [1., 0.],
           [0., 1.]])
    """

    def __init__(
        self,
        triples: Any,
        *,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        links: Any = None,
    ) -> None:
        heads, relations, tails, n_literals = columns_of_triples(triples, (head, relation, tail))
        present = np.array(
            [
                not (is_missing(h) or is_missing(r) or is_missing(t))
                for h, r, t in zip(heads, relations, tails)
            ],
            dtype=bool,
        )
        n_missing = int((~present).sum())
        h_ids, t_ids = (
            as_ids(_chosen(part, present), f"The {name} of triples")
            for part, name in ((heads, "heads"), (tails, "tails"))
        )
        self.entities_, self._own_ids, h, t = _entity_codes(h_ids, t_ids)
        names: dict[str, int] = {}
        r = _codes([str(label) for label in _chosen(relations, present)], names)
        self.relations_ = list(names)
        n_loops = int((h == t).sum())
        h, r, t = (part[h != t] for part in (h, r, t))
        unique = np.unique(np.column_stack([h, r, t]), axis=0)
        n_duplicates = len(h) - len(unique)
        self._head, self._relation, self._tail = unique.T
        self._set_links(links)
        self.report_ = self._report(
            duplicates=n_duplicates, loops=n_loops, literals=n_literals, missing=n_missing
        )

    def __repr__(self) -> str:
        return (
            f"KnowledgeGraph({len(self._head)} triples, {len(self.entities_)} entities, "
            f"{len(self.relations_)} relations)"
        )

    # -- making one ----------------------------------------------------------------------------------------------------

    @classmethod
    def from_rdf(
        cls, path: str | os.PathLike[str], *, links: Any = None, format: str | None = None
    ) -> KnowledgeGraph:
        """Read a graph from an RDF file.

        Parameters
        ----------
        path : str or path
            A file in Turtle, N-Triples, RDF/XML, JSON-LD or another format that rdflib reads.
        links : mapping, dataframe, or sequence of pairs, default=None
            From item ids to entities, whose labels are the texts of their addresses.
        format : str, default=None
            Name of the format for rdflib; by default it follows from the ending of the name.

        Returns
        -------
        graph : KnowledgeGraph

        Raises
        ------
        ImportError
            If rdflib is not installed (extra `graph`).
        """
        rdflib = require("rdflib", "graph")
        return cls(rdflib.Graph().parse(os.fspath(path), format=format), links=links)

    @classmethod
    def from_table(
        cls,
        items: Any,
        *,
        item: str,
        relations: Sequence[str] | None = None,
        sep: str | None = None,
    ) -> KnowledgeGraph:
        """Read the columns of an item table as relations.

        Parameters
        ----------
        items : dataframe
            One row per item.
        item : str
            The column of item ids.
        relations : sequence of str, default=None
            The columns that are relations; by default all others.
        sep : str, default=None
            What separates several values in a text, such as ``"|"``.

        Returns
        -------
        graph : KnowledgeGraph
            Its items are the ids of the column `item`. Values become texts.

        Raises
        ------
        TypeError
            If `items` is no dataframe.
        ValueError
            If a column is not there, or ids repeat.

        Examples
        --------
        >>> import pandas as pd
        >>> from sklearn_llmrec.graph import KnowledgeGraph
        >>> films = pd.DataFrame({"id": [1, 2], "genres": ["Drama|War", "War"]})
        >>> KnowledgeGraph.from_table(films, item="id", sep="|").facts([1, 2]).names
        ['genres: Drama', 'genres: War']
        """
        frame = nw.from_native(items, eager_only=True, pass_through=True)
        if not isinstance(frame, nw.DataFrame):
            raise TypeError(f"items must be a dataframe, got {type(items).__name__}.")
        wanted = (
            [name for name in frame.columns if name != item]
            if relations is None
            else list(relations)
        )
        for name in (item, *wanted):
            if name not in frame.columns:
                raise ValueError(f"items has no column {name!r}; it has {frame.columns}.")
        ids = as_ids(frame[item].to_native(), f"The ids of the column {item!r}")
        repeated = first_repeated(ids)
        if repeated is not None:
            raise ValueError(
                f"The column {item!r} has the id {ids[repeated]!r} twice: pass one row per item."
            )
        triples = []
        for name in wanted:
            for label, value in zip(ids.tolist(), frame[name].to_list(), strict=True):
                if is_missing(value):
                    continue
                parts = str(value).split(sep) if sep is not None else [str(value)]
                triples += [(label, name, part.strip()) for part in parts if part.strip()]
        graph = cls.__new__(cls)
        pairs = [[triple[place] for triple in triples] for place in (0, 2)]
        # Items and values are distinguished, also where both are texts: a film named "Drama" is no genre.
        graph.entities_, graph._own_ids, h, t = _entity_codes(
            as_ids(pairs[0], "ids"), as_ids(pairs[1], "values"), apart=True
        )
        names: dict[str, int] = {}
        r = _codes([triple[1] for triple in triples], names)
        graph.relations_ = list(names)
        unique = (
            np.unique(np.column_stack([h, r, t]), axis=0) if len(h) else np.empty((0, 3), np.int64)
        )
        graph._head, graph._relation, graph._tail = unique.T
        positions = {label: code for code, label in zip(h.tolist(), pairs[0])}
        graph.item_ids_ = ids
        graph._item_entity = np.array(
            [positions.get(label, -1) for label in ids.tolist()], dtype=np.int64
        )
        graph.report_ = graph._report(
            duplicates=len(h) - len(unique), loops=0, literals=0, missing=0
        )
        return graph

    def shuffled(self, random_state: int | np.random.RandomState | None = None) -> KnowledgeGraph:
        """Return a control: the same graph with the tails permuted within every relation.

        Items keep their number of facts and facts keep their frequency, so that only their meaning is lost. A gain
        that the shuffled graph shows too is no gain by knowledge.

        Parameters
        ----------
        random_state : int, RandomState or None, default=None
            Seed of the permutations.

        Returns
        -------
        graph : KnowledgeGraph
            Triples that become equal, or loops, stay in it.
        """
        rng = check_random_state(random_state)
        other = object.__new__(KnowledgeGraph)
        other.__dict__.update(self.__dict__)
        other._tail = self._tail.copy()
        for relation in range(len(self.relations_)):
            places = np.flatnonzero(self._relation == relation)
            other._tail[places] = self._tail[rng.permutation(places)]
        other.report_ = other._report(
            **dict.fromkeys(("duplicates", "loops", "literals", "missing"), 0)
        )
        return other

    def __sklearn_clone__(self) -> KnowledgeGraph:
        """Return the graph itself: it never changes, and copies of an encoder may share it."""
        return self

    # -- reading it ----------------------------------------------------------------------------------------------------

    def facts(
        self,
        item_ids: ArrayLike | None = None,
        *,
        relations: Sequence[str] | None = None,
        direction: Direction = "out",
        n_hops: int = 1,
    ) -> Facts:
        """Return what the graph says about items.

        Parameters
        ----------
        item_ids : array-like of shape (n_items,), default=None
            By default all linked items, or, without links, all heads.
        relations : sequence of str, default=None
            The relations that are followed; by default all.
        direction : {"out", "in", "both"}, default="out"
            Whether triples are followed from the head to the tail, the other way, or both ways. Those followed
            backwards are named ``is RELATION of``.
        n_hops : int, default=1
            Length of the longest path. Facts of fewer hops are there too.

        Returns
        -------
        facts : Facts
            Columns are in the order of hops, relations and entities. An item without a link has a row of zeros.

        Raises
        ------
        ValueError
            If a relation is not in the graph, or the ids are of another kind than those of the links.
        """
        if n_hops < 1:
            raise ValueError(f"n_hops must be 1 or more, got {n_hops}.")
        start = self._entities_of(item_ids)
        triples, names = self._followed(relations, direction), list(self.relations_)
        names += [f"is {name} of" for name in self.relations_]
        rows = np.flatnonzero(start >= 0)
        ends, paths, labels = start[rows], np.zeros(len(rows), dtype=np.int64), [""]
        found = []
        for _ in range(n_hops):
            rows, paths, ends = _step(rows, paths, ends, labels, triples, names)
            away = ends != start[rows]  # a path back to the item is no fact about it
            rows, paths, ends = rows[away], paths[away], ends[away]
            found.append((rows, paths, ends))
        rows, paths, ends = (np.concatenate(parts) for parts in zip(*found, strict=True))
        keys, columns = np.unique(paths * len(self.entities_) + ends, return_inverse=True)
        matrix = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(start), len(keys)))
        matrix.sum_duplicates()
        of_path = np.empty(len(labels), dtype=object)
        of_path[:] = labels
        return (
            Facts(
                matrix,
                of_path[keys // len(self.entities_)],
                self.entities_[keys % len(self.entities_)],
            )
            if len(keys)
            else Facts(matrix, of_path[:0], self.entities_[:0])
        )

    def check_links(
        self,
        X: Any,
        *,
        item_ids: ArrayLike | None = None,
        n_permutations: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> LinkCheck:
        """Test whether items that share facts share users more than chance would have it.

        A graph whose links are shifted or shuffled still gives features, and models still train on them. This test
        finds it out. It takes the mean cosine of the users of all pairs that share a fact, where a fact of n items
        weighs 1/n, and compares it with the same mean after the links were permuted among the items. Where ids are
        integers, it also tries the links one id higher and lower: neighbouring ids are often alike, so a numbering that
        is off by one still beats chance, but not the right one.

        Parameters
        ----------
        X : Interactions or {array-like, sparse} of shape (n_users, n_items)
            Interactions.
        item_ids : array-like of shape (n_items,), default=None
            Ids of the columns of X; by default ``X.item_ids``.
        n_permutations : int, default=100
            Permutations that the mean and the standard deviation of chance are computed from.
        random_state : int, RandomState or None, default=0
            Seed of the permutations.

        Returns
        -------
        check : LinkCheck
            A warning is given where z is below 3, and where the links one id higher or lower fit better.

        Raises
        ------
        ValueError
            If X has no item ids and none are given, or no two items with users share a fact.

        Notes
        -----
        The 4000 items with most users are compared at most, in at most 300,000 pairs drawn at random.
        """
        ids = getattr(X, "item_ids", None) if item_ids is None else item_ids
        if ids is None:
            raise ValueError("X has no item ids: pass Interactions with item_ids, or item_ids=.")
        ids, users = as_ids(ids, "item_ids"), sp.csc_array(X, dtype=np.float64)
        if len(ids) != users.shape[1]:
            raise ValueError(
                f"item_ids has {len(ids)} ids, and X has {users.shape[1]} columns: one id per column is needed."
            )
        counts = np.diff(users.indptr)
        most = np.sort(np.argsort(-counts, kind="stable")[:_MOST_COMPARED])
        most = most[counts[most] > 0]
        columns = users[:, most]
        columns.data[:] = 1
        similarity = (columns.T @ columns).toarray()
        lengths = np.sqrt(similarity.diagonal())
        similarity /= np.outer(lengths, lengths)
        rng = check_random_state(random_state)
        check = _z_statistic(self.facts(ids[most]).matrix, similarity, n_permutations, rng)
        if check is None:
            raise ValueError(
                "No two items of X share a fact, so the links cannot be checked: look at report_ for the linked items, "
                "and check that the ids of X are those of the links."
            )
        shifts = {}
        if ids.dtype.kind in "iu":
            for shift in (-1, 1):
                moved = ids[most].astype(np.int64) + shift
                other = _z_statistic(self.facts(moved).matrix, similarity, n_permutations, rng)
                if other is not None:
                    shifts[shift] = other.z
        best = max(shifts, key=lambda shift: shifts[shift], default=0)
        if best and shifts[best] > check.z:
            check = check._replace(better_shift=best)
            warn(
                f"Links fit better one id {'higher' if best > 0 else 'lower'} (z = {shifts[best]:.1f} instead of "
                f"{check.z:.1f}): the numbering of items seems to be off by one. Compare the facts of some items."
            )
        elif check.z < _LEAST_Z:
            warn(
                f"Items that share facts do not share more users than by chance (z = {check.z:.1f} over "
                f"{check.n_pairs} pairs; 3 is needed): the links from items to entities may be wrong. Compare the "
                "facts of some items that you know."
            )
        return check

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _set_links(self, links: Any) -> None:
        """Store the entity of every linked item."""
        self.item_ids_: NDArray[Any] | None = None
        if links is None:
            return
        items, entities = _pairs_of_links(links)
        ids = as_ids(items, "The item ids of links")
        wanted = as_ids(entities, "The entities of links")
        codes = id_positions(self._own_ids, wanted, "the triples have", "links have")
        first: dict[Any, int] = {}
        for place, (label, entity) in enumerate(zip(ids.tolist(), entities, strict=True)):
            before = first.setdefault(label, place)
            if entities[before] != entity:
                raise ValueError(
                    f"The item {label!r} is linked to {entities[before]!r} and to {entity!r}: link every item to one "
                    "entity."
                )
        kept = np.fromiter(first.values(), np.int64, len(first))
        ids, codes = ids[kept], codes[kept]
        self.item_ids_, self._item_entity = ids, codes

    def _entities_of(self, item_ids: ArrayLike | None) -> NDArray[np.int64]:
        """Return the code of the entity of every item, -1 for an item without one."""
        if self.item_ids_ is not None:
            if item_ids is None:
                return self._item_entity
            ids = as_ids(item_ids, "item_ids")
            places = id_positions(
                self.item_ids_, ids, "the links have item ids", "the requested ids are"
            )
            return (
                np.where(places >= 0, self._item_entity[places], -1)
                if len(self.item_ids_)
                else places
            )
        if item_ids is None:
            return np.unique(self._head)
        ids = as_ids(item_ids, "item_ids")
        return id_positions(self._own_ids, ids, "without links the heads are", "item ids are")

    def _followed(
        self, relations: Sequence[str] | None, direction: Direction
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the triples as they are followed: starts, relation codes and ends, ordered by start."""
        if direction not in ("out", "in", "both"):
            raise ValueError(f"direction must be 'out', 'in' or 'both', got {direction!r}.")
        chosen = np.ones(len(self._head), dtype=bool)
        if relations is not None:
            given = [relations] if isinstance(relations, str) else list(relations)
            unknown = [name for name in given if name not in self.relations_]
            if unknown:
                raise ValueError(
                    f"The graph has no relation {unknown[0]!r}; its relations are {self.relations_[:20]}."
                )
            codes = [self.relations_.index(name) for name in given]
            chosen = np.isin(self._relation, codes)
        h, r, t = (part[chosen] for part in (self._head, self._relation, self._tail))
        starts, ends, codes_ = [h], [t], [r]
        if direction == "in":
            starts, ends, codes_ = [t], [h], [r + len(self.relations_)]
        elif direction == "both":
            starts, ends, codes_ = [h, t], [t, h], [r, r + len(self.relations_)]
        start, end, code = (np.concatenate(parts) for parts in (starts, ends, codes_))
        order = np.argsort(start, kind="stable")
        return start[order], code[order], end[order]

    def _report(self, **dropped: int) -> dict[str, int]:
        """Count what the graph has; `dropped` says what was left out."""
        n = max(1, len(self.entities_))
        forward, backward = self._head * n + self._tail, self._tail * n + self._head
        facts = self.facts().matrix
        shared = np.diff(facts.tocsc().indptr) > 1
        return {
            "triples": len(self._head),
            "relations": len(self.relations_),
            "entities": len(self.entities_),
            "linked_items": int((np.diff(facts.indptr) > 0).sum()),
            "items_sharing_a_fact": int(
                (np.diff(facts[:, np.flatnonzero(shared)].indptr) > 0).sum()
            ),
            "inverses": int(np.isin(forward, backward).sum()),
            **dropped,
        }


def _z_statistic(
    facts: sp.csr_array,
    similarity: NDArray[np.float64],
    n_permutations: int,
    rng: np.random.RandomState,
) -> LinkCheck | None:
    """Compare the similarity of items that share facts with that under permuted links; None without such pairs."""
    some = np.flatnonzero(np.diff(facts.indptr) > 0)
    if len(some) < 3:
        return None
    facts = facts[some]
    n_with = np.diff(facts.tocsc().indptr)
    weighted = sp.csr_array(facts @ sp.diags_array(1 / np.maximum(n_with, 1)))
    shared = sp.triu((weighted @ facts.T).tocsr(), k=1, format="coo")
    (i, j), weights = shared.coords, shared.data
    if not len(i):
        return None
    n_pairs = len(i)
    if n_pairs > _MOST_PAIRS:
        drawn = rng.choice(n_pairs, _MOST_PAIRS, replace=False)
        i, j, weights = i[drawn], j[drawn], weights[drawn]
    weights = weights / weights.sum()
    compared = similarity[np.ix_(some, some)]
    observed, chance = float(compared[i, j] @ weights), np.empty(n_permutations)
    for repeat in range(n_permutations):
        order = rng.permutation(len(some))
        chance[repeat] = compared[order[i], order[j]] @ weights
    spread = float(chance.std(ddof=1))
    z = (observed - float(chance.mean())) / spread if spread > 0 else 0.0
    return LinkCheck(z, observed, float(chance.mean()), len(some), n_pairs)


def _step(
    rows: NDArray[np.int64],
    paths: NDArray[np.int64],
    ends: NDArray[np.int64],
    labels: list[str],
    triples: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    names: list[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Extend every path by one triple; new paths get codes, and their names are appended to `labels`."""
    starts, relations, tails = triples
    first, last = np.searchsorted(starts, ends), np.searchsorted(starts, ends, side="right")
    counts = last - first
    # Entry e of the result follows triple first[p] + (e - offset of p) of path p.
    which = np.repeat(np.arange(len(ends)), counts)
    offsets = np.cumsum(counts) - counts
    triple = np.arange(len(which)) - offsets[which] + first[which]
    pairs, codes = np.unique(paths[which] * len(names) + relations[triple], return_inverse=True)
    before, relation = pairs // max(1, len(names)), pairs % max(1, len(names))
    new = len(labels) + codes
    labels += [
        f"{labels[b]} / {names[r]}" if labels[b] else names[r]
        for b, r in zip(before, relation, strict=True)
    ]
    return rows[which], new, tails[triple]


def columns_of_triples(
    triples: Any, names: tuple[str | None, str | None, str | None]
) -> tuple[list[Any], list[Any], list[Any], int]:
    """Split triples into three lists, without RDF literals; also return how many literals there were."""
    frame = nw.from_native(triples, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) < 3:
            raise ValueError(f"A table of triples has three columns; this one has {frame.columns}.")
        wanted = [given or frame.columns[place] for place, given in enumerate(names)]
        for name in wanted:
            if name not in frame.columns:
                raise ValueError(
                    f"The table of triples has no column {name!r}; it has {frame.columns}."
                )
        heads, relations, tails = (frame[:, frame.columns.index(n)].to_list() for n in wanted)
        return heads, relations, tails, 0
    if isinstance(triples, (str, bytes, os.PathLike)):
        raise TypeError(
            "triples is a text: read the file first, for example with pandas.read_csv(path, sep='\\t', quoting=3), or "
            "use KnowledgeGraph.from_rdf."
        )
    if not isinstance(triples, Iterable):
        raise TypeError(
            f"triples must be a table, an array or an iterable of triples, got {type(triples).__name__}."
        )
    rows = triples.tolist() if isinstance(triples, np.ndarray) else list(triples)
    for place, row in enumerate(rows):
        if isinstance(row, (str, bytes)) or not hasattr(row, "__len__") or len(row) != 3:
            raise ValueError(f"Triple {place} is {row!r}: pass (head, relation, tail).")
    kept = [row for row in rows if type(row[2]).__name__ != "Literal"]
    parts = [[_plain(row[place]) for row in kept] for place in range(3)]
    return parts[0], parts[1], parts[2], len(rows) - len(kept)


def _plain(term: Any) -> Any:
    """Return an RDF term, which is a subclass of str, as plain text."""
    return str(term) if isinstance(term, str) else term


def _pairs_of_links(links: Any) -> tuple[list[Any], list[Any]]:
    """Return item ids and entities of links of any form."""
    if isinstance(links, Mapping):
        return list(links), list(links.values())
    frame = nw.from_native(links, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) < 2:
            raise ValueError(
                f"links has the columns {frame.columns}: item id and entity are needed."
            )
        return frame[:, 0].to_list(), frame[:, 1].to_list()
    if isinstance(links, np.ndarray) and links.ndim == 2 and links.shape[1] == 2:
        return links[:, 0].tolist(), links[:, 1].tolist()
    pairs = list(links)
    if any(
        isinstance(pair, (str, bytes)) or not hasattr(pair, "__len__") or len(pair) != 2
        for pair in pairs
    ):
        raise TypeError(
            "links must be a mapping from item id to entity, a table, or pairs of both."
        )
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _chosen(values: list[Any], mask: NDArray[np.bool_]) -> list[Any]:
    return (
        values if mask.all() else [value for value, kept in zip(values, mask, strict=True) if kept]
    )


def _codes(values: Iterable[Any], known: dict[Any, int]) -> NDArray[np.int64]:
    """Assign codes to values in the order in which they are first seen; `known` grows."""
    return np.fromiter((known.setdefault(value, len(known)) for value in values), np.int64)


def _entity_codes(
    heads: NDArray[Any], tails: NDArray[Any], apart: bool = False
) -> tuple[NDArray[np.object_], NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Assign codes to entities: heads and tails together, or heads first where they are of two kinds or `apart`.

    Returns the labels of all codes, the ids whose position is their code (those that heads are among), and the codes of
    heads and of tails.
    """
    kinds = kind_of_ids(heads), kind_of_ids(tails)
    together = not apart and (None in kinds or kinds[0] == kinds[1])
    known: dict[Any, int] = {}
    h = _codes(heads.tolist(), known)
    later = known if together else {}
    t = _codes(tails.tolist(), later)
    labels = list(known)
    own = as_ids(labels, "entities")
    if not together:
        t += len(labels)
        labels += list(later)
    entities = np.empty(len(labels), dtype=object)
    entities[:] = labels
    return entities, own, h, t
