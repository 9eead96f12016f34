"""Compare models on the same users: one call from estimators to a table with intervals and tests."""

from collections.abc import Iterator
from numbers import Integral, Real
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils.parallel import delayed

from sklearn_llmrec.metrics import checked_csr, common_holdout, ranking_scorer
from sklearn_llmrec.model_selection._comparison import Comparison, Run, gathered
from sklearn_llmrec.model_selection._measure import (
    figure,
    measure_and_history,
    named,
    warn_if_fitted_on_targets,
)
from sklearn_llmrec.utils import (
    Interval,
    StrOptions,
    check_targets,
    results_in_order,
    validate_parameter_constraints,
)

__all__ = ["compare"]

_CONSTRAINTS: dict[str, Any] = {
    "prefit": ["boolean"],
    "confidence": [Interval(Real, 0, 1, closed="neither")],
    "n_bootstrap": [Interval(Integral, 1, None, closed="left")],
    "test": [StrOptions({"t", "permutation"})],
    "correction": [StrOptions({"holm", "bonferroni", "benjamini-hochberg"}), None],
    "n_jobs": [Integral, None],
    "return_estimator": ["boolean", None],
    "verbose": ["verbose"],
}


def _run(estimator: Any, X: Any, y: Any, train: Any, test: Any, scorer: Any, keep: bool) -> Run:
    """Fit on the rows of `train` (None: already fitted), and measure on those of `test`."""
    fit_seconds = np.nan
    if train is not None:
        start = perf_counter()
        # No y: nothing that a model could learn from is handed to it.
        estimator = clone(estimator).fit(_rows(X, train))
        fit_seconds = perf_counter() - start
    start = perf_counter()
    targets = None if y is None else _rows(y, test)
    measured, known = measure_and_history(scorer, estimator, _rows(X, test), targets)
    rank_seconds = perf_counter() - start
    return Run(measured, known, fit_seconds, rank_seconds, estimator if keep else None)


