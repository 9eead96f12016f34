"""Compare recommenders on a shop's last two months: figures with intervals, tests, and four pictures.

Everybody is cut at one time: models see the purchases before it and must predict those after it. People buy again, so
two questions are asked: which new products will a customer buy, and which products at all. Takes less than a minute on
two cores. Run it from the root of the repository: ``python examples/compare_models.py``.
"""

import time

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN, recommend
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.inspection import (
    ExposureDisplay,
    MetricAtKDisplay,
    TradeOffDisplay,
    UserActivityDisplay,
)
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import compare, time_split
from sklearn_llmrec.preprocessing import BinarizeTransformer, Log1pTransformer

CUT = "2011-10-10"
MODELS = {
    "popularity": PopularityRecommender(),
    "item kNN": make_pipeline(Log1pTransformer(), ItemKNN(n_neighbors=100)),
    "user kNN": make_pipeline(BinarizeTransformer(), UserKNN(n_neighbors=300)),
    "EASE": make_pipeline(BinarizeTransformer(), EASE(regularization=300.0)),
    "ALS": make_pipeline(
        BinarizeTransformer(), ALSRecommender(n_components=32, regularization=10.0, random_state=0)
    ),
}


def main():
    start = time.perf_counter()
    X = load_online_retail(repeats="keep").interactions
    past, new = time_split(X, cut=CUT)
    _, again = time_split(X, cut=CUT, exclude_seen=False)
    print(
        f"{past.nnz} purchases before {CUT}; after it {new.nnz} of new products, {again.nnz} in all\n"
    )

    print("New products:")
    result = compare(MODELS, past, new, metrics=["ndcg@10", "recall@50", "item_coverage@10"])
    print(result)

    print("\nAny products, bought before or not:")
    fitted = result.estimators
    print(compare(fitted, past, again, metrics="ndcg@10", exclude_seen=False, prefit=True))

    lists = {name: recommend(model, past, k=50)[0] for name, model in fitted.items()}
    figure, axes = plt.subplots(2, 2, figsize=(12, 10), layout="constrained")
    MetricAtKDisplay.from_predictions(new, lists, ax=axes[0, 0])
    TradeOffDisplay.from_comparison(
        result, x_metric="item_coverage@10", y_metric="ndcg@10", ax=axes[0, 1]
    )
    UserActivityDisplay.from_predictions(new, lists, seen=past, ax=axes[1, 0])
    ExposureDisplay.from_predictions(lists, past.shape[1], ax=axes[1, 1])
    figure.savefig("compare_models.png", dpi=120)
    print(f"\nFigures: compare_models.png. {time.perf_counter() - start:.0f} s in all.")


if __name__ == "__main__":
    main()
