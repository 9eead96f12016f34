"""Report the progress of a fit: scikit-learn's callbacks where the installed version has them, and `verbose`."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement if the installed scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "begin_fit", "end_fit", "iterations", "tell", "with_callbacks"]


def begin_fit(estimator: Any, X: Any, y: Any) -> None:
    """Open the task of a fit if there may be callbacks."""
    if hasattr(estimator, "_init_callback_context"):
        context = estimator._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)


def end_fit(estimator: Any, X: Any, y: Any) -> None:
    """Close the task of a fit."""
    context = getattr(estimator, "_callback_fit_ctx", None)
    if context is not None:
        context.call_on_fit_task_end(estimator=estimator, X=X, y=y)


def tell(estimator: Any, line: str) -> None:
    """Print a line with the name of the estimator if it is verbose."""
    if estimator.verbose:
        print(f"[{type(estimator).__name__}] {line}", flush=True)


def iterations(
    estimator: Any,
    n: int,
    *,
    X: Any = None,
    fitted: Callable[[], dict[str, Any]] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[int]:
    """Yield numbers 0 to n - 1, each reported to the callbacks as a subtask; end early if one requests it.

    Parameters
    ----------
    estimator : object
        The estimator being fitted.
    n : int
        Iterations at most.
    X : object, default=None
        The training data, for callbacks that score.
    fitted : callable, default=None
        Returns the attributes of an estimator fitted by the iterations so far; called only if a callback needs them.
    stop : callable, default=None
        Called after every iteration; returns whether that was the last.

    Yields
    ------
    iteration : int
    """
    context = getattr(estimator, "_callback_fit_ctx", None)
    # ScoringMonitor scores only what comes with a y; one-dimensional, it is ignored by `score` and our scorers.
    y = None if X is None else np.zeros(X.shape[0])
    for iteration in range(n):
        if context is None:
            yield iteration
        else:
            task = context.subcontext(task_name="iteration")
            task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
            yield iteration
            if task.call_on_fit_task_end(
                estimator=estimator, X=X, y=y, reconstruction_attributes=fitted
            ):
                return
        if stop is not None and stop():
            return
