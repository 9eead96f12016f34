"""The base class of estimators that reorder the first items of a recommender."""

from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import Tags

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.base import needs_order, recommend
from sklearn_llmrec.ensemble._members import member_scores, needs_nonnegative
from sklearn_llmrec.ensemble._routing import RoutesFitMixin
from sklearn_llmrec.utils import HasMethods, Interval, canonical, rows_without_entries

# Rows reranked at once: enough for numpy, few enough for three-dimensional intermediate arrays.
_BLOCK_ROWS = 256
# Scores of one row closer than this share of its largest are one score to every contract of the
# package; a rerank must treat them as equal, or a row alone and in a batch would get two lists.
_SAME_SCORE = 1e-6


def same_pattern(a: sp.csr_array, b: sp.csr_array) -> bool:
    """Return whether two canonical matrices have their entries at the same places."""
    return a.shape == b.shape and (
        a is b or (np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices))
    )


def settled(
    items: NDArray[np.int64], values: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Treat scores that differ only by rounding as equal, and order such candidates by item."""
    valid = items >= 0
    values = np.where(valid, values, 0).astype(np.float64)
    step = np.abs(values).max(axis=1, initial=0, keepdims=True) * _SAME_SCORE
    step[step == 0] = 1
    values = np.where(valid, np.rint(values / step) * step, -np.inf)
    order = np.lexsort((items, -values), axis=1)
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(values, order, axis=1)


def unit_interval(values: NDArray[Any]) -> NDArray[np.float64]:
    """Scale the finite values of every row to [0, 1]; ``-inf`` stays, equal values become 1."""
    valid = np.isfinite(values)
    low = np.where(valid, values, np.inf).min(axis=1, keepdims=True)
    high = np.where(valid, values, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        span = np.where(high > low, high - low, 1.0)
        scaled = np.where(high > low, (values - low) / span, 1.0)
    return np.where(valid, scaled, -np.inf)


def relevance(
    items: NDArray[np.int64], values: NDArray[np.float64], weight: float
) -> NDArray[np.float64]:
    """Scale the scores of the candidates to [0, weight]; ``-inf`` marks empty places of a row."""
    scaled = unit_interval(values)
    return np.where(items < 0, -np.inf, weight * np.where(items < 0, 0, scaled))


def ladder(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores for the places of a list: evenly spaced over the range of the candidates' scores."""
    valid = np.isfinite(values)
    n_valid = valid.sum(axis=1, keepdims=True)
    high = np.where(valid, values, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    low = np.where(valid, values, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high, low = np.where(n_valid > 0, high, 0.0), np.where(n_valid > 0, low, 0.0)
    # Wide enough that float32 distinguishes neighbouring places.
    span = np.maximum(high - low, np.maximum(1e-2 * np.maximum(np.abs(high), np.abs(low)), 1e-6))
    places = np.arange(values.shape[1])
    steps = high - span * places / np.maximum(n_valid, 1)
    return np.where(places < n_valid, steps, -np.inf)


class BaseReranker(MetaEstimatorMixin, RoutesFitMixin):
    """Base class of estimators that reorder the first `n_candidates` items of a recommender.

    A subclass implements `_rerank`. Where it learns something, it does so in `_fit` and then calls
    ``super()._fit(X)``. Candidates are the best items that the row does not contain. They get evenly
    spaced scores above those of all other items, which keep the order of the base.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    """

    estimator: Any
    n_candidates: int
    exclude_seen: bool
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "exclude_seen": ["boolean"],
    }

    # -- what a subclass writes -------------------------------------------------------------------

    @abstractmethod
    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        """Return the candidates in their new order.

        `items` (n, m) are best first, -1 at the end of short rows, `values` the scores of the base
        (``-inf`` there). The result contains the same items per row; only its first `depth` places
        will be read, and they must not depend on `depth`.
        """

    # -- how it works -----------------------------------------------------------------------------

    def _routed_members(self) -> dict[str, Any]:
        return {"estimator": self.estimator}

    def _fit(self, X: Any) -> None:
        self.estimator_ = clone(self.estimator).fit(X, None, **self._params_for("estimator", X))
        self._remember_empty_row(X)

    def _remember_empty_row(self, X: Any) -> None:
        """Compute the scores of a row without evidence, which the base class needs."""
        empty = sp.csr_array((1, X.shape[1]), dtype=X.dtype)
        self._empty_row_scores_ = self._score_rows(empty)[0]

    def _fallback_scores(self) -> NDArray[Any]:
        return self._empty_row_scores_

    def _candidates(
        self, X: Any, scores: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the candidates of every row from dense scores of the base, which are overwritten."""
        if self.exclude_seen:
            seen = canonical(X)
            rows = np.repeat(np.arange(X.shape[0]), np.diff(seen.indptr))
            scores[rows, seen.indices] = -np.inf
        return settled(*topk_dense(scores, min(self.n_candidates, X.shape[1])))

    def _fast_candidates(self, X: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the candidates from the base's own top-k."""
        width = min(self.n_candidates, X.shape[1])
        return settled(*recommend(self.estimator_, X, width, exclude_seen=self.exclude_seen))

    def _reranked(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        """Run `_rerank` in blocks of rows and check its results."""
        result = np.empty_like(items)
        for start in range(0, len(items), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            result[rows] = self._rerank(X[rows], items[rows], values[rows], depth)
        return result

    def _score_rows(self, X: Any) -> NDArray[Any]:
        scores = member_scores(self.estimator_, X).astype(np.float64)
        items, values = self._candidates(X, scores.copy())
        order = self._reranked(X, items, values, items.shape[1])
        return lifted(scores, order, ladder(values))

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        if k > self.n_candidates or (seen is not None and not same_pattern(seen, canonical(X))):
            return None
        if not self.exclude_seen and seen is not None:
            return None
        items, values = self._fast_candidates(X)
        order = self._reranked(X, items, values, k)[:, :k]
        steps = ladder(values)[:, :k]
        # An empty row gets the fallback scores, which the dense way knows.
        unfinished = rows_without_entries(X) | (order < 0).any(axis=1)
        order = np.where(unfinished[:, None], -1, order)
        return order, np.where(order < 0, -np.inf, steps).astype(X.dtype)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.keeps_input = True
        tags.recommender_tags.needs_order = needs_order(self.estimator)
        tags.input_tags.positive_only = needs_nonnegative(self.estimator)
        return tags


def lifted(
    scores: NDArray[np.float64], order: NDArray[np.int64], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return scores in which the items of `order` have `steps` and all others follow below in their order."""
    rows, places = np.nonzero(order >= 0)
    chosen = np.zeros(scores.shape, dtype=bool)
    chosen[rows, order[rows, places]] = True
    highest = np.where(chosen, -np.inf, scores).max(axis=1, keepdims=True)
    n_chosen = (order >= 0).sum(axis=1)
    last = np.take_along_axis(steps, np.maximum(n_chosen - 1, 0)[:, None], axis=1)
    gap = np.maximum(1e-3 * np.abs(last), 1e-6)
    with np.errstate(invalid="ignore"):
        drop = np.where((n_chosen > 0)[:, None] & (highest >= last), highest - last + gap, 0.0)
    result = scores - drop
    result[rows, order[rows, places]] = steps[rows, places]
    return result
