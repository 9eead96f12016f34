"""Helpers of the displays: measuring several models, intervals, axes and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.metrics import (
    METRICS,
    bootstrap_interval,
    common_holdout,
    has_history,
    parse,
    ranking_scorer,
    row_matrix as row_matrix,
)
from sklearn_llmrec.model_selection import (
    Measured,
    describe_users,
    figure,
    measure_and_history,
    measure_lists,
    named,
    warn_if_fitted_on_targets,
)
from sklearn_llmrec.utils import require

# Characters of a line of a legend.
_LEGEND_WIDTH = 24
# How metrics are written on axes, where their name alone would not do.
_WORDS = {
    "ndcg": "nDCG",
    "graded_ndcg": "graded nDCG",
    "exponential_ndcg": "exponential nDCG",
    "map": "MAP",
    "uncapped_map": "uncapped MAP",
    "mrr": "MRR",
    "f1": "F1",
    "auc": "AUC",
    "gini": "Gini index of exposure",
    "item_coverage": "catalogue coverage",
    "entropy": "entropy of exposure (bits)",
    "novelty": "novelty (bits)",
    "popularity": "popularity (users per item)",
    "miscalibration": "miscalibration (nats)",
}


@dataclass
class Counted:
    """The values of all metrics for every model, and the number of users behind them."""

    values: dict[str, Measured]
    n_users: int
    n_without_history: int | None  # None where what was visible is not known

    @property
    def counts(self) -> dict[str, Any]:
        """Return the numbers of users, as displays take them."""
        return {"n_users": self.n_users, "n_without_history": self.n_without_history}


def of_estimators(estimators: Any, X: Any, y: Any, metrics: list[str], **settings: Any) -> Counted:
    """Return the values of all metrics for every fitted model; warn if a model was fitted on the targets."""
    models = named(estimators)
    settings["holdout"] = common_holdout(settings["holdout"], models.values())
    scorer = ranking_scorer(metrics, **settings)
    X = row_matrix(X)
    warn_if_fitted_on_targets(models, X, y)
    found = {name: measure_and_history(scorer, model, X, y) for name, model in models.items()}
    values = {name: measured for name, (measured, _) in found.items()}
    return counted(values, next(iter(found.values()))[1])


def counted(values: dict[str, Measured], known: NDArray[np.bool_] | None) -> Counted:
    """Count the users with a value of some metric for some model: all, and those without history."""
    per_row = [
        value for of_model in values.values() for value in of_model.values() if np.ndim(value)
    ]
    if not per_row:
        n_without = None if known is None else int(np.count_nonzero(~known))
        return Counted(values, 0 if known is None else len(known), n_without)
    rows = ~np.isnan(np.array(per_row)).all(axis=0)
    n_without = None if known is None else int(np.count_nonzero(rows & ~known))
    return Counted(values, int(np.count_nonzero(rows)), n_without)


def of_predictions(y_true: Any, y_pred: Any, metrics: list[str], seen: Any) -> Counted:
    """Return the values of all metrics for lists or scores, by name or of one model."""
    values = {
        name: measure_lists(metrics, y_true, predictions, seen)
        for name, predictions in by_name(y_pred, "y_pred").items()
    }
    return counted(values, None if seen is None else has_history(row_matrix(seen)))


def caption(what: str, confidence: float, n_users: int | None, n_without: int | None) -> str:
    """Return the caption: what bars or bands show, and the number of users behind a figure."""
    text = f"{what}: {100 * confidence:g} % intervals"
    return text if not n_users else f"{text}\n{describe_users(n_users, n_without)}"


def by_name(arrays: Any, what: str) -> dict[str, Any]:
    """Return arrays by name, from a dict, a list of (name, array) pairs, or one array."""
    pairs = isinstance(arrays, list) and all(isinstance(pair, tuple) for pair in arrays)
    if isinstance(arrays, Mapping) or pairs:
        return named(arrays, what)
    return {"model": arrays}


def means_and_intervals(
    values: list[NDArray[np.float64] | float], confidence: float, random_state: Any
) -> NDArray[np.float64]:
    """Return the mean and the ends of the interval of every metric, (3, n), from shared resamples.

    A metric without values per user has NaN ends.

    All share their resamples, which are drawn once.
    """
    result = np.full((3, len(values)), np.nan)
    result[0] = [figure(value) for value in values]
    known = [
        i
        for i, value in enumerate(values)
        if isinstance(value, np.ndarray) and not np.isnan(value).all()
    ]
    if known:
        columns = np.column_stack([values[i] for i in known])
        result[1:, known] = bootstrap_interval(
            columns, confidence=confidence, random_state=random_state
        )
    return result


def metric_label(label: str) -> str:
    """Return the label of a metric on an axis: ``"ndcg@10"`` becomes "nDCG@10"."""
    name, _, k = label.partition("@")
    text = _WORDS.get(name, name.replace("_", " "))
    if k and "(" in text:
        text, unit = text.split(" (")
        return f"{text}@{k} ({unit}"
    return f"{text}@{k}" if k else text


def direction(label: str) -> str:
    """Return what an axis label adds for a metric of which less is better."""
    name = label.partition("@")[0]
    return "" if METRICS[name].greater_is_better else ", less is better"


def check_metric(label: Any, *, per_user: bool) -> str:
    """Check a metric's name; refuse one without values per user where these are needed.

    Raises
    ------
    ValueError
        If the name is unknown, or the metric is one number for all users.
    """
    if not parse(label).metric.per_user and per_user:
        raise ValueError(
            f"{label!r} is one number for all users, and this figure needs one per user."
        )
    return str(label)


def axes(ax: Any) -> tuple[Any, Any]:
    """Return the figure and axes to draw on; make new ones without `ax`."""
    if ax is not None:
        return ax.figure, ax
    pyplot = require("matplotlib.pyplot", extra="plot")
    return pyplot.subplots(layout="constrained")


def best_first(curves: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Return name, curve and colour of every model, in the order of the curves at the right edge.

    The colour goes by the order in which models were given, so that a model has the same in all figures.
    """
    colored = [(name, curve, f"C{i % 10}") for i, (name, curve) in enumerate(curves.items())]
    return sorted(colored, key=lambda one: -one[1][0][-1])


def finish(
    ax: Any, *, title: str | None = None, legend: bool = True, loc: str | None = None
) -> None:
    """Add the grid, remove spines, and place a legend that hides no data."""
    ax.grid(True, alpha=0.25)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if not legend:
        return
    handles, labels = ax.get_legend_handles_labels()
    n = len(handles)
    where: dict[str, Any] = {"loc": loc or "best"}
    if n > 3 and loc is None:
        where = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    # Names are wrapped, or a long one would take the room of the curves.
    names = [fill(label, _LEGEND_WIDTH) for label in labels]
    ax.legend(handles, names, frameon=False, title=title, alignment="left", **where)
