"""nDCG@10 of the classical models at their defaults, or as printed, on four data sets.

    python benchmarks/classical_quality.py
    python benchmarks/classical_quality.py --datasets ml-1m --models "EASE()" --against "EASE(plain)"

MovieLens-1M: items with 5 or more ratings, all as ones. MovieLens-latest-small: the same items rule, ratings as values.
Online Retail: counts of invoice lines. Video Games 2018: ones. All split 80/20 at random per user (seed 0), models
fitted on the training part, users with targets (at most ``--users`` of them, drawn at random) ranked over the whole
catalogue, seen items left out, binary relevance, ties by lower column. One seed. "difference" is to the model of
``--against`` on the same data, with a paired 95 % bootstrap interval over users. CPU seconds are those of the fit. A
model that would take too long on a data set is named with its reason.
"""

import argparse
import time

import numpy as np
from _data import add_data_option, amazon_games, latest_small, movielens_1m, random_split

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.decomposition import (
    BPRRecommender,
    GloVeRecommender,
    Item2Vec,
    LightGCN,
    MultVAERecommender,
    NMFRecommender,
    PureSVD,
)
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE, SLIM, NaiveBayesRecommender, SparseEASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.neighbors import P3alpha, RP3beta
from sklearn_llmrec.sequence import MarkovRecommender, SequenceEASE, SequenceKNN, SessionKNN

DATA = {
    "ml-1m": movielens_1m,
    "latest-small": latest_small,
    "online-retail": lambda _: load_online_retail().interactions,
    "games": amazon_games,
}
PLAIN = {"dropout": 0, "max_self_weight": 0}
MODELS = {
    "PopularityRecommender()": PopularityRecommender(),
    "ItemKNN()": ItemKNN(),
    "UserKNN()": UserKNN(),
    "P3alpha()": P3alpha(),
    "RP3beta()": RP3beta(),
    "SLIM()": SLIM(),
    "EASE()": EASE(),
    # As published first, at 500, which was the default.
    "EASE(plain)": EASE(500, user_exponent=0, value_exponent=1, **PLAIN),
    "SparseEASE()": SparseEASE(),
    "SequenceEASE()": SequenceEASE(),
    "NaiveBayesRecommender()": NaiveBayesRecommender(),
    "MarkovRecommender()": MarkovRecommender(),
    "SequenceKNN()": SequenceKNN(),
    "SessionKNN()": SessionKNN(),
    "SequenceEASE(plain)": SequenceEASE(40.0, **PLAIN),
    "ALSRecommender(random_state=0)": ALSRecommender(random_state=0),
    "PureSVD(random_state=0)": PureSVD(random_state=0),
    "NMFRecommender(random_state=0)": NMFRecommender(random_state=0),
    "BPRRecommender(random_state=0)": BPRRecommender(random_state=0),
    "Item2Vec()": Item2Vec(),
    "GloVeRecommender(random_state=0)": GloVeRecommender(random_state=0),
    "MultVAERecommender(random_state=0)": MultVAERecommender(random_state=0),
    "LightGCN(random_state=0)": LightGCN(random_state=0),
    # As published first, with half of the default's epochs.
    "LightGCN(bpr)": LightGCN(64, loss="bpr", learning_rate=0.01, max_iter=100, random_state=0),
}
SKIPPED = {
    ("games", "MultVAERecommender(random_state=0)"): "hours of CPU time at 50,546 x 16,859",
    ("games", "LightGCN(bpr)"): "every batch propagates over the graph",
}


def qualities(model, train, test, rows):
    """Return nDCG@10 of each of `rows` and the CPU seconds of the fit."""
    start = time.process_time()
    model.fit(train)
    seconds = time.process_time() - start
    items, _ = model.recommend(train[rows], 10)
    return ndcg_at_k(test[rows], items, k=10, per_user=True), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--datasets", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--against", choices=list(MODELS), help="model to print differences to")
    parser.add_argument("--users", type=int, default=10_000)
    args = parser.parse_args()
    print("| model | data | nDCG@10 | difference | fit CPU s |\n|---|---|---|---|---|")
    for dataset in args.datasets:
        train, test = random_split(DATA[dataset](args.data))
        train = train.astype("float32")
        has_target = np.flatnonzero(np.diff(test.indptr))
        rows = np.sort(np.random.default_rng(0).permutation(has_target)[: args.users])
        base = qualities(MODELS[args.against], train, test, rows)[0] if args.against else None
        for name in args.models:
            if (dataset, name) in SKIPPED:
                print(f"| `{name}` | {dataset} | skipped: {SKIPPED[dataset, name]} | | |")
                continue
            values, seconds = qualities(MODELS[name], train, test, rows)
            difference = ""
            if base is not None:
                low, high = bootstrap_interval(values - base, random_state=0)
                difference = f"{(values - base).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            print(
                f"| `{name}` | {dataset} | {values.mean():.4f} | {difference} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
