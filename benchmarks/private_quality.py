"""Measure nDCG@10 of private models against epsilon: means and spread over draws of the noise.

    python benchmarks/private_quality.py --figure docs/private_quality.png

ML-1M (random 80/20 per user), and 6,000 and 50,000 generated users over the same 1,000 items; user-level privacy at
delta 1e-5. Nothing is chosen here: all models have their defaults, but for three parameters of private
`ALSRecommender`. These and the constants in the models (share of the counts, number of items, penalty) were fixed on a
validation part: a fifth of the training part of ML-1M, hidden with another seed, with one draw of the noise, for
`ALSRecommender` three. The test part was never looked at, nor were the generated users.

With --results, what is measured is kept in a file, and what the file contains is not measured again.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from _data import add_data_option, movielens_1m, random_split

from sklearn_llmrec import EASE, ALSRecommender, ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.privacy import GaussianMechanism

EPSILONS = (1.0, 2.0, 5.0, 10.0, 20.0)
MODELS = {
    "EASE": EASE,
    "ItemKNN": ItemKNN,
    "ALSRecommender": lambda privacy: (
        ALSRecommender(random_state=0)
        if privacy is None
        else ALSRecommender(16, max_iter=3, confidence=1.0, random_state=0, privacy=privacy)
    ),
    "PopularityRecommender": PopularityRecommender,
}


def generated_users(n_users):
    # Topics and weights of the items are drawn before the users: equal for any number of these.
    data = make_interactions(n_users, 1000, random_state=0).interactions
    return data.astype(np.float32)


def measured(model, train, test):
    model.fit(train)
    # Rows are users of the fit: their own histories are the question, as in every table of known users.
    items, _ = model.recommend(train, k=10)
    return ndcg_at_k(test, items, k=10, seen=train)


def curves(train, test, n_draws, models, values, keep):
    """Measure what `values` lacks, by model and epsilon ("none" is without privacy), and print all."""
    for name in models:
        kind, of_model = MODELS[name], values.setdefault(name, {})
        for epsilon in ("none", *map(str, EPSILONS)):
            if epsilon not in of_model:
                private = epsilon != "none"
                of_model[epsilon] = [
                    measured(
                        kind(privacy=GaussianMechanism(float(epsilon), 1e-5) if private else None),
                        train,
                        test,
                    )
                    for _ in range(n_draws if private else 1)
                ]
                keep()
            draws = of_model[epsilon]
            spread = np.std(draws, ddof=1) if len(draws) > 1 else float("nan")
            print(f"| {name} | {epsilon} | {np.mean(draws):.3f} | {spread:.4f} |", flush=True)


def draw(found, models, path):
    """Draw a panel per data set: means against epsilon, and a dotted line for each model without privacy."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, all_axes = plt.subplots(
        1, len(found), figsize=(1 + 3.7 * len(found), 3.8), squeeze=False, sharey=True
    )
    for axes, (title, values) in zip(all_axes[0], found.items()):
        for name in models:
            draws = [values[name][str(epsilon)] for epsilon in EPSILONS]
            means, spread = np.mean(draws, axis=1), np.std(draws, axis=1)
            line = axes.errorbar(EPSILONS, means, spread, fmt="o-", capsize=2, label=name)
            color = line[0].get_color()
            axes.axhline(values[name]["none"][0], color=color, linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="epsilon (delta 1e-5)", title=title, ylim=(0, None))
        axes.set_xticks(EPSILONS, [f"{epsilon:g}" for epsilon in EPSILONS])
        axes.minorticks_off()
    all_axes[0, 0].set_ylabel("nDCG@10 (dotted: without privacy)")
    all_axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--results", type=Path, help="JSON file of what was measured")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument(
        "--users", type=int, nargs="*", default=[6000, 50_000], help="generated users"
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    args = parser.parse_args()
    sets = {"ML-1M": lambda: movielens_1m(args.data)}
    for n_users in args.users:
        sets[f"{n_users:,} generated users"] = partial(generated_users, n_users)
    found = {}
    if args.results and args.results.exists():
        found = json.loads(args.results.read_text())

    def keep():
        if args.results:
            args.results.write_text(json.dumps(found, indent=1))

    for title, load in sets.items():
        train, test = random_split(load(), seed=0)
        print(f"\n{title}, {train.shape[0]:,} x {train.shape[1]:,}\n")
        print(
            "| model | epsilon | nDCG@10, mean | standard deviation of draws |\n|---|---|---|---|"
        )
        values = found.setdefault(title, {})
        curves(train, test, args.draws, args.models, values, keep)
    if args.figure:
        draw({title: found[title] for title in sets}, args.models, args.figure)


if __name__ == "__main__":
    main()
