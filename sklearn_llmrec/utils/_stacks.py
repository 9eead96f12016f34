"""Mark matrices of stacked folds, and warn if something is fitted on all of them."""

from typing import Any

import scipy.sparse as sp

from sklearn_llmrec.utils._warnings import warn

# An attribute of the sparse matrix itself: rows taken from it, and copies, do not carry it.
_MARK = "_n_stacked_folds"


def mark_stack(X: Any, n_folds: int) -> Any:
    """Mark a sparse matrix as a stack of folds; a dense array cannot carry the mark."""
    if sp.issparse(X) and n_folds > 1:
        setattr(X, _MARK, n_folds)
    return X


def warn_of_stack(X: Any, name: str) -> None:
    """Warn if a whole stack of folds is about to be fitted."""
    n_folds = getattr(X, _MARK, 0)
    if n_folds:
        warn(
            f"{name} is fitted on the whole stack of {n_folds} folds, in which events occur several times and what one "
            "fold hides is visible in another: it is the wrong model, and its scores flatter. In a search pass "
            "refit=False, and fit the best parameters on the original X."
        )
