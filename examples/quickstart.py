"""Tune, compare and combine recommenders on a real shop, and read what they recommend.

The data are the invoices of a British gift shop, shipped with the package. The last fifth of all purchases is what the
recommenders must predict, from the earlier ones alone; what a customer had bought before does not count. Parameters are
chosen by plain GridSearchCV on a second cut inside the past. Under a cut in time what sells now counts: popularity of
the last days, a trend that reorders the lists of EASE, and a blend that gives new customers what is popular lately. Run
it from the root of the repository by ``make quickstart``.
"""

import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_llmrec import (
    ALSRecommender,
    FallbackRecommender,
    ItemKNN,
    TrendReranker,
    UserKNN,
    VotingRecommender,
    recommend,
)
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.inspection import MetricAtKDisplay
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import SameRows, compare, time_split
from sklearn_llmrec.preprocessing import BinarizeTransformer, BM25Transformer, Log1pTransformer

FIGURE = Path("quickstart.png")
N_JOBS = 2
DAY = 86_400  # times are unix seconds
HALF_LIVES = [1 * DAY, 3 * DAY, 7 * DAY, 14 * DAY]

# What each model is tuned over: the weighting of repeated purchases, and its own main parameters.
WEIGHTINGS = [BinarizeTransformer(), Log1pTransformer(), BM25Transformer()]
CANDIDATES = {
    "ItemKNN": (ItemKNN(n_jobs=N_JOBS), {"weighting": WEIGHTINGS, "model__n_neighbors": [20, 100]}),
    "UserKNN": (
        UserKNN(n_jobs=N_JOBS),
        {"weighting": WEIGHTINGS, "model__n_neighbors": [100, 500]},
    ),
    "EASE": (EASE(), {"weighting": WEIGHTINGS[:1], "model__regularization": ["auto", 50.0, 200.0]}),
    "ALS": (
        ALSRecommender(n_components=32, random_state=0, n_jobs=N_JOBS),
        {"weighting": WEIGHTINGS[:2], "model__regularization": ["auto", 10.0, 30.0]},
    ),
}


def tune(name, estimator, grid, X, y):
    """The best of a grid by nDCG@10 on what was hidden from X, unfitted."""
    start = time.perf_counter()
    search = GridSearchCV(
        estimator,
        grid,
        scoring=ranking_scorer("ndcg@10"),
        cv=SameRows(),
        refit=False,
        error_score="raise",
    ).fit(X, y)
    best = ", ".join(
        f"{key.removeprefix('model__')}={in_days(key, value)}"
        for key, value in search.best_params_.items()
    )
    print(
        f"  {name:9} {len(search.cv_results_['params'])} settings in {time.perf_counter() - start:5.1f} s, "
        f"best {search.best_score_:.4f} with {best}",
        flush=True,
    )
    return clone(estimator).set_params(**search.best_params_)


def in_days(key, value):
    return f"{value / DAY:g} days" if key.endswith("half_life") else value


def in_words(columns, items):
    return [items["description"][column].strip().lower() for column in columns]


def show_customer(row, model, X, y, items):
    """What a customer bought, what is recommended, and which of it was bought later."""
    history = X[[row]]
    latest = np.argsort(-history.timestamps, kind="stable")
    seen = list(dict.fromkeys(history.indices[latest].tolist()))
    later = set(y[[row]].indices.tolist())
    recommended, _ = recommend(model, history, k=10)
    print(
        f"\nCustomer {X.user_ids[row]}: {len(seen)} products before the cut, {len(later)} new ones after it"
    )
    left = in_words(seen[:10], items)
    right = [
        ("* " if column in later else "  ") + words
        for column, words in zip(
            recommended[0].tolist(), in_words(recommended[0], items), strict=True
        )
    ]
    print(f"  {'bought (latest first)':38}  recommended (* = bought after the cut)")
    for number in range(10):
        print(f"  {left[number] if number < len(left) else '':38.38}  {right[number]}")


def draw(fitted, X, y):
    """Draw nDCG and recall against the length of the list, with a sentence on what is ideal."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for axis, metric in zip(axes, ("ndcg", "recall"), strict=True):
        MetricAtKDisplay.from_estimator(
            fitted, X, y, metric=metric, ks=(1, 2, 5, 10, 20, 50), ax=axis
        )
    axes[1].get_legend().remove()
    axes[0].set_title("nDCG: 1 if what is bought later comes first in the list", fontsize=10)
    axes[1].set_title("Recall: share of what is bought later that is in the list", fontsize=10)
    figure.suptitle("Customers of a gift shop, purchases of the last fifth of a year")
    figure.savefig(FIGURE, dpi=150)


def main():
    start = time.perf_counter()
    data = load_online_retail(repeats="keep")
    items = data["items"]
    # float32 halves the memory and the time of every model, and stays float32 throughout.
    past, future = time_split(data.interactions.astype("float32"), test_size=0.2)
    fit, validation = time_split(past, test_size=0.2)
    print(
        f"{data.interactions.shape[0]} customers, {data.interactions.shape[1]} products; {past.nnz} purchases before "
        f"the cut, {future.nnz} pairs of customer and new product after it\n\nTuning (nDCG@10 on a cut in the past):"
    )
    recent = tune("recent", PopularityRecommender(), {"half_life": HALF_LIVES}, fit, validation)
    models = {"popularity": PopularityRecommender(), "recent popularity": recent}
    for name, (model, grid) in CANDIDATES.items():
        pipeline = Pipeline([("weighting", BinarizeTransformer()), ("model", model)])
        models[name] = tune(name, pipeline, grid, fit, validation)
    vote = VotingRecommender([(name, models[name]) for name in CANDIDATES])
    models["vote"] = tune("vote", vote, {"weights": [[1, 1, 1, 1], [1, 1, 2, 2]]}, fit, validation)
    trend = TrendReranker(models["EASE"], half_life=DAY)
    grid = {"half_life": HALF_LIVES[1:], "exponent": [0.5, 1.0]}
    models["EASE, trend"] = tune("trend", trend, grid, fit, validation)
    # The vote with the same trend for customers with a history, recent popularity for new ones.
    vote_with_trend = clone(models["EASE, trend"]).set_params(estimator=models["vote"])
    models["blend"] = FallbackRecommender([("known", vote_with_trend), ("new", recent)])

    result = compare(models, past, future, metrics=["ndcg@10", "recall@10"], random_state=0)
    fitted = result.estimators
    rng = np.random.default_rng(0)
    bought = np.diff(past.indptr)
    known = np.flatnonzero((bought >= 20) & (bought <= 120) & (np.diff(future.indptr) >= 10))
    for row in rng.choice(known, 3, replace=False):
        show_customer(row, fitted["blend"], past, future, items)

    print("\nOn what came after the cut (mean over customers, 95 % bootstrap intervals):")
    print(result, flush=True)
    draw(fitted, past, future)
    print(
        f"\nnDCG and recall at every length of list: {FIGURE}. {time.perf_counter() - start:.0f} s in all."
    )


if __name__ == "__main__":
    warnings.simplefilter("default")
    main()
