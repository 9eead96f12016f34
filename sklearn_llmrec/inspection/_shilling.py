"""Measure how far fake profiles push items into the lists of a recommender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from sklearn_llmrec.base import recommend
from sklearn_llmrec.metrics import checked_csr, ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split
from sklearn_llmrec.utils import row_chunks

_ATTACKS = ("random", "average", "bandwagon")
# Rows with this Jaccard similarity to another row are near duplicates.
_DUPLICATE = 0.35


class ShillingAudit(NamedTuple):
    """Result of `shilling_audit`.

    Attributes
    ----------
    hit_rate_before, hit_rate_after : float
        Share of (genuine user, target item) pairs in which the list has the item, among users who have not seen it.
    ndcg_before, ndcg_after : float
        Mean nDCG of genuine users on interactions hidden from both fits.
    n_profiles, n_removed_profiles, n_removed_users : int
        Fake profiles added, and fake profiles and genuine users that the defence removed from the second fit.
    target_items : ndarray of shape (n_targets,)
        Column numbers of the promoted items.
    """

    hit_rate_before: float
    hit_rate_after: float
    ndcg_before: float
    ndcg_after: float
    n_profiles: int
    n_removed_profiles: int
    n_removed_users: int
    target_items: NDArray[np.int64]


def shilling_audit(
    estimator: Any,
    X: Any,
    attack: str = "bandwagon",
    *,
    target_items: ArrayLike | None = None,
    n_profiles: int | float = 0.01,
    n_filler: int | None = None,
    k: int = 10,
    defence: str | Callable[[sp.csr_array], tuple[sp.csr_array, NDArray[np.bool_]]] | None = None,
    random_state: int = 0,
) -> ShillingAudit:
    """Fit with and without fake profiles, and measure how often the promoted items enter the lists of genuine users.

    A fifth of each user's interactions is hidden to measure nDCG. Every profile has the target items at the largest
    value of X, and filler items that make it look like a user:

    - "random": items drawn uniformly, at values drawn from those of X.
    - "average": items drawn by popularity, each at the mean value of its column.
    - "bandwagon": half the most popular items at the largest value, half as in "random".

    Parameters
    ----------
    estimator : estimator
        A recommender, Pipeline or search; cloned, never changed.
    X : {array-like, sparse} of shape (n_users, n_items)
        Genuine users.
    attack : {"random", "average", "bandwagon"}, default="bandwagon"
        How fillers are chosen.
    target_items : array-like of int, default=None
        Column numbers of the promoted items. None: five items that `random_state` draws from the less popular half of
        those with interactions.
    n_profiles : int or float, default=0.01
        Number of profiles; a float below 1 is a share of the users.
    n_filler : int, default=None
        Filler items of a profile. None: the median number of interactions of a user.
    k : int, default=10
        Length of the lists.
    defence : {"row_weights", "near_duplicates"}, callable or None, default=None
        Applied to the rows of both fits. "row_weights" divides every row by its norm. "near_duplicates" removes rows of
        which at least .35 of all items are shared with another row (Jaccard). A callable takes the rows and returns
        ``(rows, kept)``, with a mask of the rows that it kept.
    random_state : int, default=0
        Seed of the hidden part, the target items and the profiles.

    Returns
    -------
    audit : ShillingAudit

    Raises
    ------
    ValueError
        If a parameter is out of range, or no genuine user is without the target items.

    Notes
    -----
    Cost: two fits, and lists of all users for each. The histories are those of `X`, without weights.

    References
    ----------
    S. K. Lam, J. Riedl, "Shilling recommender systems for fun and profit", WWW 2004 (random and average attack).

    B. Mobasher et al., "Toward trustworthy recommender systems", ACM TOIT 7(4), 2007 (bandwagon attack).

    Examples
    --------
    >>> from sklearn_llmrec import ItemKNN
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.inspection import shilling_audit
    >>> X = make_interactions(300, 60, random_state=0).interactions
    >>> audit = shilling_audit(ItemKNN(), X, "bandwagon", n_profiles=0.1)
    >>> audit.hit_rate_after > audit.hit_rate_before
    True
    """
    if attack not in _ATTACKS:
        raise ValueError(f"attack must be one of {', '.join(map(repr, _ATTACKS))}, got {attack!r}.")
    X = sp.csr_array(checked_csr(X, "X"))
    fakes = round(n_profiles * X.shape[0]) if n_profiles < 1 else n_profiles
    if not (fakes >= 1 and fakes == int(fakes)):
        raise ValueError(
            f"n_profiles must be a whole number from 1, or a share of the users that makes one, got {n_profiles!r}."
        )
    rng = check_random_state(random_state)
    visible, hidden = (
        sp.csr_array(part) for part in holdout_split(X, holdout="random", random_state=random_state)
    )
    targets = _targets(target_items, visible, rng)
    profiles = fake_profiles(
        visible, attack, targets=targets, n_profiles=int(fakes), n_filler=n_filler, rng=rng
    )
    attacked = sp.csr_array(sp.vstack([visible, profiles], format="csr"))
    n_users = visible.shape[0]
    measured = []
    for rows in (visible, attacked):
        defended, kept = _defended(rows, defence)
        model = clone(estimator).fit(defended)
        items, _ = recommend(model, visible, min(k, X.shape[1]))
        measured.append((*_rates(items, visible, hidden, targets), kept))
    (hits, ndcg, _), (hits_after, ndcg_after, kept) = measured
    return ShillingAudit(
        hits,
        hits_after,
        ndcg,
        ndcg_after,
        int(fakes),
        int(np.sum(~kept[n_users:])),
        int(np.sum(~kept[:n_users])),
        targets,
    )


def fake_profiles(
    X: sp.csr_array,
    attack: str,
    *,
    targets: NDArray[np.int64],
    n_profiles: int,
    n_filler: int | None,
    rng: Any,
) -> sp.csr_array:
    """Return the rows that an attack adds, of shape (n_profiles, n_items)."""
    n_items = X.shape[1]
    others = np.setdiff1d(np.arange(n_items), targets)
    filler = int(np.median(np.diff(X.indptr))) if n_filler is None else n_filler
    filler = min(max(int(filler), 0), len(others))
    counts = np.bincount(X.indices, minlength=n_items).astype(np.float64)
    means = np.bincount(X.indices, X.data, minlength=n_items) / np.maximum(counts, 1)
    largest = X.data.max()
    popular = others[np.argsort(-counts[others], kind="stable")[: filler // 2]]
    unpopular = np.setdiff1d(others, popular)
    by_popularity = (counts[others] + 1e-3) / (counts[others] + 1e-3).sum()
    rows = np.zeros((n_profiles, n_items), dtype=X.dtype)
    for row in rows:
        if attack == "average":
            chosen = rng.choice(others, filler, replace=False, p=by_popularity)
            row[chosen] = np.where(means[chosen] != 0, means[chosen], X.data.mean())
        elif attack == "random":
            chosen = rng.choice(others, filler, replace=False)
            row[chosen] = rng.choice(X.data, filler)
        else:
            chosen = rng.choice(
                unpopular, min(filler - len(popular), len(unpopular)), replace=False
            )
            row[chosen] = rng.choice(X.data, len(chosen))
            row[popular] = largest
        row[targets] = largest
    return sp.csr_array(rows)


def without_near_duplicates(X: sp.csr_array, threshold: float = _DUPLICATE) -> NDArray[np.bool_]:
    """Return which rows share less than this part of all their items (Jaccard) with every other row."""
    ones = sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)
    sizes = np.diff(X.indptr).astype(np.float64)
    columns = ones.T.tocsr()
    kept = np.ones(X.shape[0], dtype=bool)
    for chunk in row_chunks(X.shape[0], X.shape[0] * 8):
        shared = (ones[chunk] @ columns).toarray()
        everything = sizes[chunk, None] + sizes - shared
        similarity = np.divide(shared, everything, out=np.zeros_like(shared), where=everything > 0)
        start = chunk.start
        similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = 0
        kept[chunk] = similarity.max(axis=1) < threshold
    return kept


def _defended(X: sp.csr_array, defence: Any) -> tuple[sp.csr_array, NDArray[np.bool_]]:
    """Return the rows that a defence leaves, and which rows these are."""
    kept = np.ones(X.shape[0], dtype=bool)
    if defence is None:
        return X, kept
    if callable(defence):
        return defence(X)
    if defence == "row_weights":
        norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
        scale = np.repeat(1 / np.maximum(norms, np.finfo(X.dtype).tiny), np.diff(X.indptr))
        data = (X.data * scale).astype(X.dtype)
        return sp.csr_array((data, X.indices, X.indptr), shape=X.shape), kept
    if defence == "near_duplicates":
        kept = without_near_duplicates(X)
        if not kept.any():
            raise ValueError('defence="near_duplicates" removes every row of X.')
        return sp.csr_array(X[kept]), kept
    raise ValueError(
        f'defence must be "row_weights", "near_duplicates", a callable or None, got {defence!r}.'
    )


def _targets(given: ArrayLike | None, X: sp.csr_array, rng: Any) -> NDArray[np.int64]:
    """Return the promoted items, sorted."""
    if given is None:
        counts = np.bincount(X.indices, minlength=X.shape[1])
        active = np.flatnonzero(counts)
        less_popular = active[np.argsort(counts[active], kind="stable")][: (len(active) + 1) // 2]
        return np.sort(rng.choice(less_popular, min(5, len(less_popular)), replace=False))
    targets = np.unique(np.asarray(given))
    if (
        not len(targets)
        or not np.issubdtype(targets.dtype, np.integer)
        or targets[0] < 0
        or targets[-1] >= X.shape[1]
    ):
        raise ValueError(
            f"target_items must be column numbers between 0 and {X.shape[1] - 1}, got {given!r}."
        )
    return targets.astype(np.int64)


def _rates(
    items: NDArray[Any], visible: sp.csr_array, hidden: sp.csr_array, targets: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the hit rate of the targets among users who have not seen them, and the mean nDCG."""
    unseen = visible[:, targets].toarray() == 0
    if not unseen.any():
        raise ValueError("No user is without the target items: choose others.")
    found = np.stack([(items == target).any(axis=1) for target in targets], axis=1)
    ndcg = ndcg_at_k(hidden, items, k=items.shape[1], seen=visible)
    return float(found[unseen].mean()), float(ndcg)
