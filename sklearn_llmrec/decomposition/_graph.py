"""The network of LightGCN and its losses. Imports torch: only imported where one is trained."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_llmrec._kernels import entry_rows, unit_rows, with_data
from sklearn_llmrec._networks import RowHoldout, Training, seeded, to_numpy
from sklearn_llmrec.decomposition._propagation import fold_in, item_layers

# Scores of a batch of rows that are in memory at once: 128 MiB in float32.
_MAX_SCORES = 2**25

Triples = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


class Graph:
    """Both directions of a graph of users and items, on the requested device."""

    def __init__(self, graph: sp.csr_array) -> None:
        self.shape = graph.shape
        self._parts = (_tensor(graph), _tensor(graph.T.tocsr()))

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Send vectors along the graph and return the results at users and at items."""
        if self._parts[0].device != device:
            self._parts = (self._parts[0].to(device), self._parts[1].to(device))
        return self._parts

    def __deepcopy__(self, memo: Any) -> "Graph":
        return self  # it never changes, and torch does not copy sparse tensors


class _Step(torch.autograd.Function):
    """One propagation; the graph is symmetric, so the gradient takes the same step."""

    @staticmethod
    def forward(ctx: Any, graph: Graph, users: Tensor, items: Tensor) -> Any:
        ctx.graph = graph
        to_users, to_items = graph.on(users.device)
        return to_users @ items, to_items @ users

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        from_users, from_items = gradients
        to_users, to_items = ctx.graph.on(from_users.device)
        return None, to_users @ from_items, to_items @ from_users


class _ToUsersAndBack(torch.autograd.Function):
    """Two propagations, from items to users and back.

    Their product is a symmetric matrix, so the gradient takes the same two steps.
    """

    @staticmethod
    def forward(ctx: Any, graph: Graph, items: Tensor) -> Any:
        ctx.graph = graph
        to_users, to_items = graph.on(items.device)
        return to_items @ (to_users @ items)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        to_users, to_items = ctx.graph.on(gradients[0].device)
        return None, to_items @ (to_users @ gradients[0])


class GraphNetwork(nn.Module):
    """Vectors of users and items, and the mean of what they become over the layers.

    Without `trains_users`, users start from zero and only the vectors of items are trained.
    """

    def __init__(
        self, graph: Graph, n_components: int, n_layers: int, trains_users: bool = True
    ) -> None:
        super().__init__()
        self.graph = graph
        self.n_layers = n_layers
        if trains_users:
            self.users = nn.Parameter(0.1 * torch.randn(graph.shape[0], n_components))
        else:
            self.register_buffer("users", torch.zeros(graph.shape[0], n_components))
        self.items = nn.Parameter(0.1 * torch.randn(graph.shape[1], n_components))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the mean vectors over the layers of all users and all items."""
        users, items = self.users, self.items
        user_sum, item_sum = users, items
        for _ in range(self.n_layers):
            users, items = _Step.apply(self.graph, users, items)
            user_sum, item_sum = user_sum + users, item_sum + items
        return user_sum / (self.n_layers + 1), item_sum / (self.n_layers + 1)

    def item_sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums over the layers of what items send to users, and of the vectors of items.

        Users start from zero, so every other layer of items is zero.
        """
        items = sent = total = self.items
        for layer in range(2, self.n_layers + 1, 2):
            items = _ToUsersAndBack.apply(self.graph, items)
            total = total + items
            if layer < self.n_layers:
                sent = sent + items
        return sent, total


def _tensor(A: sp.csr_array) -> Tensor:
    parts = [torch.from_numpy(part.astype(np.int64)) for part in (A.indptr, A.indices)]
    values = torch.from_numpy(A.data.astype(np.float32))
    with warnings.catch_warnings():
        # The product of a sparse and a dense matrix is the only operation used.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(*parts, values, size=A.shape, check_invariants=False)


def new_network(
    graph: sp.csr_array, n_components: int, n_layers: int, seed: int, *, trains_users: bool = True
) -> GraphNetwork:
    """Return a network whose first vectors depend on the seed alone."""
    with seeded(seed):
        return GraphNetwork(Graph(graph), n_components, n_layers, trains_users)


