"""`recommend`: the k best items from any estimator that scores items."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.base._by_id import candidates_of_ids, ids_of_columns
from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.utils import (
    as_csr,
    canonical,
    check_arguments,
    check_candidates,
    check_k,
    check_seen,
    row_chunks,
    snapshot,
)


def _generic_recommend(
    estimator: Any, X: Any, seen: sp.csr_array | None, k: int, candidates: Any
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Recommend by the scores that `predict` of any multi-output estimator returns, chunk by chunk."""
    n_rows = X.shape[0]
    if not n_rows:
        raise ValueError("X has no rows: there is nobody to recommend to.")
    parts = []
    width = getattr(estimator, "n_features_in_", X.shape[1])
    for rows in row_chunks(n_rows, 8 * width):
        block = np.array(estimator.predict(X[rows]))
        if block.ndim != 2:
            raise ValueError(
                f"{type(estimator).__name__}.predict returned an array of {block.ndim} dimensions: recommend needs one "
                "score per item, so a recommender or a multi-output estimator fitted on item columns."
            )
        if not np.issubdtype(block.dtype, np.floating):
            block = block.astype(np.float64)
        shape = (n_rows, block.shape[1])
        if seen is not None and seen.shape != shape:
            raise ValueError(
                f"X has {seen.shape[1]} columns and the estimator scores {shape[1]} items: what is seen cannot be "
                "derived from X, so pass exclude_seen=False."
            )
        allowed = check_candidates(candidates, shape)
        parts.append(
            topk_dense(
                block,
                check_k(k, shape[1]),
                seen=None if seen is None else canonical(sp.csr_array(seen[rows])),
                candidates=allowed[rows] if sp.issparse(allowed) else allowed,
            )
        )
    items, scores = zip(*parts, strict=True)
    return np.vstack(items), np.vstack(scores)


def _best_columns(
    estimator: Any, X: Any, k: int, exclude_seen: bool, candidates: Any, seen: Any
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return lists of column numbers from any estimator, also behind Pipelines and searches."""
    if isinstance(estimator, BaseRecommender) or (
        not isinstance(estimator, Pipeline) and callable(getattr(estimator, "recommend", None))
    ):
        # Other libraries' estimators need not know the argument.
        given = {} if seen is None else {"seen": seen}
        result: tuple[NDArray[np.int64], NDArray[Any]] = estimator.recommend(
            X, k, exclude_seen=exclude_seen, candidates=candidates, **given
        )
        return result
    if hasattr(estimator, "best_estimator_"):
        return _best_columns(estimator.best_estimator_, X, k, exclude_seen, candidates, seen)
    if not hasattr(estimator, "predict"):
        check_is_fitted(estimator)
        raise TypeError(f"{type(estimator).__name__} has no predict: it scores no items.")
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    seen = check_seen(seen, X.shape, exclude_seen=exclude_seen)
    seen = as_csr(X) if seen is None and exclude_seen else seen
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        last = estimator.steps[-1][1]
        if isinstance(last, BaseRecommender):
            check_is_fitted(last)
            last = snapshot(last)
            given = last._check_X(estimator[:-1].transform(X), reset=False)
            return last._recommend(given, seen, k, candidates)
        if hasattr(last, "best_estimator_"):
            inner = copy.copy(estimator)
            inner.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], last.best_estimator_)]
            return _best_columns(inner, X, k, exclude_seen, candidates, seen)
    elif isinstance(estimator, Pipeline):
        return _best_columns(estimator.steps[-1][1], X, k, exclude_seen, candidates, seen)
    return _generic_recommend(estimator, X, seen, k, candidates)


@check_arguments
def recommend(
    estimator: Any,
    X: Any,
    k: int = 10,
    *,
    exclude_seen: bool = True,
    candidates: ArrayLike | sp.sparray | None = None,
    seen: Any = None,
    ids: bool = False,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Recommend the k best items for every row, with any fitted estimator that scores items.

    A `Pipeline` hides every method that scikit-learn does not know, and so does a fitted search:
    ``pipeline.recommend(X)`` and ``search.recommend(X)`` raise an AttributeError. Write ``recommend(pipeline, X)`` and
    ``recommend(search, X)`` instead. The function does the same for any multi-output estimator of scikit-learn. What is
    seen is read from `X` as given, before any step of a Pipeline.

    Parameters
    ----------
    estimator : object
        A fitted recommender, a Pipeline that ends with one, a fitted search over either, or any estimator whose
        `predict` returns one score per item.
    X : {array-like, sparse} of shape (n_users, n_items)
        Histories.
    k : int, default=10
        Length of the lists.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out.
    candidates : array-like or boolean sparse of shape (n_users, n_items), default=None
        What may be recommended: column numbers or a mask of the items for all rows (with ``ids=True`` item ids), or
        a matrix row by row.
    seen : {array-like, sparse} of shape (n_users, n_items), default=None
        Items to leave out of each list, instead of those that X contains: what was bought elsewhere, or hidden from
        the model. Requires ``exclude_seen=True``.
    ids : bool, default=False
        Whether `candidates` and the items returned are item ids (those in `item_ids_`) instead of column numbers.

    Returns
    -------
    items : ndarray of shape (n_users, k), int64 or the dtype of `item_ids_`
        Column numbers, best first; -1 where fewer than k items are allowed. With ``ids=True`` item ids; a short list
        ends with None (an object array then; dates have NaT).
    scores : ndarray of shape (n_users, k)
        Their scores; ``-inf`` beside item -1.

    Raises
    ------
    ValueError
        If k is above the number of items, the estimator does not return one score per item, or a search was not
        refitted; with ``ids=True``, if the model was fitted without item ids or does not know one of them.
    TypeError
        If the estimator is none that predicts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer
    >>> from sklearn_llmrec import ItemKNN, recommend
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
    >>> pipeline = make_pipeline(Normalizer(), ItemKNN()).fit(X)
    >>> items, scores = recommend(pipeline, X[1:2], k=1)
    >>> items
    array([[2]])
    """
    asked = ("fit", "predict", "recommend")
    if isinstance(estimator, type) or not any(hasattr(estimator, name) for name in asked):
        raise TypeError(
            f"estimator must be a fitted recommender, a Pipeline or a search; got {estimator!r}."
        )
    if getattr(estimator, "refit", True) is False and hasattr(estimator, "cv_results_"):
        raise ValueError(
            f"The {type(estimator).__name__} has no fitted model, since refit=False: fit the estimator with its "
            "best_params_ on all rows, and pass that."
        )
    candidates = candidates_of_ids(estimator, candidates) if ids else candidates
    items, scores = _best_columns(estimator, X, k, exclude_seen, candidates, seen)
    return ids_of_columns(estimator, items) if ids else items, scores
