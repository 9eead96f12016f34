"""Fits that are sums over users: one contract for a fit of one matrix and of blocks of users anywhere.

A fit is a sequence of phases. Each phase computes statistics of every block of users, adds them up, and ends with a
step on the sum:

    phase = plan(totals)
    while phase is not None:
        total = sum of statistics(block, phase) over the blocks, in a fixed tree order
        phase = advance(phase, total)

Statistics of a block depend on nothing but the block and the phase, so blocks may be on any process or machine, and
the result depends on how users are divided into blocks, but not on who computes them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.utils import canonical

_T = TypeVar("_T")
# Arrays and sparse matrices by name; those of two blocks are added name by name.
Statistics = dict[str, Any]


@dataclass(frozen=True)
class Phase:
    """One pass over all blocks: its name, and what is known from the sums of earlier phases."""

    name: str
    known: Mapping[str, Any] = field(default_factory=dict)


class BlockPlace(NamedTuple):
    """Where a block is among all blocks.

    Attributes
    ----------
    first_user : int
        Number of users in the blocks before it.
    folder : Path or None
        A folder of its own for what later phases read again; None where there is none.
    """

    first_user: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over all users that every fit may read before its first phase.

    `popularity` and `column_sums` count users and add values per item, float64; `n_active_users` have interactions.
    `smallest` and `largest` are limits of the values.
    """

    n_users: int
    n_active_users: int
    n_entries: int
    popularity: NDArray[np.float64]
    column_sums: NDArray[np.float64]
    smallest: float
    largest: float
    dtype: np.dtype[Any]

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.popularity)

    @classmethod
    def of(cls, X: sp.csr_array) -> Totals:
        """Return the totals of one block; repeated entries count once, with their sum."""
        X = canonical(X)
        n_items = X.shape[1]
        return cls(
            n_users=X.shape[0],
            n_active_users=int(np.count_nonzero(np.diff(X.indptr))),
            n_entries=int(X.nnz),
            popularity=np.bincount(X.indices, minlength=n_items).astype(np.float64),
            column_sums=np.bincount(X.indices, X.data, n_items).astype(np.float64, copy=False),
            smallest=float(X.data.min(initial=np.inf)),
            largest=float(X.data.max(initial=-np.inf)),
            dtype=X.dtype,
        )

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.n_users + other.n_users,
            self.n_active_users + other.n_active_users,
            self.n_entries + other.n_entries,
            self.popularity + other.popularity,
            self.column_sums + other.column_sums,
            min(self.smallest, other.smallest),
            max(self.largest, other.largest),
            np.result_type(self.dtype, other.dtype),
        )


class BlockSumsMixin(BaseRecommender):
    """Fits a recommender from sums over blocks of users.

    Attributes are set by `_plan` and `_advance`, which run where the estimator is. `_statistics` may run in another
    process: it reads parameters and the phase, never what a phase before has set.
    """

    # Names of statistics of which the largest counts instead of the sum.
    _maxima: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def _plan(self, totals: Totals) -> Phase | None:
        """Return the first phase; None if the totals are all that the fit needs."""

    @abstractmethod
    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        """Return the statistics of one block of prepared rows."""

    @abstractmethod
    def _advance(self, phase: Phase, total: Statistics) -> Phase | None:
        """Learn from the sum of a phase, and return the next phase; None when the model is fitted."""

    def _add(self, a: Statistics, b: Statistics) -> Statistics:
        """Return the statistics of two blocks together."""
        return {
            name: np.maximum(value, b[name]) if name in self._maxima else value + b[name]
            for name, value in a.items()
        }

    def _fit(self, X: sp.csr_array) -> None:
        """Fit on one block, by the phases of the fit of many."""
        phase = self._plan(Totals.of(X))
        while phase is not None:
            phase = self._advance(phase, self._statistics(X, phase, BlockPlace()))


def added_in_a_tree(parts: Iterable[_T], add: Callable[[_T, _T], _T]) -> _T:
    """Return the sum of all parts, in an order of additions that depends on their number alone.

    Neighbours are added first, then sums of two, then of four: rounding is the same however many processes computed
    the parts, and grows with the logarithm of their number. As many sums as this are in memory at once.

    Raises
    ------
    TypeError
        If there is no part.
    """
    # A binary counter: sums of 2**level parts, of falling levels.
    sums: list[tuple[int, _T]] = []
    for part in parts:
        level, total = 0, part
        while sums and sums[-1][0] == level:
            total, level = add(sums.pop()[1], total), level + 1
        sums.append((level, total))
    return reduce(
        lambda total, earlier: add(earlier, total), (value for _, value in reversed(sums))
    )
