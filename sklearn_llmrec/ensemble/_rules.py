"""Business rules for ordered lists: plain functions, and the reranker that applies them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.ensemble._item_data import category_matrix
from sklearn_llmrec.ensemble._reranker import (
    BaseReranker,
    lifted,
    relevance,
    settled,
)
from sklearn_llmrec.utils import canonical, check_candidates

Rule = Callable[[NDArray[np.int64], NDArray[np.float64], Any], NDArray[np.float64]]


def boost(amounts: ArrayLike) -> Rule:
    """Return a rule that adds an amount to the score of every item.

    Parameters
    ----------
    amounts : array-like of shape (n_items,)
        What to add; the scores of the candidates lie between 0 and 1. Negative amounts demote.

    Returns
    -------
    rule : callable
        For `RuleReranker`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.ensemble import boost
    >>> rule = boost([0.0, 0.5])
    >>> rule(np.array([[0, 1]]), np.array([[0.4, 0.1]]), None)
    array([[0.4, 0.6]])
    """
    return partial(_boosted, np.asarray(amounts, dtype=np.float64))


def _boosted(
    amounts: NDArray[np.float64], items: NDArray[np.int64], scores: NDArray[np.float64], X: Any
) -> NDArray[np.float64]:
    _check_items("boost", len(amounts), X)
    return scores + amounts[np.maximum(items, 0)]


def _check_items(rule: str, n_items: int, X: Any) -> None:
    """Refuse a rule about another number of items than X has; without X there is nothing to compare."""
    if X is not None and n_items != X.shape[1]:
        raise ValueError(
            f"{rule} knows {n_items} items, and X has {X.shape[1]}: one value per item."
        )


def cap_per_category(categories: ArrayLike, n: int) -> Rule:
    """Return a rule that places at most n items of each category before the items above the limit.

    Parameters
    ----------
    categories : array-like of shape (n_items,) or {array-like, sparse} of shape (n_items, n_categories)
        One label (or list of labels, or text with ``|`` between them) per item, or a matrix whose
        non-zero entries say what an item belongs to.
    n : int
        How many items of one category the list may contain. Items beyond it go below all others.

    Returns
    -------
    rule : callable
        For `RuleReranker`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.ensemble import cap_per_category
    >>> rule = cap_per_category(["war", "war", "art"], 1)
    >>> rule(np.array([[0, 1, 2]]), np.array([[1.0, 0.5, 0.0]]), None).argsort()[:, ::-1]
    array([[0, 2, 1]])
    """
    if not isinstance(n, Integral) or n < 0:
        raise ValueError(f"n must be an integer from 0, got {n!r}.")
    if isinstance(categories, str):
        raise TypeError(
            f"categories must be one value per item, got the text {categories!r}: pass the column itself."
        )
    n_items = categories.shape[0] if hasattr(categories, "shape") else len(categories)
    groups, _ = category_matrix(categories, None, np.zeros(n_items))
    return partial(_capped, groups.astype(bool), n)


def _capped(
    groups: sp.csr_array,
    n: int,
    items: NDArray[np.int64],
    scores: NDArray[np.float64],
    X: Any,
) -> NDArray[np.float64]:
    _check_items("cap_per_category", groups.shape[0], X)
    order = np.argsort(-scores, axis=1, kind="stable")
    result = scores.copy()
    finite = np.isfinite(scores)
    span = np.ptp(scores[finite]) + 1 if finite.any() else 1.0
    for row in range(len(items)):
        count = np.zeros(groups.shape[1], dtype=np.int64)
        for position in order[row][finite[row, order[row]]]:
            item = items[row, position]
            mine = groups.indices[groups.indptr[item] : groups.indptr[item + 1]]
            if len(mine) and (count[mine] >= n).any():
                result[row, position] -= span
            else:
                count[mine] += 1
    return result


def reserve_slots(columns: ArrayLike, places: Sequence[int]) -> Rule:
    """Return a rule that reserves places of the list for certain items.

    Parameters
    ----------
    columns : array-like of int
        The items, for example new or sponsored ones. Those that are no candidates cannot be
        placed: name them in `RuleReranker`'s `also_candidates`.
    places : sequence of int
        Places from 0, the first. Each gets the best of the items that is not before it;
        a place stays with the others when there are no more.

    Returns
    -------
    rule : callable
        For `RuleReranker`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.ensemble import reserve_slots
    >>> rule = reserve_slots([3], [1])
    >>> rule(np.array([[0, 1, 2, 3]]), np.array([[1.0, 0.5, 0.4, 0.0]]), None).argsort()[:, ::-1]
    array([[0, 3, 1, 2]])
    """
    if not all(isinstance(place, Integral) and place >= 0 for place in places):
        raise ValueError(f"places must be integers from 0, got {places!r}.")
    return partial(_reserved, np.unique(np.asarray(columns)), tuple(sorted(places)))


def _reserved(
    columns: NDArray[np.int64],
    places: tuple[int, ...],
    items: NDArray[np.int64],
    scores: NDArray[np.float64],
    X: Any,
) -> NDArray[np.float64]:
    order = np.argsort(-scores, axis=1, kind="stable")
    special = np.isin(items, columns) & np.isfinite(scores)
    result = np.full(scores.shape, -np.inf)
    for row in range(len(items)):
        line = [p for p in order[row] if np.isfinite(scores[row, p])]
        waiting = [p for p in line if special[row, p]]
        for place in places:
            waiting = [p for p in waiting if p not in line[:place]]
            if waiting and place < len(line):
                line.remove(waiting[0])
                line.insert(place, waiting.pop(0))
        result[row, line] = 1 - np.arange(len(line)) / max(len(line), 1)
    return result


class RuleReranker(BaseReranker):
    r"""Apply business rules to the first items of a recommender.

    A rule is a plain function ``rule(items, scores, X) -> scores``, called for a block of rows. `items` are the
    candidates: item numbers, with -1 at the end of short rows. `scores` are those of the base, scaled to [0, 1]
    within the row, with ``-inf`` beside -1. X are the histories. The function returns new scores. Rules are
    applied in the order given; then candidates are sorted. `boost`, `cap_per_category` and
    `reserve_slots` make such functions.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    rules : list of callable, default=None
        Functions as above.
    allowed : array-like of shape (n_items,) or callable, default=None
        What may be recommended at all: booleans, or a function of X that returns booleans of shape
        (n_items,) or (n_users, n_items), as an array or sparse matrix. `recommend` never returns
        anything else, filling short lists with -1; `predict` puts it last.
    also_candidates : array-like of int, default=None
        Columns that join the candidates whatever their scores, for example for reserved slots.
    n_candidates : int, default=200
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    CalibratedReranker : Shares of categories after the user's own.
    MMRReranker : Diversity by similarity.

    Notes
    -----
    Functions written with ``def`` in a module, and those of this package, pickle; a lambda does not.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import RuleReranker, cap_per_category, reserve_slots
    >>> X = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1]])
    >>> model = RuleReranker(
    ...     PopularityRecommender(),
    ...     rules=[
    ...         cap_per_category(["war", "war", "war", "art", "art"], 1),
    ...         reserve_slots([4], [0]),
    ...     ],
    ... )
    >>> items, _ = model.fit(X).recommend([[1, 0, 0, 0, 0]], k=3)
    >>> items
    array([[4, 1, 3]])
    >>> model.set_params(allowed=[True, True, False, False, True]).fit(X).recommend(
    ...     [[1, 0, 0, 0, 0]], k=3
    ... )[0]
    array([[ 4,  1, -1]])
    """

    _parameter_constraints = {
        **BaseReranker._parameter_constraints,
        "rules": [list, tuple, None],
        "allowed": ["array-like", callable, None],
        "also_candidates": ["array-like", None],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        rules: Sequence[Rule] | None = None,
        allowed: ArrayLike | Callable[[Any], Any] | None = None,
        also_candidates: ArrayLike | None = None,
        n_candidates: int = 200,
        exclude_seen: bool = True,
    ) -> None:
        self.estimator = estimator
        self.rules = rules
        self.allowed = allowed
        self.also_candidates = also_candidates
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _fit(self, X: Any) -> None:
        for rule in self.rules or ():
            if not callable(rule):
                raise TypeError(f"rules must be functions, got {rule!r}.")
        self._also_ = check_candidates(self.also_candidates, X.shape)
        self._allowed_mask(X)
        super()._fit(X)

    def _allowed_mask(self, X: Any) -> NDArray[np.bool_] | sp.csr_array | None:
        """Return the mask of allowed items, one row for all or one per row; None allows everything.

        Raises
        ------
        ValueError
            If it has another shape, or contains something else than booleans.
        """
        if self.allowed is None:
            return None
        mask: Any = self.allowed(X) if callable(self.allowed) else self.allowed
        mask = canonical(sp.csr_array(mask)) if sp.issparse(mask) else np.asarray(mask)
        if mask.shape not in ((X.shape[1],), X.shape):
            raise ValueError(
                f"allowed must give booleans of shape ({X.shape[1]},) or {X.shape}, got {mask.shape}."
            )
        values = mask.data if sp.issparse(mask) else mask
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise ValueError(
                "allowed must give booleans, one per item, not numbers of items: set "
                "mask = np.zeros(n_items, dtype=bool); mask[numbers] = True."
            )
        return mask.astype(bool) if sp.issparse(mask) else np.atleast_2d(mask.astype(bool))

    def _allowed_block(self, X: Any) -> NDArray[np.bool_] | None:
        """Return the mask of allowed items for a chunk of rows, as a block of its shape."""
        mask: Any = self._allowed_mask(X)
        if mask is None:
            return None
        return np.broadcast_to(mask.toarray() if sp.issparse(mask) else mask, X.shape)

    def _candidates(
        self, X: Any, scores: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        mask = self._allowed_block(X)
        if mask is not None:
            scores[~mask] = -np.inf
        if self._also_ is None:
            return super()._candidates(X, scores)
        if self.exclude_seen:
            seen = canonical(X)
            scores[np.repeat(np.arange(X.shape[0]), np.diff(seen.indptr)), seen.indices] = -np.inf
        first = scores.copy()
        extra = first[:, self._also_]
        first[:, self._also_] = np.where(np.isfinite(extra), np.finfo(np.float64).max, -np.inf)
        items, _ = topk_dense(first, min(self.n_candidates + len(self._also_), X.shape[1]))
        values = np.take_along_axis(scores, np.maximum(items, 0), axis=1)
        return settled(items, np.where(items < 0, -np.inf, values))

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        scores = relevance(items, values, 1.0)
        for rule in self.rules or ():
            result = np.asarray(rule(items, scores, X), dtype=np.float64)
            if result.shape != items.shape or np.isnan(result).any() or (result == np.inf).any():
                raise ValueError(
                    f"Rule {rule!r} must return one score per candidate, shape {items.shape}, "
                    f"finite or -inf; got shape {result.shape}."
                )
            scores = np.where(items < 0, -np.inf, result)
        # -inf of a rule is last of the candidates, before the padding of short rows.
        order = np.lexsort(
            (np.broadcast_to(np.arange(items.shape[1]), items.shape), -scores, items < 0), axis=1
        )
        return np.take_along_axis(items, order, axis=1)

    def _score_rows(self, X: Any) -> NDArray[Any]:
        scores = super()._score_rows(X)
        mask = self._allowed_block(X)
        if mask is None:
            return scores
        order = topk_dense(np.where(mask, scores, -np.inf), scores.shape[1])[0]
        steps = np.take_along_axis(scores, np.maximum(order, 0), axis=1)
        return lifted(scores, order, np.where(order < 0, -np.inf, steps))

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        return None if self._also_ is not None else super()._topk_rows(X, k, seen)

    def _recommend(
        self, X: Any, seen: Any, k: int, candidates: Any
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        mask = self._allowed_mask(X)
        if mask is not None:
            given = check_candidates(candidates, X.shape)
            if given is not None and not sp.issparse(given):
                chosen = np.zeros(X.shape[1], dtype=bool)
                chosen[given] = True
                given = chosen[None, :]
            if given is not None:
                mask = given.multiply(mask) if sp.issparse(given) else mask * given
            same_for_all = not sp.issparse(mask) and len(mask) == 1
            candidates = np.flatnonzero(mask[0]) if same_for_all else sp.csr_array(mask)
        return super()._recommend(X, seen, k, candidates)
