"""skrecsys: pairs in, lists of known users out."""

from importlib.metadata import version

import numpy as np
from _run import THREADS, run
from skrecsys.recommendation import (
    EASE,
    AlternatingLeastSquares,
    BayesianPersonalizedRanking,
    BM25Recommender,
    ItemKNNRecommender,
    RP3Beta,
    SLIMElasticNet,
)


def fit(job, X):
    rows = np.repeat(np.arange(X.shape[0], dtype=np.int64), np.diff(X.indptr))
    pairs = np.column_stack([rows, X.indices.astype(np.int64)])
    model = {
        "itemknn-cosine": lambda: ItemKNNRecommender(n_neighbors=100, n_jobs=THREADS),
        "itemknn": lambda: BM25Recommender(n_neighbors=100, n_jobs=THREADS),
        "rp3beta": lambda: RP3Beta(n_neighbors=100, n_jobs=THREADS),
        "ease": lambda: EASE(n_jobs=THREADS),
        "slim": lambda: SLIMElasticNet(n_neighbors=100, n_jobs=THREADS),
        "als64": lambda: AlternatingLeastSquares(n_factors=64, n_iter=15, random_state=0),
        "bpr64": lambda: BayesianPersonalizedRanking(n_factors=64, max_iter=10, random_state=0),
    }[job]()
    return model.fit(pairs)


def recommend(job, model, X):
    items = np.full((X.shape[0], 10), -1)
    items[model.user_ids_] = model.recommend(model.user_ids_, n_recommendations=10)[0]
    return items


if __name__ == "__main__":
    run("skrecsys", version("skrecsys"), fit, recommend)
