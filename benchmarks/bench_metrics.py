"""Seconds and memory of the list metrics.

    python benchmarks/bench_metrics.py [TRAIN.npz TEST.npz]
    python benchmarks/bench_metrics.py --large

Without --large: nDCG@10, recall@10 and MAP@10 from ready top-10 lists, input validation included. The lists are the
most popular unseen items with noise; the matrices are two sparse .npz files, or synthetic of the size of MovieLens-1M.
With --large: every metric that lists allow, each per user where it is, for 138,493 users, 26,744 items, 100 items a
list, 4 million targets, 16 million interactions seen and 20 features of items; then each metric alone, once. Prints
the median of the runs, and the peak of the process above the loaded data.
"""

import argparse
import gc
import statistics
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.metrics import get_ranking_scorer_names, ranking_metrics
from sklearn_llmrec.metrics._hits import pattern_without
from sklearn_llmrec.metrics._registry import parse
from sklearn_llmrec.utils._validation import canonical


def random_matrix(n_users, n_items, nnz, rng):
    """Pairs drawn by skewed popularity, without repeats."""
    rows = rng.integers(n_users, size=nnz)
    columns = (n_items * rng.random(nnz) ** 3).astype(np.int64)
    X = sp.csr_array((np.ones(nnz, np.float32), (rows, columns)), shape=(n_users, n_items))
    X.data[:] = 1
    return X


def popular_lists(X, k, rng):
    """The most popular unseen items of every user, with noise so that lists differ."""
    popularity = np.bincount(X.indices, minlength=X.shape[1]).astype(np.float32)
    lists = []
    for begin in range(0, X.shape[0], 1024):
        part = X[begin : begin + 1024]
        scores = popularity * (1 + 0.3 * rng.random(part.shape, dtype=np.float32))
        scores[np.repeat(np.arange(part.shape[0]), np.diff(part.indptr)), part.indices] = -np.inf
        lists.append(topk_dense(scores, k)[0])
    return np.vstack(lists)


def skewed_lists(n_users, n_items, k, rng):
    """Lists without repeats, at the cost of one random number each."""
    start = (n_items * rng.random(n_users) ** 3).astype(np.int64)
    return (start[:, None] + np.arange(k) * 7) % n_items


def as_matrix(items, n_items):
    """Users by recommended items."""
    indptr = np.arange(0, items.size + 1, items.shape[1])
    return canonical(
        sp.csr_array(
            (np.ones(items.size, np.int8), items.ravel(), indptr), shape=(len(items), n_items)
        )
    )


def resident(name):
    """A line of the process's memory in MiB: VmRSS now, VmHWM the highest since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit("peak memory is read from /proc: this benchmark needs Linux")


def forget_peak():
    """Let VmHWM begin anew: making the data took more than the metrics do."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def measure(label, function, repeat):
    """Median seconds and peak memory above the loaded data; the last result."""
    forget_peak()
    before = resident("VmRSS")
    wall, cpu = [], []
    for _ in range(repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = function()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    print(
        f"{label}: {statistics.median(wall):.4f} s wall, {statistics.median(cpu):.4f} s CPU "
        f"(median of {repeat}), {resident('VmHWM') - before:.0f} MiB above the data",
        flush=True,
    )
    return result


def large(rng, repeat):
    """Every list metric for as many users and items as MovieLens-20M has."""
    n_users, n_items, k = 138_493, 26_744, 100
    items = skewed_lists(n_users, n_items, k, rng)
    # Lists hold nothing that their user has had, as a recommender's.
    X = pattern_without(random_matrix(n_users, n_items, 16_000_000, rng), as_matrix(items, n_items))
    y = pattern_without(random_matrix(n_users, n_items, 4_200_000, rng), X)
    genres = sp.random_array((n_items, 20), density=0.1, random_state=rng, format="csr")
    names = [name.replace("@k", f"@{k}") for name in get_ranking_scorer_names() if name != "auc"]
    of_all = [name for name in names if not parse(name).metric.per_user]
    per_user = [name for name in names if name not in of_all]
    options = {
        "seen": X,
        "popularity": np.bincount(X.indices, minlength=n_items),
        "n_users": n_users,
        "item_features": genres,
    }
    print(
        f"{n_users} users x {k} of {n_items} items, {y.nnz} targets, {X.nnz} seen, 20 features; "
        f"{len(per_user)} metrics per user and {len(of_all)} of all users: {', '.join(names)}"
    )
    measure(
        "every list metric",
        lambda: (
            ranking_metrics(y, items, per_user, per_user=True, **options),
            ranking_metrics(y, items, of_all),
        ),
        repeat,
    )
    for name in names:
        measure(name, lambda name=name: ranking_metrics(y, items, name, **options), 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="TRAIN.npz TEST.npz")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--repeat", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    if args.large:
        large(rng, args.repeat or 3)
        return
    if args.files:
        X, y = (sp.csr_array(sp.load_npz(path)) for path in args.files)
    else:
        X, y = random_matrix(6040, 3416, 1_050_000, rng), random_matrix(6040, 3416, 200_000, rng)
    items = popular_lists(X, 10, rng)
    values = measure(
        f"nDCG+recall+MAP@10, {y.shape[0]} lists, {y.nnz} targets",
        lambda: ranking_metrics(y, items),
        args.repeat or 21,
    )
    print({name: round(value, 4) for name, value in values.items()})


if __name__ == "__main__":
    main()
