"""Our recommenders beside other libraries, on the same data, split, machine and run.

    python benchmarks/compare_peers.py --jobs ease als64 --libraries sklearn_llmrec implicit
    python benchmarks/compare_peers.py --data-set 1m-users --repeats 1

Every job is a process of its own, in an environment of its own for each library (made on first use under ``--envs``),
two threads each. Data: ML-1M (items with 5 or more ratings), all ratings as ones, split at random 80/20 per user,
seed 0. Quality is computed here, from each library's own lists, by one function: nDCG@10, recall@10 (by the number of
targets) and MAP@10 (by the smaller of 10 and the targets), binary, over users with targets, seen items left out.
Seconds are medians; fit and ranking of all users apart; memory is the peak above the loaded data. The large data sets
(138,493 x 26,744 and 1,000,000 x 200,000, 20 million interactions each, drawn by popularity) measure
seconds and memory only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import LARGE, add_data_option, movielens_1m, random_split

from sklearn_llmrec.metrics import ranking_metrics

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "implicit": ["implicit==0.7.3", "threadpoolctl"],
    "skrecsys": ["skrecsys==0.9.0"],
    "irspack": ["irspack==0.5.2"],
    "sparse_dot_topn": ["sparse_dot_topn==1.2.0"],
    "surprise": ["scikit-surprise==1.1.5", "numpy<2"],
}
JOBS = {
    "popularity": ["sklearn_llmrec"],
    "itemknn-cosine": ["sklearn_llmrec", "implicit", "skrecsys", "irspack", "sparse_dot_topn"],
    "itemknn": ["sklearn_llmrec", "implicit", "skrecsys"],
    "userknn": ["sklearn_llmrec", "irspack"],
    "rp3beta": ["sklearn_llmrec", "skrecsys", "irspack"],
    "ease": ["sklearn_llmrec", "skrecsys"],
    "ease-500": ["sklearn_llmrec", "irspack"],
    "slim": ["sklearn_llmrec", "skrecsys", "irspack"],
    "als64": ["sklearn_llmrec", "implicit", "skrecsys", "irspack"],
    "bpr64": ["sklearn_llmrec", "implicit", "skrecsys"],
}

LARGE_NEIGHBORS = ["sklearn_llmrec", "implicit", "skrecsys", "sparse_dot_topn"]
# Lists by factors of a million users over 200,000 items take every library many minutes: left out.
LARGE_JOBS = {
    "138k-users": {
        "itemknn-cosine": LARGE_NEIGHBORS,
        "als64": ["sklearn_llmrec", "implicit", "irspack"],
    },
    "1m-users": {"itemknn-cosine": LARGE_NEIGHBORS},
}


def interpreter(library, envs, packages=PACKAGES):
    """The Python of the library's own environment; ours is the one that runs this."""
    if library not in packages:
        return sys.executable
    folder = envs / library
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages[library]], check=True)
    return python


def measure(library, job, train, test, args, folder):
    """One row of the table, or None (said on standard error) where the library fails."""
    lists = folder / "lists.npy"
    # implicit threads by itself and asks for one BLAS thread; the others use theirs.
    blas = "1" if library == "implicit" else str(args.threads)
    environment = {
        **os.environ,
        "BENCH_THREADS": str(args.threads),
        "OPENBLAS_NUM_THREADS": blas,
        "OMP_NUM_THREADS": blas,
        "RAYON_NUM_THREADS": str(args.threads),
    }
    command = [
        interpreter(library, args.envs),
        HERE / "peers" / f"worker_{library}.py",
        job,
        folder / "train.npz",
        lists,
        str(args.repeats),
    ]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=args.timeout,
        )
    except subprocess.TimeoutExpired:
        print(f"{library} {job}: not done after {args.timeout} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"{library} {job} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    # Libraries print on their own; the row is the line that the worker marked.
    row = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("ROW "))[4:])
    if test is None or row["rank_s"] is None:
        return row
    quality = ranking_metrics(
        test, np.load(lists).astype(np.int64), metrics=["ndcg@10", "recall@10", "map@10"]
    )
    return {**row, **{name: round(value, 4) for name, value in quality.items()}}


def table(rows):
    """The rows as a Markdown table."""
    names = max((list(row) for row in rows), key=len)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--data-set", default="ml-1m", choices=["ml-1m", *LARGE])
    parser.add_argument("--jobs", nargs="*", choices=list(JOBS))
    parser.add_argument("--timeout", type=float, default=600, help="seconds of one job at most")
    parser.add_argument("--libraries", nargs="*", default=["sklearn_llmrec", *PACKAGES])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--envs", type=Path, default=HERE.parent / ".peers")
    parser.add_argument("--out", type=Path, help="also append the rows, as JSON lines")
    args = parser.parse_args()
    if args.data_set == "ml-1m":
        jobs = JOBS
        train, test = (sp.csr_array(part) for part in random_split(movielens_1m(args.data)))
    else:
        jobs = LARGE_JOBS[args.data_set]
        train, test = LARGE[args.data_set](), None
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ones = sp.csr_matrix(
            (np.ones(train.nnz, np.float32), train.indices, train.indptr), shape=train.shape
        )
        sp.save_npz(folder / "train.npz", ones, compressed=False)
        for job in args.jobs or jobs:
            for library in jobs[job]:
                if library not in args.libraries:
                    continue
                row = measure(library, job, train, test, args, folder)
                if row is not None:
                    rows.append(row)
                    print(json.dumps(row), flush=True)
                    if args.out:
                        with args.out.open("a") as file:
                            file.write(json.dumps(row) + "\n")
    found = 0 if test is None else test.nnz
    print(f"\n{len(rows)} rows; {train.nnz} interactions to fit, {found} to find\n")
    print(table(rows))


if __name__ == "__main__":
    main()
