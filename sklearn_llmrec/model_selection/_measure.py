"""The values of every user under a model, as tables and figures of several models need them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.base import last_step
from sklearn_llmrec.metrics import make_ranking, mean, parse_all

# By name of a metric: one value per row (NaN where it is not defined), or one number for all rows.
Measured = dict[str, NDArray[np.float64] | float]


def named(models: Any, what: str = "estimators") -> dict[str, Any]:
    """Models by name, from a dict, a list of (name, model) pairs, a list of models or one model.

    Raises
    ------
    ValueError
        If there are none, or a name is not a string or occurs twice.
    """
    if isinstance(models, Mapping):
        pairs = list(models.items())
    elif isinstance(models, list | tuple):
        pairs = [one if isinstance(one, tuple) else (_class_name(one), one) for one in models]
        if not any(isinstance(one, tuple) for one in models):
            pairs = _numbered(pairs)
    else:
        pairs = [(_class_name(models), models)]
    wrong = [pair for pair in pairs if len(pair) != 2 or not isinstance(pair[0], str)]
    if wrong or not pairs:
        raise ValueError(
            f"{what} must be a dict of name to model or a list of (name, model) pairs, at least one; got {models!r}."
        )
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{what} must have different names, got {names}.")
    return dict(pairs)


def _class_name(estimator: Any) -> str:
    return type(last_step(estimator)).__name__


def _numbered(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Equal names with a number each."""
    names = [name for name, _ in pairs]
    return [
        (name if names.count(name) == 1 else f"{name}-{names[: i + 1].count(name)}", model)
        for i, (name, model) in enumerate(pairs)
    ]


def measure(scorer: Any, estimator: Any, X: Any, y: Any = None) -> Measured:
    """What a `ranking_scorer` averages: the values of every row of `X`, none negated."""
    ranking, _, rows = scorer.rank(estimator, X, y)
    return _values(scorer.asked, ranking, rows, X.shape[0])


def measure_lists(metrics: Any, y_true: Any, y_pred: Any, seen: Any = None) -> Measured:
    """The same from lists or scores."""
    asked = parse_all(metrics)
    ranking = make_ranking(y_true, y_pred, max(one.k for one in asked) or None, seen)
    return _values(asked, ranking, np.arange(ranking.n_rows), ranking.n_rows)


def _values(asked: Any, ranking: Any, rows: NDArray[np.intp], n_rows: int) -> Measured:
    measured: Measured = {}
    for one in asked:
        if one.metric.per_user:
            values = np.full(n_rows, np.nan)
            values[rows] = one.values(ranking)
            measured[one.label] = values
        else:
            measured[one.label] = one.value(ranking)
    return measured


def figure(value: NDArray[np.float64] | float) -> float:
    """The one figure of a metric: the mean over the users where it is defined, as every other route takes it."""
    return mean(value) if isinstance(value, np.ndarray) else value
