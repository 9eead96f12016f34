"""Learn from more users in parts."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base._forget import without_rows
from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import (
    built_aside,
    canonical,
    check_targets,
    equal_ids,
    first_repeated,
    id_positions,
    joined_ids,
)


class PartialFitMixin(BaseRecommender):
    """Adds `partial_fit` to a recommender that implements `_fit(X)` and `_partial_fit(X)`.

    The first call of `partial_fit` runs `_fit`, each later one `_partial_fit`. Fitting part after part should equal one
    fit on all rows.
    """

    # Dtype of the matrix given to the first fit; later parts are cast to it.
    _dtype_: np.dtype[Any]
    item_ids_: NDArray[Any]
    n_features_in_: int

    def _fit_first_part(self, X: sp.csr_array) -> None:
        """Run `_fit` on the first part, and prepare what only later parts need."""
        self._fit(X)

    @abstractmethod
    def _partial_fit(self, X: sp.csr_array) -> None:
        """Learn from the rows of further users; `item_popularity_` and `n_users_fit_` count them already."""

    def _check_X(self, X: Any, *, reset: bool) -> sp.csr_array:
        X = super()._check_X(X, reset=reset)
        if reset:
            self._dtype_ = X.dtype
        return X

    def _extend_items(self, X: sp.csr_array) -> None:
        """Extend what is stored per item to the columns of X whose last ones are new; nothing is known about these.

        `_partial_fit` follows with the same X. Arrays are replaced, never changed in place: other threads read them.
        """
        raise ValueError(
            f"X contains new items, and {type(self).__name__} cannot take up any: fit it on all rows, or leave them "
            "out, X.with_items(model)."
        )

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from more users and items; fitting in parts gives the same model as one fit on all of them.

        Every row counts as a new user. The row of a user who was given before counts a second time, as it would if it
        occurred twice in one matrix. So pass only new users, or fit on all rows if histories grow. The model keeps
        the dtype of its first fit; parts of another dtype are cast to it. Rows without interactions count as users,
        as they do in one fit.

        If both the model and X have item ids, columns are matched by id. Items that X lacks are columns without
        interactions. New items are added behind the others, in the order of X. Anything else must have the columns
        of the fit.

        The model changes in one step at the end. Another thread that uses it meanwhile gets the answer of the old or of
        the new model, never of a mixture. Only one thread may call `partial_fit` at a time.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New users, over the same items; an `Interactions` with `item_ids` over any items.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the first part contains no interaction, or values are too large for the dtype of the model. If a later
            part has another number of columns and no ids to match them by, ids of another kind, or an id twice. If
            `compact` dropped what further training needs, or where `privacy` is or was set. The estimator is unchanged
            after an error.
        """
        with built_aside(self) as changed:
            changed._learn_part(X, y)
        return self

    def _learn_part(self, X: Any, y: Any) -> None:
        self._validate_params()
        if getattr(self, "privacy", None) is not None:
            raise ValueError(
                f"{type(self).__name__}(privacy=...) has no partial_fit: every part would add its own noise. Fit it "
                "once on all rows, and charge each fit to one PrivacyLedger."
            )
        if hasattr(self, "privacy_spent_"):
            raise ValueError(
                f"This {type(self).__name__} was fitted with privacy=, and partial_fit would add rows without noise. "
                "Fit a new one on all rows."
            )
        first = not hasattr(self, "n_users_fit_")
        if not first:
            self._check_not_compacted()
        ids = None if first else self._joined_ids(X)
        if ids is not None:
            check_targets(y, X.shape)
            X, y = X.with_items(ids), None
            n_new = len(ids) - self.n_features_in_
            self.n_features_in_, self.item_ids_ = len(ids), X.item_ids
            self.item_popularity_ = np.append(self.item_popularity_, np.zeros(n_new))
        X = self._check_X(X, reset=first)
        check_targets(y, X.shape)
        if X.dtype != self._dtype_:
            X = self._check_X(X.astype(self._dtype_), reset=False)
        X = self._prepared(X)
        if ids is not None and n_new:
            self._extend_items(X)
        counts = np.bincount(canonical(X).indices, minlength=X.shape[1]).astype(np.float64)
        self.item_popularity_ = counts if first else self.item_popularity_ + counts
        self.n_users_fit_ = X.shape[0] + (0 if first else self.n_users_fit_)
        learn = self._fit_first_part if first else self._partial_fit
        learn(X)

    def _joined_ids(self, X: Any) -> NDArray[Any] | None:
        """Return the item ids of the model, then the new ones of X; None where X has the columns of the model.

        Raises
        ------
        ValueError
            If ids are of two kinds, or one occurs twice.
        """
        known = getattr(self, "item_ids_", None)
        if known is None or not isinstance(X, Interactions) or X.item_ids is None:
            return None  # columns are matched by position, or refused
        ids = X.item_ids
        if ids is known or (len(ids) == len(known) and equal_ids(ids, known).all()):
            return None
        repeated = first_repeated(ids)
        if repeated is not None:
            raise ValueError(
                f"X.item_ids contains {ids[[repeated]].tolist()[0]!r} again at column {repeated}: ids that match "
                "columns must differ."
            )
        new = ids[id_positions(known, ids, "the model knows", "X.item_ids contains") < 0]
        joined = joined_ids(known, new, "item ids")
        joined.flags.writeable = False
        return joined


class KeepsRowsMixin(PartialFitMixin):
    """Adds `partial_fit` to a recommender whose `_fit` keeps its rows by `_keep_rows(X)`.

    A part changes what every similarity rests on (document frequencies, norms, means), so the model is fitted again on
    the kept rows and the new ones.
    """

    _training_only = ("_rows_",)
    _rows_: sp.csr_array

    def _keep_rows(self, X: sp.csr_array) -> None:
        """Keep the rows of a fit; a copy, since the arrays may be the caller's."""
        self._rows_ = X.copy()

    def _extend_items(self, X: sp.csr_array) -> None:
        rows = self._rows_
        shape = rows.shape[0], X.shape[1]
        self._rows_ = sp.csr_array((rows.data, rows.indices, rows.indptr), shape=shape)

    def _partial_fit(self, X: sp.csr_array) -> None:
        self._fit(sp.csr_array(sp.vstack([self._rows_, X], format="csr")))

    def _forget(self, X: sp.csr_array) -> None:
        """Fit on the kept rows without those of X."""
        self._fit(without_rows(self._rows_, X))
