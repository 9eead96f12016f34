"""ranx: dictionaries of strings, made into its own structures beforehand."""

from importlib.metadata import version

import numpy as np
from _metrics import few, lists, long_lists, run, targets, users
from ranx import Qrels, Run, evaluate

OURS = {
    "ndcg@10": "ndcg@10",
    "recall@10": "recall@10",
    "precision@10": "precision@10",
    "f1@10": "f1@10",
    "hit_rate@10": "hit_rate@10",
    "mrr@10": "mrr@10",
    "uncapped_map@10": "map@10",
}


def structures(rows, found):
    # Zero-padded names: ranx orders queries by name, and so they keep the order of rows.
    truth = {f"{u:08d}": {str(i): 1 for i in targets(u)} for u in rows}
    answer = {
        f"{u:08d}": {str(i): float(len(found[u]) - r) for r, i in enumerate(found[u])} for u in rows
    }
    return Qrels(truth), Run(answer)


def others(ready):
    def per_user(pair, name):
        return np.asarray(evaluate(*pair, name, return_mean=False))

    found = {ours: per_user(ready, theirs) for ours, theirs in OURS.items()}
    found["r_precision"] = per_user(structures(few, long_lists), "r-precision")
    found["map@10 | sum divided by n, not by min(k, n)"] = found["uncapped_map@10"]
    return found


run(
    "ranx",
    version("ranx"),
    lambda: structures(users, lists),
    lambda ready: evaluate(*ready, ["ndcg@10", "recall@10", "map@10"]),
    others,
)
