"""Defaults beside the best of random settings, and popularity, on data that the defaults were not chosen on.

    python benchmarks/defaults.py --datasets latest-small games --models itemknn userknn slim als bpr ease --trials 20

All interactions as ones, split 80/20 at random per user (seed 0). The training part is split once more (seed 1): the
random settings of a model are compared on that validation part, the best of them is fitted on the whole training part
and read on the test part, as the defaults are. The figure is nDCG@10 over the whole catalogue, seen items left out,
binary relevance, over at most ``--users`` users drawn at random (fits see everyone). "distance" is the mean difference
of the defaults to the best setting, with a paired 95 % bootstrap interval over users; below zero the search won.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, amazon_games, latest_small, movielens_1m, random_split
from scipy.stats import loguniform, uniform
from sklearn.model_selection import ParameterSampler

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN
from sklearn_llmrec.decomposition import BPRRecommender
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE, SLIM, SparseEASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k

DATA = {"latest-small": latest_small, "games": amazon_games, "ml-1m": movielens_1m}


class LogInteger:
    """Whole numbers of equal probability per factor."""

    def __init__(self, low, high):
        self.law = loguniform(low, high + 1)

    def rvs(self, random_state=None):
        return int(self.law.rvs(random_state=random_state))


NEIGHBORS = {
    "n_neighbors": LogInteger(10, 1000),
    "metric": ["cosine", "jaccard"],
    "weighting": ["tfidf", "bm25", None],
    "shrinkage": [0.0, 1.0, 3.0, 10.0, 30.0, 100.0],
}
MODELS = {
    "itemknn": (ItemKNN(), NEIGHBORS),
    "userknn": (UserKNN(), NEIGHBORS),
    "ease": (
        EASE(),
        {
            "regularization": loguniform(1, 10_000),
            "dropout": uniform(0, 0.7),
            "max_self_weight": uniform(0, 0.7),
            "popularity_exponent": uniform(0, 0.2),
            "user_exponent": uniform(0, 1),
        },
    ),
    "sparse-ease": (
        SparseEASE(),
        {"regularization": loguniform(1, 10_000), "n_neighbors": LogInteger(30, 400)},
    ),
    "slim": (
        SLIM(),
        {
            "regularization": loguniform(1, 3000),
            "l1_regularization": loguniform(0.01, 10),
            "n_neighbors": LogInteger(30, 400),
        },
    ),
    "als": (
        ALSRecommender(random_state=0),
        {
            "n_components": LogInteger(16, 160),
            "confidence": loguniform(0.3, 40),
            "regularization": loguniform(0.3, 300),
            "frequency_exponent": [0.0, 0.5, 1.0],
        },
    ),
    "bpr": (
        BPRRecommender(random_state=0),
        {
            "n_components": LogInteger(16, 160),
            "learning_rate": loguniform(0.005, 0.3),
            "regularization": loguniform(1e-4, 0.1),
            "user_regularization": loguniform(0.003, 3),
            "max_iter": LogInteger(5, 60),
        },
    ),
}


def gains(model, train, test, rows):
    """nDCG@10 of each of `rows` that has a target."""
    lists, _ = model.fit(train).recommend(train[rows], 10)
    values = ndcg_at_k(test[rows], lists, k=10, per_user=True)
    return values[np.isfinite(values)]


def measured(name, trials, parts, rows):
    """One row of the table: the defaults, the best of `trials` settings, and the way between them."""
    model, space = MODELS[name]
    train, test, inner, valid = parts
    start = time.process_time()
    default = gains(model, train, test, rows)
    popular = gains(PopularityRecommender(), train, test, rows).mean()
    tried = []
    for setting in ParameterSampler(space, trials, random_state=0):
        score = gains(model.__class__(**{**model.get_params(), **setting}), inner, valid, rows)
        tried.append((float(score.mean()), setting))
        print(f"    {name} {score.mean():.4f} {setting}", flush=True)
    chosen = max(tried, key=lambda pair: pair[0])[1]
    best = gains(model.__class__(**{**model.get_params(), **chosen}), train, test, rows)
    low, high = bootstrap_interval(default - best, random_state=0)
    distance = (default - best).mean()
    return {
        "model": type(model).__name__,
        "settings": trials,
        "popularity": f"{popular:.4f}",
        "defaults": f"{default.mean():.4f}",
        "best setting": f"{best.mean():.4f}",
        "distance": f"{distance:+.4f} [{low:+.4f}, {high:+.4f}]",
        "chosen": ", ".join(
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in chosen.items()
        ),
        "cpu_s": round(time.process_time() - start),
    }


def table(rows):
    """The rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--datasets", nargs="+", choices=list(DATA), default=["latest-small"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="also append the rows, as JSON lines")
    args = parser.parse_args()
    rows = []
    for dataset in args.datasets:
        train, test = random_split(DATA[dataset](args.data))
        inner, valid = random_split(train, seed=1)
        parts = [
            sp.csr_array(
                (np.ones(part.nnz, np.float32), part.indices, part.indptr), shape=part.shape
            )
            for part in (train, test, inner, valid)
        ]
        users = np.random.default_rng(0).permutation(train.shape[0])[: args.users]
        for name in args.models:
            rows.append({"data": dataset, **measured(name, args.trials, parts, np.sort(users))})
            print(json.dumps(rows[-1]), flush=True)
            if args.out:
                with args.out.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
