"""RecTools: long tables of users, items and ranks."""

import numpy as np
import pandas as pd
import rectools
from _metrics import K, lists, pairs, popularity, run, test, train, users
from rectools.metrics import (
    MAP,
    MRR,
    NDCG,
    AvgRecPopularity,
    CatalogCoverage,
    F1Beta,
    HitRate,
    MeanInvUserFreq,
    Precision,
    Recall,
    Serendipity,
    calc_metrics,
)


def long(M):
    M = M.tocoo()
    return pd.DataFrame({"user_id": M.row, "item_id": M.col})


def others(ready):
    reco, truth = ready
    previous, catalog = long(train), np.arange(train.shape[1])

    def per_user(metric, *given):
        return metric.calc_per_user(reco, *given).loc[users].to_numpy()

    return {
        "recall@10": per_user(Recall(k=K), truth),
        "precision@10": per_user(Precision(k=K), truth),
        "capped_recall@10": per_user(Precision(k=K, r_precision=True), truth),
        "hit_rate@10": per_user(HitRate(k=K), truth),
        "f1@10": per_user(F1Beta(k=K), truth),
        "mrr@10": per_user(MRR(k=K), truth),
        "ndcg@10": per_user(NDCG(k=K, divide_by_achievable=True), truth),
        "uncapped_map@10": per_user(MAP(k=K), truth),
        "novelty@10": per_user(MeanInvUserFreq(k=K), previous),
        "popularity@10": per_user(AvgRecPopularity(k=K), previous),
        "item_coverage@10": CatalogCoverage(k=K, normalize=True).calc(reco, catalog),
        "ndcg@10 | default: ideal list of k hits even where n < k": per_user(NDCG(k=K), truth),
        "map@10 | default: sum divided by n": per_user(MAP(k=K), truth),
        "map@10 | divide_by_k: sum divided by k": per_user(MAP(k=K, divide_by_k=True), truth),
        "serendipity@10 | ranks of relevance less ranks of popularity": per_user(
            Serendipity(k=K), truth, previous, catalog
        ),
    }


assert popularity.sum() == train.nnz
run(
    "rectools",
    rectools.__version__,
    lambda: (pd.DataFrame(pairs(users, lists)), long(test)),
    lambda ready: calc_metrics({"n": NDCG(k=K), "r": Recall(k=K), "m": MAP(k=K)}, *ready),
    others,
)
