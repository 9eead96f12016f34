"""A causal language model over the tokens of items: its network, batches and decoding. Imports torch."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_llmrec._networks import Batch, bucketed, gather
from sklearn_llmrec.interactions import Sequences, windows
from sklearn_llmrec.sequence._item_tokens import BEGIN, prefixes
from sklearn_llmrec.sequence._trie import Trie, log_shares
from sklearn_llmrec.utils import require

# Histories read at once, places of paths and their histories read at once, forks opened at once by an exact search.
_ROWS = 128
_PLACES = 2**15
_OPENED = 32


def make_config(
    architecture: Any, n_tokens: int, n_positions: int, sizes: tuple[int, int, int], dropout: float
) -> Any:
    """Return the configuration of the network: from a name and sizes, or a given one enlarged to all tokens."""
    library = require("transformers", extra="llm")
    special = {"bos_token_id": BEGIN, "eos_token_id": BEGIN, "pad_token_id": None}
    shape = {"vocab_size": n_tokens, "max_position_embeddings": n_positions}
    n_components, n_layers, n_heads = sizes
    if architecture == "gpt2":
        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
        widths = {"n_embd": n_components, "n_layer": n_layers, "n_head": n_heads}
        return library.GPT2Config(**widths, **drops, **shape, **special)
    if architecture == "llama":
        return library.LlamaConfig(
            hidden_size=n_components,
            intermediate_size=4 * n_components,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            attention_dropout=dropout,
            **shape,
            **special,
        )
    config = copy.deepcopy(architecture)
    shape["max_position_embeddings"] = max(n_positions, config.max_position_embeddings)
    config.update({**shape, **special})
    return config


class TokenNetwork(torch.nn.Module):
    """The body of a causal model; tokens are scored by their own embeddings."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.body = require("transformers", extra="llm").AutoModel.from_config(config)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the outputs at every place; the padding on the right is masked."""
        hidden: torch.Tensor = self.body(input_ids=inputs, use_cache=False).last_hidden_state
        return hidden

    def item_vectors(self) -> torch.Tensor:
        """Return the vectors of the tokens."""
        weight: torch.Tensor = self.body.get_input_embeddings().weight
        return weight

    def scoring(self) -> tuple[torch.Tensor, None]:
        """Return the vectors that score outputs, and no intercepts."""
        return self.item_vectors(), None


