"""The ways to a masked top 10 of histories times item-to-item weights, on ML-1M: CPU seconds on one thread.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/sparse_products.py

Weights are those of `ItemKNN(100, shrinkage=0)`: 150 million multiplications for 6,040 rows. Best of five, in turns;
every way gives the same lists (checked here). Then fits: what shrinkage and other indices cost beside the plain cosine.
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
import torch
from _data import add_data_option, movielens_1m, random_split

from sklearn_llmrec import ItemKNN
from sklearn_llmrec._kernels import entry_rows, topk_dense, topk_product

ROWS = 128  # of a dense block: 1.7 MB of float32


def hidden(scores, seen):
    scores[entry_rows(seen), seen.indices] = -np.inf
    return topk_dense(scores, 10)[0]


def scipy_sparse(X, W):
    return np.vstack(
        [
            hidden((X[s : s + ROWS] @ W).toarray(), X[s : s + ROWS])
            for s in range(0, X.shape[0], ROWS)
        ]
    )


def scipy_dense(X, W, product=lambda A, B: A @ B):
    into = W.T.tocsr()
    lists = []
    for start in range(0, X.shape[0], ROWS):
        rows = X[start : start + ROWS]
        scores = product(into, np.ascontiguousarray(rows.toarray().T))
        lists.append(hidden(np.ascontiguousarray(scores.T), rows))
    return np.vstack(lists)


def torch_dense(X, W):
    def product(A, B):
        return (A @ torch.from_numpy(B)).numpy()

    into = W.T.tocsr()
    parts = [torch.from_numpy(part) for part in (into.indptr, into.indices, into.data)]
    tensor = torch.sparse_csr_tensor(*parts, size=into.shape)
    return scipy_dense(X, W, lambda _, B: product(tensor, B))


WAYS = {
    "scipy, sparse times sparse, dense top-k": scipy_sparse,
    "scipy, sparse times dense block, dense top-k": scipy_dense,
    "torch (MKL), sparse times dense block, dense top-k": torch_dense,
    "compiled, masked inside": lambda X, W: topk_product(X, W, 10, seen=X)[0],
}

FITS = {
    "cosine, plain": {"shrinkage": 0},
    "cosine, shrunken": {"shrinkage": 2},
    "Jaccard": {"metric": "jaccard", "shrinkage": 0},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    X = sp.csr_array(random_split(movielens_1m(args.data))[0]).astype(np.float32)
    W = ItemKNN(100, shrinkage=0).fit(X).weights_
    seconds = {name: [] for name in WAYS}
    lists = {}
    for _ in range(5):
        for name, way in WAYS.items():
            start = time.process_time()
            lists[name] = way(X, W)
            seconds[name].append(time.process_time() - start)
    reference = lists["compiled, masked inside"]
    fits = {name: [] for name in FITS}
    for _ in range(5):
        for name, settings in FITS.items():
            start = time.process_time()
            ItemKNN(100, weighting=None, **settings).fit(X)
            fits[name].append(time.process_time() - start)
    print("| fit | CPU s |\n|---|---|")
    for name, times in fits.items():
        print(f"| {name} | {min(times):.2f} |")
    print("\n| way | CPU s | lists that differ |\n|---|---|---|")
    for name, times in seconds.items():
        differ = (lists[name] != reference).any(axis=1).sum()
        print(f"| {name} | {min(times):.2f} | {differ} |")


if __name__ == "__main__":
    main()
