"""`refit_on`: update models that have no `partial_fit`."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import check_arguments

__all__ = ["refit_on"]


@check_arguments
def refit_on(model: Any, X_old: Any, X_new: Any, *, repeats: str = "sum") -> Any:
    """Refit a model on old and new interactions, joined by user and item id.

    A `Pipeline` and a search have no `partial_fit`, since a transformer learns from all rows and a search scores
    parameters on them. This function makes a clone and fits it on all rows. For a search, it clones `best_estimator_`,
    and does not search parameters again.

    Parameters
    ----------
    model : recommender, Pipeline or search
        A search must be fitted. The model itself stays as it is, so that it can answer meanwhile.
    X_old, X_new : Interactions
        With `item_ids`, and with `user_ids` where users occur in both.
    repeats : {"sum", "last", "keep"}, default="sum"
        What becomes of interactions of one user and item in both, as in `Interactions.concat`; "last" for ratings.

    Returns
    -------
    estimator : object
        A new fitted estimator over the items of both: those of `X_old`, then new ones.

    Raises
    ------
    ValueError
        If ids are missing or do not match, or the search was not fitted.
    TypeError
        If a matrix is no `Interactions`, or the model no estimator.

    See Also
    --------
    Interactions.concat : Joins the matrices.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_llmrec import BM25Transformer, Interactions, ItemKNN, recommend_ids, refit_on
    >>> old = Interactions(np.ones((3, 2)), user_ids=[1, 2, 3], item_ids=["mug", "tea"])
    >>> new = Interactions(np.ones((2, 2)), user_ids=[3, 4], item_ids=["tea", "pan"])
    >>> model = make_pipeline(BM25Transformer(), ItemKNN()).fit(old)
    >>> updated = refit_on(model, old, new)
    >>> recommend_ids(updated, [["pan"]], k=1)["item"].tolist()
    ['tea']
    """
    estimator = model
    if (
        hasattr(model, "param_grid")
        or hasattr(model, "param_distributions")
        or hasattr(model, "cv_results_")
    ):
        if not hasattr(model, "best_estimator_"):
            raise ValueError(
                f"The {type(model).__name__} has no best_estimator_ to refit: fit it with refit=True first, or pass "
                "the estimator with its best_params_."
            )
        estimator = model.best_estimator_
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"model must be a recommender, a Pipeline or a search; got {model!r}.")
    return clone(estimator).fit(Interactions.concat([X_old, X_new], repeats=repeats))