def token_batches(
    sequences: Sequences,
    catalogue: Sequences,
    max_length: int,
    batch_size: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield one epoch of windows of histories as tokens; each token is predicted from those before it."""
    taken = catalogue.take(sequences.items)
    begin, end = windows(sequences, max_length, int(rng.integers(max_length)))
    first, last = taken.bounds[begin], taken.bounds[end + 1]
    for rows in bucketed(last - first, batch_size, rng):
        lengths = (last - first)[rows]
        targets = gather(taken.items, first[rows], lengths, -1)
        inputs = np.where(targets < 0, BEGIN, targets)
        inputs[:, 1:] = inputs[:, :-1].copy()
        inputs[:, 0] = BEGIN
        yield Batch(inputs, lengths, targets)


@dataclass
class TokenHoldout:
    """Histories of some users and the items that came next, as tokens."""

    histories: Sequences
    targets: NDArray[np.int64]
    catalogue: Sequences

    def score(self, network: TokenNetwork, max_length: int, mask: bool) -> float:
        """Return the mean log-probability of the items, each the sum over its tokens."""
        read = prefixes(self.histories.tail(max_length), self.catalogue)
        told = self.catalogue.take(self.targets)
        # Input: a prefix and all tokens of the item but the last; the targets are the item's tokens.
        lengths = read.lengths + told.lengths - 1
        order = np.argsort(lengths, kind="stable")
        device = network.item_vectors().device
        network.eval()
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(order), _ROWS):
                rows = order[start : start + _ROWS]
                both = Sequences.joined(read.take(rows), told.take(rows)).padded(BEGIN)
                inputs, following = both[:, :-1], both[:, 1:]
                place = np.arange(inputs.shape[1])
                begin, end = read.lengths[rows, None] - 1, lengths[rows, None]
                wanted = torch.from_numpy((place >= begin) & (place < end)).to(device)
                outputs = network(torch.from_numpy(inputs).to(device), wanted)[wanted]
                targets = torch.from_numpy(following).to(device)[wanted]
                scores = outputs @ network.item_vectors().T
                total -= float(torch.nn.functional.cross_entropy(scores, targets, reduction="sum"))
        return total / len(order)


class Reader:
    """The model applied to some histories of one length; all continuations share their keys and values."""

    def __init__(self, network: TokenNetwork, prefixes: NDArray[np.int64]) -> None:
        self.body = network.body
        self.vectors = network.item_vectors()
        self.length = prefixes.shape[1]
        ids = torch.from_numpy(prefixes).to(self.vectors.device)
        output = self.body(input_ids=ids, use_cache=True)
        self.past, self.first = output.past_key_values, output.last_hidden_state[:, -1]

    def outputs(self, rows: NDArray[np.int64], paths: NDArray[np.int64]) -> torch.Tensor:
        """Return outputs (n, length, d) at every place of some paths, each after the history of its row."""
        size = max(1, _PLACES // (self.length + paths.shape[1]))
        return torch.cat(
            [
                self._outputs(rows[start : start + size], paths[start : start + size])
                for start in range(0, len(rows), size)
            ]
        )

    def _outputs(self, rows: NDArray[np.int64], paths: NDArray[np.int64]) -> torch.Tensor:
        shared = copy.deepcopy(self.past)
        shared.batch_select_indices(torch.from_numpy(rows).to(self.vectors.device))
        ids = torch.from_numpy(paths).to(self.vectors.device)
        output = self.body(input_ids=ids, past_key_values=shared, use_cache=True)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def logits(
        self, outputs: torch.Tensor, sizes: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return scores of tokens, the first ``sizes[0]`` of which follow output 0, and so on."""
        device = self.vectors.device
        output_of_token = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)).to(device)
        vectors = self.vectors[torch.from_numpy(tokens).to(device)]
        scores = (outputs[output_of_token] * vectors).sum(dim=1)
        return scores.double().cpu().numpy()


def readers(
    network: TokenNetwork, histories: Sequences
) -> Iterator[tuple[NDArray[np.int64], Reader]]:
    """Yield rows with events and a reader of them, in groups of one length, so that nothing is padded."""
    lengths = histories.lengths
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 1]
    for group in np.split(order, 1 + np.flatnonzero(np.diff(lengths[order]))):
        for start in range(0, len(group), _ROWS):
            rows = group[start : start + _ROWS]
            yield rows, Reader(network, histories.take(rows).padded(BEGIN))


def all_scores(reader: Reader, row: int, trie: Trie) -> NDArray[np.float64]:
    """Return the log-probability of every item after a history; the probabilities sum to one."""
    tips, tip_of_fork = trie.tips
    depth = trie.depth[trie.forks]
    outputs = reader.first[row].repeat(len(trie.forks), 1)
    for start in range(0, len(tips), _ROWS):
        mine = (tip_of_fork >= start) & (tip_of_fork < start + _ROWS) & (depth > 0)
        if mine.any():
            paths, _ = trie.paths(tips[start : start + _ROWS])
            found = reader.outputs(np.full(len(paths), row), paths)
            rows, places = tip_of_fork[mine] - start, depth[mine] - 1
            outputs[torch.from_numpy(np.flatnonzero(mine))] = found[rows, places]
    sizes = np.diff(trie.choice_bounds)
    shares = trie.log_shares(reader.logits(outputs, sizes, trie.token[trie.choices]))
    return trie.steps @ shares


