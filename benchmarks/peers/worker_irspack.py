"""irspack: dense score blocks from the library, ranked by numpy."""

import irspack
import numpy as np
from _run import THREADS, in_blocks, run
from irspack.recommenders import (
    CosineKNNRecommender,
    CosineUserKNNRecommender,
    DenseSLIMRecommender,
    IALSRecommender,
    RP3betaRecommender,
    SLIMRecommender,
)


def fit(job, X):
    model = {
        "itemknn-cosine": lambda: CosineKNNRecommender(
            X, normalize=True, top_k=100, n_threads=THREADS
        ),
        "userknn": lambda: CosineUserKNNRecommender(
            X, normalize=True, top_k=100, n_threads=THREADS
        ),
        "rp3beta": lambda: RP3betaRecommender(X, top_k=100, n_threads=THREADS),
        "ease-500": lambda: DenseSLIMRecommender(X, reg=500.0),
        "slim": lambda: SLIMRecommender(X, n_threads=THREADS, top_k=100),
        "als64": lambda: IALSRecommender(
            X,
            n_components=64,
            train_epochs=15,
            n_threads=THREADS,
            random_seed=0,
            alpha0=0.3,
            reg=0.003,
        ),
    }[job]()
    return model.learn()


def recommend(job, model, X):
    def block(start, stop):
        scores = np.asarray(model.get_score_remove_seen_block(start, stop))
        best = np.argpartition(scores, -10, axis=1)[:, -10:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)

    return in_blocks(X.shape[0], 1024, block)


if __name__ == "__main__":
    run("irspack", irspack.__version__, fit, recommend)
