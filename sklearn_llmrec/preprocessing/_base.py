"""The base class of weighting transformers: they change the values of interactions only."""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_non_negative

from sklearn_llmrec.utils import (
    entry_rows,
    fit_context,
    refuse_triples,
    restored_on_error,
    validated,
    warn_of_stack,
)


def check_events(estimator: Any, X: Any, *, reset: bool, nonnegative: bool = False) -> Any:
    """Validate `X` and drop its stored zeros; the kind of container stays the same.

    Returns
    -------
    X : ndarray, csr_array, csr_matrix or Interactions of shape (n_users, n_items)
        float32 or float64, possibly the caller's own object: not to be written to.
    """
    if reset:
        warn_of_stack(X, type(estimator).__name__)
    X = validated(estimator, X, reset=reset)
    if reset:
        refuse_triples(X)
    if nonnegative:
        check_non_negative(X, type(estimator).__name__)
    if sp.issparse(X) and X.nnz and not X.data.all():
        X = X.copy()
        X.eliminate_zeros()
    return X


def row_sums(X: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sums of `values`, one per stored entry, over every row.

    The additions run in storage order, so a row's sum is the same bits alone and in a batch.
    """
    sums = np.bincount(entry_rows(X), weights=values, minlength=X.shape[0])
    return sums.astype(np.float64, copy=False)  # integers where there is nothing to sum


def row_extremes(X: Any, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the smallest and largest of `values`, one per stored entry, over every row; 0 in empty rows."""
    low = np.zeros(X.shape[0], dtype=values.dtype)
    high = low.copy()
    filled = np.flatnonzero(np.diff(X.indptr))
    if len(filled):
        starts = X.indptr[filled]
        low[filled] = np.minimum.reduceat(values, starts)
        high[filled] = np.maximum.reduceat(values, starts)
    return low, high


class InteractionTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base of transformers that compute new values for the same interactions.

    A subclass computes the values of a matrix in canonical format (`_values`). If it learns something, it does so in
    `_fit`. This class keeps the type of the matrix: dense, `csr_array`, `csr_matrix` or
    :class:`~sklearn_llmrec.Interactions` (with times, ids and features), and float32. It also keeps every event: a
    value of exactly 0 becomes the smallest positive number of its dtype. Otherwise underflow, or a weight of zero,
    would turn a seen item into an unseen one.

    Repeated events of one user with one item (``Interactions.from_frame(..., repeats="keep")``) are
    weighted by their sum, and share the new value in proportion to the old ones. Summing before or
    after the transformer is therefore the same. Transformers that weight every event by itself set
    `_per_event`.
    """

    _parameter_constraints: dict[str, list[Any]] = {}
    _nonnegative = False
    _per_event = False

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what the weights need.

        Parameters
        ----------
        X : {array-like, sparse, Interactions} of shape (n_users, n_items)
            Interactions of the training users.
        y : Ignored

        Returns
        -------
        self : object
        """
        with restored_on_error(self):
            self._check_parameters()
            X = check_events(self, X, reset=True, nonnegative=self._nonnegative)
            X = X if sp.issparse(X) else sp.csr_array(X)
            self._fit(X if self._per_event or X.has_canonical_format else _sum_repeats(X)[0])
        return self

    def transform(self, X: Any) -> Any:
        """Replace the values of the interactions of `X`.

        Parameters
        ----------
        X : {array-like, sparse, Interactions} of shape (n_users, n_items)
            Interactions of users, whether they were seen at fit or not.

        Returns
        -------
        X_new : {ndarray, csr_array, csr_matrix, Interactions} of shape (n_users, n_items)
            The same non-zero entries with new values, in a container of the same kind.
        """
        check_is_fitted(self)
        X = check_events(self, X, reset=False, nonnegative=self._nonnegative)
        if sp.issparse(X):
            result = X.copy()
            result.data = self._event_values(X)
            return result
        events = sp.csr_array(X)
        dense = np.zeros(X.shape, dtype=X.dtype)
        dense[entry_rows(events), events.indices] = self._event_values(events)
        return dense

    def _event_values(self, X: Any) -> NDArray[Any]:
        """Return new values of the stored entries of `X`, in its order and dtype, none of them zero."""
        if self._per_event or X.has_canonical_format:
            values = self._values(X)
        else:
            summed, cell = _sum_repeats(X)
            # Pairs whose events cancel to zero are no interaction to anyone who sums: left as they
            # are.
            ratio = np.ones(summed.nnz)
            kept = summed.data != 0
            summed.eliminate_zeros()
            ratio[kept] = self._values(summed) / summed.data
            values = X.data * ratio[cell]
        values = values.astype(X.dtype, copy=False)
        smallest = np.finfo(X.dtype).tiny
        return np.where(values == 0, smallest, values)

    def _check_parameters(self) -> None:
        """Check parameters beyond what `_parameter_constraints` can express."""

    def _fit(self, X: Any) -> None:
        """Learn from a validated csr matrix (canonical unless `_per_event`)."""

    @abstractmethod
    def _values(self, X: Any) -> NDArray[Any]:
        """Return new values of the stored entries of `X`, which is canonical unless `_per_event`."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self._nonnegative
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _sum_repeats(X: Any) -> tuple[sp.csr_array, NDArray[np.int64]]:
    """Sum duplicate entries; return the canonical `X` with zero sums kept, and the new entry of every old one."""
    n_rows, n_columns = X.shape
    keys, cell = np.unique(entry_rows(X) * np.int64(n_columns) + X.indices, return_inverse=True)
    sums = np.bincount(cell, weights=X.data, minlength=len(keys))
    rows, columns = np.divmod(keys, n_columns)
    indptr = np.searchsorted(rows, np.arange(n_rows + 1))
    return sp.csr_array((sums, columns, indptr), shape=X.shape), cell
