"""Losses over a positive and shared negatives, computed in blocks. Imports torch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Scores of a block: few enough to stay in the caches while they are read and written several times.
_BLOCK = 2**19


class _Contrast(torch.autograd.Function):
    """Sum of losses of one positive and many negatives, whose gradients are computed in the forward pass.

    Softmax and sigmoid losses give their gradient as soon as the scores of a block are computed. No scores are stored
    for a backward pass, so memory is that of one block.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        positive: Tensor,
        vectors: Tensor,
        intercepts: Tensor,
        mask: Any,
        softmax: bool,
        weight: float,
    ) -> Tensor:
        # hidden (N, d); positive (N,) scores of the targets; vectors (K, d) and intercepts (K,) of the negatives
        grad_hidden = torch.empty_like(hidden)
        grad_positive = torch.empty_like(positive)
        grad_vectors, grad_intercepts = torch.zeros_like(vectors), torch.zeros_like(intercepts)
        total = hidden.new_zeros(())
        block = _BLOCK if hidden.device.type == "cpu" else 64 * _BLOCK
        size = max(1, min(len(hidden), block // max(1, len(vectors))))
        # One block of memory for all: fresh pages cost as much as what is computed in them.
        memory = hidden.new_empty((size, len(vectors)))
        for begin in range(0, len(hidden), size):
            part = slice(begin, begin + size)
            scores = memory[: len(hidden[part])]
            torch.mm(hidden[part], vectors.T, out=scores)
            scores += intercepts
            mask(scores, part)
            p = positive[part]
            if softmax:
                top = torch.maximum(scores.amax(dim=1), p)
                scores.sub_(top[:, None]).exp_()
                exp_positive = (p - top).exp_()
                mass = scores.sum(dim=1) + exp_positive
                total += (mass.log() + top - p).sum()
                scores.div_(mass[:, None])
                grad_positive[part] = exp_positive / mass - 1
            else:
                total += torch.nn.functional.softplus(scores).sum()
                total += weight * torch.nn.functional.softplus(-p).sum()
                scores.sigmoid_()
                grad_positive[part] = -weight * torch.sigmoid(-p)
            grad_hidden[part] = scores @ vectors
            grad_vectors.addmm_(scores.T, hidden[part])
            grad_intercepts += scores.sum(dim=0)
        ctx.save_for_backward(grad_hidden, grad_positive, grad_vectors, grad_intercepts)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * part for part in ctx.saved_tensors), None, None, None


class Loss:
    """A loss by name, for a catalogue.

    Parameters
    ----------
    name : {"softmax", "sampled_softmax", "bce", "gbce"}
    counts : ndarray of shape (n_items,)
        How often every item occurs.
    n_negatives : int
        Negatives drawn per batch, shared by all its positions.

    Notes
    -----
    Negatives of the sampled softmax are drawn with probability q, half by popularity and half uniformly. Their scores
    are lowered by ``log(n_negatives * q)``. Their exponentials then sum to the denominator of the full softmax in
    expectation. "bce" and "gbce" draw uniformly. A negative that is the target of a position does not count there.
    gBCE weighs the positive term so that scores are calibrated in spite of the sampling (t = 0.75).
    """

    def __init__(self, name: str, counts: NDArray[Any], n_negatives: int, device: Any) -> None:
        n_items = len(counts)
        self.name, self.n_negatives = name, n_negatives
        q = np.full(n_items, 1 / n_items)
        if name == "sampled_softmax":
            q = (q + counts / counts.sum()) / 2
        self._cumulated = np.cumsum(q)
        self._correction = torch.tensor(
            -np.log(n_negatives * q), dtype=torch.float32, device=device
        )
        self.weight = 1.0
        if name == "gbce":
            alpha = min(1.0, n_negatives / (n_items - 1))
            self.weight = alpha * (0.75 * (1 - 1 / alpha) + 1 / alpha)
        self._everything = torch.arange(n_items, device=device)

    def __call__(
        self,
        hidden: Tensor,
        targets: Tensor,
        vectors: Tensor,
        intercepts: Tensor | None,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the mean loss of outputs (N, d) for target items (N,), given the scoring vectors of all items."""
        positive = (hidden * torch.nn.functional.embedding(targets, vectors)).sum(dim=1)
        if intercepts is not None:
            positive = positive + intercepts[targets]
        if self.name == "softmax":
            chosen = self._everything

            def mask(scores: Tensor, part: slice) -> None:
                scores.scatter_(1, targets[part][:, None], -torch.inf)
        else:
            drawn = np.searchsorted(
                self._cumulated, rng.random(self.n_negatives) * self._cumulated[-1]
            )
            chosen = torch.from_numpy(drawn).to(targets.device)
            vectors = torch.nn.functional.embedding(chosen, vectors)

            def mask(scores: Tensor, part: slice) -> None:
                scores.masked_fill_(targets[part][:, None] == chosen, -torch.inf)

        added = hidden.new_zeros(len(chosen)) if intercepts is None else intercepts[chosen]
        if self.name == "sampled_softmax":
            added = added + self._correction[chosen]
        softmax = self.name.endswith("softmax")
        total: Any = _Contrast.apply(hidden, positive, vectors, added, mask, softmax, self.weight)
        return total / max(1, len(hidden))
