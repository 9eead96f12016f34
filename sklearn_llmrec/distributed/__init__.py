"""Fit and recommend on shards of users, in several processes or machines, or fit with clients who keep their rows."""

from sklearn_llmrec.distributed._federated import (
    FederatedClient,
    FederatedRequest,
    FederatedResult,
    fit_federated,
)
from sklearn_llmrec.distributed._fit import fit_shards
from sklearn_llmrec.distributed._recommend import (
    RecommendTask,
    ShardsReport,
    iter_recommend,
    recommend_shards,
)
from sklearn_llmrec.distributed._shards import EventShards, partition_events

__all__ = [
    "EventShards",
    "FederatedClient",
    "FederatedRequest",
    "FederatedResult",
    "RecommendTask",
    "ShardsReport",
    "fit_federated",
    "fit_shards",
    "iter_recommend",
    "partition_events",
    "recommend_shards",
]
