"""Surprise on given folds: worker_surprise.py MODEL RATINGS.npz PREDICTIONS.npy; runs in its own environment."""

import json
import sys
import time

import numpy as np
import surprise
from surprise import SVD, BaselineOnly, Dataset, KNNBaseline, Reader, SVDpp

MODELS = {
    "BaselineOnly": lambda: BaselineOnly(verbose=False),
    "SVD": lambda: SVD(random_state=0),
    "SVDpp": lambda: SVDpp(random_state=0),
    "KNNBaseline": lambda: KNNBaseline(
        sim_options={"name": "pearson_baseline", "user_based": False}, verbose=False
    ),
}


def main():
    name, ratings, out = sys.argv[1:]
    with np.load(ratings) as file:
        users, items, values, folds = (file[key] for key in ("users", "items", "values", "folds"))
    data = Dataset(Reader(rating_scale=(values.min(), values.max())))
    found, seconds = np.full(len(values), np.nan), []
    for fold in np.unique(folds[folds >= 0]):
        held = np.flatnonzero(folds == fold)
        shown = folds != fold
        parts = (users[shown].tolist(), items[shown].tolist(), values[shown].tolist())
        rows = [(user, item, value, None) for user, item, value in zip(*parts)]
        start = time.process_time()
        trained = data.construct_trainset(rows)
        model = MODELS[name]().fit(trained)
        found[held] = [model.predict(int(users[n]), int(items[n])).est for n in held]
        seconds.append(time.process_time() - start)
    np.save(out, found)
    print("ROW", json.dumps({"version": surprise.__version__, "cpu_s": seconds}))


if __name__ == "__main__":
    main()
