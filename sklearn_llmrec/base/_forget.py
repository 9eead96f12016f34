"""Remove users from a fitted model."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.utils import built_aside, canonical

_E = TypeVar("_E", bound=BaseRecommender)


def forget(estimator: _E, rows: Any) -> _E:
    """Remove users from a fitted model, so that it equals a fit without them.

    Two kinds of models can forget. `PopularityRecommender`, `EASE` and `NaiveBayesRecommender` are sums over users:
    the part of the users is subtracted. `ItemKNN`, `UserKNN`, `SLIM`, `SparseEASE`, `P3alpha` and `RP3beta` keep the
    rows of their fit for further training: the rows are deleted, and the model is fitted on the others.

    Parameters
    ----------
    estimator : BaseRecommender
        A fitted recommender that was not compacted; changed in one step at the end.
    rows : {array-like, sparse} of shape (n_users, n_items)
        The rows of these users as they were given to `fit` or `partial_fit`, with the columns of the model.

    Returns
    -------
    estimator : BaseRecommender
        The same object.

    Raises
    ------
    TypeError
        If the model can only be fitted again without the rows, such as factor models and networks.
    ValueError
        If the rows cannot have been part of the fit, nothing would be left, the model was compacted, it was fitted with
        ``privacy=``, or its popularity decays with time.

    Notes
    -----
    A sum does not know its users: rows with other values than at `fit` are subtracted as given, and only impossible
    results are refused. Sums are exact to rounding; an `EASE` that was fitted by `fit` recovers its sum by an
    inverse first, which costs some digits (pass float64, or fit by `partial_fit`, which keeps the sum). Copies that
    were saved or served before still contain the users. Numbers that you chose by looking at the users, such as the
    parameters of a search, do not change.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import PopularityRecommender
    >>> from sklearn_llmrec.base import forget
    >>> X = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1]])
    >>> forget(PopularityRecommender().fit(X), X[:1]).item_scores_
    array([0., 2., 2.])
    """
    check_is_fitted(estimator)
    name = type(estimator).__name__
    if getattr(type(estimator), "_forget", None) is None:
        raise TypeError(
            f"{name} cannot forget rows: what it learned is no sum over users. Fit it again without them."
        )
    if getattr(estimator, "privacy", None) is not None:
        raise ValueError(
            f"{name}(privacy=...) cannot forget rows: it has noisy sums only, in which a user's part is not "
            "distinguishable. Fit it again without them, which is charged to the budget."
        )
    if any(attribute not in vars(estimator) for attribute in estimator._training_only):
        raise ValueError(
            f"compact() dropped what {name} needs to forget rows: use a copy that was not compacted, or fit it again."
        )
    with built_aside(estimator) as changed:
        X = changed._prepared(changed._check_X(rows, reset=False))
        if X.dtype != changed._dtype_:
            X = changed._prepared(changed._check_X(X.astype(changed._dtype_), reset=False))
        counts = np.bincount(canonical(X).indices, minlength=X.shape[1]).astype(np.float64)
        popularity = changed.item_popularity_ - counts
        n_users = changed.n_users_fit_ - X.shape[0]
        if popularity.min() < 0 or n_users < 0:
            raise ValueError(
                f"rows were not all part of the fit of this {name}: the fit had fewer users"
                + (
                    f" of item {int(np.argmin(popularity))} than these rows have."
                    if n_users >= 0
                    else " than there are rows."
                )
            )
        if not popularity.any():
            raise ValueError(f"Nothing of the fit of this {name} would be left: delete the model.")
        changed.item_popularity_, changed.n_users_fit_ = popularity, n_users
        changed._forget(X)
    return estimator


def without_rows(rows: sp.csr_array, removed: sp.csr_array) -> sp.csr_array:
    """Remove one equal row for each row of `removed`, and return the others.

    Raises
    ------
    ValueError
        If one of `removed` is not among them.
    """
    wanted = Counter(_keys(removed))
    kept = np.ones(rows.shape[0], dtype=bool)
    for place, key in enumerate(_keys(rows)):
        if wanted[key]:
            wanted[key] -= 1
            kept[place] = False
    if missing := +wanted:
        raise ValueError(
            f"{sum(missing.values())} of the rows were not part of the fit with these values: pass them as they were "
            "given to fit."
        )
    return sp.csr_array(rows[kept])


def _keys(X: sp.csr_array) -> list[tuple[bytes, bytes]]:
    """Return what distinguishes rows: their columns and values."""
    X = X if X.has_sorted_indices else X.sorted_indices()
    indices, bounds = X.indices.astype(np.int64), X.indptr
    return [
        (indices[start:stop].tobytes(), X.data[start:stop].tobytes())
        for start, stop in pairwise(bounds)
    ]
