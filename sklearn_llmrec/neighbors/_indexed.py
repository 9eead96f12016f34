"""Approximate lists for models whose score is an inner product."""

import copy
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import topk_dense, topk_vectors
from sklearn_llmrec.base import BaseRecommender, Scores, needs_order
from sklearn_llmrec.neighbors._vector_index import IndexSettings, VectorIndex, with_bias
from sklearn_llmrec.utils import (
    HasMethods,
    Interval,
    StrOptions,
    built_aside,
    check_arguments,
    check_targets,
    on_one_state,
    require,
    row_chunks,
)

# What a later fit of the member may change: who and what it knows.
_OF_MEMBER = (
    *("n_features_in_", "feature_names_in_", "item_ids_"),
    *("n_users_fit_", "item_popularity_"),
)
# A search for more than this share of the items costs more than all scores.
_WIDEST = 1 / 16


class IndexedRecommender(MetaEstimatorMixin, BaseRecommender):
    r"""Lists of a large catalogue from an approximate index over item vectors.

    A model whose score is an inner product, :math:`s_{ui} = p_u^\top q_i + b_i`, has to compare a user with every item.
    The index compares with some of them: it finds `n_candidates` items of about the largest products, which are then
    scored exactly. `predict` returns the exact scores of the model; only `recommend` and `score` use the index.

    Seen items and allow-lists (`candidates`) are honoured: a row searches for as many more items as it has seen, and
    where fewer than k are left, the row is ranked exactly. `recall` measures what the lists miss.

    Needs the extra ``ann`` (faiss-cpu). Below about 100,000 items use the model alone: its lists are exact, and hardly
    slower.

    Parameters
    ----------
    estimator : estimator
        A recommender with the hook `_retrieval_vectors`: factor models, `Item2Vec`, text embeddings, networks with one
        vector per item. To index a Pipeline, make this its last step.
    index : {"hnsw", "ivf"}, default="hnsw"
        A graph of neighbours, or an inverted file of clusters, which is built faster and takes less memory.
    n_candidates : int, default=100
        How many items the index returns per row beside seen ones, at least k. More is slower and misses less; it is the
        breadth of the search of "hnsw".
    n_links : int, default=16
        Links per item of "hnsw" (M in the paper).
    ef_construction : int, default=40
        Breadth of the search while "hnsw" is built.
    n_lists : int or None, default=None
        Clusters of "ivf". None is four times the root of the number of items.
    n_probes : int, default=32
        Clusters of "ivf" that are read per row, beside the longest vectors.
    min_items : int, default=50_000
        A catalogue, or an allow-list, of fewer items is searched exhaustively; for such a catalogue no index is built.
    random_state : int, RandomState instance or None, default=None
        The clustering of "ivf". Equal seeds give equal indices; "hnsw" uses none.
    n_jobs : int or None, default=None
        Threads of the search and of the clustering. The graph of "hnsw" is built by one thread, so that it is the same
        each time.

    Attributes
    ----------
    estimator_ : estimator
        The fitted recommender. It also answers `similar_items`, `explain` and `transform`, where it has them.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.base.InnerProductMixin : What a model implements so that it can be indexed.

    Notes
    -----
    The index searches by the inner product itself. The usual reduction to Euclidean distances [2]_ loses much of the
    recall where the norms of items differ as popularity does; ``benchmarks/index_recall.py`` shows both.

    Memory: a float32 copy of the item vectors, and for "hnsw" 8 `n_links` bytes per item more. Building "hnsw" is
    O(n_items log n_items), "ivf" O(n_items n_lists) times the width of the vectors.

    References
    ----------
    .. [1] Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical
       navigable small world graphs", IEEE TPAMI 2020, arXiv:1603.09320.
    .. [2] Y. Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation for
       inner-product spaces", RecSys 2014.
    .. [3] M. Douze et al., "The Faiss library", arXiv:2401.08281.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import IndexedRecommender, PureSVD
    >>> X = np.kron(np.eye(2), np.ones((4, 3)))
    >>> X[0, 2] = 0
    >>> model = IndexedRecommender(PureSVD(2, random_state=0), min_items=0).fit(X)
    >>> model.recommend(X[:1], k=1)[0]
    array([[2]])
    >>> model.recall(X, k=1)
    1.0
    """

    _passes_on_known = True
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "index": [StrOptions({"hnsw", "ivf"})],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "n_links": [Interval(Integral, 2, None, closed="left")],
        "ef_construction": [Interval(Integral, 1, None, closed="left")],
        "n_lists": [Interval(Integral, 1, None, closed="left"), None],
        "n_probes": [Interval(Integral, 1, None, closed="left")],
        "min_items": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        index: str = "hnsw",
        n_candidates: int = 100,
        n_links: int = 16,
        ef_construction: int = 40,
        n_lists: int | None = None,
        n_probes: int = 32,
        min_items: int = 50_000,
        random_state: int | RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.index = index
        self.n_candidates = n_candidates
        self.n_links = n_links
        self.ef_construction = ef_construction
        self.n_lists = n_lists
        self.n_probes = n_probes
        self.min_items = min_items
        self.random_state = random_state
        self.n_jobs = n_jobs

    # -- fit ----------------------------------------------------------------------------------------------------------

    def _fit(self, X: Any) -> None:
        self._check_member()
        self.estimator_ = clone(self.estimator).fit(X)
        self._index_: VectorIndex | None = None
        self._index_items(X)

    def _check_member(self) -> None:
        """Refuse a member that cannot be indexed, or a missing library, before anything is fitted."""
        require("faiss", extra="ann")
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "_retrieval_vectors"):
            raise TypeError(
                f"IndexedRecommender indexes models whose score is an inner product, and {self.estimator!r} has no "
                "_retrieval_vectors: pass a factor model, an embedding model or a network with item vectors. To index "
                "a Pipeline, make IndexedRecommender its last step."
            )

    def _index_items(self, X: Any) -> None:
        """Build the index over the items of the member, or bring it up to date."""
        model = self.estimator_
        _, items, bias = model._retrieval_vectors(model._prepared(X[:1]))
        if len(items) < self.min_items:
            self._index_ = None
            return
        vectors, n_threads = with_bias(items, bias), effective_n_jobs(self.n_jobs)
        if self._index_ is not None:
            self._index_ = self._index_.updated(vectors, n_threads)
            return
        settings = IndexSettings(
            kind=self.index,
            n_links=self.n_links,
            ef_construction=self.ef_construction,
            n_lists=int(4 * len(items) ** 0.5) if self.n_lists is None else self.n_lists,
            n_probes=self.n_probes,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        self._index_ = VectorIndex(vectors, settings, n_threads)

    @available_if(lambda self: hasattr(self.estimator, "partial_fit"))
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Continue the fit of the estimator with more rows, and update the index.

        An index over vectors that did not change is kept. New items are added to "hnsw"; every other change of the
        vectors builds the index anew. Columns are matched by id where the estimator matches them.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            What the `partial_fit` of the estimator takes.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the estimator refuses X. Both then are as they were before.
        """
        with built_aside(self) as changed:
            changed._learn_part(X, y)
        return self

    def _learn_part(self, X: Any, y: Any) -> None:
        self._validate_params()
        if first := not hasattr(self, "estimator_"):
            self._check_member()
            X = self._check_X(X, reset=True)
            check_targets(y, X.shape)
            self._index_ = None
        # A copy learns: its arrays are replaced, not changed, so the model in use stays whole.
        model = clone(self.estimator) if first else copy.copy(self.estimator_)
        self.estimator_ = model.partial_fit(X, y)
        for name in _OF_MEMBER:
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        X = X[:1]  # one row is enough to get the vectors
        ids = getattr(model, "item_ids_", None)
        if ids is not None and getattr(X, "item_ids", None) is not None:
            X = X.with_items(ids)
        self._index_items(model._check_X(X, reset=False))

    # -- scores and lists ---------------------------------------------------------------------------------------------

    def _score_rows(self, X: Any) -> Scores:
        model = self.estimator_
        return model._scored(model._prepared(X))

    def _fallback_scores(self) -> NDArray[Any]:
        scores: NDArray[Any] = self.estimator_._fallback_scores()
        return scores

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None, candidates: Any = None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        model = self.estimator_
        X = model._prepared(X)
        if self._index_ is None:
            return model._topk_rows(X, k, seen) if candidates is None else None
        if candidates is not None and not len(candidates):
            return None
        vectors = model._retrieval_vectors(X)
        nothing = model._rows_without_evidence(X) | ~vectors[0].any(axis=1)
        if candidates is not None and len(candidates) < self.min_items:
            items, values = self._exact(vectors, k, seen, candidates)
        else:
            items, values = self._found(vectors, k, seen, candidates)
            short = np.flatnonzero((items[:, -1] < 0) & ~nothing)
            if len(short):
                hidden = None if seen is None else seen[short]
                items[short], values[short] = self._exact(
                    (vectors[0][short], *vectors[1:]), k, hidden, candidates
                )
        items[nothing] = -1
        return items, values.astype(X.dtype, copy=False)

    def _found(
        self, vectors: tuple[Any, Any, Any], k: int, seen: sp.csr_array | None, candidates: Any
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return lists from the index; -1 where it found too few."""
        queries, table, bias = vectors
        n_rows, n_items = len(queries), len(table)
        least = max(self.n_candidates, k)
        n_seen = np.zeros(n_rows, dtype=np.int64) if seen is None else np.diff(seen.indptr)
        # Rows are searched together whose widths are equal after rounding up to a power of two.
        widths = least * 2 ** np.ceil(np.log2(1 + n_seen / least)).astype(np.int64)
        widths = np.minimum(widths, n_items)
        items = np.full((n_rows, k), -1, dtype=np.int64)
        values = np.full((n_rows, k), -np.inf, dtype=table.dtype)
        n_threads = effective_n_jobs(self.n_jobs)
        for width in np.unique(widths):
            if width > max(least, _WIDEST * n_items):
                continue  # exact lists are cheaper
            rows = np.flatnonzero(widths == width)
            for chunk in row_chunks(len(rows), int(width) * (16 + table.itemsize * table.shape[1])):
                some = rows[chunk]
                asked = queries[some].astype(table.dtype, copy=False)
                found = self._index_.search(asked, int(width), n_threads)  # type: ignore[union-attr]
                hidden = None if seen is None else seen[some]
                items[some], values[some] = self._rescored(
                    asked, table, bias, found, k, hidden, candidates
                )
        return items, values

    def _rescored(
        self,
        queries: NDArray[Any],
        table: NDArray[Any],
        bias: NDArray[Any] | None,
        found: NDArray[np.int64],
        k: int,
        seen: sp.csr_array | None,
        candidates: Any,
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the k best of the items found, by exact scores; equal scores by lower column."""
        found = np.sort(found, axis=1)
        missing = found < 0
        columns = np.where(missing, 0, found)
        scores = np.matmul(table[columns], queries[:, :, None])[:, :, 0]
        if bias is not None:
            scores += bias[columns]
        out = missing
        if seen is not None:
            # Entries of a canonical matrix, numbered row by row, are sorted.
            n_items = len(table)
            starts = n_items * np.arange(len(found))
            entries = seen.indices + np.repeat(starts, np.diff(seen.indptr))
            out |= _contains(entries, columns + starts[:, None])
        if candidates is not None:
            out |= ~_contains(candidates, columns)
        if self.estimator_._tags_.zero_is_unknown:
            out |= scores == 0
        scores[out] = -np.inf
        places, values = topk_dense(scores, k)
        items = np.take_along_axis(columns, np.maximum(places, 0), axis=1)
        return np.where(places < 0, -1, items), values

    def _exact(
        self, vectors: tuple[Any, Any, Any], k: int, seen: sp.csr_array | None, candidates: Any
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return exact lists of all items, or of the candidates alone."""
        queries, table, bias = vectors
        width = k
        if candidates is not None:
            table, width = table[candidates], min(k, len(candidates))
            bias = None if bias is None else bias[candidates]
            seen = None if seen is None else _restricted(seen, candidates)
        items, values = topk_vectors(
            queries,
            table,
            width,
            bias=bias,
            seen=seen,
            skip_zeros=self.estimator_._tags_.zero_is_unknown,
            n_threads=effective_n_jobs(self.n_jobs),
        )
        if candidates is not None:
            pad = ((0, 0), (0, k - items.shape[1]))
            items = np.where(items < 0, -1, np.append(candidates, -1)[items])
            items = np.pad(items, pad, constant_values=-1)
            values = np.pad(values, pad, constant_values=-np.inf)
        return items, values

    @on_one_state
    @check_arguments
    def recall(self, X: Any, k: int = 10, *, exclude_seen: bool = True) -> float:
        """Measure which share of the exact lists the index finds.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; some hundred rows are enough, since each is also ranked exactly.
        k : int, default=10
            Length of the lists.
        exclude_seen : bool, default=True
            Whether items of the row itself are left out.

        Returns
        -------
        recall : float
            Mean over the rows of the share of places with an item as good as the exact list's last. Of items with
            equal scores any counts.
        """
        check_is_fitted(self)
        _, best = self.estimator_.recommend(X, k, exclude_seen=exclude_seen)
        _, found = self.recommend(X, k, exclude_seen=exclude_seen)
        filled = best > -np.inf
        last = np.where(filled, best, np.inf).min(axis=1, keepdims=True)
        size = np.abs(np.where(filled, best, 0)).max(axis=1, keepdims=True)
        as_good = (found > -np.inf) & (found >= last - 1e-6 * size)
        shares = as_good.sum(axis=1) / np.maximum(filled.sum(axis=1), 1)
        return float(shares[filled.any(axis=1)].mean())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.keeps_input = True
        tags.recommender_tags.ranks_candidates = True
        if hasattr(self.estimator, "__sklearn_tags__"):
            member = get_tags(self.estimator)
            tags.input_tags.positive_only = member.input_tags.positive_only
            tags.recommender_tags.needs_order = needs_order(self.estimator)
            member_tags = getattr(member, "recommender_tags", None)
            tags.recommender_tags.predicts_ratings = bool(
                getattr(member_tags, "predicts_ratings", False)
            )
        return tags


def _contains(entries: NDArray[Any], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values are in a sorted array."""
    if not len(entries):
        return np.zeros(values.shape, dtype=bool)
    places = np.minimum(np.searchsorted(entries, values), len(entries) - 1)
    return np.asarray(entries[places] == values)


def _restricted(S: sp.csr_array, columns: NDArray[np.int64]) -> sp.csr_array:
    """Return some columns of a matrix, sorted ones, without work over all columns."""
    places = np.searchsorted(columns, S.indices)
    kept = np.append(columns, -1)[places] == S.indices
    indptr = np.append(0, np.cumsum(kept))[S.indptr]
    shape = (S.shape[0], len(columns))
    return sp.csr_array((S.data[kept], places[kept], indptr), shape=shape)
