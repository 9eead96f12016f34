"""Is the learned vote ever below its best member? Four data sets, three splits each, defaults of the vote.

    python benchmarks/vote_guard.py [--data-sets ml-1m retail] [--splits random latest time] [--max-hidden 5 0]

nDCG@10, full ranking over the catalogue, seen items left out, binary relevance, ties by lower column, members at their
defaults on ones. random: a fifth of every user's entries. latest: the last basket of every user (entries of one time).
time: one cut for all, the latest fifth of all events; only users with history before it count, since all others get the
list of a fallback.
There, weights are learned by `holdout="time"`.
The best member is chosen on the test, in its favour. The gain is the mean difference per user to it, with a 95 %
bootstrap interval over users. A cell fails if the gain is below -.002 or its interval is below zero; the last line says
how many do.

ml-1m: items with 5 or more ratings; its times are positions in a user's sequence, so the cut in time is made in the
ratings of users 1 to 2,999, whose unix times are known. retail: a customer and a product are one entry, at the latest
purchase. games: 10,000 users are ranked (all are fitted); it has no times, so no cut. --max-hidden 0 sets no limit.
"""

import argparse
import resource
import time

import _data
import numpy as np
from _members import Remembered, of_ones

from sklearn_llmrec import ALSRecommender, ItemKNN, VotingRecommender, recommend
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE, SparseEASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.model_selection import leave_last_out, time_split
from sklearn_llmrec.sequence import SequenceKNN

DAY = 86_400
RANKED_USERS = 10_000
DATA = {
    "ml-1m": _data.movielens_1m,
    "latest-small": _data.latest_small,
    "retail": lambda _: load_online_retail().interactions,
    "games": _data.amazon_games,
}
SPLITS = {
    "random": _data.random_split,
    "latest": leave_last_out,
    "time": lambda X: time_split(X, test_size=0.2),
}


def loaded(name, split, root):
    """Ones with times, or None where the data have no times to cut at."""
    if split == "time" and name == "games":
        return None
    read = _data.movielens_1m_ratings if (name, split) == ("ml-1m", "time") else DATA[name]
    X = read(root).astype(np.float32)
    X.data[:] = 1
    return X


def members(name, split):
    """Cheap members, each strong somewhere; models of order where what comes next is asked for."""
    linear = SparseEASE(50.0, n_neighbors=100) if name == "games" else EASE()
    result = [
        ("ease", of_ones(linear)),
        ("itemknn", of_ones(ItemKNN())),
        ("als", of_ones(ALSRecommender(random_state=0))),
        ("popularity", PopularityRecommender(half_life=7 * DAY if split == "time" else None)),
    ]
    return result if split == "random" else [*result, ("sequence", SequenceKNN())]


def per_user(model, train, test):
    items, _ = recommend(model, train, 10)
    values = ndcg_at_k(test, items, k=10, seen=train, per_user=True)
    return values[np.isfinite(values)]


def cell(name, split, X, limits):
    """Print the row of each setting of one data set and split, and return how many fail."""
    Remembered.fits.clear()
    train, test = SPLITS[split](X)
    ranked = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(test.indptr) > 0))
    if len(ranked) > RANKED_USERS:
        ranked = np.sort(np.random.default_rng(0).choice(ranked, RANKED_USERS, replace=False))
    shown, targets = train[ranked], test[ranked]
    named = [(own, Remembered(model)) for own, model in members(name, split)]
    figures = {own: per_user(model.fit(train), shown, targets) for own, model in named}
    best = max(figures, key=lambda own: figures[own].mean())
    said = " ".join(f"{own} {values.mean():.4f}" for own, values in figures.items())
    equal = per_user(VotingRecommender(named).fit(train), shown, targets).mean()
    failures = 0
    for limit in limits:
        begin = time.process_time()
        vote = VotingRecommender(
            named,
            weights="learn",
            max_hidden=limit or None,
            holdout="time" if split == "time" else "auto",
        ).fit(train)
        seconds = time.process_time() - begin
        gain = per_user(vote, shown, targets) - figures[best]
        low, high = bootstrap_interval(gain, random_state=0)
        failed = gain.mean() < -0.002 or high < 0
        failures += failed
        weights = " ".join(f"{weight:.2f}" for weight in vote.weights_)
        print(
            f"| {name} | {split} | {len(ranked)} | {said} | {equal:.4f} | {limit or 'no'} | "
            f"{figures[best].mean() + gain.mean():.4f} | {gain.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            f"{' FAILS' if failed else ''} | {weights} | {seconds:.0f} |",
            flush=True,
        )
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _data.add_data_option(parser)
    parser.add_argument("--data-sets", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    default = VotingRecommender([]).max_hidden
    parser.add_argument("--max-hidden", nargs="+", type=int, default=[default])
    arguments = parser.parse_args()
    print(
        "| data | split | users | members | vote, equal | hidden at most | vote, learned | gain | weights | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    failures = 0
    for name in arguments.data_sets:
        for split in arguments.splits:
            X = loaded(name, split, arguments.data)
            if X is not None:
                failures += cell(name, split, X, arguments.max_hidden)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{failures} fail; peak {memory:.0f} MB")


if __name__ == "__main__":
    main()
