"""The network of Mult-VAE and its loss. Imports torch: only imported where one is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_llmrec._kernels import entry_rows, normalize_rows
from sklearn_llmrec._networks import RowHoldout, Training, seeded, to_numpy
from sklearn_llmrec.decomposition._vae_scores import logits_of


class Autoencoder(nn.Module):
    """Encoder with two layers to the mean and spread of the latent factors, decoder with two to a logit per item."""

    def __init__(self, n_items: int, n_hidden: int, n_components: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        # The first layer as the vectors of the items, of which a row sums its own: rows stay sparse.
        self.item_vectors = nn.Parameter(torch.empty(n_items, n_hidden))
        self.item_bias = nn.Parameter(torch.zeros(n_hidden))
        self.mean = nn.Linear(n_hidden, n_components)
        self.spread = nn.Linear(n_hidden, n_components)
        self.decoder = nn.Linear(n_components, n_hidden)
        self.output = nn.Linear(n_hidden, n_items)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.xavier_normal_(weight)
            else:
                nn.init.normal_(weight, std=0.001)

    def forward(self, columns: Tensor, values: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of one draw for every row and the divergence of the row's distribution from the prior."""
        values = F.dropout(values, self.dropout, self.training)
        summed = F.embedding_bag(
            columns, self.item_vectors, starts, mode="sum", per_sample_weights=values
        )
        hidden = torch.tanh(summed + self.item_bias)
        mean, log_variance = self.mean(hidden), self.spread(hidden)
        drawn = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return self.output(torch.tanh(self.decoder(drawn))), divergence


def new_network(
    n_items: int, n_hidden: int, n_components: int, dropout: float, seed: int
) -> Autoencoder:
    """Return a network whose first weights depend on the seed alone."""
    with seeded(seed):
        return Autoencoder(n_items, n_hidden, n_components, dropout)


def row_batches(
    X: sp.csr_array, batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[sp.csr_array, sp.csr_array]]:
    """Yield one epoch of batches: every non-empty row once, as it is and at unit length."""
    filled = rng.permutation(np.flatnonzero(np.diff(X.indptr)))
    for begin in range(0, len(filled), batch_size):
        rows = X[filled[begin : begin + batch_size]].astype(np.float32)
        yield rows, normalize_rows(rows)


@dataclass(kw_only=True)
class BoundTraining(Training):
    """Minimises the negative evidence lower bound, with a divergence that weighs more from step to step."""

    kl_weight: float
    # Steps until the divergence has its full weight, and those done.
    n_annealing: int
    n_steps: int = 0
    holdout: RowHoldout | None

    def validate(self, network: Any) -> float | None:
        """Return the nDCG@10 of the hidden items."""
        if self.holdout is None:
            return None
        return self.holdout.ndcg(partial(logits_of, to_numpy(network)))

    def loss_of(
        self, batch: tuple[sp.csr_array, sp.csr_array], rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """Return the mean bound over the rows of a batch and their number."""
        counts, unit = batch
        device = self.network.item_vectors.device
        columns = torch.from_numpy(counts.indices.astype(np.int64)).to(device)
        starts = torch.from_numpy(counts.indptr[:-1].astype(np.int64)).to(device)
        logits, divergence = self.network(columns, torch.from_numpy(unit.data).to(device), starts)
        rows = torch.from_numpy(entry_rows(counts)).to(device)
        chosen = torch.log_softmax(logits, dim=1)[rows, columns]
        surprise = -(chosen * torch.from_numpy(counts.data).to(device)).sum() / len(logits)
        weight = self.kl_weight * min(1.0, (self.n_steps + 1) / (self.n_annealing + 1))
        self.n_steps += 1
        return surprise + weight * divergence.mean(), len(logits)
