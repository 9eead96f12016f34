"""Encode histories with sequence networks, train these and validate them. Imports torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_llmrec._networks._batches import Batch, history_batches
from sklearn_llmrec._networks._loop import Training
from sklearn_llmrec._networks._losses import Loss
from sklearn_llmrec.interactions import Sequences

_ENCODE_ROWS = 256


def encode(
    network: Any, sequences: Sequences, max_length: int, *, mask: bool, dtype: Any
) -> NDArray[Any]:
    """Return the output of the network after the last event of every row; zeros for empty rows."""
    device = next(network.parameters()).device
    vectors = np.zeros((len(sequences), network.item_vectors().shape[1]), dtype=dtype)
    if network.training:
        network.eval()  # it walks over all modules, which a single history should not wait for
    with torch.inference_mode():
        for rows, batch in history_batches(sequences, max_length, _ENCODE_ROWS, mask):
            lengths = torch.from_numpy(batch.lengths).to(device)
            outputs = network(torch.from_numpy(batch.inputs).to(device), lengths)
            last = outputs[torch.arange(len(rows), device=device), lengths - 1]
            vectors[rows] = last.cpu().numpy()
    return vectors


@dataclass
class Holdout:
    """Histories of some users and the items that came next."""

    histories: Sequences
    targets: NDArray[np.int64]
    exclude_seen: bool

    def score(self, network: Any, max_length: int, mask: bool) -> float:
        """Return the mean nDCG@10 of the ranking of the whole catalogue."""
        hidden = encode(network, self.histories, max_length, mask=mask, dtype=np.float32)
        with torch.inference_mode():
            vectors, intercepts = network.scoring()
            vectors = vectors.cpu().numpy()
            added = 0.0 if intercepts is None else intercepts.cpu().numpy()
        gain = 0.0
        size = max(1, 2**22 // len(vectors))
        for begin in range(0, len(hidden), size):
            rows = np.arange(begin, min(begin + size, len(hidden)))
            scores = hidden[rows] @ vectors.T + added
            if self.exclude_seen:
                seen = self.histories.take(rows)
                scores[seen.rows, seen.items] = -np.inf
            target_scores = scores[np.arange(len(rows)), self.targets[rows]][:, None]
            earlier = np.arange(len(vectors)) < self.targets[rows][:, None]
            rank = ((scores > target_scores) | ((scores == target_scores) & earlier)).sum(axis=1)
            gain += (1 / np.log2(rank[rank < 10] + 2)).sum()
        return gain / len(hidden)


@dataclass(kw_only=True)
class Trainer(Training):
    """A training that predicts the targets in windows of histories."""

    loss: Loss
    max_length: int
    mask: bool
    # Has `score(network, max_length, mask)`; a `Holdout`, or one of tokens.
    holdout: Any

    def validate(self, network: Any) -> float | None:
        """Return the validation score on the hidden events, or None without any."""
        if self.holdout is None:
            return None
        return float(self.holdout.score(network, self.max_length, self.mask))

    def loss_of(self, batch: Batch, rng: np.random.Generator) -> tuple[torch.Tensor, int]:
        """Return the mean loss over the targets of a batch and their number."""
        device = next(self.network.parameters()).device
        targets = torch.from_numpy(batch.targets).to(device)
        lengths = torch.from_numpy(batch.lengths).to(device)
        outputs = self.forward(torch.from_numpy(batch.inputs).to(device), lengths)
        wanted = targets >= 0
        vectors, intercepts = self.network.scoring()
        loss = self.loss(outputs[wanted], targets[wanted], vectors, intercepts, rng)
        return loss, int((batch.targets >= 0).sum())