def whole_row_batches(
    X: sp.csr_array, batch_size: int, rng: np.random.Generator
) -> Iterator[sp.csr_array]:
    """Yield one epoch of batches: whole rows of about `batch_size` entries, fewer where scores need too much memory."""
    order = rng.permutation(np.flatnonzero(np.diff(X.indptr)))
    lengths = np.diff(X.indptr)[order]
    by_entries = (np.cumsum(lengths) - lengths) // batch_size
    by_scores = np.arange(len(order)) // max(1, _MAX_SCORES // X.shape[1])
    # Neither number of a batch falls, so their sum changes where one of them does.
    for rows in np.split(order, np.flatnonzero(np.diff(by_entries + by_scores)) + 1):
        yield X[rows]


def triples(X: sp.csr_array, batch_size: int, rng: np.random.Generator) -> Iterator[Triples]:
    """Yield one epoch of batches: user and item of every interaction, and an item that the user does not have."""
    rows, columns = entry_rows(X), X.indices.astype(np.int64)
    taken = rows * X.shape[1] + columns  # sorted, as X is
    able = np.flatnonzero(np.diff(X.indptr)[rows] < X.shape[1])  # who has everything orders nothing
    order = rng.permutation(able)
    for begin in range(0, len(order), batch_size):
        some = order[begin : begin + batch_size]
        other = rng.integers(X.shape[1], size=len(some))
        open_ = np.arange(len(some))
        while len(open_):
            drawn = rows[some[open_]] * X.shape[1] + other[open_]
            place = np.minimum(np.searchsorted(taken, drawn), len(taken) - 1)
            open_ = open_[taken[place] == drawn]
            other[open_] = rng.integers(X.shape[1], size=len(open_))
        yield rows[some], columns[some], other


@dataclass(kw_only=True)
class _GraphTraining(Training):
    """A training that stops when hidden items rank no better."""

    penalty: float
    learned: sp.csr_array
    holdout: RowHoldout | None
    unit_vectors: ClassVar[bool] = False

    def validate(self, network: Any) -> float | None:
        """Return the nDCG@10 of the hidden items for folded-in rows."""
        if self.holdout is None:
            return None
        weights = to_numpy(network)
        layers = item_layers(self.learned, weights["users"], weights["items"], network.n_layers)
        senders, vectors = layers
        if self.unit_vectors:
            vectors = unit_rows(vectors)
        return self.holdout.ndcg(lambda X: fold_in(X, senders) @ vectors.T)


class PairTraining(_GraphTraining):
    """Minimises the BPR loss of triples, with an L2 penalty on the first vectors of those in the batch."""

    def loss_of(self, batch: Triples, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Return the mean loss over the triples of a batch and their number."""
        device = self.network.users.device
        user, item, other = (torch.from_numpy(part).to(device) for part in batch)
        users, items = self.network()
        u = F.embedding(user, users)
        difference = (u * (F.embedding(item, items) - F.embedding(other, items))).sum(dim=1)
        embedded = (
            (self.network.users, user),
            (self.network.items, item),
            (self.network.items, other),
        )
        squares = sum(F.embedding(numbers, vectors).square().sum() for vectors, numbers in embedded)
        loss = F.softplus(-difference).mean() + self.penalty / 2 * squares / len(user)
        return loss, len(user)


@dataclass(kw_only=True)
class SoftmaxTraining(_GraphTraining):
    """Minimises the softmax loss of the items of a row, given some of them, with an L2 penalty on the first vectors."""

    dropout: float
    temperature: float
    unit_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = np.bincount(self.learned.indices, minlength=self.learned.shape[1])
        shares = 1 / np.sqrt(np.maximum(counts, 1), dtype=np.float32)[:, None]
        self._shares = torch.from_numpy(shares).to(self.network.items.device)

    def loss_of(self, batch: sp.csr_array, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Return the mean loss over the entries of some rows and their number."""
        device = self.network.items.device
        sent, total = self.network.item_sums()
        kept = with_data(batch, (rng.random(batch.nnz) >= self.dropout).astype(np.float32))
        rows = _tensor(kept).to(device) @ (self._shares * sent)
        scores = F.normalize(rows, dim=1) @ F.normalize(total, dim=1).T / self.temperature
        entries = (entry_rows(batch), batch.indices)
        row, item = (torch.from_numpy(part.astype(np.int64)).to(device) for part in entries)
        lengths = torch.from_numpy(np.diff(batch.indptr)).to(device)
        likelihood = scores[row, item].sum() - (lengths * scores.logsumexp(dim=1)).sum()
        squares = self.network.items.square().sum()
        loss = self.penalty / 2 * squares / self.learned.nnz - likelihood / batch.nnz
        return loss, batch.nnz
