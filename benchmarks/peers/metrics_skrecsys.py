"""skrecsys: sets of held-out items and arrays of lists."""

from importlib.metadata import version

from _metrics import K, lists, popularity, run, targets, users
from skrecsys.metrics import (
    average_precision_at_k,
    catalog_coverage_at_k,
    hit_rate_at_k,
    mean_popularity_at_k,
    ndcg_at_k,
    novelty_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
    user_coverage_at_k,
)

OURS = {
    "ndcg@10": ndcg_at_k,
    "recall@10": recall_at_k,
    "precision@10": precision_at_k,
    "hit_rate@10": hit_rate_at_k,
    "mrr@10": reciprocal_rank_at_k,
    "map@10": average_precision_at_k,
}


def others(ready):
    found = {ours: theirs(*ready, k=K, average=None) for ours, theirs in OURS.items()}
    counts = dict(enumerate(popularity.astype(float).tolist()))
    found["popularity@10"] = mean_popularity_at_k(
        None, lists[users], k=K, item_popularity=counts, average=None
    )
    # Theirs are of the rows given: all users, as ours.
    found["item_coverage@10"] = catalog_coverage_at_k(
        None, lists, k=K, n_catalog_items=len(popularity)
    )
    found["user_coverage@10"] = user_coverage_at_k(None, lists, k=K)
    found["novelty@10 | chance in a random interaction, counts plus 1"] = novelty_at_k(
        None, lists[users], k=K, item_popularity=counts, average=None
    )
    return found


run(
    "skrecsys",
    version("skrecsys"),
    lambda: ([set(targets(u).tolist()) for u in users], lists[users]),
    lambda ready: [f(*ready, k=K) for f in (ndcg_at_k, recall_at_k, average_precision_at_k)],
    others,
)
