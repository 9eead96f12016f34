"""One request: CPU milliseconds of `recommend(row, k=10)` for one new row, beside implicit in the same run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/one_row.py
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/one_row.py --generated

Medians over 300 rows that are not among those fitted, validation included, on MovieLens-1M or on 200,000 users and
100,000 generated items. Rows are float64 where --cast is given, while models are float32.
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, movielens_1m, random_split
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.sequence import SequenceKNN

N_ROWS = 300


def generated(n_users=200_000, n_items=100_000, nnz=4_000_000):
    """Return pairs drawn by skewed popularity, without repeats."""
    rng = np.random.default_rng(0)
    chances = (np.arange(1, n_items + 1) + 50.0) ** -1.1
    rows = np.sort(rng.integers(n_users, size=nnz))
    columns = rng.permutation(n_items)[
        np.searchsorted(np.cumsum(chances / chances.sum()), rng.random(nnz)).clip(max=n_items - 1)
    ]
    X = sp.csr_array((np.ones(nnz, np.float32), (rows, columns)), shape=(n_users, n_items))
    X.data[:] = 1
    return X


def milliseconds(ask, rows):
    """Return the median CPU time of a request, after a few to warm up."""
    for row in rows[:5]:
        ask(row)
    times = []
    for row in rows:
        start = time.process_time()
        ask(row)
        times.append(1000 * (time.process_time() - start))
    return float(np.median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--generated", action="store_true", help="200,000 users x 100,000 items")
    parser.add_argument("--cast", action="store_true", help="float64 rows on float32 models")
    args = parser.parse_args()
    if args.generated:
        X = generated()
    else:
        X = sp.csr_array(random_split(movielens_1m(args.data))[0]).astype(np.float32)
        X.data[:] = 1
    fitted, new = X[:-N_ROWS], X[-N_ROWS:].astype(np.float64 if args.cast else np.float32)
    new.sort_indices()
    rows = [new[[row]] for row in range(N_ROWS)]
    models = [ItemKNN(), ALSRecommender(random_state=0)]
    if not args.generated:
        models += [EASE(), UserKNN()]
    print(f"| model, {fitted.shape[0]} x {fitted.shape[1]} | CPU ms |\n|---|---|")
    for model in models:
        model.fit(fitted)
        print(f"| {type(model).__name__} | {milliseconds(model.recommend, rows):.2f} |", flush=True)
    model = SequenceKNN(order="values").fit(_numbered(fitted))
    asked = [_numbered(row) for row in rows]
    print(f"| SequenceKNN | {milliseconds(model.recommend, asked):.2f} |", flush=True)
    given, *matrices = (_for_implicit(matrix) for matrix in [fitted, *rows])
    for name, peer, more in (
        ("implicit, cosine", CosineRecommender(K=200, num_threads=1), {}),
        (
            "implicit, ALS",
            AlternatingLeastSquares(64, iterations=3, num_threads=1, random_state=0),
            {"recalculate_user": True},
        ),
    ):
        peer.fit(given, show_progress=False)

        def ask(row, peer=peer, more=more):
            return peer.recommend(0, row, N=10, **more)

        print(f"| {name} | {milliseconds(ask, matrices):.2f} |", flush=True)


def _for_implicit(X):
    """Return X as implicit reads it: float32, 32-bit indices."""
    M = sp.csr_matrix(X.astype(np.float32))
    M.indices, M.indptr = M.indices.astype(np.int32), M.indptr.astype(np.int32)
    return M


def _numbered(X):
    """Return X with the place of an entry in its row as its value: an order."""
    X = X.copy()
    X.data = (np.arange(X.nnz) - np.repeat(X.indptr[:-1], np.diff(X.indptr)) + 1).astype(X.dtype)
    return X


if __name__ == "__main__":
    main()
