"""Hide interactions of X, from which hybrids learn how far to trust each member. No `y` is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.base import needs_order
from sklearn_llmrec.ensemble._members import member_scores
from sklearn_llmrec.interactions import hidden_in_rows, hide_by_hash, hide_from_cut, hide_latest
from sklearn_llmrec.utils import Interval, StrOptions, canonical, row_chunks

#: What those accept that learn from hidden interactions.
HIDING_CONSTRAINTS: dict[str, Any] = {
    "learn_users": [Interval(Integral, 1, None, closed="left"), None],
    "holdout": [StrOptions({"auto", "hash", "latest", "time"})],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "max_hidden": [Interval(Integral, 1, None, closed="left"), None],
    "n_hidings": [Interval(Integral, 1, None, closed="left")],
    "exclude_seen": ["boolean"],
}


@dataclass
class Pool:
    """Candidates of some rows, the members' scores of them, and which of them were hidden.

    `items`, of shape (n, p), has -1 at the end of short rows. `votes`, of shape (n, p, m), are the scores of the m
    members, normalised over all columns. `hits` says which candidates are hidden items; it is None if there are no
    targets. `n_targets` counts the hidden items of each row, candidates or not, and `lengths` the visible ones.
    """

    items: NDArray[np.int64]
    votes: NDArray[np.float32]
    lengths: NDArray[np.int64]
    hits: NDArray[np.bool_] | None = None
    n_targets: NDArray[np.int64] | None = None


def _fit_hidden(member: Any, X: Any, params: dict[str, Any]) -> Any:
    return clone(member).fit(X, None, **params)


def hidden_fits(
    composed: Any, X: Any, seed: int = 0
) -> Iterator[tuple[list[Any], Any, Any, sp.csr_array]]:
    """Yield, for every hiding, fitted clones of the members, what they were fitted on, and rows to learn from.

    The last two are the visible and the hidden parts of at most `learn_users` rows, drawn at random among those of
    which something can be hidden. All other rows stay whole in the fits, which are then close to those on all of X;
    but from a cut in time on, nothing of any row is visible.

    The parameters `holdout`, `exclude_seen`, `test_size`, `max_hidden` and `n_hidings` of the estimator say what is
    hidden. Every hiding by hash chooses anew; the latest events, of each row or of all, are hidden step by step, each
    from what the one before left visible.

    Raises
    ------
    ValueError
        If no row has two interactions, or none has events before and after the cut in time, so that nothing can be
        hidden.
    """
    names, members = composed._kept_members()
    holdout = composed.holdout
    if holdout == "auto":
        holdout = "latest" if needs_order(composed) else "hash"
    visible, shown = X, None
    size = {"test_size": composed.test_size, "max_hidden": composed.max_hidden}
    for turn in range(composed.n_hidings):
        if holdout == "time":
            visible, hidden = hide_from_cut(
                visible, test_size=composed.test_size, exclude_seen=composed.exclude_seen
            )
        elif holdout == "latest":
            visible, hidden, mask = hide_latest(
                visible, exclude_seen=composed.exclude_seen, return_mask=True, **size
            )
            # From the second turn on, the mask is of the events that the turn before left visible.
            shown = mask if shown is None else _narrowed(shown, mask)
        else:
            visible, hidden, shown = hide_by_hash(X, salt=turn, return_mask=True, **size)
        hidden = canonical(hidden)
        if not hidden.nnz:
            if turn:  # short histories are used up
                return
            if holdout == "time":
                why, remedy = "no row has events before and after the cut", "another test_size"
            else:
                why, remedy = "every row has fewer than two interactions", "rows with more"
            raise ValueError(
                f"Nothing can be hidden to learn from: {why}. Give weights, or {remedy}."
            )
        rows = _sampled_rows(hidden, composed.learn_users, seed + turn)
        known = visible if shown is None else hidden_in_rows(X, shown, rows)
        fitted = Parallel(n_jobs=composed.n_jobs)(
            delayed(_fit_hidden)(member, known, composed._params_for(name, X))
            for name, member in zip(names, members)
        )
        yield fitted, known, visible[rows], hidden[rows]


def _narrowed(mask: NDArray[np.bool_], of_chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of which only those chosen places remain that a mask of the chosen ones names."""
    result = mask.copy()
    result[mask] = of_chosen
    return result


