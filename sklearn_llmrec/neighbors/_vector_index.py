"""Approximate search for the largest inner products, by faiss.

Vectors are stored with the bias of the item as one more coordinate, and a query has 1 there, so the products are the
scores. The metric is the inner product itself. The usual reduction to Euclidean distances (one coordinate that gives
all items the same length) loses much of the recall where norms differ as popularity does.

An inverted file divides the items among lists around the centroids of a k-means clustering and reads the lists of the
largest products with the query. Centroids are those of the plain vectors, not of their directions: items of similar
length are in one list, and lists of short vectors are not read. The longest vectors, which are many of the answers, are
in a list of their own, which is always read: its centroid is large in the coordinate where every query has 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.utils import require

# k-means: sweeps, and how many vectors per centroid it learns from.
_SWEEPS, _SAMPLE = 8, 64
# How many of the longest vectors are read for every query, as a multiple of the lists.
_LONGEST = 2


@contextmanager
def _threads(faiss: Any, n_threads: int) -> Iterator[None]:
    """Set the number of threads of faiss in calls from this thread; its BLAS follows too."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n_threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def with_bias(items: NDArray[Any], bias: NDArray[Any] | None) -> NDArray[np.float32]:
    """Return item vectors with their bias, or 0, as a last coordinate."""
    vectors = np.zeros((len(items), items.shape[1] + 1), dtype=np.float32)
    vectors[:, :-1] = items
    if bias is not None:
        vectors[:, -1] = bias
    return vectors


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """The settings for building and searching an index."""

    kind: str
    n_links: int
    ef_construction: int
    n_lists: int
    n_probes: int
    seed: int


class VectorIndex:
    """A faiss index over item vectors that pickles.

    Parameters
    ----------
    vectors : ndarray of shape (n_items, d + 1), float32
        As `with_bias` returns them.
    settings : IndexSettings
    n_threads : int
        Threads for the clustering. Links of HNSW are made by one thread, since their order of insertion matters.
    """

    def __init__(
        self, vectors: NDArray[np.float32], settings: IndexSettings, n_threads: int = 1
    ) -> None:
        faiss = require("faiss", extra="ann")
        self.settings = settings
        if settings.kind == "hnsw":
            with _threads(faiss, 1):
                self._index = _linked(faiss, vectors, settings)
        else:
            with _threads(faiss, n_threads):
                self._index = _inverted(faiss, vectors, settings)

    def search(self, queries: NDArray[Any], width: int, n_threads: int = 1) -> NDArray[np.int64]:
        """Return columns of about the largest products with each query, best first; -1 where it finds fewer."""
        faiss = require("faiss", extra="ann")
        queries = np.column_stack([queries, np.ones(len(queries))]).astype(np.float32)
        if self.settings.kind == "hnsw":
            options = faiss.SearchParametersHNSW(efSearch=width)
        else:
            options = faiss.SearchParametersIVF(nprobe=self.settings.n_probes + 1)
        with _threads(faiss, n_threads):
            _, found = self._index.search(queries, width, params=options)
        return np.asarray(found)

    def updated(self, vectors: NDArray[np.float32], n_threads: int = 1) -> "VectorIndex":
        """Return an index over other vectors: itself if they are equal, else one that reuses what is still valid."""
        faiss = require("faiss", extra="ann")
        n_known = self._index.ntotal
        if vectors.shape[1] != self._index.d or len(vectors) < n_known:
            return VectorIndex(vectors, self.settings, n_threads)
        known = self._index.reconstruct_n(0, n_known)
        if not np.array_equal(known, vectors[:n_known]):
            return VectorIndex(vectors, self.settings, n_threads)
        if len(vectors) == n_known:
            return self
        if self.settings.kind != "hnsw":
            return VectorIndex(vectors, self.settings, n_threads)
        longer = object.__new__(VectorIndex)
        longer.settings = self.settings
        longer._index = faiss.clone_index(self._index)
        with _threads(faiss, 1):
            longer._index.add(vectors[n_known:])
        return longer

    def __getstate__(self) -> dict[str, Any]:
        faiss = require("faiss", extra="ann")
        return {"settings": self.settings, "index": faiss.serialize_index(self._index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        faiss = require("faiss", extra="ann")
        self.settings = state["settings"]
        self._index = faiss.deserialize_index(np.array(state["index"]))


def _linked(faiss: Any, vectors: NDArray[np.float32], settings: IndexSettings) -> Any:
    """Return a graph of neighbours by inner product (HNSW)."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], settings.n_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.ef_construction
    index.add(vectors)
    return index


def _inverted(faiss: Any, vectors: NDArray[np.float32], settings: IndexSettings) -> Any:
    """Return an inverted file whose first list contains the longest vectors."""
    n_items, d = vectors.shape
    n_longest = min(n_items, _LONGEST * settings.n_lists)
    lengths = np.linalg.norm(vectors, axis=1)
    longest = np.argsort(-lengths, kind="stable")[:n_longest]
    others = np.delete(np.arange(n_items), longest)
    n_lists = max(1, min(settings.n_lists, len(others) // 2))
    centroids = np.zeros((n_lists + 1, d), dtype=np.float32)
    lists = np.zeros(n_items, dtype=np.int64)
    if len(others):
        learned = faiss.IndexFlatL2(d)
        kmeans = faiss.Clustering(d, n_lists)
        kmeans.niter, kmeans.seed = _SWEEPS, settings.seed
        kmeans.min_points_per_centroid, kmeans.max_points_per_centroid = 1, _SAMPLE
        shorter = vectors[others]
        kmeans.train(shorter, learned)
        centroids[1:] = faiss.vector_to_array(kmeans.centroids).reshape(n_lists, d)
        lists[others] = 1 + learned.search(shorter, 1)[1][:, 0]
    # Every query has 1 in the last coordinate: this product is the largest of all.
    centroids[0, -1] = np.finfo(np.float32).max
    quantizer = faiss.IndexFlatIP(d)
    quantizer.add(centroids)
    index = faiss.IndexIVFFlat(quantizer, d, n_lists + 1, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    columns = np.arange(n_items, dtype=np.int64)
    index.add_core(*(n_items, *(faiss.swig_ptr(part) for part in (vectors, columns, lists))))
    # The quantizer lives as long as the index.
    index.own_fields = True
    quantizer.this.disown()
    return index
