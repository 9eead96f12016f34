"""Show how places in lists are distributed over items."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.inspection._common import axes, by_name, finish, row_matrix
from sklearn_llmrec.metrics import Ranking, check_lists
from sklearn_llmrec.model_selection import named
from sklearn_llmrec.utils import check_k


class ExposureDisplay:
    """Lorenz curves of exposure: the share of places that the least shown items get together.

    On the diagonal all items are shown equally often; the area between it and a curve is half the Gini index.

    Create it with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    exposures : dict of str to ndarray of shape (n_items,)
        By model: how many lists contain each item.
    interactions : ndarray of shape (n_items,), default=None
        How many users had each item: drawn for comparison.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> from sklearn_llmrec.inspection import ExposureDisplay
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X = make_interactions(random_state=0).interactions
    >>> display = ExposureDisplay.from_estimator(ItemKNN().fit(X), X)
    >>> list(display.lines_)
    ['ItemKNN', 'interactions']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        exposures: dict[str, NDArray[Any]],
        interactions: NDArray[Any] | None = None,
    ) -> None:
        self.exposures, self.interactions = exposures, interactions

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        *,
        k: int = 10,
        exclude_seen: bool = True,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Make ranking lists with fitted models, and plot.

        Parameters
        ----------
        estimators : estimator, dict of str to estimator, list of (str, estimator) or list of estimators
            Fitted recommenders, Pipelines or searches.
        X : {array-like, sparse} of shape (n_users, n_items)
            What they see of the users. How often users had each item is drawn as a dashed curve.
        k : int, default=10
            Length of the lists.
        exclude_seen : bool, default=True
            Whether items of the row itself are left out.
        ax : matplotlib Axes, default=None
            Where to plot; by default a new figure.
        **kwargs : dict
            Passed to matplotlib's `plot` for every curve.

        Returns
        -------
        display : ExposureDisplay
        """
        from sklearn_llmrec.base import recommend

        X = row_matrix(X)
        exposures = {}
        for name, model in named(estimators).items():
            items, _ = recommend(model, X, k, exclude_seen=exclude_seen)
            exposures[name] = Ranking(items, X.shape[1]).exposure(k)
        taken = np.bincount(X.indices, minlength=X.shape[1])
        return cls(exposures=exposures, interactions=taken).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, items: Any, n_items: int, *, k: int = 10, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Plot from lists.

        Parameters
        ----------
        items : array-like, dict of str to array-like or list of (str, array-like)
            Lists of item numbers of shape (n_users, >= k), best first, -1 for an empty place; of one model or by name.
        n_items : int
            Size of the catalogue.
        k, ax, **kwargs
            As in `from_estimator`.

        Returns
        -------
        display : ExposureDisplay
        """
        k = check_k(k, n_items)
        exposures = {
            name: Ranking(check_lists(lists, n_items)[:, :k], n_items).exposure(k)
            for name, lists in by_name(items, "items").items()
        }
        return cls(exposures=exposures).plot(ax=ax, **kwargs)

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
        display : ExposureDisplay
        """
        self.figure_, self.ax_ = axes(ax)
        self.lines_ = {}
        curves: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
            (name, counts, {"color": f"C{i % 10}"})
            for i, (name, counts) in enumerate(self.exposures.items())
        ]
        curves.sort(key=lambda curve: _gini(curve[1]))
        if self.interactions is not None:
            curves.append(("interactions", self.interactions, {"color": "0.4", "linestyle": "--"}))
        for name, counts, style in curves:
            share = np.concatenate([[0.0], np.cumsum(np.sort(counts)) / counts.sum()])
            label = f"{name} (Gini {_gini(counts):.2f})"
            (self.lines_[name],) = self.ax_.plot(
                np.linspace(0, 1, len(share)), share, **{"label": label, **style, **kwargs}
            )
        self.ax_.plot([0, 1], [0, 1], color="0.7", lw=1, linestyle=":", label="all items equal")
        self.ax_.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        self.ax_.set_xlabel("share of items, least shown first")
        self.ax_.set_ylabel("share of places in the lists")
        finish(self.ax_, loc="upper left")  # no curve comes there
        return self


def _gini(counts: NDArray[Any]) -> float:
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(counts) / (n * counts.sum()))
