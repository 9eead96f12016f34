"""CPU seconds of a fit on MovieLens-1M by this version and by another checkout, in turn.

    git worktree add ../before c7b3e65
    python benchmarks/fit_seconds.py BPRRecommender --beside ../before --rounds 3

The training part of the random 80/20 split as ones, the recommender at its defaults, random_state=0 where it has one.
Every fit has a process of its own, after a fit to 500 users that compiles and loads what is needed. One thread.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, movielens_1m, random_split

FIT = """
import sys, time
import scipy.sparse as sp
import sklearn_llmrec
from sklearn_llmrec import decomposition, linear_model, neighbors
name, path, root = sys.argv[1:]
assert sklearn_llmrec.__file__.startswith(root + "/"), sklearn_llmrec.__file__
parts = (decomposition, linear_model, neighbors, sklearn_llmrec)
kind = next(getattr(part, name) for part in parts if hasattr(part, name))
model = kind()
if "random_state" in model.get_params():
    model.set_params(random_state=0)
X = sp.load_npz(path)
model.fit(X[:500])
start = time.process_time()
model.fit(X)
print(time.process_time() - start)
"""
HERE = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def seconds(name, path, root):
    """CPU seconds of one fit by the package in a checkout."""
    command = [sys.executable, "-c", FIT, name, path, str(root)]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(root)}
    done = subprocess.run(
        command, env=environment, cwd=root, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("model", help="class of the recommender")
    parser.add_argument("--beside", type=Path, required=True, help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    roots = {"other": arguments.beside.resolve(), "this": HERE}
    found = {name: [] for name in roots}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "train.npz")
        train, _ = random_split(movielens_1m(arguments.data))
        sp.save_npz(path, sp.csr_array(train.astype(np.float32)))
        for _ in range(arguments.rounds):
            for name, root in roots.items():
                found[name].append(seconds(arguments.model, path, root))
                print(f"{name} {found[name][-1]:.2f}", flush=True)
    for name, values in found.items():
        print(f"{name}: median {np.median(values):.2f}, {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
