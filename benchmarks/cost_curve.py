"""Seconds of fit and top 10 against the number of interactions, over a factor of 16, and the exponent of each curve.

    python benchmarks/cost_curve.py --figure docs/cost_curve.png

Users are added at 20 interactions each over 50,000 items (drawn by popularity, see `_data.popularity_matrix`). The
exponent is the slope of a straight line through the logarithms: 1 is linear.
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from _data import popularity_matrix

from sklearn_llmrec import ALSRecommender, ItemKNN
from sklearn_llmrec.neighbors import RP3beta

MODELS = {
    "ItemKNN": lambda: ItemKNN(100, shrinkage=0, n_jobs=2),
    "RP3beta": lambda: RP3beta(n_jobs=2),
    "ALSRecommender": lambda: ALSRecommender(random_state=0, n_jobs=2),
}


def cpu(call):
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--users", type=int, default=256_000, help="of the largest matrix")
    args = parser.parse_args()
    curves = {(name, part): [] for name in MODELS for part in ("fit", "top 10 of all users")}
    users = [args.users // 2**halvings for halvings in (4, 3, 2, 1, 0)]
    nnz = [20 * n for n in users]
    for n_users in users:
        X = popularity_matrix(
            n_users, 50_000, 20 * n_users, spread=1.0, least=2, most=3000, exponent=1.1, shift=50
        )
        for name, model in MODELS.items():
            fitted, seconds = cpu(lambda X=X, model=model: model().fit(X))
            curves[name, "fit"].append(seconds)
            _, seconds = cpu(lambda X=X, fitted=fitted: fitted.recommend(X))
            curves[name, "top 10 of all users"].append(seconds)
    print("| model | part | " + " | ".join(f"{n:,}" for n in nnz) + " | exponent |")
    print("|---" * (len(nnz) + 3) + "|")
    exponents = {key: np.polyfit(np.log(nnz), np.log(s), 1)[0] for key, s in curves.items()}
    for (name, part), seconds in curves.items():
        row = " | ".join(f"{s:.2f}" for s in seconds)
        print(f"| {name} | {part} | {row} | {exponents[name, part]:.2f} |", flush=True)
    if args.figure:
        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(6, 4))
        for (name, part), seconds in curves.items():
            style = "-" if part == "fit" else "--"
            label = f"{name}, {part} ({exponents[name, part]:.2f})"
            axes.loglog(nnz, seconds, style, marker=".", label=label)
        axes.set(xlabel="interactions", ylabel="CPU seconds")
        axes.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(args.figure, dpi=90)


if __name__ == "__main__":
    main()
