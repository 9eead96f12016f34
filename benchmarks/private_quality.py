"""Measure nDCG@10 of private models against epsilon: means and spread over draws of the noise.

    python benchmarks/private_quality.py --figure docs/private_quality.png

ML-1M (random 80/20 per user) and 50,000 generated users over 1,000 items; user-level privacy at delta 1e-5. Nothing is
chosen here: all models have their defaults. The constants in them (share of the counts, number of items, penalty) were
fixed on a validation part: a fifth of the training part of ML-1M, hidden with another seed, with one draw of the noise.
The test part was never looked at, nor were the generated users.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from _data import add_data_option, movielens_1m, random_split

from sklearn_llmrec import EASE, ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.privacy import GaussianMechanism

EPSILONS = (1.0, 2.0, 5.0, 10.0)
MODELS = {"EASE": EASE, "ItemKNN": ItemKNN, "PopularityRecommender": PopularityRecommender}


def generated_users(n_users):
    data = make_interactions(n_users, 1000, random_state=0).interactions
    return data.astype(np.float32)


def measured(model, train, test):
    model.fit(train)
    # Rows are users of the fit: their own histories are the question, as in every table of known users.
    items, _ = model.recommend(train, k=10)
    return ndcg_at_k(test, items, k=10, seen=train)


def curves(train, test, n_draws, models):
    values = {}
    for name in models:
        kind = MODELS[name]
        values[name, None] = [measured(kind(), train, test)]
        print(f"| {name} | none | {values[name, None][0]:.3f} | |", flush=True)
        for epsilon in EPSILONS:
            draws = [
                measured(kind(privacy=GaussianMechanism(epsilon, 1e-5)), train, test)
                for _ in range(n_draws)
            ]
            values[name, epsilon] = draws
            spread = np.std(draws, ddof=1) if n_draws > 1 else float("nan")
            print(f"| {name} | {epsilon:g} | {np.mean(draws):.3f} | {spread:.4f} |", flush=True)
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--users", type=int, default=50_000, help="generated users")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    args = parser.parse_args()
    sets = {"ML-1M": lambda: movielens_1m(args.data)}
    sets[f"{args.users:,} generated users"] = lambda: generated_users(args.users)
    found = {}
    for title, load in sets.items():
        train, test = random_split(load(), seed=0)
        print(f"\n{title}, {train.shape[0]:,} x {train.shape[1]:,}\n")
        print(
            "| model | epsilon | nDCG@10, mean | standard deviation of draws |\n|---|---|---|---|"
        )
        found[title] = curves(train, test, args.draws, args.models)
    if args.figure:
        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, all_axes = plt.subplots(1, len(found), figsize=(9, 3.8))
        for axes, (title, values) in zip(all_axes, found.items()):
            for name in args.models:
                means = [np.mean(values[name, epsilon]) for epsilon in EPSILONS]
                spread = [np.std(values[name, epsilon]) for epsilon in EPSILONS]
                line = axes.errorbar(EPSILONS, means, spread, fmt="o-", capsize=2, label=name)
                color = line[0].get_color()
                axes.axhline(values[name, None][0], color=color, linestyle=":", linewidth=1)
            axes.set(xscale="log", xlabel="epsilon (delta 1e-5)", title=title, ylim=(0, None))
            axes.set_xticks(EPSILONS, [f"{epsilon:g}" for epsilon in EPSILONS])
            axes.minorticks_off()
        all_axes[0].set_ylabel("nDCG@10 (dotted: without privacy)")
        all_axes[0].legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(args.figure, dpi=100)


if __name__ == "__main__":
    main()
