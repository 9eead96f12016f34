"""The list metrics beside other libraries: seconds, and where figures agree.

    python benchmarks/metrics_peers.py [--data FOLDER] [--envs FOLDER] [--libraries ranx rectools ...]

Every library is a process of its own, in an environment of its own (made on first use under ``--envs``), one thread
each, and gets the same lists: the ten most popular unseen items of every user of ML-1M with noise, held-out
interactions of a random split 80/20 per user, seed 0. Timed are nDCG, recall and MAP at 10 from what the library
takes (arrays for ours and scikit-learn, its own tables, sets or dictionaries for the others, whose making is the
column conversion_s), input validation included: medians of the repeats after a first call. Then every metric whose
definition is the same is compared user by user; the command fails if one differs by more than 1e-9. Values of other
definitions are printed with the difference in words.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, movielens_1m, random_split
from bench_metrics import popular_lists
from compare_peers import interpreter, table

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "rectools": ["rectools==0.19.0"],
    "skrecsys": ["skrecsys==0.9.0"],
    "ranx": ["ranx==0.3.21"],
    "lenskit": ["lenskit==2025.8.1"],
}
LIBRARIES = ["sklearn_llmrec", *PACKAGES, "sklearn"]
TOLERANCE = 1e-9
# R-precision needs lists as long as the most targets: made for the first users only.
N_LONG = 500


def measure(library, folder, args):
    """The row of timings, or None (said on standard error) where the library fails."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"NUMBA_NUM_THREADS": "1"}
    command = [interpreter(library, args.envs, PACKAGES), "-W", "ignore"]
    command += [HERE / "peers" / f"metrics_{library}.py", folder, str(args.repeats)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{library} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("ROW "))[4:]
    )


def agreement(folder, libraries):
    """By metric and library "=" or the difference, the other definitions, and whether all that should agree do."""
    ours = dict(np.load(folder / "sklearn_llmrec.npz"))
    cells = {name: {} for name in ours}
    others, agree = [], True
    for library in libraries:
        for label, theirs in np.load(folder / f"{library}.npz").items():
            name, _, words = label.partition(" | ")
            apart = (
                float(np.abs(ours[name] - theirs).max())
                if theirs.shape == ours[name].shape
                else np.inf
            )
            if words:
                others.append(
                    {
                        "library": library,
                        "metric": name,
                        "theirs": f"{theirs.mean():.4f}",
                        "ours": f"{ours[name].mean():.4f}",
                        "difference": words,
                    }
                )
            else:
                agree &= apart <= TOLERANCE
                cells[name][library] = (
                    f"= ({apart:.0e})" if apart <= TOLERANCE else f"OFF BY {apart:.1e}"
                )
    rows = [
        {"metric": name, "ours": f"{ours[name].mean():.6f}"}
        | {library: found.get(library, "") for library in libraries}
        for name, found in cells.items()
    ]
    return rows, others, agree


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--libraries", nargs="*", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--envs", type=Path, default=HERE.parent / ".peers")
    args = parser.parse_args()
    train, test = (sp.csr_array(part) for part in random_split(movielens_1m(args.data)))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, M in (("train", train), ("test", test)):
            M = sp.csr_matrix((np.ones(M.nnz, np.float32), M.indices, M.indptr), shape=M.shape)
            sp.save_npz(folder / f"{part}.npz", M, compressed=False)
        np.save(folder / "lists.npy", popular_lists(train, 10, rng))
        longest = int(np.diff(test.indptr)[:N_LONG].max())
        np.save(folder / "long_lists.npy", popular_lists(train[:N_LONG], longest, rng))
        print(f"{test.shape[0]} lists of 10, {test.nnz} held-out interactions\n")
        rows = [measure(library, folder, args) for library in args.libraries]
        rows = [row for row in rows if row is not None]
        print(table(rows), "\n")
        peers = [row["library"] for row in rows if row["library"] != "sklearn_llmrec"]
        same, others, agree = agreement(folder, peers)
        print(table([row for row in same if any(row[library] for library in peers)]), "\n")
        print(table(others))
    if not agree:
        raise SystemExit("A metric of the same definition differs by more than 1e-9.")


if __name__ == "__main__":
    main()
