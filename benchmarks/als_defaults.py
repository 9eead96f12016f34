"""How the defaults of ALSRecommender were chosen, and what they do on test parts beside those of before.

    python benchmarks/als_defaults.py
    python benchmarks/als_defaults.py --test

Without ``--test``: nDCG@10 on validation parts hidden inside the training parts (random 80/20 per user, seeds 1 and 0)
of MovieLens-1M as ones and Online Retail as counts and as ones, and of parts of them with fewer users, only those of
short rows, or fewer interactions. A column is a factor c of the penalty ``c (w_0 + confidence mean) (sqrt(n / n_U) +
sqrt(n / n_I))``, of which "auto" is the half. With it: the test parts, each once, at the defaults of before and of now,
with the paired 95 % bootstrap interval over users of the gain. Online Retail as counts; the other data as ones; Video
Games ranked for 10,000 users drawn at random. Whole catalogue, seen items left out, binary relevance.
"""

import argparse
from itertools import product

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, amazon_games, latest_small, movielens_1m, random_split

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k

# What the defaults were.
BEFORE = {"confidence": 2.0, "regularization": 40.0, "frequency_exponent": 0.0}
FACTORS = (0.4, 0.5, 0.6)


def online_retail(_):
    return load_online_retail().interactions


def ones(X):
    return sp.csr_array((np.ones(X.nnz, np.float32), X.indices, X.indptr), shape=X.shape)


def values(X):
    return sp.csr_array((X.data.astype(np.float32), X.indices, X.indptr), shape=X.shape)


def every(X):
    return X


def some(share):
    """A share of the users, drawn at random."""
    return lambda X: X[
        np.sort(np.random.default_rng(5).permutation(X.shape[0])[: round(share * X.shape[0])])
    ]


def short(most):
    """The users of 3 to `most` interactions in the training part."""
    return lambda X: X[np.flatnonzero((np.diff(X.indptr) <= most) & (np.diff(X.indptr) >= 3))]


def thin(share):
    """A share of everyone's interactions, drawn at random."""
    return lambda X: random_split(X, seed=5, test=1 - share)[0]


VALIDATION = {
    "MovieLens-1M": (movielens_1m, ones, every),
    "MovieLens-1M, a tenth of the users": (movielens_1m, ones, some(0.1)),
    "MovieLens-1M, rows up to 40": (movielens_1m, ones, short(40)),
    "MovieLens-1M, a quarter of the interactions": (movielens_1m, ones, thin(0.25)),
    "Online Retail": (online_retail, values, every),
    "Online Retail, rows up to 40": (online_retail, values, short(40)),
    "Online Retail as ones": (online_retail, ones, every),
    "Online Retail as ones, .15 of the users": (online_retail, ones, some(0.15)),
    "Online Retail as ones, rows up to 40": (online_retail, ones, short(40)),
    "Online Retail as ones, rows up to 12": (online_retail, ones, short(12)),
    "Online Retail as ones, a quarter of the interactions": (online_retail, ones, thin(0.25)),
}
TEST = {
    "MovieLens-1M": (movielens_1m, ones),
    "Online Retail": (online_retail, values),
    "ML-latest-small": (latest_small, ones),
    "Video Games 2018": (amazon_games, ones),
}


def gains(settings, train, test, rows):
    """nDCG@10 of each of `rows` that has a target, and the model."""
    model = ALSRecommender(random_state=0, **settings).fit(train)
    found = ndcg_at_k(test[rows], model.recommend(train[rows], 10)[0], k=10, per_user=True)
    return found[np.isfinite(found)], model


def validation(folder, names):
    columns = ["data", "before", "exponent", "confidence", *(f"c = {c}" for c in FACTORS)]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for name in names:
        read, as_values, part = VALIDATION[name]
        inner, valid = (
            as_values(X) for X in random_split(part(random_split(read(folder))[0]), seed=1)
        )
        rows = np.arange(inner.shape[0])
        before, _ = gains(BEFORE, inner, valid, rows)
        for exponent, confidence in product((0.0, 1.0), (2.0, 4.0, 8.0)):
            shared = {"frequency_exponent": exponent, "confidence": confidence}
            half = ALSRecommender(1, max_iter=1, random_state=0, **shared).fit(inner)
            cells = []
            for factor in FACTORS:
                penalty = factor / 0.5 * half.regularization_
                found, _ = gains({**shared, "regularization": penalty}, inner, valid, rows)
                cells.append(f"{found.mean():.4f}")
            settings = f"{before.mean():.4f} | {exponent:g} | {confidence:g}"
            print(f"| {name} | {settings} | {' | '.join(cells)} |", flush=True)


def on_test(folder, names):
    print("| data | before | now | gain | penalty |\n|---|---|---|---|---|")
    for name in names:
        read, as_values = TEST[name]
        train, test = (as_values(X) for X in random_split(read(folder)))
        rows = np.sort(np.random.default_rng(0).permutation(train.shape[0])[:10_000])
        (before, _), (now, model) = (gains(s, train, test, rows) for s in (BEFORE, {}))
        low, high = bootstrap_interval(now - before, random_state=0)
        print(
            f"| {name} | {before.mean():.4f} | {now.mean():.4f} | {(now - before).mean():+.4f} "
            f"[{low:+.4f}, {high:+.4f}] | {model.regularization_:.1f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--test", action="store_true", help="read the test parts")
    parser.add_argument("--names", nargs="+", help="rows to compute, as the tables call them")
    args = parser.parse_args()
    known = TEST if args.test else VALIDATION
    if not known.keys() >= set(args.names or ()):
        parser.error(f"--names are among {list(known)}")
    (on_test if args.test else validation)(args.data, args.names or known)


if __name__ == "__main__":
    main()
