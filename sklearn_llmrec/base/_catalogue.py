"""Join a model with the ids and the feature table of its items, and lay histories out for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base._by_id import columns_among
from sklearn_llmrec.base._last_step import needs_order
from sklearn_llmrec.interactions import (
    Interactions,
    catalogue_of,
    column_names,
    n_table_rows,
    rows_or_missing,
    table_column,
)
from sklearn_llmrec.utils import id_positions, last_step, snapshot


@runtime_checkable
class Bundled(Protocol):
    """Describe a fitted estimator with the ids and the feature table of its items, as a saved bundle has them."""

    estimator: Any
    item_ids: Any
    item_features: Any


@dataclass
class Catalogue:
    """Combine a fitted estimator with the ids and features of its columns."""

    estimator: Any
    ids: NDArray[Any]
    features: Any

    def rows(self, histories: Any, timestamps: Any = None) -> Interactions:
        """Return histories as rows over the items of the model; see `recommend_ids`."""
        if not isinstance(histories, Interactions):
            self._refuse_matrix(histories)
            X = Interactions.from_lists(histories, items=self.ids, timestamps=timestamps)
            if timestamps is None and not needs_order(self.estimator):
                X.timestamps = None  # places in a list are no times to measure ages by
            return X
        if timestamps is not None:
            raise ValueError("timestamps belong to lists of ids: an Interactions has its own.")
        if histories.item_ids is not None:
            same = histories.item_ids is self.ids
            return histories if same else histories.with_items(self.ids)
        if histories.shape[1] != len(self.ids):
            raise ValueError(
                f"histories has {histories.shape[1]} columns without item_ids, and the model {len(self.ids)}: set "
                "histories.item_ids, so that columns are matched."
            )
        return histories

    def _refuse_matrix(self, histories: Any) -> None:
        """Refuse a matrix, whose values would be read as ids."""
        shape: Any = getattr(histories, "shape", ())
        if sp.issparse(histories) or (len(shape) == 2 and shape[1] == len(self.ids)):
            raise TypeError(
                f"histories is a matrix of shape {tuple(shape)}, not lists of item ids: pass "
                "Interactions(X, item_ids=...), or recommend(model, X, ids=True)."
            )

    def columns(self, ids: Any, name: str) -> Any:
        """Return candidates given by id as column numbers; None and a sparse mask stay."""
        return ids if ids is None or sp.issparse(ids) else columns_among(self.ids, ids, name)

    def feature(self, features: Any, name: str) -> NDArray[Any]:
        """Return a column of the feature table."""
        if features is None:
            raise ValueError(
                f"item_columns names {name!r}, and no table of items is known: pass item_features (the Interactions "
                "of the fit, or a table with one row per item of item_ids_), or a bundle that has one."
            )
        return table_column(features, "item_features", name)

    def table(self, given: Any, histories: Any = None) -> Any:
        """Return the feature table of the columns: the one given, else that of a bundle, else that of the histories."""
        if isinstance(given, Interactions):
            return self._aligned(given)
        if given is not None:
            if n_table_rows(given) != len(self.ids):
                raise ValueError(
                    f"item_features has {n_table_rows(given)} rows and the model {len(self.ids)} items: one row per "
                    "item of item_ids_ is needed. An Interactions with item_features is matched by id."
                )
            return given
        if self.features is not None or not isinstance(histories, Interactions):
            return self.features
        return None if histories.item_features is None else self._aligned(histories)

    def _aligned(self, X: Interactions) -> Any:
        if X.item_ids is None or X.item_ids is self.ids:
            return X.item_features
        found = id_positions(X.item_ids, self.ids, "item_features has item_ids", "the model has")
        return rows_or_missing(X.item_features, found, self.ids, X._table[1])


def catalogue(model: Any, items: Any = None, default: NDArray[Any] | None = None) -> Catalogue:
    """Return a model, Pipeline, search or bundle with its catalogue.

    Parameters
    ----------
    model : object
    items : array-like, default=None
        The ids of its columns, instead of those that it knows.
    default : ndarray, default=None
        The ids of its columns where it knows none.

    Raises
    ------
    ValueError
        If no ids are known, or not one per column.
    TypeError
        If it is no fitted model.
    """
    features = None
    estimator = model
    if isinstance(model, Bundled):
        estimator, features = model.estimator, model.item_features
        items = model.item_ids if items is None else items
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            f"model must be a fitted recommender, a Pipeline, a search or a bundle; got {estimator!r}."
        )
    if hasattr(type(estimator), "partial_fit"):
        estimator = snapshot(estimator)  # its catalogue may grow before it is used
    step = last_step(estimator)
    check_is_fitted(step)
    if items is None and getattr(step, "item_ids_", None) is None:
        items = default
    ids, _ = catalogue_of(*((estimator, "model") if items is None else (items, "items")))
    width = getattr(estimator, "n_features_in_", len(ids))
    if width != len(ids):
        raise ValueError(
            f"items contains {len(ids)} ids and {type(estimator).__name__} was fitted on {width} columns: both must be "
            "equal."
        )
    return Catalogue(estimator, ids, features)


def default_title(table: Any) -> str | None:
    """Return the column of a feature table that names its items, None where there is none."""
    named = {name.lower(): name for name in column_names(table)} if table is not None else {}
    return next((named[name] for name in ("title", "name", "description") if name in named), None)
