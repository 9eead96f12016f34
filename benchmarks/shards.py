"""Fits from shards beside fits of one matrix: CPU seconds and peak memory, each in a process of its own.

    python benchmarks/shards.py --users 1000000 --items 200000 --events 20000000 --shards 8

Histories are lognormal in length and items popular by a power law, without structure, so only costs are measured.
Sequential models read random times, the values of the same histories.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec import EASE, ALSRecommender, ItemKNN
from sklearn_llmrec.distributed import fit_shards
from sklearn_llmrec.sequence import MarkovRecommender, SequenceKNN

MODELS = {
    "ItemKNN": lambda sweeps: ItemKNN(),
    "EASE": lambda sweeps: EASE(),
    "ALS-64": lambda sweeps: ALSRecommender(64, max_iter=sweeps, random_state=0),
    "MarkovRecommender": lambda sweeps: MarkovRecommender(),
    "SequenceKNN": lambda sweeps: SequenceKNN(),
}
SEQUENTIAL = {"MarkovRecommender", "SequenceKNN"}


def histories(n_users, n_items, n_events, seed=0):
    """A matrix of about so many ones, float32."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(0, 1.0, n_users)
    lengths = np.maximum(1, lengths * n_events / lengths.sum()).astype(np.int64)
    weights = (np.arange(n_items) + 50.0) ** -0.9
    items = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(lengths.sum()))
    indptr = np.append(0, np.cumsum(lengths))
    ones = np.ones(len(items), np.float32)
    X = sp.csr_array(
        (ones, np.minimum(items, n_items - 1).astype(np.int32), indptr), shape=(n_users, n_items)
    )
    X.sum_duplicates()
    X.data[:] = 1
    return X


class Saved:
    """Shards that are read from files where they are used."""

    def __init__(self, folder, n):
        self.folder, self.n = Path(folder), n

    def __len__(self):
        return self.n

    def loader(self, number):
        return Load(self.folder / f"{number}.npz")


class Load:
    def __init__(self, path):
        self.path = path

    def __call__(self):
        return sp.csr_array(sp.load_npz(self.path))


def seconds_and_memory():
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(p.ru_utime + p.ru_stime for p in parts), max(p.ru_maxrss for p in parts) * 1024


def measure(folder, n_shards, name, way, sweeps):
    """Print what one fit takes, as JSON."""
    model = MODELS[name](sweeps)
    # A first fit compiles the loops or reads them from the cache.
    tiny = (
        sp.random_array((200, 50), density=0.1, random_state=np.random.default_rng(0))
        .astype(np.float32)
        .tocsr()
    )
    fit_shards(model, [tiny]) if way == "shards" else type(model)(**model.get_params()).fit(tiny)
    X = sp.csr_array(sp.load_npz(Path(folder) / "all.npz")) if way == "one matrix" else None
    before, loaded = seconds_and_memory()
    start = time.perf_counter()
    model.fit(X) if way == "one matrix" else fit_shards(model, Saved(folder, n_shards))
    wall = time.perf_counter() - start
    cpu, peak = seconds_and_memory()
    print(json.dumps({"cpu": cpu - before, "wall": wall, "peak": peak, "before": loaded}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["ItemKNN", "ALS-64"], choices=MODELS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        folder, name, way = options.measure
        measure(folder, options.shards, name, way, options.sweeps)
        return
    with tempfile.TemporaryDirectory() as folder:
        X = histories(options.users, options.items, options.events)
        if SEQUENTIAL.intersection(options.models):
            if not SEQUENTIAL.issuperset(options.models):
                parser.error(
                    "sequential models read times as values: measure them in a run of their own."
                )
            # Whole numbers, which float32 represents exactly.
            X.data = np.random.default_rng(1).integers(1, 2**24, X.nnz).astype(np.float32)
        print(
            f"{X.shape[0]} x {X.shape[1]}, {X.nnz} interactions, {options.shards} shards",
            flush=True,
        )
        sp.save_npz(Path(folder) / "all.npz", X, compressed=False)
        edges = np.linspace(0, X.shape[0], options.shards + 1).astype(int)
        for number in range(options.shards):
            part = X[edges[number] : edges[number + 1]]
            sp.save_npz(Path(folder) / f"{number}.npz", part, compressed=False)
        del X
        print(
            "| model | fit of | CPU s | wall s | peak MiB, imports and data included |\n|---|---|---|---|---|"
        )
        for name in options.models:
            for way in ("one matrix", "shards"):
                command = [sys.executable, __file__, "--shards", str(options.shards)]
                command += ["--sweeps", str(options.sweeps), "--measure", folder, name, way]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"| {name} | {way} | {found['cpu']:.1f} | {found['wall']:.1f} | {found['peak'] / 2**20:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
