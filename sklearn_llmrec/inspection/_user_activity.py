"""Show which users a model serves well: a metric by the activity of users."""

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
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import named


class UserActivityDisplay:
    """A metric by groups of users of like activity, one curve per model, with bootstrap intervals.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    groups : list of (low, high, n_users)
        The least and largest activity in every group, and how many users it counts.
    curves : dict of str to ndarray of shape (3, n_groups)
        By model: mean and lower and upper end of the interval in every group.
    metric : str
        Name of the metric, with its cut-off.
    confidence : float, default=0.95
        Level of the intervals.
    n_users, n_without_history : int or None, default=None
        Users that are measured, and those of them without a visible interaction; None where it is not known.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.inspection import UserActivityDisplay
    >>> from sklearn_llmrec.model_selection import holdout_split
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X, y = holdout_split(make_interactions(random_state=0).interactions, random_state=0)
    >>> display = UserActivityDisplay.from_estimator(ItemKNN().fit(X), X, y, n_groups=3)
    >>> len(display.groups)
    3
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        groups: list[tuple[int, int, int]],
        curves: dict[str, NDArray[np.float64]],
        metric: str,
        confidence: float = 0.95,
        n_users: int | None = None,
        n_without_history: int | None = None,
    ) -> None:
        self.n_users, self.n_without_history = n_users, n_without_history
        self.groups, self.curves = groups, curves
        self.metric, self.confidence = metric, confidence

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        y: Any = None,
        *,
        metric: str = "ndcg@10",
        n_groups: int = 5,
        holdout: str | None = None,
        exclude_seen: bool = True,
        item_features: Any = None,
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
        X, y, holdout, exclude_seen, item_features
            As in `ranking_scorer`. The activity of a user is the number of visible interactions.
        metric : str, default="ndcg@10"
            A metric with a value per user.
        n_groups : int, default=5
            Number of groups of about equal size; fewer where many users have equal activity. Users without a visible
        interaction are a group of their own beside these.
        confidence : float, default=0.95
            Level of the intervals.
        random_state : int, default=0
            Seed of the resamples and of ``holdout="random"``.
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `errorbar` for every curve.

        Returns
        -------
        display : UserActivityDisplay
        """
        check_metric(metric, per_user=True)
        settings = {
            "holdout": holdout,
            "exclude_seen": exclude_seen,
            "item_features": item_features,
            "random_state": random_state,
        }
        models = named(estimators)
        visible, y = ranking_scorer(metric, **settings).hide(row_matrix(X), y, models.values())
        measured = of_estimators(models, visible, y, [metric], **settings)
        activity = np.diff(visible.indptr)
        display = cls._of(measured, activity, metric, n_groups, confidence, random_state)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        seen: Any,
        metric: str = "ndcg@10",
        n_groups: int = 5,
        confidence: float = 0.95,
        random_state: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot from lists or scores.

        Parameters
        ----------
        y_true : {array-like, sparse} of shape (n_users, n_items)
            The targets.
        y_pred : array-like, dict of str to array-like or list of (str, array-like)
            Lists or scores as in `ndcg_at_k`, of one model or by name.
        seen : {array-like, sparse} of shape (n_users, n_items)
            What was visible of the users; the activity of a user is their number.
        metric, n_groups, confidence, random_state, ax, **kwargs
            As in `from_estimator`.

        Returns
        -------
        display : UserActivityDisplay
        """
        check_metric(metric, per_user=True)
        measured = of_predictions(y_true, y_pred, [metric], seen)
        activity = np.diff(row_matrix(seen).indptr)
        display = cls._of(measured, activity, metric, n_groups, confidence, random_state)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def _of(
        cls,
        measured: Counted,
        activity: NDArray[Any],
        metric: str,
        n_groups: int,
        confidence: float,
        random_state: int,
    ) -> Self:
        values = {name: np.asarray(of_model[metric]) for name, of_model in measured.values.items()}
        counted = ~np.isnan(np.array(list(values.values()))).all(axis=0)
        members = equal_groups(activity, counted, n_groups)
        groups = [
            (int(activity[rows].min()), int(activity[rows].max()), len(rows)) for rows in members
        ]
        found = np.array(
            [
                means_and_intervals(
                    [values_of_model[rows] for values_of_model in values.values()],
                    confidence,
                    random_state,
                )
                for rows in members
            ]
        )
        curves = {name: found[:, :, i].T for i, name in enumerate(values)}
        return cls(
            groups=groups, curves=curves, metric=metric, confidence=confidence, **measured.counts
        )

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `errorbar` for every curve.

        Returns
        -------
        display : UserActivityDisplay
        """
        self.figure_, self.ax_ = axes(ax)
        places = np.arange(len(self.groups))
        # Side by side, so that the bars of several models can be distinguished.
        shifts = 0.06 * (np.arange(len(self.curves)) - (len(self.curves) - 1) / 2)
        for (name, (mean, low, high), color), shift in zip(best_first(self.curves), shifts):
            style = {"fmt": "o-", "capsize": 2, "lw": 1, "label": name, "color": color, **kwargs}
            self.ax_.errorbar(places + shift, mean, yerr=[mean - low, high - mean], **style)
        labels = [
            (f"{low:,}" if low == high else f"{low:,}–{high:,}") + f"\n{n:,} users"
            for low, high, n in self.groups
        ]
        self.ax_.set_xticks(places, labels, fontsize="small")
        self.ax_.set_xlabel("visible interactions of the user")
        self.ax_.set_ylabel(f"{metric_label(self.metric)}, mean over users{direction(self.metric)}")
        finish(
            self.ax_, title=caption("bars", self.confidence, self.n_users, self.n_without_history)
        )
        return self


def equal_groups(
    activity: NDArray[Any], counted: NDArray[np.bool_], n_groups: int
) -> list[NDArray[np.intp]]:
    """Divide users into groups of about equal size by ascending activity; equal activity stays in one group.

    Users without a visible interaction are the first group, whatever their number.
    """
    if n_groups < 1:
        raise ValueError(f"n_groups must be at least 1, got {n_groups}.")
    without = np.flatnonzero(counted & (activity == 0))
    rows = np.flatnonzero(counted & (activity > 0))
    if not len(rows):
        return [without]
    edges = np.quantile(activity[rows], np.arange(1, n_groups) / n_groups, method="higher")
    group = np.searchsorted(np.unique(edges), activity[rows], side="left")
    groups = [rows[group == number] for number in np.unique(group)]
    return [without, *groups] if len(without) else groups
