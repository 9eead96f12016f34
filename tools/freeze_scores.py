"""Freeze scores and lists of every recommender, and compare another version with them.

    python tools/freeze_scores.py save FILE.npz [--data FOLDER] [--models SASRec SequenceGRURecommender]
    python tools/freeze_scores.py compare FILE.npz [--data FOLDER] [--models SASRec SequenceGRURecommender] [--weights]

Run `save` in a checkout of the old version and `compare` in the new one. Scores must agree to 1e-5 of the row's largest
absolute score in float32 and to 1e-9 in float64; lists may differ only among items closer than that. With --weights,
networks score with the weights that the old version had learned, where these have the same shapes. The data are the
shipped shop, generated interactions, and, with --data, MovieLens-latest-small from that folder.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _instances import instances

from sklearn_llmrec import Interactions
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.datasets import load_online_retail, make_interactions

N_ROWS = 40
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}


def data_sets(folder):
    """Yield (name, matrix): the densest 400 rows and 300 columns of each."""
    yield "generated", make_interactions(n_users=300, n_items=120, random_state=0).interactions
    yield "retail", _densest(load_online_retail().interactions)
    if folder:
        import pandas as pd

        log = pd.read_csv(next(Path(folder).rglob("ratings.csv*")))
        yield (
            "latest-small",
            _densest(
                Interactions.from_frame(
                    log, user="userId", item="movieId", value="rating", timestamp="timestamp"
                )
            ),
        )


def _densest(X):
    pattern = sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)
    columns = np.sort(np.argsort(-pattern.sum(axis=0), kind="stable")[:300])
    X = X[:, columns]
    rows = np.sort(np.argsort(-np.diff(X.indptr), kind="stable")[:400])
    return X[rows]


def weights_of(model):
    """Return the weights of a network by name; of another model none."""
    weights = getattr(model, "weights_", None)
    return weights if isinstance(weights, dict) else {}


def shapes(weights):
    """Return the shape of every array by name."""
    return {name: array.shape for name, array in weights.items()}


def answers(folder, models, earlier):
    """Yield (key, scores, items, list scores, weights) of every recommender that fits, or of those named.

    A network gets the weights in ``earlier[key]`` before it scores, if these have the same names and shapes.
    """
    for name, X in data_sets(folder):
        for dtype in ("float32", "float64"):
            given = X.astype(dtype)
            for model in instances():
                if not isinstance(model, BaseRecommender):
                    continue
                if models and type(model).__name__ not in models:
                    continue
                if "random_state" in model.get_params(deep=False):
                    model.set_params(random_state=0)
                key = f"{name}/{type(model).__name__}/{dtype}"
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        model.fit(given)
                        if key in earlier and shapes(earlier[key]) == shapes(weights_of(model)):
                            model.weights_ = earlier[key]
                        rows = given[:: max(1, given.shape[0] // N_ROWS)][:N_ROWS]
                        items, values = model.recommend(rows, k=10)
                        yield key, model.predict(rows), items, values, weights_of(model)
                except ValueError as error:
                    yield key, np.array(str(error)), np.empty(0), np.empty(0), {}


def save(path, folder, models):
    """Write all answers, and the weights of networks, to one file."""
    arrays = {}
    for key, scores, items, values, weights in answers(folder, models, {}):
        arrays |= {f"{key}/scores": scores, f"{key}/items": items, f"{key}/values": values}
        arrays |= {f"{key}/weights/{name}": array for name, array in weights.items()}
        print(key, flush=True)
    np.savez_compressed(path, **arrays)


def compare(path, folder, models, with_weights):
    """Print every recommender whose answers differ; return how many."""
    frozen = np.load(path)
    n_bad, n_all = 0, 0
    earlier = {}
    for whole in frozen.files if with_weights else ():
        key, found, name = whole.partition("/weights/")
        if found:
            earlier.setdefault(key, {})[name] = frozen[whole]
    for key, scores, items, values, _ in answers(folder, models, earlier):
        if f"{key}/scores" not in frozen:
            print(f"{key}: not in the file")
            continue
        n_all += 1
        old = frozen[f"{key}/scores"]
        if scores.ndim == 0 or old.ndim == 0:
            if str(scores) != str(old):
                n_bad += 1
                print(
                    f"{key}: {old if old.ndim == 0 else 'fitted'} -> {scores if scores.ndim == 0 else 'fitted'}"
                )
            continue
        limit = TOLERANCE[key.rpartition("/")[2]]
        scale = np.abs(old).max(axis=1, keepdims=True)
        difference = float((np.abs(scores - old) / np.maximum(scale, 1e-30)).max())
        other = items != frozen[f"{key}/items"]
        gap = np.abs(values - frozen[f"{key}/values"]) / np.maximum(scale, 1e-30)
        with np.errstate(invalid="ignore"):
            wrong = int((other & ~(gap <= limit)).sum())
        if difference > limit or wrong:
            n_bad += 1
            print(
                f"{key}: scores differ by {difference:.1e}, {int(other.sum())} list entries, {wrong} not ties"
            )
    print(f"{n_all - n_bad} of {n_all} agree")
    return n_bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=["save", "compare"])
    parser.add_argument("file")
    parser.add_argument("--data", default=None)
    parser.add_argument("--models", nargs="+", help="names of classes; default: all")
    parser.add_argument("--weights", action="store_true", help="score with the weights in the file")
    options = parser.parse_args()
    if options.action == "save":
        save(options.file, options.data, options.models)
    elif compare(options.file, options.data, options.models, options.weights):
        sys.exit(1)
