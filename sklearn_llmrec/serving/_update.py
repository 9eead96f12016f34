"""Make the next bundle from the events since the last one."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_llmrec.base import last_step, recommend
from sklearn_llmrec.ensemble import BanditReranker
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.metrics import ranking_metrics
from sklearn_llmrec.persistence import Bundle, load, save
from sklearn_llmrec.serving._events import events_matrix, logged_choices
from sklearn_llmrec.serving._files import signature
from sklearn_llmrec.utils import id_positions, kind_of_ids, require, warn

_METRICS = ("ndcg@10", "recall@10")
# Below this many users the difference of two models is mostly chance.
_FEW_USERS = 30


@dataclass(frozen=True)
class Update:
    """Result of an update.

    Attributes
    ----------
    path : Path or None
        The new bundle; None where none was published.
    version, version_before : str
        Versions of the bundle now and before.
    n_events, n_left_out : int
        Events since the last update, and how many of them were left out.
    left_out : dict of str to int
        Causes of events that were left out, and the number of events for each: worth nothing, or ids of another kind.
    n_new_users, n_new_items : int
        Users and items that the old bundle did not know.
    method : {"refit", "partial_fit", "none"}
        How the new model was made; "none" if there was no event.
    metrics : dict
        For the names "new" and "old" the figures of both models on held-out new interactions; empty if not measured.
    n_measured_users : int
        Number of users of the metrics; 0 if not measured.
    reason : str or None
        Why nothing was published.
    """

    path: Path | None
    version: str
    version_before: str
    n_events: int
    n_left_out: int
    left_out: dict[str, int]
    n_new_users: int
    n_new_items: int
    method: str
    metrics: dict[str, dict[str, float]]
    n_measured_users: int
    reason: str | None


def update(
    bundle: str | os.PathLike[str],
    feedback: str,
    *,
    out: str | os.PathLike[str] | None = None,
    method: str = "auto",
    measure: bool = True,
    tolerance: float | None = None,
    event_weights: Mapping[str, float] | None = None,
    item_features: Any = None,
    trusted: Any = False,
) -> Update:
    """Make the next bundle from the feedback since the last one, and publish it in one step.

    The events are added to the histories of the bundle; new users and new items are new rows and columns. The new
    bundle says which events it contains, so that each counts once, also when an update is interrupted or run twice.

    Parameters
    ----------
    bundle : path-like
        A bundle with histories, or a link to one.
    feedback : str
        URL of the feedback database.
    out : path-like, default=None
        Where to write the new bundle; by default it takes the place of the old one. A link is pointed at a new bundle
        beside the old one.
    method : {"auto", "refit", "partial_fit"}, default="auto"
        "refit" fits a clone on all histories. "partial_fit" passes the complete rows of the users with events to the
        model's `partial_fit`, whose documentation says what that gives. "auto" takes `partial_fit` if all of these
        users are new, and refits otherwise. The documentation of the model says how far the result
        equals that of a refit. Pipelines and searches are always refitted, searches with their best parameters.
    measure : bool, default=True
        Whether to measure old and new on held-out new interactions; costs one more fit.
    tolerance : float, default=None
        Publish nothing if nDCG@10 of the new model is lower than the old one's by more than this. By default publish
        always.
    event_weights : mapping of str to float, default=None
        What an event of a type is worth, multiplied with its value; other types are left out.
    item_features : table, default=None
        Features of the items, with the id column named as in the log. By default those of the bundle, with missing
        values for new items.
    trusted : bool or list of str, default=False
        As in `load`.

    Returns
    -------
    update : Update

    Raises
    ------
    ImportError
        If the extra `serve` is not installed.
    ValueError
        If the bundle has no histories, or was replaced meanwhile by another update.
    StoreUnavailable
        If the database does not answer.

    Warns
    -----
    UserWarning
        If the metrics are those of fewer than 30 users.

    Notes
    -----
    Held out is the latest fifth of every user's new items, at least one, of users with two items or more. Both models
    see the histories without them; the new one is fitted without them for that, then again on all.
    """
    require("sqlalchemy", "serve")
    from sklearn_llmrec.serving._store import FeedbackStore

    if method not in ("auto", "refit", "partial_fit"):
        raise ValueError(f"method must be 'auto', 'refit' or 'partial_fit'; got {method!r}.")
    found = signature(Path(bundle))
    old = load(Path(bundle), trusted=trusted)
    if old.histories is None:
        raise ValueError(
            "The bundle has no histories, to which the new events could be added: save it with histories=True."
        )
    X_old = old.histories
    store = FeedbackStore(feedback)
    try:
        recorded = (old.manifest.get("metrics") or {}).get("feedback") or {}
        before = int(recorded["position"]) if recorded.get("store") == store.store_id else 0
        upto = store.last_seq()
        X_new, n_events, left_out = events_matrix(
            (event for _, event in store.events_after(before, upto)),
            event_weights=event_weights,
            user_kind=kind_of_ids(ids_of(X_old, 0)),
            item_kind=kind_of_ids(ids_of(X_old, 1)),
        )
        state = {"store": store.store_id, "position": upto}
    finally:
        store.close()
    n_left_out = sum(left_out.values())
    if X_new is None:
        counts = (n_events, n_left_out, left_out, 0, 0)
        reason = "All new events were left out." if n_events else "No new events."
        return Update(None, old.version, old.version, *counts, "none", {}, 0, reason)
    X = joined_histories(X_old, X_new, item_features)
    n_new = (X.shape[0] - X_old.shape[0], X.shape[1] - X_old.shape[1])
    chosen = _method(old.estimator, method, n_new == (X_new.shape[0], 0))
    metrics = _measured(old, X_old, X, X_new, chosen) if measure else {}
    n_users = int(metrics["new"]["n_users"]) if metrics else 0
    if measure and n_users < _FEW_USERS:
        warn(
            f"The metrics of this update are those of {n_users} users, too few to compare two models. "
            "Update after more events, or compare by `sklearn-llmrec evaluate` on a log."
        )
    counts = (n_events, n_left_out, left_out, *n_new)
    gain = metrics["new"]["ndcg@10"] - metrics["old"]["ndcg@10"] if metrics else 0.0
    if tolerance is not None and gain < -tolerance:
        reason = f"nDCG@10 of the new model is {-gain:.4f} lower than that of the old one."
        return Update(None, old.version, old.version, *counts, chosen, metrics, n_users, reason)
    model = fitted_on(old.estimator, X, X_new, chosen)
    _replay(model, X, feedback, event_weights)
    figures = {**metrics, "method": chosen, "feedback": state}
    path = publish(model, X, Path(out or bundle), figures, expected=found if out is None else None)
    version = load(path, trusted=trusted).version
    return Update(path, version, old.version, *counts, chosen, metrics, n_users, None)


def ids_of(X: Interactions, axis: int) -> NDArray[Any]:
    """Return the ids of the rows or columns of a matrix that has them."""
    ids = (X.user_ids, X.item_ids)[axis]
    if ids is None:
        raise ValueError(f"The matrix has no ids of its {('rows', 'columns')[axis]}.")
    return ids


# -- the matrix and the model ------------------------------------------------------------------------


def joined_histories(X_old: Interactions, X_new: Interactions, item_features: Any) -> Interactions:
    """Return old histories and new events in one matrix: old users and items first, in their order."""
    if X_old.timestamps is None:
        X_new.timestamps = None
    X_new = X_new.astype(X_old.dtype)
    # A log of repeated events keeps them, for models of sequences.
    repeats = "sum" if X_old.has_canonical_format else "keep"
    X = Interactions.concat([X_old, X_new], repeats=repeats)
    laid_out = X_old.with_items(X.item_ids)
    X.item_features = laid_out.item_features if item_features is None else item_features
    return X


def _method(estimator: Any, asked: str, only_new_rows: bool) -> str:
    """Return the method by which the new model is made."""
    able = last_step(estimator) is estimator and hasattr(estimator, "partial_fit")
    able = able and not isinstance(estimator, BanditReranker)
    if asked == "partial_fit" and not able:
        raise ValueError(
            f"{type(estimator).__name__} cannot learn from further rows: use method='refit'."
        )
    if asked != "auto":
        return asked
    return "partial_fit" if able and only_new_rows else "refit"


def fitted_on(estimator: Any, X: Interactions, X_new: Interactions, method: str) -> Any:
    """Return the model fitted on all histories; the given one stays unchanged."""
    if method == "partial_fit":
        rows = X[X.user_rows(ids_of(X_new, 0))]
        return copy.deepcopy(estimator).partial_fit(rows)
    return clone(getattr(estimator, "best_estimator_", estimator)).fit(X)


def _replay(
    model: Any, X: Interactions, feedback: str, event_weights: Mapping[str, float] | None
) -> None:
    """Replay all feedback to a refitted bandit: what it showed, and what of it was rewarded."""
    bandit = last_step(model)
    if not isinstance(bandit, BanditReranker):
        return
    log = logged_choices(feedback, event_weights=event_weights)
    column_of = {item: column for column, item in enumerate(ids_of(X, 1).tolist())}
    columns = np.array([column_of.get(item, -1) for item in log["items"]], dtype=np.int64)
    known = columns >= 0
    if not known.any():
        return
    # Rates belong to items, so one row contains the showings of all users.
    shown = np.bincount(columns[known], minlength=X.shape[1])
    rewarded = np.bincount(columns[known & (log["rewards"] > 0)], minlength=X.shape[1])
    bandit.partial_fit(sp.csr_array(shown[None, :]), sp.csr_array(rewarded[None, :]))


# -- measuring ---------------------------------------------------------------------------------------


def _measured(
    old: Bundle, X_old: Interactions, X: Interactions, X_new: Interactions, method: str
) -> dict[str, dict[str, float]]:
    """Return metrics of the old and the new model on the same held-out new interactions."""
    visible, y = held_out(X, X_old)
    if not y.nnz:
        return {}
    rows = np.flatnonzero(np.diff(y.indptr))
    seen, targets = visible[rows], y[rows]
    candidate = fitted_on(old.estimator, visible, X_new, method)
    figures = {}
    for name, model in (("new", candidate), ("old", old.estimator)):
        histories = seen if name == "new" else seen.with_items(old.item_ids)
        k = min(10, histories.shape[1])
        lists, _ = recommend(model, histories, k)
        if name == "old":
            places = id_positions(
                ids_of(X, 1), ids_of(X_old, 1), "the new catalogue has", "the old has"
            )
            lists = np.where(lists < 0, -1, places[np.maximum(lists, 0)])
        found = ranking_metrics(targets, lists, _METRICS, seen=seen)
        figures[name] = {label: round(float(value), 6) for label, value in found.items()}
        figures[name]["n_users"] = len(rows)
    return figures


def held_out(X: Interactions, X_old: Interactions) -> tuple[Interactions, sp.csr_array]:
    """Split the latest fifth of every user's new items from all histories.

    Parameters
    ----------
    X : Interactions
        All histories; the rows of `X_old` come first.
    X_old : Interactions
        What the old model knows.

    Returns
    -------
    visible : Interactions of the shape of X
        At least one item stays in every row.
    y : csr_array of the same shape
    """
    keys = _keys(X)
    _, first = np.unique(keys, return_index=True)  # one entry per pair, where events repeat
    first = first[~np.isin(keys[first], _keys(X_old.with_items(X.item_ids)))]
    rows = keys // X.shape[1]
    n_fresh = np.bincount(rows[first], minlength=X.shape[0])
    n_items = np.bincount(np.unique(keys) // X.shape[1], minlength=X.shape[0])
    n_hidden = np.minimum(np.maximum(np.rint(0.2 * n_fresh), n_fresh > 0), n_items - 1)
    # Users with many events at one time are split at random among them.
    ties = np.random.default_rng(0).random(len(first))
    times = ties if X.timestamps is None else X.timestamps[first]
    order = first[np.lexsort((ties, -times, rows[first]))]
    place = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    hidden = order[place < n_hidden[rows[order]]]
    y = sp.csr_array((np.ones(len(hidden)), (rows[hidden], X.indices[hidden])), shape=X.shape)
    visible = X.copy()
    visible.data[np.isin(keys, keys[hidden])] = 0
    visible.eliminate_zeros()
    return visible, y


def _keys(matrix: sp.csr_array) -> Any:
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return rows.astype(np.int64) * matrix.shape[1] + matrix.indices


# -- publishing --------------------------------------------------------------------------------------


def publish(
    model: Any,
    X: Interactions,
    path: Path,
    metrics: Mapping[str, Any],
    *,
    expected: tuple[Any, ...] | None,
) -> Path:
    """Save a bundle where servers look for it; a link is switched to a new one in one step.

    Parameters
    ----------
    model : object
    X : Interactions
    path : Path
        A bundle, a link to one, or a new path.
    metrics : mapping
    replaces : str or None
        The version that is expected there; None skips the check.

    Returns
    -------
    path : Path

    Raises
    ------
    ValueError
        If something else is there.
    """
    if expected is not None and signature(path) != expected:
        raise ValueError(f"{path} was replaced during the update: run the update again.")
    if not path.is_symlink():
        return save(path, model, X, histories=True, metrics=metrics)
    target = path.resolve()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    suffix = ".zip" if target.suffix == ".zip" else ""
    beside = target.parent / f"{path.name.removesuffix('.zip')}-{stamp}{suffix}"
    saved = save(beside, model, X, histories=True, metrics=metrics)
    link = path.with_name(f".{path.name}.{stamp}")
    link.symlink_to(saved)
    os.replace(link, path)
    return path
