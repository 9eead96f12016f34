"""The result of a comparison: means, intervals and tests of several models over the same users."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.metrics import adjust_p_values, intervals, sign_flip_test, t_test
from sklearn_llmrec.model_selection._comparison_html import (
    comparison_html,
    number_text,
    p_text,
    pair_text,
    seconds_text,
)
from sklearn_llmrec.model_selection._measure import Measured, figure
from sklearn_llmrec.utils import require

Floats = NDArray[np.float64]


@dataclass
class Run:
    """Result of one model on one fold."""

    measured: Measured
    has_history: NDArray[np.bool_]  # of the rows that were ranked
    fit_seconds: float
    rank_seconds: float
    estimator: Any


@dataclass
class Summary:
    """One metric of all models, in the order of the rows of the table."""

    mean: Floats
    low: Floats
    high: Floats
    difference: Floats  # to the reference; 0 for itself
    difference_low: Floats
    difference_high: Floats
    p_value: Floats  # corrected; NaN for the reference
    n_users: NDArray[np.int64]
    with_history: Floats  # means over users with and without a visible interaction
    without_history: Floats
    n_with_history: NDArray[np.int64]
    n_without_history: NDArray[np.int64]


@dataclass(repr=False)
class Comparison:
    """Several models compared on the same users; the result of `compare`.

    Printing it shows the table; `to_frame` and `table` are the same with all digits.

    Attributes
    ----------
    names : list of str
        The models, best first by the first metric.
    metrics : list of str
        The metrics, as requested.
    per_user : dict of str to ndarray of shape (n_models, n_users)
        By metric, the value of every user under every model, in the order of `names`; NaN where it is not defined.
        Metrics that are one number for all users have no entry.
    users : ndarray of shape (n_users,)
        Labels of the columns of `per_user`: row numbers of X, or the groups.
    reference : dict of str to str
        By metric, the model that the others are compared with.
    fit_seconds, rank_seconds : ndarray of shape (n_models,)
        Seconds to fit (NaN with ``prefit=True``), and to rank the users for all metrics; sums over folds.
    n_users, n_left_out : int
        Users that the first metric counts, and those that it leaves out, for lack of targets or by ``users=``.
    n_with_history, n_without_history : int
        Users among the `n_users` that were ranked with, and without, a visible interaction. A user of several rows
        (folds) may be among both.
    confidence : float
        Level of the intervals.
    estimators : dict of str to estimator
        The fitted models; of several folds, a list for each. Empty where they were not kept.
    """

    names: list[str]
    metrics: list[str]
    per_user: dict[str, Floats]
    users: NDArray[Any]
    reference: dict[str, str]
    fit_seconds: Floats
    rank_seconds: Floats
    n_users: int
    n_left_out: int
    n_with_history: int
    n_without_history: int
    confidence: float
    estimators: dict[str, Any] = field(default_factory=dict)
    _summaries: dict[str, Summary] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> dict[str, float]:
        """Return the means of a metric by model, best first as in the table."""
        return dict(zip(self.names, self._summaries[metric].mean.tolist()))

    @property
    def table(self) -> Any:
        """Return the table as a pandas DataFrame."""
        return self.to_frame()

    def to_frame(self) -> Any:
        """Return the table as a pandas DataFrame.

        Returns
        -------
        frame : DataFrame
            One row per model, best first, with columns of two levels. Every metric has `mean`, `low` and `high` (ends
            of the interval). Beside the reference it has `difference`, `difference_low`, `difference_high` and
            `p_value` (corrected). `with_history` and `without_history` are means over users with and without a
            visible interaction. `n_users`, `n_with_history` and `n_without_history` are numbers of users.
            ``"seconds"`` has `fit` and `rank`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = require("pandas", extra="all")
        columns: dict[tuple[str, str], Any] = {}
        for metric in self.metrics:
            for name, values in vars(self._summaries[metric]).items():
                columns[metric, name] = values
        columns["seconds", "fit"] = self.fit_seconds
        columns["seconds", "rank"] = self.rank_seconds
        return pandas.DataFrame(columns, index=pandas.Index(self.names, name="model"))

    def __repr__(self) -> str:
        width = max(len(name) for name in [*self.names, *self.metrics])
        left_out = f", {self.n_left_out} left out" if self.n_left_out else ""
        lines = [f"{len(self.names)} models, {self.n_users} users{left_out}", *self._history()]
        for metric in self.metrics:
            lines += ["", *self._block(metric, width)]
        lines += ["", f"{'seconds':<{width}}  {'fit':>8}  {'rank':>8}"]
        for name, fit, rank in zip(self.names, self.fit_seconds, self.rank_seconds):
            lines.append(f"{name:<{width}}  {seconds_text(fit):>8}  {seconds_text(rank):>8}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return comparison_html(self)

    def _history(self) -> list[str]:
        """Return the lines that compare users with and without history."""
        if not self.n_without_history:
            return ["all with a visible history"]
        if not self.n_with_history:
            return ["none with a visible history: models without item or user data rank alike"]
        lines = [f"{self.n_with_history} with a visible history, {self.n_without_history} without"]
        if self.n_without_history > self.n_with_history:
            lines.append(
                "Most models rank alike without one: read the column 'with', or pass users='with_history'."
            )
        return lines

    def _block(self, metric: str, width: int) -> list[str]:
        """Return the lines of a metric."""
        summary = self._summaries[metric]
        interval = f"{100 * self.confidence:g} % interval"
        if metric not in self.per_user:
            return [f"{metric:<{width}}  {'value':>8}"] + [
                f"{name:<{width}}  {number_text(value):>8}"
                for name, value in zip(self.names, summary.mean)
            ]
        head = f"{metric:<{width}}  {'mean':>8}  {interval:<20}"
        apart = bool(self.n_with_history and self.n_without_history)
        if apart:
            head += f"  {'with':>8}  {'without':>8}"
        rivals = len(self.names) > 1
        if rivals:
            head += f"  {'to ' + self.reference[metric]:<30}  {'p':>7}"
        lines = [head.rstrip()]
        for i, name in enumerate(self.names):
            interval_text = pair_text(summary.low[i], summary.high[i])
            line = f"{name:<{width}}  {number_text(summary.mean[i]):>8}  {interval_text:<20}"
            if apart:
                line += f"  {number_text(summary.with_history[i]):>8}  {number_text(summary.without_history[i]):>8}"
            if rivals and name != self.reference[metric]:
                ends = pair_text(summary.difference_low[i], summary.difference_high[i])
                difference = f"{number_text(summary.difference[i])} {ends}"
                line += f"  {difference:<30}  {p_text(summary.p_value[i]):>7}"
            lines.append(line.rstrip())
        return lines


def _per_user(
    parts: list[Floats], masks: list[NDArray[np.bool_]], user: NDArray[np.intp], n_users: int
) -> Floats:
    """Return the value of every user: the mean over the rows and folds that have one and are in the mask."""
    values = np.concatenate(parts)
    defined = ~np.isnan(values) & np.concatenate(masks)
    count = np.bincount(user[defined], minlength=n_users)
    total = np.bincount(user[defined], values[defined], minlength=n_users)
    return np.divide(total, count, out=np.full(n_users, np.nan), where=count > 0)


def _n_users(values: Floats) -> int:
    """Return the number of users who have a value for some model."""
    return int(np.count_nonzero(~np.isnan(values).all(axis=0)))


def _p_values(differences: Floats, test: str, correction: str | None, rng: Any) -> Floats:
    """Return the corrected p-values of the rows of differences; NaN rows stay."""
    p = np.full(len(differences), np.nan)
    for i, row in enumerate(differences):
        row = row[~np.isnan(row)]
        if len(row):
            p[i] = t_test(row) if test == "t" else sign_flip_test(row, 10_000, rng)
    return p if correction is None else adjust_p_values(p, method=correction)


def _summary(
    values: Floats, apart: tuple[Floats, Floats], best: int, settings: dict[str, Any], seed: int
) -> Summary:
    """Return means, intervals and tests of a metric from the values (n_models, n_users).

    `apart` contains the values of the rows with and without history.
    """
    rng = np.random.default_rng(seed)
    differences = values - values[best]
    differences[best] = np.nan  # no test against itself
    columns = np.vstack([values, differences]).T
    low, high = intervals(columns, settings["confidence"], settings["n_bootstrap"], rng)
    difference = np.array([figure(row) for row in differences])
    difference[best] = 0.0
    n = len(values)
    return Summary(
        np.array([figure(row) for row in values]),
        low[:n],
        high[:n],
        difference,
        low[n:],
        high[n:],
        _p_values(differences, settings["test"], settings["correction"], rng),
        _n_defined(values),
        *(np.array([figure(row) for row in part]) for part in apart),
        *(_n_defined(part) for part in apart),
    )


def _n_defined(values: Floats) -> NDArray[np.int64]:
    return np.count_nonzero(~np.isnan(values), axis=1).astype(np.int64)


def _one_number(means: Floats, best: int, n_users: int, n_apart: tuple[int, int]) -> Summary:
    """Return the summary of a metric without values per user; it does not separate users by history."""
    none = np.full(len(means), np.nan)
    counts = [np.full(len(means), n, dtype=np.int64) for n in (n_users, *n_apart)]
    differences = means - means[best]
    return Summary(
        means, none, none, differences, none, none, none, counts[0], none, none, *counts[1:]
    )


def _best(means: Floats, greater: bool) -> int:
    if np.isnan(means).all():
        return 0
    return int(np.nanargmax(means) if greater else np.nanargmin(means))


@dataclass
class _Collected:
    """One metric of all models, in the order in which they were given."""

    means: Floats
    values: Floats | None  # (n_models, n_users); None for one number for all users
    apart: tuple[Floats, Floats] | None  # the same over rows with, and without, history


def _collected(
    request: Any,
    runs: dict[str, list[Run]],
    known: list[NDArray[np.bool_]],
    user_of_row: NDArray[np.intp],
    n_users: int,
) -> _Collected:
    """Collect one metric from the runs; `user_of_row` is the user of every measured row."""
    parts: Any = [[run.measured[request.label] for run in of_model] for of_model in runs.values()]
    if not request.metric.per_user:
        return _Collected(np.mean(parts, axis=1), None, None)
    every = [np.ones_like(mask) for mask in known]
    values, with_history, without = (
        np.array([_per_user(part, mask, user_of_row, n_users) for part in parts])
        for mask in (every, known, [~mask for mask in known])
    )
    return _Collected(np.array([figure(row) for row in values]), values, (with_history, without))


def gathered(
    runs: dict[str, list[Run]],
    tests: list[NDArray[np.intp]],
    labels: NDArray[Any],
    user: NDArray[np.intp],
    scorer: Any,
    reference: str | None,
    settings: dict[str, Any],
) -> Comparison:
    """Return the runs of all models as a table, sorted by the first metric."""
    first = scorer.requested[0]
    known = [run.has_history for run in next(iter(runs.values()))]  # the same under all models
    user_of_row = user[np.concatenate(tests)]
    found = {
        request.label: _collected(request, runs, known, user_of_row, len(labels))
        for request in scorer.requested
    }
    sign = -1 if first.metric.greater_is_better else 1
    order = np.argsort(sign * found[first.label].means, kind="stable")
    names = [list(runs)[i] for i in order]
    n_measured = n_users = len(np.unique(user_of_row))
    n_apart = [
        len(np.unique(user_of_row[np.concatenate(known) == has_history]))
        for has_history in (True, False)
    ]
    values, apart = found[first.label].values, found[first.label].apart
    if values is not None and apart is not None:
        n_users, n_apart = _n_users(values), [_n_users(part) for part in apart]
    summaries, references, per_user = {}, {}, {}
    for request in scorer.requested:
        means, values, apart = vars(found[request.label]).values()
        best = _best(means[order], request.metric.greater_is_better)
        best = best if reference is None else names.index(reference)
        references[request.label] = names[best]
        if values is None:
            summary = _one_number(means[order], best, n_measured, (n_apart[0], n_apart[1]))
        else:
            per_user[request.label] = values[order]
            split = (apart[0][order], apart[1][order])
            summary = _summary(values[order], split, best, settings, scorer.random_state)
        summaries[request.label] = summary
    return Comparison(
        names=names,
        metrics=[request.label for request in scorer.requested],
        per_user=per_user,
        users=labels,
        reference=references,
        fit_seconds=np.array([sum(run.fit_seconds for run in runs[name]) for name in names]),
        rank_seconds=np.array([sum(run.rank_seconds for run in runs[name]) for name in names]),
        n_users=n_users,
        n_left_out=n_measured - n_users,
        n_with_history=n_apart[0],
        n_without_history=n_apart[1],
        confidence=float(settings["confidence"]),
        estimators={
            name: runs[name][0].estimator
            if len(tests) == 1
            else [run.estimator for run in runs[name]]
            for name in names
            if settings["return_estimator"]
        },
        _summaries=summaries,
    )
