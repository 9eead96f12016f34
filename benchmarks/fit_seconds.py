"""CPU seconds of a fit, and of lists for at most 100,000 users, by this version and by another checkout in turn.

    git worktree add ../before c7b3e65
    python benchmarks/fit_seconds.py BPRRecommender --beside ../before --rounds 3
    python benchmarks/fit_seconds.py ItemKNN ALSRecommender --data-set 1m-users --beside ../before --rounds 7

The data are the training part of MovieLens-1M's random 80/20 split as ones, or one of the generated large sets. Each
recommender has its defaults, and random_state=0 where it has one. Every pair of fit and lists has a process of its
own, after a fit to the first million entries that compiles and loads what is needed. One thread. What an old checkout
needs beside today's packages is found through PYTHONPATH.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import LARGE, add_data_option, movielens_1m, random_split

RUN = """
import gc, sys, time
import scipy.sparse as sp
import sklearn_llmrec
from sklearn_llmrec import decomposition, dummy, linear_model, neighbors, sequence
name, path, root = sys.argv[1:]
assert sklearn_llmrec.__file__.startswith(root + "/"), sklearn_llmrec.__file__
parts = (decomposition, dummy, linear_model, neighbors, sequence)
kind = next(getattr(part, name) for part in parts if hasattr(part, name))
model = kind()
if "random_state" in model.get_params():
    model.set_params(random_state=0)
X = sp.load_npz(path)
first = X[: X.indptr.searchsorted(1_000_000)]
model.fit(first).recommend(first, k=10)
gc.collect()
gc.freeze()  # what was imported is not searched in the middle of a measurement
start = time.process_time()
model.fit(X)
fitted = time.process_time()
model.recommend(X[:100_000], k=10)
print(fitted - start, time.process_time() - fitted)
"""
HERE = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def seconds(name, path, root):
    """Return the CPU seconds of one fit and of the lists for the first users, by the package in a checkout."""
    command = [sys.executable, "-c", RUN, name, path, str(root)]
    libraries = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(root), libraries))),
    }
    done = subprocess.run(
        command, env=environment, cwd=root, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{name} in {root}:\n{done.stderr}")
    return [float(value) for value in done.stdout.split()]


def training_part(data_set, root):
    """Return the matrix that is fitted."""
    if data_set != "ml-1m":
        return LARGE[data_set]()
    train, _ = random_split(movielens_1m(root))
    return sp.csr_array(train.astype(np.float32))


def line(model, what, other, this):
    """Return one row of the table: medians, and the median and range of the ratios of pairs."""
    ratios = np.divide(this, other)
    return (
        f"{model:22} {what:6} {np.median(other):9.2f} {np.median(this):9.2f} "
        f"{np.median(ratios):7.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"
    )


def main():
    """Measure in pairs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("models", nargs="+", help="classes of the recommenders")
    parser.add_argument("--beside", type=Path, required=True, help="folder of the other checkout")
    parser.add_argument("--data-set", choices=["ml-1m", *LARGE], default="ml-1m")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    other = arguments.beside.resolve()
    print(f"{arguments.data_set}\n{'model':22} {'what':6} {'other':>9} {'this':>9}   ratio")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "train.npz")
        sp.save_npz(path, training_part(arguments.data_set, arguments.data))
        for model in arguments.models:
            pairs = np.array(
                [
                    [seconds(model, path, root) for root in (other, HERE)]
                    for _ in range(arguments.rounds)
                ]
            )
            for column, what in enumerate(("fit", "lists")):
                print(line(model, what, *pairs[:, :, column].T), flush=True)


if __name__ == "__main__":
    main()
