"""The catalogue as a tree of tokens, which defines what may follow what, so that only items are generated."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.interactions import Sequences


@dataclass(frozen=True)
class Trie:
    """A tree whose leaves are items and whose edges are tokens.

    Nodes are numbered level by level from the root, 0, the children of one node side by side.

    Attributes
    ----------
    parent, token, depth : ndarray of shape (n_nodes,)
        Of every node; -1 for parent and token of the root.
    leaves : ndarray of shape (n_items,)
        The node of every item.
    """

    parent: NDArray[np.int64]
    token: NDArray[np.int64]
    depth: NDArray[np.int64]
    leaves: NDArray[np.int64]

    @classmethod
    def of(cls, catalogue: Sequences) -> "Trie":
        """Build the tree of the tokens of every item; no item may be a prefix of another.

        Raises
        ------
        ValueError
            If an item is a beginning of another, or equal to it.
        """
        tokens, lengths = catalogue.padded(-1), catalogue.lengths
        nodes = np.zeros(len(catalogue), dtype=np.int64)
        parents, edges, depths = [np.array([-1])], [np.array([-1])], [np.array([0])]
        n_nodes = 1
        for depth in range(tokens.shape[1]):
            alive = np.flatnonzero(lengths > depth)
            keys, child = np.unique(
                nodes[alive] * catalogue.n_items + tokens[alive, depth], return_inverse=True
            )
            parents.append(keys // catalogue.n_items)
            edges.append(keys % catalogue.n_items)
            depths.append(np.full(len(keys), depth + 1))
            nodes[alive] = n_nodes + child
            n_nodes += len(keys)
        trie = cls(np.concatenate(parents), np.concatenate(edges), np.concatenate(depths), nodes)
        if len(np.unique(nodes)) < len(nodes) or trie.n_children[nodes].any():
            raise ValueError("An item must not begin with all tokens of another.")
        for table in ("items", "fork_numbers", "choices", "choice_bounds", "ends", "steps", "tips"):
            getattr(trie, table)  # computed now, so that no prediction changes a fitted model
        return trie

    @cached_property
    def n_children(self) -> NDArray[np.int64]:
        """Number of children of every node."""
        return np.bincount(self.parent[1:], minlength=len(self.parent))

    @cached_property
    def items(self) -> NDArray[np.int64]:
        """The item of every node, -1 for those that are no leaves."""
        items = np.full(len(self.parent), -1)
        items[self.leaves] = np.arange(len(self.leaves))
        return items

    @cached_property
    def forks(self) -> NDArray[np.int64]:
        """Nodes with several children, in order: the only ones where anything is chosen."""
        return np.flatnonzero(self.n_children > 1)

    @cached_property
    def fork_numbers(self) -> NDArray[np.int64]:
        """The place of every node in `forks`, -1 for those that are none."""
        numbers = np.full(len(self.parent), -1)
        numbers[self.forks] = np.arange(len(self.forks))
        return numbers

    @cached_property
    def choices(self) -> NDArray[np.int64]:
        """The children of all forks, fork by fork."""
        return 1 + np.flatnonzero(self.n_children[self.parent[1:]] > 1)

    @cached_property
    def choice_bounds(self) -> NDArray[np.int64]:
        """Fork f has the children ``choices[bounds[f]:bounds[f + 1]]``."""
        return np.append(0, np.cumsum(self.n_children[self.forks]))

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """For every node the next fork or leaf at it or below it, where nothing is chosen in between."""
        ends = np.arange(len(self.parent))
        for node in range(len(self.parent) - 1, 0, -1):
            if self.n_children[self.parent[node]] == 1:
                ends[self.parent[node]] = ends[node]
        return ends

    @cached_property
    def steps(self) -> sp.csr_array:
        """Items by choices: which choices lead to each item."""
        choice = np.full(len(self.parent), -1)
        choice[self.choices] = np.arange(len(self.choices))
        nodes, rows, columns = self.leaves.copy(), [], []
        while (nodes > 0).any():
            made = np.flatnonzero((nodes > 0) & (choice[nodes] >= 0))
            rows.append(made)
            columns.append(choice[nodes[made]])
            nodes = np.where(nodes > 0, self.parent[nodes], 0)
        row, column = np.concatenate(rows), np.concatenate(columns)
        return sp.csr_array(
            (np.ones(len(row)), (row, column)), shape=(len(self.leaves), len(self.choices))
        )

    def towards(self, items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which nodes are on the way to one of some items."""
        on_way = np.zeros(len(self.parent), dtype=bool)
        nodes = self.leaves[items]
        while len(nodes):
            on_way[nodes] = True
            nodes = self.parent[nodes[nodes > 0]]
        return on_way

    @cached_property
    def tips(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Forks that no fork follows, and for every fork the number of a tip at it or below it."""
        fork = self.n_children > 1
        tip = np.full(len(self.parent), -1)
        found: list[int] = []
        for node in range(len(self.parent) - 1, -1, -1):
            if fork[node] and tip[node] < 0:
                tip[node] = len(found)
                found.append(node)
            if node and tip[node] >= 0:
                tip[self.parent[node]] = tip[node]
        return np.array(found), tip[self.forks]

    def paths(self, nodes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens from the root to every node, padded with 0 on the right, and their numbers."""
        depths = self.depth[nodes]
        tokens = np.zeros((len(nodes), max(1, int(depths.max(initial=0)))), dtype=np.int64)
        current = nodes.copy()
        while (current > 0).any():
            rows = np.flatnonzero(current > 0)
            tokens[rows, self.depth[current[rows]] - 1] = self.token[current[rows]]
            current[rows] = self.parent[current[rows]]
        return tokens, depths

    def log_shares(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-probability of every choice among those of its fork; the last axis are `choices`."""
        starts, sizes = self.choice_bounds[:-1], np.diff(self.choice_bounds)
        return log_shares(logits, starts, sizes)


def log_shares(
    logits: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the log-softmax within consecutive groups of the last axis."""
    top = np.repeat(np.maximum.reduceat(logits, starts, axis=-1), sizes, axis=-1)
    mass = np.add.reduceat(np.exp(logits - top), starts, axis=-1)
    return logits - top - np.repeat(np.log(mass), sizes, axis=-1)