def _rows(M: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows; the matrix itself if these are all rows."""
    n_rows = M.shape[0]
    if len(rows) == n_rows and (rows == np.arange(n_rows)).all():
        return M
    return M[rows]


def _users(X: Any, groups: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the label of every user and the user of every row."""
    n_rows = X.shape[0]
    if groups is None:
        groups = getattr(X, "user_ids", None)
    if groups is None:
        return np.arange(n_rows), np.arange(n_rows)
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ValueError(
            f"groups must contain one label per row of X, shape ({n_rows},); got shape {groups.shape}."
        )
    labels, user = np.unique(groups, return_inverse=True)
    if len(labels) == n_rows and groups is not None:
        return groups, np.arange(n_rows)
    return labels, user


def compare(
    estimators: Any,
    X: Any,
    y: Any = None,
    *,
    metrics: Any = ("ndcg@10", "recall@10"),
    cv: Any = None,
    groups: Any = None,
    prefit: bool = False,
    holdout: str | None = None,
    exclude_seen: bool = True,
    item_features: Any = None,
    users: str = "all",
    reference: str | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    test: str = "t",
    correction: str | None = "holm",
    random_state: int = 0,
    n_jobs: int | None = None,
    return_estimator: bool | None = None,
    verbose: int = 0,
) -> Comparison:
    """Compare recommenders on the same users, with intervals and paired tests.

    Parameters
    ----------
    estimators : dict of str to estimator, list of (str, estimator) or list of estimators
        Recommenders, Pipelines, searches: whatever `recommend` takes. They are cloned.
    X : {array-like, sparse} of shape (n_users, n_items)
        What the recommenders may see.
    y : {array-like, sparse} of shape (n_users, n_items), default=None
        The held-out interactions of the same rows: ``X, y = holdout_split(X)`` or another split. No recommender gets
        it. Without it, a fifth of every row is hidden as `holdout` says: before the fit, or in the test rows of `cv`.
    metrics : str or list of str, default=("ndcg@10", "recall@10")
        Names as in `ranking_scorer`. The table is sorted by the first.
    cv : int, cross-validation generator or iterable of (train, test), default=None
        What to fit on and what to measure on. None fits and measures on all rows (known users). The splits of
        `interaction_folds`, `backtest_folds` or `cold_user_split` come with a `cv`; a number is a `KFold` (unseen
        users).
    groups : array-like of shape (n_users,), default=None
        The user of every row, where a user has several. By default the `user_ids` of an `Interactions`, else every row
        is one. The values of a user are averaged first, so that every user counts once.
    prefit : bool, default=False
        Whether the estimators are fitted already and only measured. Warns where a model was fitted on exactly the
        interactions of `X` and `y`: it has learned the targets, and the figure flatters.
    holdout : {"hash", "random", "latest"}, default=None
        What is hidden without `y`, as in `ranking_scorer`; the same for all models. None is the latest if one of the
        models is a sequential model, else by hash.
    exclude_seen : bool, default=True
        Whether items of the visible row are neither recommended nor count as targets.
    item_features : {array-like, sparse} of shape (n_items, n_features), default=None
        What diversity and calibration read, as in `ranking_scorer`.
    users : {"all", "with_history", "without_history"}, default="all"
        Which users are measured, as in `ranking_scorer`. The table shows the means of users with and without a visible
        history apart; order, intervals and tests are about the users named here.
    reference : str, default=None
        Name of the model that the others are compared with. By default the best by each metric; as the same users chose
        it, name it beforehand where the claim is to be strict.
    confidence : float, default=0.95
        Level of the percentile bootstrap intervals.
    n_bootstrap : int, default=1000
        Number of resamples of users, the same for all models.
    test : {"t", "permutation"}, default="t"
        The paired test; see `paired_test`.
    correction : {"holm", "bonferroni", "benjamini-hochberg"} or None, default="holm"
        How p-values are corrected for the number of models, within each metric.
    random_state : int, default=0
        Seed of the resamples and of ``holdout="random"``.
    n_jobs : int, default=None
        Number of fits at once; the seconds are then those of models that share the machine.
    return_estimator : bool, default=None
        Whether to keep the fitted models. None keeps them where every model is fitted once.
    verbose : int, default=0
        Whether to print a line for every model when it is done.

    Returns
    -------
    comparison : Comparison
        Prints as a table. `to_frame` gives it with all digits, `per_user` the values behind it.

    Raises
    ------
    ValueError
        If names are not unique, no row has a target, or a parameter is out of range.

    See Also
    --------
    ranking_scorer : One model, as a score.
    bootstrap_interval, paired_test, adjust_p_values : The parts of the table.

    Notes
    -----
    Metrics that are one number for all users (coverage, gini, entropy) have no interval; over several folds theirs is
    the mean. Intervals and tests take the fitted models as given: they show whether other users would agree.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.linear_model import EASE
    >>> from sklearn_llmrec.model_selection import compare, holdout_split
    >>> rng = np.random.default_rng(0)
    >>> taste = rng.integers(3, size=(200, 1)) == np.arange(30) % 3
    >>> X, y = holdout_split(rng.uniform(size=(200, 30)) < 0.1 + 0.4 * taste, random_state=0)
    >>> result = compare([EASE(), PopularityRecommender()], X, y)
    >>> result.names
    ['EASE', 'PopularityRecommender']
    >>> frame = result.to_frame()
    >>> bool(frame.loc["PopularityRecommender", ("ndcg@10", "p_value")] < 0.001)
    True
    """
    settings = {
        "prefit": prefit,
        "confidence": confidence,
        "n_bootstrap": n_bootstrap,
        "test": test,
        "correction": correction,
        "n_jobs": n_jobs,
        "return_estimator": return_estimator,
        "verbose": verbose,
    }
    validate_parameter_constraints(_CONSTRAINTS, settings, caller_name="compare")
    models = named(estimators)
    if reference is not None and reference not in models:
        raise ValueError(f"reference must be one of {list(models)}, got {reference!r}.")
    scorer = ranking_scorer(
        [metrics] if isinstance(metrics, str) else metrics,
        holdout=common_holdout(holdout, models.values()),
        exclude_seen=exclude_seen,
        random_state=random_state,
        item_features=item_features,
        users=users,
    )
    X = X if hasattr(X, "tocsr") else checked_csr(X, "X")
    X = X if X.format == "csr" else X.tocsr()
    y = check_targets(y, X.shape)
    y = None if y is None else checked_csr(y, "y")
    labels, user = _users(X, groups)
    if prefit:
        warn_if_fitted_on_targets(models, X, y)
    if y is None and cv is None and not prefit:
        X, y = scorer.hide(X, None, models.values())
    folds = _folds(X, y, cv, prefit)
    if return_estimator is None:
        settings["return_estimator"] = len(folds) == 1
    runs = _all_runs(models, X, y, folds, scorer, settings)
    return gathered(runs, [test for _, test in folds], labels, user, scorer, reference, settings)


def _folds(X: Any, y: Any, cv: Any, prefit: bool) -> list[tuple[Any, NDArray[np.intp]]]:
    """Return the rows to fit on (None if nothing is fitted) and the rows to measure on, for every fold."""
    everything = np.arange(X.shape[0])
    if cv is None:
        return [(None if prefit else everything, everything)]
    folds = [(train, np.asarray(test)) for train, test in check_cv(cv).split(X, y)]
    return [(None, test) for _, test in folds] if prefit else folds


def _all_runs(
    models: dict[str, Any], X: Any, y: Any, folds: Any, scorer: Any, settings: dict[str, Any]
) -> dict[str, list[Run]]:
    """Run every model on every fold."""
    keep = settings["return_estimator"]
    tasks = (
        delayed(_run)(model, X, y, train, rows, scorer, keep)
        for model in models.values()
        for train, rows in folds
    )
    done: Iterator[Run] = results_in_order(tasks, settings["n_jobs"])
    runs: dict[str, list[Run]] = {}
    for number, name in enumerate(models, start=1):
        runs[name] = [next(done) for _ in folds]
        if settings["verbose"]:
            fit, rank = (
                sum(seconds)
                for seconds in zip(*((r.fit_seconds, r.rank_seconds) for r in runs[name]))
            )
            label = next(iter(runs[name][0].measured))
            value = np.mean([figure(run.measured[label]) for run in runs[name]])
            print(
                f"[{number}/{len(models)}] {name}: fit {fit:.1f} s, rank {rank:.1f} s, {label} {value:.4f}",
                flush=True,
            )
    return runs
