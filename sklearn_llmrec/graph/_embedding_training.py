"""The network of knowledge graph embeddings and its loss. Imports torch: only imported where one is trained."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_llmrec._networks import Training, seeded
from sklearn_llmrec.graph._link_prediction import queries

Batch = NDArray[np.int64]


class EmbeddingNetwork(nn.Module):
    """Vectors of entities and relations."""

    def __init__(self, kind: str, n_entities: int, n_relations: int, n_components: int) -> None:
        super().__init__()
        self.kind = kind
        scale = n_components**-0.5
        self.entities = nn.Parameter(scale * torch.randn(n_entities, n_components))
        if kind == "rotate":  # phases
            self.relations = nn.Parameter(
                2 * torch.pi * (torch.rand(n_relations, n_components // 2) - 0.5)
            )
        else:
            self.relations = nn.Parameter(scale * torch.randn(n_relations, n_components))


def new_network(
    kind: str, n_entities: int, n_relations: int, n_components: int, seed: int
) -> EmbeddingNetwork:
    """Return a network whose first vectors depend on the seed alone."""
    with seeded(seed):
        return EmbeddingNetwork(kind, n_entities, n_relations, n_components)


def batches(triples: Batch, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield one epoch of batches of triples, in random order."""
    order = rng.permutation(len(triples))
    for begin in range(0, len(order), batch_size):
        yield triples[order[begin : begin + batch_size]]


@dataclass(kw_only=True)
class TripleTraining(Training):
    """Minimises the cross-entropy of the true tail, and of the true head, among drawn entities."""

    n_negatives: int

    def loss_of(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Return the mean loss over the triples of a batch and their number."""
        network = self.network
        device = network.entities.device
        drawn = torch.from_numpy(rng.integers(len(network.entities), size=self.n_negatives))
        heads, relations, tails = torch.from_numpy(batch).to(device).T
        drawn = drawn.to(device)
        others, r = F.embedding(drawn, network.entities), F.embedding(relations, network.relations)
        loss = torch.zeros((), device=device)
        for starts, ends, backwards in ((heads, tails, False), (tails, heads, True)):
            start, end = (F.embedding(codes, network.entities) for codes in (starts, ends))
            q = queries(torch, network.kind, start, r, backwards)
            true, negative = (q * end).sum(dim=1, keepdim=True), q @ others.T
            if network.kind != "complex":
                # Less half of the squared lengths; those of the queries cancel in the softmax.
                true = 2 * true - end.square().sum(dim=1, keepdim=True)
                negative = 2 * negative - others.square().sum(dim=1)
            # A drawn entity that is the true one is no negative.
            negative = negative.masked_fill(drawn == ends[:, None], -torch.inf)
            target = torch.zeros(len(batch), dtype=torch.int64, device=device)
            loss = loss + F.cross_entropy(torch.cat([true, negative], dim=1), target) / 2
        return loss, len(batch)
