"""Train neural networks: the loop, losses, batches and the base classes that all trained models share."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from sklearn_llmrec._networks._batches import (
    Batch,
    bucketed,
    gather,
    masked_batches,
    next_item_batches,
)
from sklearn_llmrec._networks._parameters import STOPPING_CONSTRAINTS
from sklearn_llmrec._networks._row_holdout import RowHoldout
from sklearn_llmrec._networks._row_network import RowNetworkRecommender
from sklearn_llmrec._networks._sequence_network import TrainedOnSequences

if TYPE_CHECKING:
    from sklearn_llmrec._networks._loop import (
        Progress,
        Training,
        choose_device,
        from_numpy,
        kept_network,
        print_epoch,
        seeded,
        to_numpy,
    )
    from sklearn_llmrec._networks._losses import Loss
    from sklearn_llmrec._networks._sequence_training import Holdout, Trainer, encode

__all__ = [
    "STOPPING_CONSTRAINTS",
    "Batch",
    "Holdout",
    "Loss",
    "Progress",
    "RowHoldout",
    "RowNetworkRecommender",
    "TrainedOnSequences",
    "Trainer",
    "Training",
    "bucketed",
    "choose_device",
    "encode",
    "from_numpy",
    "gather",
    "kept_network",
    "masked_batches",
    "next_item_batches",
    "print_epoch",
    "seeded",
    "to_numpy",
]

_LAZY = {
    "Holdout": "_sequence_training",
    "Loss": "_losses",
    "Progress": "_loop",
    "Trainer": "_sequence_training",
    "Training": "_loop",
    "choose_device": "_loop",
    "encode": "_sequence_training",
    "from_numpy": "_loop",
    "kept_network": "_loop",
    "print_epoch": "_loop",
    "seeded": "_loop",
    "to_numpy": "_loop",
}


def __getattr__(name: str) -> Any:
    # These modules import torch.
    if name in _LAZY:
        return getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
