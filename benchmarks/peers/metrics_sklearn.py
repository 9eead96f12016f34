"""scikit-learn: dense targets and scores; the lists as scores that fall from 10 to 1."""

import numpy as np
import sklearn
from _metrics import lists, run, test, users
from sklearn.metrics import ndcg_score


def convert():
    scores = np.zeros(test.shape)
    np.put_along_axis(scores, lists, np.arange(lists.shape[1], 0, -1.0), axis=1)
    return test[users].toarray(), scores[users]


def others(ready):
    # It gives the mean only, so one call per user.
    y, scores = ready
    per_user = [
        ndcg_score(y[row : row + 1], scores[row : row + 1], k=10, ignore_ties=True)
        for row in range(len(y))
    ]
    return {"ndcg@10": np.array(per_user)}


run(
    "sklearn",
    sklearn.__version__,
    convert,
    lambda ready: ndcg_score(*ready, k=10, ignore_ties=True),  # nDCG only: it has no other
    others,
)
