"""Fit on shards of users, in several processes or on several machines, or with clients who keep their rows."""

from sklearn_llmrec.distributed._federated import (
    FederatedClient,
    FederatedRequest,
    FederatedResult,
    fit_federated,
)
from sklearn_llmrec.distributed._fit import fit_shards

__all__ = ["FederatedClient", "FederatedRequest", "FederatedResult", "fit_federated", "fit_shards"]
