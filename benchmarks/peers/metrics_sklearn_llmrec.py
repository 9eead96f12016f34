"""sklearn_llmrec: arrays as they are."""

import scipy.sparse as sp
from _metrics import few, lists, long_lists, popularity, run, test, train, users

import sklearn_llmrec
from sklearn_llmrec.metrics import get_ranking_scorer_names, ranking_metrics

y = sp.csr_array(test)
ONE_NUMBER = ("gini@10", "entropy@10", "item_coverage@10", "user_coverage@10")
NEEDS_FEATURES = ("diversity@k", "miscalibration@k", "auc", "r_precision")


def others(_):
    names = [
        name.replace("@k", "@10")
        for name in get_ranking_scorer_names()
        if name not in NEEDS_FEATURES
    ]
    options = {"popularity": popularity, "n_users": train.shape[0], "seen": sp.csr_array(train)}
    per_user = [name for name in names if name not in ONE_NUMBER]
    found = ranking_metrics(y, lists, per_user, per_user=True, **options)
    found = {name: values[users] for name, values in found.items()}
    found |= ranking_metrics(y, lists, list(ONE_NUMBER), **options)
    whole = ranking_metrics(y[: len(long_lists)], long_lists, "r_precision", per_user=True)
    found["r_precision"] = whole["r_precision"][few]
    return found


run(
    "sklearn_llmrec",
    sklearn_llmrec.__version__,
    lambda: None,
    lambda _: ranking_metrics(y, lists, ["ndcg@10", "recall@10", "map@10"]),
    others,
)
