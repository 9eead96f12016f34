"""A metric against the length of the list."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.inspection._common import (
    Counted,
    axes,
    best_first,
    caption,
    check_metric,
    direction,
    finish,
    means_and_intervals,
    metric_label,
    of_estimators,
    of_predictions,
    row_matrix,
)

_KS = (1, 2, 5, 10, 20, 50)


class MetricAtKDisplay:
    """A metric at several cut-offs, one curve per model, with bands of bootstrap intervals over users.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    ks : array-like of int
        The cut-offs.
    curves : dict of str to ndarray of shape (3, n_ks)
        By model: mean and lower and upper end of the interval, at every cut-off.
    metric : str
        Name of the metric, without cut-off.
    confidence : float, default=0.95
        Level of the intervals.
    n_users, n_without_history : int or None, default=None
        Users that are measured, and those of them without a visible interaction; None where it is not known.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.inspection import MetricAtKDisplay
    >>> from sklearn_llmrec.model_selection import holdout_split
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X, y = holdout_split(make_interactions(random_state=0).interactions, random_state=0)
    >>> display = MetricAtKDisplay.from_estimator(ItemKNN().fit(X), X, y, metric="recall")
    >>> display.ax_.get_ylabel()
    'recall@k, mean over users'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        ks: Any,
        curves: dict[str, NDArray[np.float64]],
        metric: str,
        confidence: float = 0.95,
        n_users: int | None = None,
        n_without_history: int | None = None,
    ) -> None:
        self.n_users, self.n_without_history = n_users, n_without_history
        self.ks, self.curves = ks, curves
        self.metric, self.confidence = metric, confidence

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        y: Any = None,
        *,
        metric: str = "ndcg",
        ks: Any = None,
        holdout: str | None = None,
        exclude_seen: bool = True,
        confidence: float = 0.95,
        random_state: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Make ranking lists with fitted models, and plot.

        Parameters
        ----------
        estimators : estimator, dict of str to estimator, list of (str, estimator) or list of estimators
            Fitted recommenders, Pipelines or searches.
        X, y, holdout, exclude_seen
            As in `ranking_scorer`.
        metric : str, default="ndcg"
            Name of a metric that has a cut-off and a value per user.
        ks : array-like of int, default=None
            The cut-offs; by default 1, 2, 5, 10, 20 and 50 as far as there are items.
        confidence : float, default=0.95
            Level of the intervals.
        random_state : int, default=0
            Seed of the resamples and of ``holdout="random"``.
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for every curve.

        Returns
        -------
        display : MetricAtKDisplay
        """
        X = row_matrix(X)
        ks = _checked(metric, ks, X.shape[1])
        labels = [f"{metric}@{k}" for k in ks]
        settings = {"holdout": holdout, "exclude_seen": exclude_seen, "random_state": random_state}
        measured = of_estimators(estimators, X, y, labels, **settings)
        return cls._of(measured, metric, ks, confidence, random_state).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        metric: str = "ndcg",
        ks: Any = None,
        seen: Any = None,
        confidence: float = 0.95,
        random_state: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot from lists or scores.

        Parameters
        ----------
        y_true, seen
            As in `ndcg_at_k`.
        y_pred : array-like, dict of str to array-like or list of (str, array-like)
            Lists or scores as in `ndcg_at_k`, of one model or by name.
        metric, ks, confidence, random_state, ax, **kwargs
            As in `from_estimator`.

        Returns
        -------
        display : MetricAtKDisplay
        """
        ks = _checked(metric, ks, y_true.shape[1])
        measured = of_predictions(y_true, y_pred, [f"{metric}@{k}" for k in ks], seen)
        return cls._of(measured, metric, ks, confidence, random_state).plot(ax=ax, **kwargs)

    @classmethod
    def _of(
        cls,
        measured: Counted,
        metric: str,
        ks: list[int],
        confidence: float,
        random_state: int,
    ) -> Self:
        values = [value for of_model in measured.values.values() for value in of_model.values()]
        found = means_and_intervals(values, confidence, random_state)
        curves = {
            name: found[:, i * len(ks) : (i + 1) * len(ks)]
            for i, name in enumerate(measured.values)
        }
        return cls(ks=ks, curves=curves, metric=metric, confidence=confidence, **measured.counts)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for every curve.

        Returns
        -------
        display : MetricAtKDisplay
        """
        self.figure_, self.ax_ = axes(ax)
        self.lines_ = {}
        for name, (mean, low, high), color in best_first(self.curves):
            style = {"marker": "o", "label": name, "color": color, **kwargs}
            (line,) = self.ax_.plot(self.ks, mean, **style)
            self.ax_.fill_between(self.ks, low, high, color=line.get_color(), alpha=0.15, lw=0)
            self.lines_[name] = line
        if len(self.ks) > 1:
            self.ax_.set_xscale("log")
        self.ax_.set_xticks(self.ks, [str(k) for k in self.ks], minor=False)
        self.ax_.set_xticks([], minor=True)
        self.ax_.set_xlabel("k, places in the list")
        self.ax_.set_ylabel(
            metric_label(self.metric + "@k") + ", mean over users" + direction(self.metric)
        )
        finish(
            self.ax_, title=caption("bands", self.confidence, self.n_users, self.n_without_history)
        )
        return self


def _checked(metric: str, ks: Any, n_items: int) -> list[int]:
    """Validate and return the cut-offs, ascending."""
    ks = [k for k in _KS if k <= n_items] if ks is None else sorted({int(k) for k in ks})
    if not ks or ks[0] < 1 or ks[-1] > n_items:
        raise ValueError(
            f"ks must be cut-offs between 1 and the number of items, {n_items}; got {ks}."
        )
    check_metric(f"{metric}@{ks[0]}", per_user=True)
    return ks
