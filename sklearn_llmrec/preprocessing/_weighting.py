"""Weights that discount popular items: TF-IDF and BM25."""

from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.preprocessing._base import InteractionTransformer, row_sums
from sklearn_llmrec.utils import Interval, StrOptions, entry_rows


class TFIDFTransformer(InteractionTransformer):
    r"""Term frequency times inverse document frequency, users as documents and items as terms.

    A value :math:`x_{ui}` becomes :math:`\mathrm{tf}(x_{ui}) \, \mathrm{idf}_i` with

    .. math:: \mathrm{idf}_i = \ln \frac{1 + n}{1 + \mathrm{df}_i} + 1,

    :math:`n` the number of users and :math:`\mathrm{df}_i` the number of users who have item i,
    both learned at fit; the row is then scaled to unit norm. An item that everyone has keeps the
    weight 1.

    Parameters
    ----------
    norm : {"l2", "l1"} or None, default="l2"
        Norm that every row is scaled to.
    sublinear_tf : bool, default=False
        Replace x by ``1 + ln(x)`` where x >= 1. Smaller values stay as they are (curve and slope
        join at 1), so that none becomes zero or negative.

    Attributes
    ----------
    idf_ : ndarray of shape (n_items,)
        Inverse document frequencies.
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    BM25Transformer : Saturates repeated interactions and discounts long histories.
    sklearn.feature_extraction.text.TfidfTransformer : The same weights on plain matrices.

    Notes
    -----
    Equal to scikit-learn's ``TfidfTransformer`` with ``smooth_idf=True`` (for values >= 1 where
    `sublinear_tf` is set), except that :class:`~sklearn_llmrec.Interactions` and dense arrays stay
    what they are and negative values are refused. Cost: O(nnz).

    References
    ----------
    K. Sparck Jones (1972), "A statistical interpretation of term specificity and its application in
    retrieval", Journal of Documentation 28(1).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.preprocessing import TFIDFTransformer
    >>> X = np.array([[1.0, 0.0, 3.0], [1.0, 2.0, 0.0]])
    >>> TFIDFTransformer(norm=None).fit_transform(X).round(2)
    array([[1.  , 0.  , 4.22],
           [1.  , 2.81, 0.  ]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "norm": [StrOptions({"l1", "l2"}), None],
        "sublinear_tf": ["boolean"],
    }
    _nonnegative = True

    def __init__(
        self, norm: Literal["l1", "l2"] | None = "l2", *, sublinear_tf: bool = False
    ) -> None:
        self.norm = norm
        self.sublinear_tf = sublinear_tf

    def _fit(self, X: Any) -> None:
        self._fit_sums(np.bincount(X.indices, minlength=X.shape[1]), X.shape[0], 0.0)

    def _fit_sums(self, frequency: NDArray[Any], n_users: int, total: float) -> None:
        """Learn from sums: the users of each item (an array), the number of users, and the sum of all values."""
        self.idf_ = np.log((1 + n_users) / (1 + frequency)) + 1

    def _values(self, X: Any) -> NDArray[Any]:
        values = X.data.astype(np.float64)
        if self.sublinear_tf:
            values = np.where(values < 1, values, 1 + np.log(np.maximum(values, 1)))
        values *= self.idf_[X.indices]
        if self.norm is None:
            return values
        norms = row_sums(X, values) if self.norm == "l1" else np.sqrt(row_sums(X, values**2))
        norms[norms == 0] = 1  # tiny values, whose squares underflow to 0
        return values / norms[entry_rows(X)]


class BM25Transformer(InteractionTransformer):
    r"""Okapi BM25 weights, users as documents and items as terms.

    A value :math:`x_{ui}` becomes

    .. math::
        \mathrm{idf}_i \;
        \frac{x_{ui} (k_1 + 1)}{x_{ui} + k_1 (1 - b + b \, |u| / \overline{|u|})}, \qquad
        \mathrm{idf}_i = \ln \Bigl(1 + \frac{n - \mathrm{df}_i + 0.5}{\mathrm{df}_i + 0.5}\Bigr):

    repeats count less and less, the values of long histories are discounted, popular items weigh
    little. The number of users n, the number of users :math:`\mathrm{df}_i` who have item i and the
    mean length :math:`\overline{|u|}` are learned at fit; the length :math:`|u|` of a user is the
    sum of its own row.

    Parameters
    ----------
    k1 : float, default=1.2
        Saturation: at 0 every interaction counts the same, large values tend to the plain count.
    b : float, default=0.75
        Discount of long rows, from 0 (none) to 1 (full).

    Attributes
    ----------
    idf_ : ndarray of shape (n_items,)
        Inverse document frequencies, all positive.
    average_length_ : float
        Mean row sum at fit.
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    TFIDFTransformer : Without saturation, rows scaled to unit norm.

    Notes
    -----
    The idf is Lucene's, which is positive for every item. `implicit.nearest_neighbours.bm25_weight`
    uses ``ln(n / (1 + df))`` instead, which is zero or negative for items that (nearly) everyone
    has and so removes events; the other factor is the same. Cost: O(nnz).

    References
    ----------
    S. Robertson and H. Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond",
    Foundations and Trends in Information Retrieval 3(4).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.preprocessing import BM25Transformer
    >>> X = np.array([[1.0, 0.0, 3.0], [1.0, 2.0, 0.0]])
    >>> BM25Transformer().fit_transform(X).round(2)
    array([[0.17, 0.  , 1.06],
           [0.19, 0.99, 0.  ]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "k1": [Interval(Real, 0, None, closed="left")],
        "b": [Interval(Real, 0, 1, closed="both")],
    }
    _nonnegative = True

    def __init__(self, k1: float = 1.2, *, b: float = 0.75) -> None:
        self.k1 = k1
        self.b = b

    def _fit(self, X: Any) -> None:
        frequency = np.bincount(X.indices, minlength=X.shape[1])
        self._fit_sums(frequency, X.shape[0], X.data.sum(dtype=np.float64))

    def _fit_sums(self, frequency: NDArray[Any], n_users: int, total: float) -> None:
        """Learn from sums: the users of each item (an array), the number of users, and the sum of all values."""
        self.idf_ = np.log1p((n_users - frequency + 0.5) / (frequency + 0.5))
        # A matrix without events has no mean length: 1 is used for later rows.
        self.average_length_ = float(total / n_users) or 1.0

    def _values(self, X: Any) -> NDArray[Any]:
        values = X.data.astype(np.float64)
        length = row_sums(X, values) / self.average_length_
        discount = self.k1 * (1 - self.b + self.b * length)
        values *= (self.k1 + 1) / (values + discount[entry_rows(X)])
        return values * self.idf_[X.indices]
