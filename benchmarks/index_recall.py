"""Approximate lists: recall and CPU time of IndexedRecommender beside the exact lists of the same model.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/index_recall.py
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/index_recall.py --norms log
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/index_recall.py --items 10000 30000 100000 300000
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/index_recall.py --reduction

Item factors of width 64 have directions with a falling spectrum and norms that follow popularity: the root of the
popularity of a catalogue ("root"), or its logarithm ("log"). A user is the sum of the directions of 20 items, drawn by
popularity. Times are CPU seconds of `recommend(X, k=10)`, validation and seen items included: of 1,000 rows at once,
and the median of 100 single rows. Recall is that of the same 1,000 lists. --reduction compares the inner product with
its reduction to Euclidean distances, at the same links and the same breadth.
"""

import argparse
import time

import faiss
import numpy as np
import scipy.sparse as sp

from sklearn_llmrec import IndexedRecommender
from sklearn_llmrec.base import InnerProductMixin

WIDTH, K = 64, 10


def popularity(n_items, rng):
    """Return the popularity of items, those of a column scattered over the catalogue."""
    return rng.permutation((np.arange(1, n_items + 1) + 50.0) ** -1.1)


class GivenFactors(InnerProductMixin):
    """A factor model as if it had been fitted: directions, norms, and histories summed up."""

    def __init__(self, norms="root"):
        self.norms = norms

    def _fit(self, X):
        rng = np.random.default_rng(0)
        n_items = X.shape[1]
        popular = popularity(n_items, rng)
        norms = popular**0.5 if self.norms == "root" else np.log1p(popular / popular.min())
        V = rng.standard_normal((n_items, WIDTH), dtype=np.float32)
        V *= (np.arange(1, WIDTH + 1) ** -0.5).astype(np.float32)
        self.directions_ = V / np.linalg.norm(V, axis=1, keepdims=True)
        self.vectors_ = self.directions_ * (norms / np.median(norms)).astype(np.float32)[:, None]

    def _retrieval_vectors(self, X):
        return X @ self.directions_, self.vectors_, None


def histories(n_rows, n_items, length=20):
    """Return rows of items drawn by popularity."""
    chances = np.cumsum(popularity(n_items, np.random.default_rng(0)))
    drawn = np.random.default_rng(1).random((n_rows, length)) * chances[-1]
    columns = np.searchsorted(chances, drawn).ravel()
    ones = np.ones(len(columns), dtype=np.float32)
    X = sp.csr_array((ones, columns, np.arange(n_rows + 1) * length), shape=(n_rows, n_items))
    X.sum_duplicates()
    X.data[:] = 1
    return X


def timed(model, X):
    """Return CPU milliseconds per row of one call with all rows, and of calls with one row (median)."""
    model.recommend(X[:20], k=K)
    start = time.process_time()
    model.recommend(X, k=K)
    batch = time.process_time() - start
    single = []
    for row in range(min(100, X.shape[0])):
        one = X[[row]]
        start = time.process_time()
        model.recommend(one, k=K)
        single.append(time.process_time() - start)
    return 1000 * batch / X.shape[0], 1000 * float(np.median(single))


def compare(n_items, norms, kinds, n_rows):
    """Print a row for the exact lists and for those of each index."""
    X = histories(n_rows, n_items)
    model = GivenFactors(norms).fit(X)
    exact = timed(model, X)
    name = f"{n_items:,} x {WIDTH}, {norms}"
    print(f"| {name} | exact | | | 1 | {exact[0]:.2f} | {exact[1]:.2f} | |", flush=True)
    for kind in kinds:
        indexed = IndexedRecommender(GivenFactors(norms), index=kind, min_items=0, random_state=0)
        start = time.process_time()
        indexed.fit(X)
        built = time.process_time() - start
        found, recall = timed(indexed, X), indexed.recall(X, k=K)
        size = faiss.serialize_index(indexed._index_._index).nbytes / 2**20
        print(
            f"| {name} | {kind} | {built:.0f} | {size:.0f} | {recall:.4f} | {found[0]:.2f} | {found[1]:.2f} "
            f"| {exact[0] / found[0]:.0f}, {exact[1] / found[1]:.0f} |",
            flush=True,
        )


def reduction(n_items, norms):
    """Print the recall of HNSW by inner product and by the Euclidean distance that orders alike."""
    X = histories(1000, n_items)
    model = GivenFactors(norms).fit(X)
    queries, items, _ = model._retrieval_vectors(X)
    scores = queries @ items.T
    best = np.argsort(-scores, axis=1)[:, :K]
    native = faiss.IndexHNSWFlat(WIDTH, 16, faiss.METRIC_INNER_PRODUCT)
    native.add(items)
    squares = (items**2).sum(axis=1)
    longer = np.column_stack([items, np.sqrt(squares.max() - squares)]).astype(np.float32)
    reduced = faiss.IndexHNSWFlat(WIDTH + 1, 16, faiss.METRIC_L2)
    reduced.add(longer)
    asked = np.column_stack([queries, np.zeros(len(queries))]).astype(np.float32)
    for width in (50, 100, 200):
        shares = []
        for index, given in ((native, queries), (reduced, asked)):
            options = faiss.SearchParametersHNSW(efSearch=width)
            _, found = index.search(np.ascontiguousarray(given), K, params=options)
            shares.append(
                np.mean([len({*a} & {*b}) / K for a, b in zip(found.tolist(), best.tolist())])
            )
        print(
            f"| {n_items:,} x {WIDTH}, {norms} | {width} | {shares[0]:.3f} | {shares[1]:.3f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--norms", choices=["root", "log"], default="root")
    parser.add_argument("--index", nargs="+", choices=["hnsw", "ivf"], default=["ivf", "hnsw"])
    parser.add_argument("--reduction", action="store_true")
    args = parser.parse_args()
    if args.reduction:
        print(
            "| factors, norms | breadth | recall@10, inner product | Euclidean reduction |\n|---|---|---|---|"
        )
        for n_items in args.items or [40_000]:
            reduction(n_items, args.norms)
        return
    print(
        "| factors, norms | index | build, CPU s | MiB | recall@10 | CPU ms a row, batch | one row | times faster |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for n_items in args.items or [1_000_000]:
        compare(n_items, args.norms, args.index, args.rows)


if __name__ == "__main__":
    main()
