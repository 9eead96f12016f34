"""Exact nearest neighbours among sparse rows, by several similarities."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import (
    as_rows,
    entry_rows,
    model_csr,
    normalize_columns,
    normalize_rows,
    product_rows,
    product_with_terms,
    topk_sparse,
    with_data,
)
from sklearn_llmrec.base import Statistics, Totals
from sklearn_llmrec.preprocessing import BM25Transformer, TFIDFTransformer
from sklearn_llmrec.utils import in_threads

METRICS = (
    "cosine",
    "asymmetric_cosine",
    "adjusted_cosine",
    "pearson",
    "pearson_baseline",
    "jaccard",
    "dice",
    "tversky",
)
# What `metric_params` may contain: names, defaults, highest values.
_PARAMS: dict[str, dict[str, tuple[float, float]]] = {
    "tversky": {"alpha": (0.5, np.inf), "beta": (0.5, np.inf)},
    "asymmetric_cosine": {"alpha": (0.5, 1.0)},
}
WEIGHTINGS = ("auto", "tfidf", "bm25")
# Most entries of a block of similarities. A block is in memory as a whole.
_BLOCK_ENTRIES = 2**21


def weighting_of(
    totals: Totals, weighting: str | None, metric: str, center: str | None
) -> TFIDFTransformer | BM25Transformer | None:
    """Return the fitted transformer that `weighting` names, or None for no weighting.

    "auto" is TF-IDF, or no weighting where the metric or `center` does not allow one.

    Raises
    ------
    ValueError
        If values are negative and the weighting is "bm25", which needs counts. Also if the metric does not allow a
        weighting: it compares the values themselves, or sets.
    """
    takes_none = metric in ("pearson", "pearson_baseline", "adjusted_cosine", "tversky")
    if weighting == "auto":
        weighting = None if takes_none or center is not None else "tfidf"
    if weighting is None:
        return None
    if takes_none:
        raise ValueError(
            f"weighting={weighting!r} goes with metric='cosine', 'asymmetric_cosine', 'jaccard' or 'dice': "
            f"{metric!r} compares {'sets' if metric == 'tversky' else 'the values themselves'}. Use weighting=None."
        )
    if weighting == "bm25" and totals.smallest < 0:
        raise ValueError(
            "weighting='bm25' saturates counts and X contains negative values: use 'tfidf' or None."
        )
    transformer = TFIDFTransformer() if weighting == "tfidf" else BM25Transformer()
    sums = totals.popularity, totals.n_users, float(totals.column_sums.sum())
    transformer._fit_sums(*sums)
    return transformer


def weighted(X: sp.csr_array, weighting: TFIDFTransformer | BM25Transformer | None) -> sp.csr_array:
    """Return X with the values of a fitted weighting."""
    if weighting is None:
        return X
    return with_data(X, weighting._values(X).astype(X.dtype, copy=False))


def metric_params_of(metric: str, params: dict[str, float] | None) -> dict[str, float]:
    """Return all parameters of a metric: those given, else their defaults.

    Raises
    ------
    ValueError
        If the metric has no such parameter, or it is out of range.
    """
    known = _PARAMS.get(metric, {})
    for name, value in (params or {}).items():
        if name not in known:
            raise ValueError(
                f"metric_params contains {name!r}: metric={metric!r} takes {', '.join(known) or 'none'}."
            )
        if not (isinstance(value, Real) and 0 <= value <= known[name][1] and value < np.inf):
            raise ValueError(
                f"{name!r} in metric_params must be a number from 0 to {known[name][1]:g}; got {value!r}."
            )
    return {name: default for name, (default, _) in known.items()} | (params or {})


def compared_values(X: sp.csr_array, metric: str, weighting: Any) -> sp.csr_array:
    """Return X with the values that the metric compares: ones for "tversky", else weighted values.

    Where the metric needs means or a baseline subtracted, the caller does it.
    """
    return with_data(X, np.ones_like(X.data)) if metric == "tversky" else weighted(X, weighting)


def less_means(X: sp.csr_array, means: NDArray[Any]) -> sp.csr_array:
    """Subtract one number from each stored entry, and drop entries that become zero up to rounding.

    Parameters
    ----------
    X : csr_array
        A new matrix is returned.
    means : ndarray of shape (nnz,)
        The number for each entry, in the order of ``X.data``.
    """
    differences = X.data - means
    # The mean of equal numbers may differ from them in its last digits.
    differences[np.abs(differences) <= max(_rounding(X.dtype), 1e-12) * np.abs(means)] = 0
    X = sp.csr_array(
        (differences.astype(X.dtype, copy=False), X.indices, X.indptr), shape=X.shape, copy=True
    )
    X.eliminate_zeros()
    return X


def _rounding(dtype: Any, n_terms: int = 0) -> float:
    """Return a bound of the rounding error of a sum that cancels, as a share of the sizes of its terms."""
    # Terms are products of two values that were rounded a few times; their sum is in float64.
    return float(64 * np.finfo(dtype).eps + n_terms * np.finfo(np.float64).eps)


def row_means(X: sp.csr_array) -> NDArray[np.float64]:
    """Return the mean of the stored entries of every row; 0 where there is none."""
    sums = np.bincount(entry_rows(X), weights=X.data, minlength=X.shape[0])
    return sums / np.maximum(np.diff(X.indptr), 1)


def squared_norms(X: sp.csr_array) -> NDArray[np.float64]:
    return np.bincount(
        entry_rows(X), weights=X.data.astype(np.float64) ** 2, minlength=X.shape[0]
    ).astype(np.float64)


def _pattern(X: sp.csr_array) -> sp.csr_array:
    return with_data(X, np.ones(X.nnz))


class RowIndex:
    r"""Rows among which neighbours are searched.

    Parameters
    ----------
    B : csr_array of shape (m, p)
        The rows. For "adjusted_cosine" the means are already subtracted, for "pearson_baseline" the baseline.
    metric : str
        One of `METRICS`, as :class:`~sklearn_llmrec.ItemKNN` defines them; x is a query row and y a row of B. "tversky"
        expects ones.
    shrinkage : float
        A similarity that rests on n shared entries is multiplied by ``n / (n + shrinkage)``; n is one less for
        "pearson_baseline".
    params : dict or None
        Parameters of the metric.
    transposed : csr_array of shape (p, m) or None
        B transposed, with sorted columns, if the caller has it already. None computes it.
    """

    def __init__(
        self,
        B: sp.csr_array,
        metric: str,
        shrinkage: float = 0.0,
        params: dict[str, float] | None = None,
        transposed: sp.csr_array | None = None,
    ) -> None:
        self._set_metric(metric, shrinkage, params, signed=bool(B.nnz and B.data.min() < 0))
        columns = B.T.tocsr() if transposed is None else transposed
        squares = None
        if self.cosine:
            columns = normalize_columns(columns, 2 - self.power)
        else:
            squares = squared_norms(B)
        self._set_columns(model_csr(columns), squares)

    @classmethod
    def of_columns(
        cls,
        columns: sp.csr_array,
        squares: NDArray[np.float64],
        metric: str,
        shrinkage: float = 0.0,
        params: dict[str, float] | None = None,
        *,
        signed: bool,
    ) -> RowIndex:
        """Return an index of rows that are given transposed, as `Scales.columns` makes them, and not copied.

        Parameters
        ----------
        columns : csr_array of shape (p, m)
        squares : ndarray of shape (m,)
            Squared norms of the rows, before they were divided by any.
        signed : bool
            Whether a value is negative.
        """
        index = cls.__new__(cls)
        index._set_metric(metric, shrinkage, params, signed=signed)
        index._set_columns(columns, squares)
        return index

    def _set_metric(
        self, metric: str, shrinkage: float, params: dict[str, float] | None, *, signed: bool
    ) -> None:
        self.metric = metric
        self.shrinkage = shrinkage
        self.params = metric_params_of(metric, params)
        self.correlation = metric.startswith("pearson")
        self.signed = signed or self.correlation
        self.scales = Scales(metric, self.params)
        self.cosine, self.power = self.scales.cosine, self.scales.power

    def _set_columns(self, columns: sp.csr_array, squares: NDArray[np.float64] | None) -> None:
        self.columns = columns
        norms = (
            np.zeros(columns.shape[1])
            if self.cosine or squares is None
            else self.scales.beta * squares
        )
        self._right = norms.astype(columns.dtype)

    def nearest(self, A: sp.csr_array, k: int, *, n_threads: int = 1) -> sp.csr_array:
        """Return the k most similar rows of B for every row of A, best first.

        Rows of B with similarity zero are left out, so that a row can have fewer than k neighbours.

        Parameters
        ----------
        A : csr_array of shape (n, p)
            The query rows, prepared like B.

        Returns
        -------
        similarities : csr_array of shape (n, m)
            At most k entries per row, sorted by value and not by column.
        """
        signed = self.signed or bool(A.nnz and A.data.min() < 0)
        if self.cosine:
            A = normalize_rows(A, self.power)
        if self.correlation or signed:
            blocks = in_threads(
                lambda rows: self._best_of_block(A[rows], k), self._blocks(A), n_threads
            )
            return sp.csr_array(sp.vstack(blocks, format="csr"))
        scaling = None
        if not self.cosine or self.shrinkage:
            scaling = self._left(A), self._right, self.scales.rest, self.shrinkage
        return product_rows(A, self.columns, k, scaling=scaling, n_threads=n_threads)

    def shares(
        self, row_values: NDArray[Any], columns: NDArray[Any], rows: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return how much of the similarity of a query row to each of `rows` comes from each of its entries.

        Parameters
        ----------
        row_values, columns : ndarray of shape (n,)
            Values and columns of the query row, prepared as for `nearest`. A value is 0 if it equals the mean that was
            subtracted.
        rows : ndarray of shape (r,)
            Row numbers of B, of rows that are similar to the query row.

        Returns
        -------
        shares : ndarray of shape (n, r)
            Columns sum to 1, or to 0 where the products cancel. Every metric is a scaled sum of products over the
            shared entries.
        """
        theirs = self.columns[columns][:, rows].toarray().astype(np.float64)
        shared = theirs != 0
        products = row_values[:, None] * theirs
        if self.metric == "pearson":
            n = np.maximum(shared.sum(axis=0), 1)
            mine = np.where(shared, row_values[:, None], 0.0)
            products = (mine - mine.sum(axis=0) / n) * (theirs - theirs.sum(axis=0) / n)
            products[~shared] = 0
        total = products.sum(axis=0)
        return products / np.where(total == 0, 1, total)

    def _blocks(self, A: sp.csr_array) -> Iterator[slice]:
        """Yield slices of rows whose similarities to all of B fit a block."""
        lengths = np.diff(self.columns.indptr)
        cost = np.bincount(entry_rows(A), weights=lengths[A.indices], minlength=A.shape[0])
        block = np.cumsum(np.minimum(cost, self.columns.shape[1])) // _BLOCK_ENTRIES
        edges = np.flatnonzero(np.diff(block, prepend=-1, append=block[-1] + 1))
        for start, stop in pairwise(edges):
            yield slice(int(start), int(stop))

    def _best_of_block(self, A: sp.csr_array, k: int) -> sp.csr_array:
        S = self._correlations(A) if self.correlation else self._product(A)
        S.eliminate_zeros()
        return as_rows(topk_sparse(S, k), S.shape[1])

    def _left(self, A: sp.csr_array) -> NDArray[np.float64]:
        """Return what each row of A adds to the denominators of its similarities."""
        return np.ones(A.shape[0]) if self.cosine else self.scales.alpha * squared_norms(A)

    def _product(self, A: sp.csr_array) -> sp.csr_array:
        sums = product_sums(A, self.columns, signed=True)
        return self.scales.similarities(
            sums,
            self._left(A),
            self._right,
            self.shrinkage,
            n_terms=int(np.diff(A.indptr).max(initial=0)),
            dtype=A.dtype,
        )

    def _correlations(self, A: sp.csr_array) -> sp.csr_array:
        """Return correlations over the shared entries, about their means or about zero."""
        low = below_all(np.concatenate([A.data, self.columns.data]))
        sums = moment_sums(A, self.columns, low)
        centred = self.metric == "pearson"
        return correlations(sums, low, centred=centred, shrinkage=self.shrinkage, dtype=A.dtype)


