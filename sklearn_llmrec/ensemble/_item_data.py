"""Item data of rerankers: similarities and categories."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import normalize_columns, product_rows
from sklearn_llmrec.interactions import table_column
from sklearn_llmrec.utils import canonical, is_missing


def item_matrix(values: Any, name: str, n_items: int) -> Any:
    """Return a numeric dense array or csr_array with one row per item.

    Raises
    ------
    ValueError
        If it has another number of rows, or is not finite.
    """
    matrix = sp.csr_array(values) if sp.issparse(values) else np.asarray(values)
    if matrix.ndim != 2 or matrix.shape[0] != n_items:
        raise ValueError(
            f"{name} must have one row per item, {n_items}; got an array of shape {matrix.shape}."
        )
    matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix.data if sp.issparse(matrix) else matrix).all():
        raise ValueError(f"{name} must be finite.")
    return matrix


def _labels(value: Any) -> list[str]:
    """Return the categories of one item from a cell: a list, or a text in which ``|`` separates them."""
    if is_missing(value):
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split("|") if part.strip()]
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [str(part) for part in value]
    return [str(value)]


def category_matrix(
    categories: Any, X: Any, popularity: NDArray[np.float64]
) -> tuple[sp.csr_array, NDArray[np.str_]]:
    """Return items by categories (rows sum to 1 or are empty) and the names of the categories.

    `categories` is a matrix of weights, one label (or list of labels) per item, the name of a
    column of item features, or None for three groups by popularity.

    Raises
    ------
    ValueError
        If the number of items differs, or a weight is negative or not finite.
    """
    n_items = len(popularity)
    if categories is None:
        categories = popularity_groups(popularity)
    elif isinstance(categories, str):
        categories = table_column(getattr(X, "item_features", None), "item_features", categories)
    if sp.issparse(categories) or getattr(categories, "ndim", 1) == 2:
        weights = sp.csr_array(item_matrix(categories, "categories", n_items))
        if weights.nnz and weights.data.min() < 0:
            raise ValueError("categories must be weights >= 0.")
        names = np.arange(weights.shape[1]).astype(str)
    else:
        cells = [_labels(value) for value in categories]
        if len(cells) != n_items:
            raise ValueError(
                f"categories must contain one value per item, {n_items}; got {len(cells)}."
            )
        names, columns = np.unique([label for cell in cells for label in cell], return_inverse=True)
        indptr = np.concatenate([[0], np.cumsum([len(cell) for cell in cells])])
        weights = sp.csr_array(
            (np.ones(len(columns)), columns, indptr), shape=(n_items, max(len(names), 1))
        )
    weights = canonical(weights)
    total = np.asarray(weights.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros(n_items), where=total > 0)
    return sp.csr_array(sp.diags_array(scale) @ weights), names


def popularity_groups(popularity: NDArray[np.float64]) -> NDArray[np.str_]:
    """Assign items to the head (first fifth of all interactions), the tail (last fifth) or the middle."""
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    share = before / max(popularity.sum(), 1)
    groups = np.empty(len(popularity), dtype="<U6")
    groups[order] = np.where(share < 0.2, "head", np.where(share < 0.8, "middle", "tail"))
    return groups


class FeatureCosine:
    """Cosine of dense item features."""

    def __init__(self, features: NDArray[np.float64]) -> None:
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        self.unit = features / np.where(norms > 0, norms, 1)

    def between(self, items: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the similarity of every item of row r to ``chosen[r]``."""
        return np.einsum("nmd,nd->nm", self.unit[items], self.unit[chosen])


class SparseCosine:
    """Cosine of the columns of a sparse matrix, the largest `n_neighbors` of every item kept."""

    def __init__(self, columns: sp.csr_array, n_neighbors: int) -> None:
        unit = normalize_columns(canonical(columns).astype(np.float64))
        similarity = product_rows(unit.T.tocsr(), unit, n_neighbors + 1)
        # Either end may have the other among its nearest.
        self.similarity = sp.csr_array(similarity.maximum(similarity.T))
        self.similarity.sort_indices()
        rows = np.repeat(np.arange(unit.shape[1], dtype=np.int64), np.diff(self.similarity.indptr))
        self.keys = rows * unit.shape[1] + self.similarity.indices

    def between(self, items: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the similarity of every item of row r to ``chosen[r]``."""
        if not len(self.keys):
            return np.zeros(items.shape)
        wanted = chosen[:, None] * self.similarity.shape[1] + items
        positions = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[positions] == wanted, self.similarity.data[positions], 0.0)


def items_by_features(item_features: Any, X: Any) -> Any:
    """Return one row per item, dense or csr: its features, or the users who interacted with it if there are none."""
    if item_features is None:
        return canonical(X).astype(np.float64).T.tocsr()
    return item_matrix(item_features, "item_features", X.shape[1])


def item_similarity(items: Any, n_neighbors: int) -> FeatureCosine | SparseCosine:
    """Return the cosine between the rows that `items_by_features` returns."""
    if sp.issparse(items):
        return SparseCosine(items.T.tocsr(), n_neighbors)
    return FeatureCosine(items)
