"""implicit, with its own recommend call."""

import implicit
import numpy as np
from _run import THREADS, run
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender


def fit(job, X):
    model = {
        "itemknn-cosine": lambda: CosineRecommender(K=100, num_threads=THREADS),
        "itemknn": lambda: BM25Recommender(K=100, num_threads=THREADS),
        "als64": lambda: AlternatingLeastSquares(
            factors=64, iterations=15, num_threads=THREADS, random_state=0
        ),
        "bpr64": lambda: BayesianPersonalizedRanking(
            factors=64, iterations=10, num_threads=1, random_state=0
        ),
    }[job]()
    model.fit(X, show_progress=False)
    return model


def recommend(job, model, X):
    return model.recommend(np.arange(X.shape[0]), X, N=10)[0]


if __name__ == "__main__":
    run("implicit", implicit.__version__, fit, recommend)
