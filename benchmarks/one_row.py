"""One request: CPU milliseconds of `recommend(row, k=10)` for one new row, beside implicit in the same run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/one_row.py
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/one_row.py --generated

Medians over 300 rows that are not among those fitted, validation included, on MovieLens-1M or on 200,000 users and
100,000 generated items. Rows are float64 where --cast is given, while models are float32. With --mmap, every model is
saved as a bundle and opened memory-mapped, so that its arrays are read-only. SASRec is trained for one epoch on 500
users, because its answers cost the same after any training.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, generated, movielens_1m, random_split
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

from sklearn_llmrec import (
    EASE,
    ALSRecommender,
    BPRRecommender,
    ItemKNN,
    PopularityRecommender,
    RP3beta,
    SASRec,
    SequenceKNN,
    UserKNN,
    VotingRecommender,
)
from sklearn_llmrec.persistence import load, save

N_ROWS = 300


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
    parser.add_argument("--mmap", action="store_true", help="models opened memory-mapped")
    args = parser.parse_args()
    if args.generated:
        X = generated()
    else:
        X = sp.csr_array(random_split(movielens_1m(args.data))[0]).astype(np.float32)
        X.data[:] = 1
    fitted, new = X[:-N_ROWS], X[-N_ROWS:].astype(np.float64 if args.cast else np.float32)
    new.sort_indices()
    rows = [new[[row]] for row in range(N_ROWS)]
    als = ALSRecommender(random_state=0)
    members = [("items", ItemKNN()), ("factors", als), ("walks", RP3beta())]
    models = [ItemKNN(), als, RP3beta(), BPRRecommender(random_state=0), PopularityRecommender()]
    models += [UserKNN(), VotingRecommender(members)]
    if not args.generated:
        models += [EASE()]
    print(f"| model, {fitted.shape[0]} x {fitted.shape[1]} | CPU ms |\n|---|---|")
    for model in models:
        model = _opened(model.fit(fitted), args.mmap)
        print(f"| {type(model).__name__} | {milliseconds(model.recommend, rows):.2f} |", flush=True)
    asked = [_numbered(row) for row in rows]
    for model, taught in (
        (SequenceKNN(order="values"), fitted),
        (SASRec(order="values", max_iter=1, random_state=0), fitted[:500]),
    ):
        model = _opened(model.fit(_numbered(taught)), args.mmap)
        print(
            f"| {type(model).__name__} | {milliseconds(model.recommend, asked):.2f} |", flush=True
        )
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


def _opened(model, mmap):
    """Return the model, or its bundle's memory-mapped copy; the folder is removed while it stays mapped."""
    if not mmap:
        return model
    with tempfile.TemporaryDirectory() as folder:
        return load(save(Path(folder) / "bundle", model), mmap=True).estimator


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
