"""LensKit: collections of item lists."""

from importlib.metadata import version

import numpy as np
import pandas as pd
from _metrics import K, lists, pairs, run, test, users
from lenskit.data import ItemListCollection
from lenskit.metrics import NDCG, Hit, Precision, Recall, RecipRank, RunAnalysis
from lenskit.metrics.ranking import AveragePrecision


def analysed(ready, metrics):
    analysis = RunAnalysis()
    for name, metric in metrics.items():
        analysis.add_metric(metric, name)
    return analysis.measure(*ready)


def convert():
    held = test.tocoo()
    truth = pd.DataFrame({"user_id": held.row, "item_id": held.col})
    reco = pd.DataFrame(pairs(users, lists))
    return tuple(ItemListCollection.from_df(table, ["user_id"]) for table in (reco, truth))


def others(ready):
    metrics = {
        "capped_recall@10": Recall(K),
        "precision@10": Precision(K),
        "hit_rate@10": Hit(K),
        "mrr@10": RecipRank(K),
        "map@10": AveragePrecision(K),
        "ndcg@10": NDCG(K, discount=lambda rank: np.log2(rank + 1)),
        "ndcg@10 | default: first two places weigh the same": NDCG(K),
        "recall@10 | divides by min(k, n)": Recall(K),
    }
    values = analysed(ready, metrics).list_metrics()
    return {name: values[name].loc[users].to_numpy() for name in metrics}


run(
    "lenskit",
    version("lenskit"),
    convert,
    lambda ready: analysed(
        ready, {"n": NDCG(K), "r": Recall(K), "m": AveragePrecision(K)}
    ).list_summary(),
    others,
)
