"""Networks over item sequences. Imports torch: only imported where a network is built."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Dropout that draws a byte per entry, not a float: on a CPU two to three times faster than torch's.

    The rate is rounded to a multiple of 1/256, and what is kept is scaled by the rounded one.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.dropped = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries in training."""
        if not self.training or not self.dropped:
            return x
        if x.device.type != "cpu" or self.dropped == 256:
            return F.dropout(x, self.rate)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.uint8)[: x.numel()].view(x.shape)
        return x * ((drawn >= self.dropped).to(x.dtype) * (256 / (256 - self.dropped)))


class Recurrent(nn.Module):
    """A stack of recurrent layers, optionally attention over their states, and a pointwise network on the states.

    A state represents several events. If scores were linear in the state, a plain recurrent network would hardly learn
    which item follows a pair of events; the hidden units of the pointwise network make this possible. A linear path
    beside them keeps the first epochs as fast as without them. Rows are padded on the right, so no state in use
    depends on padding.
    """

    def __init__(
        self, cell: str, width: int, n_layers: int, dropout: float, attention: bool
    ) -> None:
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell]
        between = dropout if n_layers > 1 else 0.0
        self.rnn = kind(width, width, n_layers, batch_first=True, dropout=between)
        self._keep_states()
        self.attention = Attention(width, 1) if attention else None
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.pointwise = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def _keep_states(self) -> None:
        """Start every recurrent matrix orthogonal, so that a state is passed on at full length.

        torch's own start shrinks a state to about 0.6 of its length at every step, so events before the latest one
        hardly reach the output until the matrix has grown (A. Saxe et al., "Exact solutions to the nonlinear dynamics
        of learning in deep linear neural networks", ICLR 2014).
        """
        for name, matrices in self.rnn.named_parameters():
            if name.startswith("weight_hh") and not matrices.is_meta:
                for matrix in matrices.data.split(self.rnn.hidden_size):
                    nn.init.orthogonal_(matrix)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the states after every step."""
        states, _ = self.rnn(x)
        if self.attention is not None:
            states = states + self.attention(self.norm(states))
        return self.out(states) + self.pointwise(states)


class Attention(nn.Module):
    """Multi-head self-attention through torch's fused kernel."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.projection = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend to what came before (no mask), or to what a mask allows."""
        n_rows, length, width = x.shape
        heads = self.projection(x).view(n_rows, length, 3, self.n_heads, width // self.n_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        # Without dropout of attention weights, which has no fused kernel on CPU.
        found = F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None)
        return self.out(found.transpose(1, 2).reshape(n_rows, length, width))


class Block(nn.Module):
    """Attention and a pointwise network, each after a layer normalisation and with a residual connection."""

    def __init__(self, width: int, n_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, n_heads)
        self.pointwise = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Apply one layer of a Transformer."""
        x = x + self.dropout(self.attention(self.norm_1(x), mask))
        return x + self.dropout(self.pointwise(self.norm_2(x)))


class Transformer(nn.Module):
    """Blocks of self-attention; positions count from the latest event."""

    def __init__(
        self,
        width: int,
        n_layers: int,
        n_heads: int,
        hidden: int,
        max_length: int,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.positions = nn.Parameter(torch.empty(max_length, width))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(Block(width, n_heads, hidden, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the output after every step."""
        steps = torch.arange(x.shape[1], device=x.device)
        from_end = (lengths[:, None] - 1 - steps).clamp_(min=0)
        x = x + self.positions[from_end].to(x.dtype)
        mask = None
        if not self.causal:
            mask = (steps < lengths[:, None])[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class SequenceNetwork(nn.Module):
    """Item vectors, an encoder of sequences, and item vectors to score with.

    Parameters
    ----------
    encoder : nn.Module
        Maps vectors (n, length, width) and lengths (n,) to outputs (n, length, width).
    n_items, width : int
    dropout : float
        Of the vectors that enter the encoder.
    tied : bool
        Whether the scoring vectors are the item vectors; otherwise they are free, with an intercept.
    training : {"tuned", "delta", "frozen"}
        What is learned of the item vectors.
    n_special : int
        Vectors of inputs that are no items, numbered after them.
    """

    def __init__(
        self,
        encoder: nn.Module,
        n_items: int,
        width: int,
        *,
        dropout: float = 0.0,
        tied: bool = True,
        training: str = "tuned",
        n_special: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.scale = math.sqrt(width)
        items = torch.empty(n_items, width)
        nn.init.normal_(items, std=0.02)
        if training == "tuned":
            self.items = nn.Parameter(items)
        else:
            self.register_buffer("items", items)
        self.delta = nn.Parameter(torch.zeros(n_items, width)) if training == "delta" else None
        self.special = nn.Parameter(torch.empty(n_special, width)) if n_special else None
        if self.special is not None:
            nn.init.normal_(self.special, std=0.02)
        self.output = None if tied else nn.Linear(width, n_items)
        self.dropout = Dropout(dropout)

    def item_vectors(self) -> Tensor:
        """Return the vectors of the items as inputs."""
        items: Tensor = self.items if self.delta is None else self.items + self.delta
        return items

    def scoring(self) -> tuple[Tensor, Tensor | None]:
        """Return the vectors and intercepts that score outputs of the encoder."""
        if self.output is None:
            return self.item_vectors(), None
        return self.output.weight, self.output.bias

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs after every step of right-padded rows of item numbers."""
        vectors: Any = self.item_vectors()
        if self.special is not None:
            vectors = torch.cat([vectors, self.special])
        # Cast after the lookup: double precision then needs no copy of all vectors.
        found = F.embedding(inputs, vectors).to(next(self.encoder.parameters()).dtype)
        return self.encoder(self.dropout(found * self.scale), lengths)