class Scales:
    """What products are divided by to become similarities.

    A product p of row i of A and row j of B is divided by ``alpha |a_i|^2 + beta |b_j|^2 + rest p``. Jaccard is
    Tversky's index with both parameters 1, Dice with both 1/2. A cosine is of rows that are normalised already, those
    of A by `power` of their norms and those of B by ``2 - power``.
    """

    def __init__(self, metric: str, params: dict[str, float]) -> None:
        self.cosine = metric.endswith("cosine")
        self.power = 2 * params.get("alpha", 0.5)
        both = 1.0 if metric == "jaccard" else 0.5
        self.alpha, self.beta = params.get("alpha", both), params.get("beta", both)
        self.rest = 0.0 if self.cosine else 1.0 - self.alpha - self.beta

    def columns(self, B: sp.csr_array, squares: NDArray[np.float64]) -> sp.csr_array:
        """Return rows of B transposed as products take them: divided by norms where the metric is a cosine."""
        if not self.cosine:
            return B
        norms = np.where(squares == 0, 1, np.sqrt(squares))
        values = B.data / norms[B.indices] ** (2 - self.power)
        return with_data(B, values.astype(B.dtype, copy=False))

    def similarities(
        self,
        sums: Statistics,
        left: NDArray[Any],
        right: NDArray[Any],
        shrinkage: float,
        *,
        n_terms: int,
        dtype: Any,
        factors: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> sp.csr_array:
        """Return similarities from the sums of `product_sums`; the result may store zeros.

        Parameters
        ----------
        left, right : ndarray of shape (n,) and (m,)
            What rows and columns add to the denominators.
        factors : pair of ndarray of shape (n,) and (m,), or None
            Numbers of rows and columns, by which products are multiplied first.
        """
        products = sums["products"]
        rows, columns = entry_rows(products), products.indices
        scale = 1.0 if factors is None else factors[0][rows] * factors[1][columns]
        values = products.data.real * scale
        if "sizes" in sums:
            # Products that cancel leave rounding, which is no similarity.
            noise = _rounding(dtype, n_terms) * sums["sizes"].data.real * scale
            values[np.abs(values) <= noise] = 0
        values /= left[rows] + right[columns] + self.rest * values
        if shrinkage:
            shared = products.data.imag
            values *= shared / (shared + shrinkage)
        return with_data(products, values.astype(dtype, copy=False))


def product_sums(A: sp.csr_array, B: sp.csr_array, *, signed: bool) -> Statistics:
    """Return the parts of ``A @ B`` that `Scales.similarities` needs.

    With the inner axis divided into blocks, the results of the blocks can be added.

    Returns
    -------
    sums : dict of csr_array of shape (n, m), complex128
        "products", with their numbers of terms as imaginary parts; "sizes", the same of absolute values, where terms
        may cancel.
    """
    sums = {"products": product_with_terms(A, B)}
    if signed:
        sums["sizes"] = product_with_terms(abs(A), abs(B))
    return sums


def below_all(values: NDArray[Any]) -> float:
    """Return a negative number below all values.

    Its distance to the least value (or to zero) is the smallest size of a value other than zero, but at least 1e-12 of
    the largest size. So every value minus this number is positive.
    """
    sizes = np.abs(values.astype(np.float64))
    largest = sizes.max(initial=0)
    smallest = sizes.min(where=sizes > 0, initial=largest)
    return lowest(float(values.min(initial=0)), float(smallest), float(largest))


def lowest(least: float, smallest_size: float, largest_size: float) -> float:
    """Return what `below_all` returns, from the least value and the smallest and largest size other than zero."""
    return min(least, 0.0) - (max(smallest_size, 1e-12 * largest_size) or 1.0)


def moment_sums(A: sp.csr_array, B: sp.csr_array, low: float) -> Statistics:
    """Return sums over the terms of every entry of ``A @ B``: their number, and moments of both factors.

    `low` is subtracted from all values first, and all values are above it. So no sum is zero: scipy drops no entry, and
    all matrices have entries in the same places.

    Returns
    -------
    sums : dict of csr_array of shape (n, m)
        "n", the number of terms; "x", "y", "xx" and "yy", the sums of the factors of A and of B, and of their squares;
        "xy", the sum of the products.
    """
    a = with_data(A, A.data.astype(np.float64) - low)
    b = with_data(B, B.data.astype(np.float64) - low)
    one_a, one_b = _pattern(A), _pattern(B)
    return {
        "n": sp.csr_array(one_a @ one_b),
        "x": a @ one_b,
        "y": one_a @ b,
        "xy": a @ b,
        "xx": with_data(a, a.data**2) @ one_b,
        "yy": one_a @ with_data(b, b.data**2),
    }


def correlations(
    sums: Statistics, low: float, *, centred: bool, shrinkage: float, dtype: Any
) -> sp.csr_array:
    """Return correlations from `moment_sums`, about the means of the shared entries or about zero."""
    result = sums["n"].copy()
    n, x, y, xy, xx, yy = (sums[name].data for name in ("n", "x", "y", "xy", "xx", "yy"))
    # Sums of products and squares after the centres p and q are subtracted; -low is where zero was.
    p, q = (x / n, y / n) if centred else (-low, -low)
    xx, scales = xx - p * (2 * x - n * p), (xx, yy)
    sizes = xy + np.abs(p) * y + np.abs(q) * x + n * np.abs(p * q)
    yy, xy = yy - q * (2 * y - n * q), xy - p * y - q * x + n * p * q
    # What is left of a constant row is rounding.
    flat = (xx <= 1e-10 * scales[0]) | (yy <= 1e-10 * scales[1])
    r = np.where(flat, 0, xy / np.where(flat, 1, np.sqrt(np.maximum(xx * yy, 1e-300))))
    # So is what is left of a sum that cancels.
    rounding = np.finfo(np.float64).eps * (16 + n) * sizes
    r[(np.abs(xy) <= rounding) | (np.abs(r) <= _rounding(dtype))] = 0
    n = n if centred else n - 1
    factor = np.divide(n, n + shrinkage, out=np.zeros_like(n), where=n > 0)
    result.data = (np.clip(r, -1, 1) * factor).astype(dtype)
    return result


def without_diagonal(S: sp.csr_array, k: int, *, first: int = 0) -> sp.csr_array:
    """Remove the diagonal of S, and keep the first k other entries of every row.

    Rows must be sorted by value already. Row i has its diagonal in column ``first + i``.
    """
    keep = S.indices != entry_rows(S) + first
    counts = np.bincount(entry_rows(S)[keep], minlength=S.shape[0])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(keep.sum()) - np.repeat(starts, counts)
    cut = np.flatnonzero(keep)[rank < k]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, k))])
    return sp.csr_array((S.data[cut], S.indices[cut], indptr), shape=S.shape)