class Search:
    """The k most likely items of one history that are not banned, from the root of the tree.

    A path only loses probability on its way, so once k items are found all paths below the worst of them are closed.
    With a `beam_size` only that many paths are kept after each choice; without, the search is exact. Of the nodes
    only those are gone to that `wanted` names.
    """

    def __init__(
        self,
        trie: Trie,
        k: int,
        beam_size: int | None,
        banned: NDArray[np.int64],
        wanted: NDArray[np.bool_] | None,
    ) -> None:
        self.trie, self.k, self.beam_size = trie, k, beam_size
        self.banned, self.wanted = banned, wanted
        self.forks, self.chances = trie.ends[:1], np.zeros(1)
        self.items, self.values = np.empty(0, dtype=np.int64), np.empty(0)

    def next_forks(self) -> NDArray[np.int64]:
        """Return the most likely forks, to be expanded next."""
        order = np.argsort(-self.chances, kind="stable")
        self.now, self.later = np.split(
            order, [_OPENED if self.beam_size is None else self.beam_size]
        )
        return self.forks[self.now]

    def take(self, children: NDArray[np.int64], gained: NDArray[np.float64]) -> None:
        """Continue with the children of the expanded forks and their log-probabilities among siblings."""
        trie, opened = self.trie, self.forks[self.now]
        gained = gained + np.repeat(self.chances[self.now], trie.n_children[opened])
        if self.wanted is not None:
            children, gained = children[self.wanted[children]], gained[self.wanted[children]]
        ends = trie.ends[children]
        is_item = trie.items[ends] >= 0
        new = is_item & ~np.isin(trie.items[ends], self.banned)
        self.items = np.concatenate([self.items, trie.items[ends[new]]])
        self.values = np.concatenate([self.values, gained[new]])
        best = np.lexsort((self.items, -self.values))[: self.k]
        self.items, self.values = self.items[best], self.values[best]
        later = self.later if self.beam_size is None else self.later[:0]
        self.forks = np.concatenate([self.forks[later], ends[~is_item]])
        self.chances = np.concatenate([self.chances[later], gained[~is_item]])
        if len(self.items) == self.k:
            # Not by a trace of rounding: what may tie is looked at.
            open_ = self.chances >= self.values[-1] - 1e-9 * abs(self.values[-1])
            self.forks, self.chances = self.forks[open_], self.chances[open_]


def run_searches(reader: Reader, trie: Trie, searches: list[Search]) -> None:
    """Run the searches of all rows of the reader side by side until each is complete."""
    while active := [row for row, search in enumerate(searches) if len(search.forks)]:
        forks = [searches[row].next_forks() for row in active]
        rows = np.repeat(active, [len(some) for some in forks])
        children, gained = _opened(reader, trie, rows, np.concatenate(forks))
        bounds = np.cumsum([trie.n_children[some].sum() for some in forks])[:-1]
        for row, row_children, shares in zip(
            active, np.split(children, bounds), np.split(gained, bounds)
        ):
            searches[row].take(row_children, shares)


def _opened(
    reader: Reader, trie: Trie, rows: NDArray[np.int64], forks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the children of some forks after the history of their row, and their log-probability among siblings."""
    paths, depths = trie.paths(forks)
    outputs = reader.first[torch.from_numpy(rows)]
    deep = np.flatnonzero(depths > 0)
    if len(deep):
        found = reader.outputs(rows[deep], paths[deep])
        outputs[torch.from_numpy(deep)] = found[np.arange(len(deep)), depths[deep] - 1]
    begin = trie.choice_bounds[trie.fork_numbers[forks]]
    sizes = trie.n_children[forks]
    starts = np.cumsum(sizes) - sizes
    places = np.repeat(begin - starts, sizes) + np.arange(sizes.sum())
    children = trie.choices[places]
    logits = reader.logits(outputs, sizes, trie.token[children])
    return children, log_shares(logits, starts, sizes)
