"""ALS that learns users in parts, by `partial_fit`, beside one fit on all of them.

    python benchmarks/als_parts.py

MovieLens-1M, items with 5 or more ratings, all as ones, split 80/20 at random per user (seed 0); nDCG@10 over the
whole catalogue, seen items left out, binary relevance, all users ranked. Users come in random order (seed 0), the
first of them in a fit, the others in equal parts. "follow" is a fit on each part alone that goes on from the items
there are (`warm_start`).
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, movielens_1m, random_split

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.metrics import ndcg_at_k

# The share of users in the first fit, and how many parts the others come in.
COURSES = [(0.95, 1), (0.5, 10), (0.5, 100)]


def learned(X, users, share, n_parts, way):
    """A model of the first users and then of the others, and the CPU seconds of the parts."""
    first, others = np.split(users, [round(share * len(users))])
    model = ALSRecommender(random_state=0, warm_start=way == "follow").fit(X[first])
    start = time.process_time()
    for part in np.array_split(others, n_parts) if way != "first only" else []:
        if way == "follow":
            model.fit(X[part])
        else:
            model.partial_fit(X[part])
    return model, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    args = parser.parse_args()
    train, test = (
        sp.csr_array(part.astype("float32")) for part in random_split(movielens_1m(args.data))
    )
    users = np.random.default_rng(0).permutation(train.shape[0])

    def quality(model):
        return ndcg_at_k(test, model.recommend(train, 10)[0], k=10)

    print("| first fit | parts | way | nDCG@10 | CPU s of the parts |\n|---|---|---|---|---|")
    print(f"| 100 % | | | {quality(ALSRecommender(random_state=0).fit(train)):.4f} | |", flush=True)
    for share, n_parts in COURSES:
        for way in ("first only", "follow", "partial_fit"):
            model, seconds = learned(train, users, share, n_parts, way)
            print(
                f"| {share:.0%} | {n_parts} | {way} | {quality(model):.4f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
