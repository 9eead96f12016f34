"""User CPU seconds of the first fit and the first lists on MovieLens-1M, with nothing compiled.

    python benchmarks/first_use.py
    git worktree add ../before main
    python benchmarks/first_use.py --beside ../before --rounds 3

`ItemKNN`, `ALSRecommender` and `EASE` are fitted at their defaults to the training part of the random 80/20 split as
ones, and make lists for all users, in one process with one thread. The folder of compiled loops (NUMBA_CACHE_DIR) is
new and empty in the rows `first`, and filled in the rows `later`. Imports inside fit count, `import sklearn_llmrec`
and the estimators' modules do not: they are the column `import`. An untimed run writes the bytecode of all modules
first, as pip does on installation.
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

MODELS = ("ItemKNN", "ALSRecommender", "EASE")
RUN = """
import resource, sys
def seconds():
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime
import scipy.sparse as sp
start = seconds()
import sklearn_llmrec
path, root, *names = sys.argv[1:]
assert sklearn_llmrec.__file__.startswith(root + "/"), sklearn_llmrec.__file__
models = [getattr(sklearn_llmrec, name)() for name in names]
taken = [seconds() - start]
X = sp.load_npz(path)
for model in models:
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    start = seconds()
    model.fit(X).recommend(X, k=10)
    taken.append(seconds() - start)
print(*taken)
"""
HERE = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def seconds(path, root, bytecode, compiled):
    """Return the user CPU seconds of the import and of each recommender's fit and lists, by a checkout."""
    environment = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONPATH": str(root),
        "PYTHONPYCACHEPREFIX": bytecode,
        "NUMBA_CACHE_DIR": compiled,
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", RUN, path, str(root), *MODELS]
    done = subprocess.run(
        command, env=environment, cwd=root, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{root}:\n{done.stderr}")
    return [float(value) for value in done.stdout.split()]


def main():
    """Measure in turn and print medians, and the range of the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--beside", type=Path, help="folder of another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    roots = {"this": HERE}
    if arguments.beside:
        roots = {"other": arguments.beside.resolve(), **roots}
    train, _ = random_split(movielens_1m(arguments.data))
    taken = {(name, state): [] for name in roots for state in ("first", "later")}
    with tempfile.TemporaryDirectory() as folder:
        path, bytecode = str(Path(folder) / "train.npz"), str(Path(folder) / "bytecode")
        sp.save_npz(path, sp.csr_array(train.astype(np.float32)))
        for root in roots.values():
            seconds(path, root, bytecode, str(Path(folder) / "untimed"))
        for _ in range(arguments.rounds):
            for name, root in roots.items():
                with tempfile.TemporaryDirectory() as compiled:
                    for state in ("first", "later"):
                        taken[name, state].append(seconds(path, root, bytecode, compiled))
    print(f"{'':12} {'import':>8} " + " ".join(f"{model:>15}" for model in MODELS) + "      sum")
    for (name, state), rows in taken.items():
        rows = np.array(rows)
        sums = rows[:, 1:].sum(axis=1)
        middle = np.median(rows, axis=0)
        print(
            f"{name:5} {state:6} {middle[0]:8.2f} "
            + " ".join(f"{value:15.2f}" for value in middle[1:])
            + f" {np.median(sums):8.2f} [{sums.min():.2f}, {sums.max():.2f}]"
        )


if __name__ == "__main__":
    main()
