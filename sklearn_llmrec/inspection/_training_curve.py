"""Show the course of a training: loss and validation score after every epoch."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.inspection._common import axes, finish, metric_label


class TrainingCurveDisplay:
    """Training loss and validation score of a fitted network against epochs.

    A score that still rises at the end wants more epochs; one that falls while the loss falls on is overfitting.

    Create it with `from_estimator`.

    Parameters
    ----------
    losses : array-like of shape (n_epochs,)
        Mean training loss of every epoch.
    scores : array-like of shape (n_epochs,), default=None
        Validation score after every epoch.
    best_epoch : int, default=None
        The epoch, from 1, whose weights were kept.
    metric : str, default="ndcg@10"
        Name of the validation score.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the loss.
    score_ax_ : matplotlib Axes or None
        With the score, which has an axis of its own on the right.
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_llmrec.inspection import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay([3.0, 2.0, 1.5], [0.1, 0.3, 0.2], best_epoch=2).plot()
    >>> sorted(display.lines_)
    ['loss', 'score']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        losses: ArrayLike,
        scores: ArrayLike | None = None,
        *,
        best_epoch: int | None = None,
        metric: str = "ndcg@10",
    ) -> None:
        self.losses: NDArray[np.float64] = np.asarray(losses, dtype=np.float64)
        self.scores = None if scores is None else np.asarray(scores, dtype=np.float64)
        self.best_epoch, self.metric = best_epoch, metric

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Plot the training of a fitted estimator.

        Parameters
        ----------
        estimator : object
            With a `loss_curve_`, such as a sequence network; its `validation_scores_` and `best_epoch_` are drawn
            where it has them.
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for both curves.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        ValueError
            If the estimator has no `loss_curve_`.
        """
        losses = getattr(estimator, "loss_curve_", None)
        if losses is None:
            raise ValueError(
                f"{type(estimator).__name__} has no loss_curve_: it is not fitted, or not by epochs."
            )
        scores = getattr(estimator, "validation_scores_", None)
        best = getattr(estimator, "best_epoch_", None) if scores else None
        return cls(losses, scores or None, best_epoch=best).plot(ax=ax, **kwargs)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for both curves.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        self.figure_, self.ax_ = axes(ax)
        epochs = np.arange(1, len(self.losses) + 1)
        style = {"color": "C0", "label": "training loss", **kwargs}
        self.lines_ = {"loss": self.ax_.plot(epochs, self.losses, **style)[0]}
        self.ax_.set_xlabel("epoch")
        self.ax_.set_ylabel("training loss")
        self.score_ax_ = None
        if self.scores is not None:
            self.score_ax_ = self.ax_.twinx()
            # Scores end where the losses end; a warm start without validation has none before.
            scored_epochs = epochs[len(epochs) - len(self.scores) :]
            style = {"color": "C1", "label": f"validation {metric_label(self.metric)}", **kwargs}
            self.lines_["score"] = self.score_ax_.plot(scored_epochs, self.scores, **style)[0]
            self.score_ax_.set_ylabel(f"validation {metric_label(self.metric)}")
        finish(self.ax_, legend=False)
        if self.best_epoch is not None:
            self.ax_.axvline(self.best_epoch, color="0.6", lw=1, ls=":", label="kept")
        handles = [*self.lines_.values(), *self.ax_.get_lines()[1:]]
        self.ax_.legend(handles=handles, frameon=False, loc="center right")
        return self
