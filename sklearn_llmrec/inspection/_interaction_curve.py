"""Show the effect of more interactions: a learning curve."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_llmrec.inspection._common import (
    axes,
    best_first,
    caption,
    check_metric,
    counted,
    direction,
    finish,
    means_and_intervals,
    metric_label,
    row_matrix,
)
from sklearn_llmrec.interactions import part
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import measure_and_history, named


class InteractionCurveDisplay:
    """A metric against the number of interactions that models are fitted on.

    scikit-learn's `LearningCurveDisplay` takes users away; here every user stays and a random part of all interactions
    is taken, the smaller parts inside the larger ones. Only the fit is thinned: models rank from the whole visible
    history.

    Create it with `from_estimator`.

    Parameters
    ----------
    n_interactions : ndarray of shape (n_sizes,)
        Interactions in each fit.
    curves : dict of str to ndarray of shape (3, n_sizes)
        By model: mean and lower and upper end of the interval.
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
    lines_ : dict of str to matplotlib Line2D

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.inspection import InteractionCurveDisplay
    >>> from sklearn_llmrec.model_selection import holdout_split
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X, y = holdout_split(make_interactions(random_state=0).interactions, random_state=0)
    >>> display = InteractionCurveDisplay.from_estimator(ItemKNN(), X, y, train_sizes=[0.5, 1.0])
    >>> bool(display.n_interactions[-1] == X.nnz)
    True
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        n_interactions: NDArray[Any],
        curves: dict[str, NDArray[np.float64]],
        metric: str,
        confidence: float = 0.95,
        n_users: int | None = None,
        n_without_history: int | None = None,
    ) -> None:
        self.n_users, self.n_without_history = n_users, n_without_history
        self.n_interactions, self.curves = n_interactions, curves
        self.metric, self.confidence = metric, confidence

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        y: Any = None,
        *,
        metric: str = "ndcg@10",
        train_sizes: Any = (0.1, 0.2, 0.4, 0.7, 1.0),
        holdout: str | None = None,
        exclude_seen: bool = True,
        item_features: Any = None,
        confidence: float = 0.95,
        random_state: int = 0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Fit clones on parts of the interactions, and plot.

        Parameters
        ----------
        estimators : estimator, dict of str to estimator, list of (str, estimator) or list of estimators
            Recommenders, Pipelines or searches; they are cloned.
        X, y, holdout, exclude_seen, item_features
            As in `ranking_scorer`. Without `y`, a part of X is hidden before the fits.
        metric : str, default="ndcg@10"
            The metric.
        train_sizes : array-like of float, default=(0.1, 0.2, 0.4, 0.7, 1.0)
            Shares of the visible interactions to fit on.
        confidence : float, default=0.95
            Level of the intervals over users; they do not show how much the choice of interactions matters.
        random_state : int, default=0
            Seed of the choice of interactions, the resamples and ``holdout="random"``.
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for every curve.

        Returns
        -------
        display : InteractionCurveDisplay
        """
        check_metric(metric, per_user=False)
        shares = np.unique(np.asarray(train_sizes, dtype=np.float64))
        if not len(shares) or shares[0] <= 0 or shares[-1] > 1:
            raise ValueError(
                f"train_sizes must be shares above 0 and up to 1, got {train_sizes!r}."
            )
        scorer = ranking_scorer(
            [metric],
            holdout=holdout,
            exclude_seen=exclude_seen,
            item_features=item_features,
            random_state=random_state,
        )
        models, values = named(estimators), []
        known: NDArray[np.bool_] = np.empty(0, dtype=bool)
        visible, y = scorer.hide(row_matrix(X), y, models.values())
        rank = np.random.default_rng(random_state).permutation(visible.nnz)
        sizes = np.maximum(1, np.rint(shares * visible.nnz)).astype(np.int64)
        for size in sizes:
            thinned = part(visible, rank < size)
            for model in models.values():
                fitted = clone(model).fit(thinned)
                measured, known = measure_and_history(scorer, fitted, visible, y)
                values.append(measured[metric])
        found = means_and_intervals(values, confidence, random_state)
        curves = {name: found[:, i :: len(models)] for i, name in enumerate(models)}
        users = counted({"model": {metric: values[-1]}}, known)
        display = cls(
            n_interactions=sizes,
            curves=curves,
            metric=metric,
            confidence=confidence,
            **users.counts,
        )
        return display.plot(ax=ax, **kwargs)

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
        display : InteractionCurveDisplay
        """
        self.figure_, self.ax_ = axes(ax)
        self.lines_ = {}
        for name, (mean, low, high), color in best_first(self.curves):
            style = {"marker": "o", "label": name, "color": color, **kwargs}
            (line,) = self.ax_.plot(self.n_interactions, mean, **style)
            if not np.isnan(low).all():
                self.ax_.fill_between(
                    self.n_interactions, low, high, color=line.get_color(), alpha=0.15, lw=0
                )
            self.lines_[name] = line
        self.ax_.set_xlim(left=0)
        self.ax_.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        self.ax_.locator_params(axis="x", nbins=6)
        self.ax_.set_xlabel("interactions in the fit")
        self.ax_.set_ylabel(f"{metric_label(self.metric)}, mean over users{direction(self.metric)}")
        finish(
            self.ax_, title=caption("bands", self.confidence, self.n_users, self.n_without_history)
        )
        return self