def _sampled_rows(hidden: sp.csr_array, n_rows: int | None, seed: int) -> NDArray[np.int64]:
    """Return the rows that have targets, at most `n_rows` of them, drawn at random."""
    rows = np.flatnonzero(np.diff(hidden.indptr))
    if n_rows is None or len(rows) <= n_rows:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, n_rows, replace=False))


def union_of_tops(
    scores: list[NDArray[Any]], seen: sp.csr_array | None, n: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the unseen items among the n best of any member, -1 at the end of short rows, and their mask."""
    chosen = np.zeros(scores[0].shape, dtype=bool)
    for of_member in scores:
        if seen is not None:
            of_member = of_member.astype(np.float64)
            of_member[
                np.repeat(np.arange(len(of_member)), np.diff(seen.indptr)), seen.indices
            ] = -np.inf
        items, _ = topk_dense(of_member, min(n, of_member.shape[1]))
        filled = np.nonzero(items >= 0)
        chosen[filled[0], items[filled]] = True
    counts = chosen.sum(axis=1)
    result = np.full((len(chosen), max(int(counts.max(initial=0)), 1)), -1, dtype=np.int64)
    result[np.arange(result.shape[1]) < counts[:, None]] = np.nonzero(chosen)[1]
    return result, chosen


def pool_rows(
    members: list[Any], X: Any, normalize: Any, n: int, exclude_seen: bool
) -> tuple[Pool, list[NDArray[Any]]]:
    """Return the pool of a chunk of rows without targets, and the normalised scores of all columns."""
    histories = canonical(X)
    scores = [normalize(member_scores(member, X).astype(np.float64)) for member in members]
    items, _ = union_of_tops(scores, histories if exclude_seen else None, n)
    votes = np.stack(
        [np.take_along_axis(of_member, np.maximum(items, 0), axis=1) for of_member in scores],
        axis=2,
    )
    return Pool(items, votes.astype(np.float32), np.diff(histories.indptr).astype(np.int64)), scores


def pool_with_targets(
    members: list[Any],
    X: Any,
    hidden: sp.csr_array,
    normalize: Any,
    n: int,
    exclude_seen: bool,
) -> Pool:
    """Return the pool of all rows of X, built in chunks, with the hidden items as targets."""
    parts, hits = [], []
    for rows in row_chunks(X.shape[0], 8 * X.shape[1] * (len(members) + 2)):
        part, _ = pool_rows(members, X[rows], normalize, n, exclude_seen)
        targets = np.zeros((part.items.shape[0], X.shape[1] + 1), dtype=bool)
        wanted = hidden[rows]
        targets[np.repeat(np.arange(wanted.shape[0]), np.diff(wanted.indptr)), wanted.indices] = (
            True
        )
        parts.append(part)
        hits.append(np.take_along_axis(targets, part.items % (X.shape[1] + 1), axis=1))
    for part, found in zip(parts, hits):
        part.hits = found
    pool = joined_pools(parts)
    pool.n_targets = np.diff(hidden.indptr).astype(np.int64)
    return pool


def joined_pools(parts: list[Pool]) -> Pool:
    """Concatenate several pools into one; short rows are padded."""
    width = max(part.items.shape[1] for part in parts)

    def stacked(name: str, value: Any) -> Any:
        arrays = [getattr(part, name) for part in parts]
        if any(array is None for array in arrays):
            return None
        return np.concatenate(
            [
                np.pad(
                    array,
                    [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)],
                    constant_values=value,
                )
                for array in arrays
            ]
        )

    counts = [part.n_targets for part in parts if part.n_targets is not None]
    return Pool(
        items=stacked("items", -1),
        votes=stacked("votes", 0),
        lengths=np.concatenate([part.lengths for part in parts]),
        hits=stacked("hits", False),
        n_targets=np.concatenate(counts) if len(counts) == len(parts) else None,
    )
