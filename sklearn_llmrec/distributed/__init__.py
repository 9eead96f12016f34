"""Fit on shards of users and recommend to them, in several processes or on several machines."""

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
    "RecommendTask",
    "ShardsReport",
    "fit_shards",
    "iter_recommend",
    "partition_events",
    "recommend_shards",
]
