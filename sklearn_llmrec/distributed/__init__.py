"""Fit on shards of users and recommend to them, in several processes or on several machines."""

from sklearn_llmrec.distributed._fit import fit_shards
from sklearn_llmrec.distributed._shards import EventShards, partition_events

__all__ = ["EventShards", "fit_shards", "partition_events"]
