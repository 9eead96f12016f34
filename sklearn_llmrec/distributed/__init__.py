"""Fit on shards of users, in several processes or on several machines."""

from sklearn_llmrec.distributed._fit import fit_shards

__all__ = ["fit_shards"]
