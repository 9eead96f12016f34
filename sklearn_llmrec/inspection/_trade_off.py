"""Show accuracy against diversity, novelty or coverage."""

from typing import Any, Self

from sklearn_llmrec.inspection._common import (
    Counted,
    axes,
    caption,
    check_metric,
    direction,
    finish,
    means_and_intervals,
    metric_label,
    of_estimators,
    of_predictions,
)
from sklearn_llmrec.model_selection import Measured

# Where a name may be placed beside its point, in points; the first free place is taken.
_PLACES = [(7, 5), (7, -13), (-7, 5), (-7, -13), (7, 17), (-7, 17), (7, -25), (-7, -25)]


class TradeOffDisplay:
    """Two metrics against each other, one point per model, with bootstrap intervals over users.

    Create it with `from_estimator`, `from_predictions` or `from_comparison`.

    Parameters
    ----------
    points : dict of str to (x, y)
        By model: for each axis the mean and the ends of its interval, NaN where there is none.
    x_metric, y_metric : str
        Names of the metrics, with cut-offs.
    confidence : float, default=0.95
        Level of the intervals.
    n_users, n_without_history : int or None, default=None
        Users that are measured, and those of them without a visible interaction; None where it is not known.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    texts_ : dict of str to matplotlib Annotation

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.inspection import TradeOffDisplay
    >>> from sklearn_llmrec.model_selection import holdout_split
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X, y = holdout_split(make_interactions(random_state=0).interactions, random_state=0)
    >>> models = {"popularity": PopularityRecommender().fit(X), "item kNN": ItemKNN().fit(X)}
    >>> display = TradeOffDisplay.from_estimator(models, X, y)
    >>> display.ax_.get_xlabel()
    'catalogue coverage@10'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        points: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]],
        x_metric: str,
        y_metric: str,
        confidence: float = 0.95,
        n_users: int | None = None,
        n_without_history: int | None = None,
    ) -> None:
        self.n_users, self.n_without_history = n_users, n_without_history
        self.points = points
        self.x_metric, self.y_metric, self.confidence = x_metric, y_metric, confidence

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        y: Any = None,
        *,
        x_metric: str = "item_coverage@10",
        y_metric: str = "ndcg@10",
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
            As in `ranking_scorer`.
        x_metric : str, default="item_coverage@10"
            What is gained or lost: coverage, novelty, diversity, gini, or any other metric.
        y_metric : str, default="ndcg@10"
            The accuracy.
        confidence : float, default=0.95
            Level of the intervals.
        random_state : int, default=0
            Seed of the resamples and of ``holdout="random"``.
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `errorbar` for every point.

        Returns
        -------
        display : TradeOffDisplay
        """
        settings = {
            "holdout": holdout,
            "exclude_seen": exclude_seen,
            "item_features": item_features,
            "random_state": random_state,
        }
        measured = of_estimators(estimators, X, y, [x_metric, y_metric], **settings)
        return cls._of(measured, x_metric, y_metric, confidence, random_state).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        x_metric: str = "item_coverage@10",
        y_metric: str = "ndcg@10",
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
        x_metric, y_metric, confidence, random_state, ax, **kwargs
            As in `from_estimator`; metrics that need a fitted model (novelty, popularity) do not do.

        Returns
        -------
        display : TradeOffDisplay
        """
        measured = of_predictions(y_true, y_pred, [x_metric, y_metric], seen)
        return cls._of(measured, x_metric, y_metric, confidence, random_state).plot(ax=ax, **kwargs)

    @classmethod
    def from_comparison(
        cls,
        comparison: Any,
        *,
        x_metric: str,
        y_metric: str,
        random_state: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot two metrics of a `compare` result.

        Parameters
        ----------
        comparison : Comparison
            What `compare` returned.
        x_metric, y_metric : str
            Two of its metrics.
        random_state, ax, **kwargs
            As in `from_estimator`.

        Returns
        -------
        display : TradeOffDisplay
        """
        values: dict[str, Measured] = {name: {} for name in comparison.names}
        for metric in (x_metric, y_metric):
            found = comparison.per_user.get(metric, list(comparison[metric].values()))
            for name, value in zip(comparison.names, found):
                values[name][metric] = value
        measured = Counted(values, comparison.n_users, comparison.n_without_history)
        confidence = comparison.confidence
        return cls._of(measured, x_metric, y_metric, confidence, random_state).plot(ax=ax, **kwargs)

    @classmethod
    def _of(
        cls,
        measured: Counted,
        x_metric: str,
        y_metric: str,
        confidence: float,
        random_state: int,
    ) -> Self:
        for metric in (x_metric, y_metric):
            check_metric(metric, per_user=False)
        x, y = (
            means_and_intervals(
                [of_model[metric] for of_model in measured.values.values()],
                confidence,
                random_state,
            )
            for metric in (x_metric, y_metric)
        )
        points = {name: (tuple(x[:, i]), tuple(y[:, i])) for i, name in enumerate(measured.values)}
        return cls(
            points=points,
            x_metric=x_metric,
            y_metric=y_metric,
            confidence=confidence,
            **measured.counts,
        )

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `errorbar` for every point.

        Returns
        -------
        display : TradeOffDisplay
        """
        self.figure_, self.ax_ = axes(ax)
        for x, y in self.points.values():
            bars = {
                which: [[mean - low], [high - mean]]
                for which, (mean, low, high) in (("xerr", x), ("yerr", y))
                if low == low
            }
            self.ax_.errorbar(x[0], y[0], **{"fmt": "o", "capsize": 2, **bars, **kwargs})
        self.ax_.margins(0.15)
        if min(x[0] for x, _ in self.points.values()) >= 0:
            left, right = self.ax_.get_xlim()
            self.ax_.set_xlim(left=max(left, -0.03 * right))
        self.ax_.set_xlabel(metric_label(self.x_metric) + direction(self.x_metric))
        self.ax_.set_ylabel(metric_label(self.y_metric) + direction(self.y_metric))
        finish(self.ax_, legend=False)
        self.ax_.set_title(
            caption("bars", self.confidence, self.n_users, self.n_without_history),
            fontsize="small",
            loc="left",
        )
        self.texts_ = self._names()
        return self

    def _names(self) -> dict[str, Any]:
        """Place every name beside its point, where no other name or point is, if there is such a place."""
        position = {name: (x[0], y[0]) for name, (x, y) in self.points.items()}
        self.figure_.canvas.draw()
        pixels = self.ax_.transData.transform(list(position.values()))
        taken: list[Any] = []
        texts = {}
        for name, xy in position.items():
            for place in _PLACES:
                text = self.ax_.annotate(
                    name,
                    xy,
                    xytext=place,
                    textcoords="offset points",
                    ha="left" if place[0] > 0 else "right",
                    fontsize="small",
                )
                box = text.get_window_extent()
                inside = self.ax_.bbox.x0 <= box.x0 and box.x1 <= self.ax_.bbox.x1
                if inside and not (box.count_overlaps(taken) or box.count_contains(pixels)):
                    break
                if place != _PLACES[-1]:
                    text.remove()
            taken.append(box)
            texts[name] = text
        return texts
