"""Predicted ratings beside Surprise's: RMSE and MAE on the same folds, in the same run.

    python benchmarks/rating_quality.py --datasets latest-small ml-1m-half

Every rating belongs to one of five random folds (seed 0); each model is fitted five times, and predicts the fold that
it has not seen, clipped to the scale. Surprise runs at its defaults, in an environment of its own, made on first use
under ``--envs``; one thread each. "spread" is the standard deviation of the folds' RMSE, seconds are CPU seconds
per fold, fit and predictions together. Data: all of ML-latest-small, and the ratings of ML-1M that are there (users 1
to 2,999). ``--validation`` leaves the first fold out, hides a fifth of the others and predicts that instead: settings
are chosen there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, latest_small, movielens_1m_ratings
from compare_peers import HERE, interpreter, table

from sklearn_llmrec import ItemKNN, UserKNN
from sklearn_llmrec.decomposition import BiasedMF, SVDpp
from sklearn_llmrec.linear_model import BaselineRecommender

DATA = {
    "latest-small": lambda root: latest_small(root, min_ratings=1),
    "ml-1m-half": movielens_1m_ratings,
}
PEERS = ("BaselineOnly", "SVD", "SVDpp", "KNNBaseline")
OURS = {
    repr(model): model
    for model in (
        BaselineRecommender(),
        BiasedMF(random_state=0),
        SVDpp(random_state=0),
        ItemKNN(center="baseline"),
        ItemKNN(
            400,
            metric="jaccard",
            center="baseline",
            max_neighbors=20,
            regularization=0.2,
        ),
        ItemKNN(
            1000,
            metric="pearson_baseline",
            shrinkage=100,
            center="baseline",
            max_neighbors=20,
            regularization=0.2,
        ),
        UserKNN(center="baseline"),
        UserKNN(
            400,
            metric="pearson_baseline",
            shrinkage=100,
            center="baseline",
            max_neighbors=40,
            regularization=0.2,
        ),
    )
}


def predicted(model, users, items, values, folds, shape):
    """Every rating as predicted from the other folds, and CPU seconds per fold."""
    found, seconds = np.full(len(values), np.nan), []
    for fold in np.unique(folds[folds >= 0]):
        held = folds == fold
        X = sp.csr_array((values[~held], (users[~held], items[~held])), shape=shape)
        start = time.process_time()
        scores = model.fit(X).predict(X)
        found[held] = np.clip(scores[users[held], items[held]], values.min(), values.max())
        seconds.append(time.process_time() - start)
    return found, seconds


def predicted_by_surprise(name, ratings, envs):
    """The same by Surprise, or None (said on standard error) where it fails."""
    out = ratings.with_name("predictions.npy")
    worker = HERE / "peers" / "worker_surprise.py"
    done = subprocess.run(
        [interpreter("surprise", envs), worker, name, ratings, out],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"Surprise {name} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    row = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("ROW "))[4:])
    return np.load(out), row["cpu_s"]


def row(dataset, name, found, seconds, values, folds):
    """One row of the table."""
    errors = found - values
    rmse = [np.sqrt(np.mean(errors[folds == fold] ** 2)) for fold in np.unique(folds[folds >= 0])]
    return {
        "data": dataset,
        "model": name,
        "rmse": f"{np.mean(rmse):.4f}",
        "spread": f"{np.std(rmse):.4f}",
        "mae": f"{np.abs(errors[folds >= 0]).mean():.4f}",
        "cpu_s": f"{np.mean(seconds):.1f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--datasets", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--models", nargs="+", help="words that a model's name begins with")
    parser.add_argument("--folds", type=int, default=5, help="how many of the five folds to run")
    parser.add_argument(
        "--validation", action="store_true", help="predict a part of what the first fold shows"
    )
    parser.add_argument("--envs", type=Path, default=HERE.parent / ".peers")
    parser.add_argument("--out", type=Path, help="also append the rows, as JSON lines")
    args = parser.parse_args()
    wanted = [*(f"Surprise {name}" for name in PEERS), *OURS]
    if args.models:
        wanted = [name for name in wanted if name.startswith(tuple(args.models))]
    rows = []
    for dataset in args.datasets:
        X = sp.coo_array(DATA[dataset](args.data))
        (users, items), values = X.coords, X.data
        folds = np.random.default_rng(0).permutation(X.nnz) % 5
        if args.validation:
            users, items, values = (part[folds != 0] for part in (users, items, values))
            folds = np.random.default_rng(1).permutation(len(values)) % 5
        folds[folds >= (1 if args.validation else args.folds)] = -1  # always shown
        with tempfile.TemporaryDirectory() as folder:
            ratings = Path(folder) / "ratings.npz"
            np.savez(ratings, users=users, items=items, values=values, folds=folds)
            for name in wanted:
                if name in OURS:
                    done = predicted(OURS[name], users, items, values, folds, X.shape)
                else:
                    done = predicted_by_surprise(name.split()[1], ratings, args.envs)
                if done is None:
                    continue
                rows.append(row(dataset, name, *done, values, folds))
                print(json.dumps(rows[-1]), flush=True)
                if args.out:
                    with args.out.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
