"""Random walks of three steps over the graph of users and items: P3alpha and RP3beta."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import (
    as_rows,
    entry_rows,
    product_rows,
    product_with_terms,
    topk_sparse,
    with_data,
)
from sklearn_llmrec.base import (
    BlockPlace,
    ItemBlocksMixin,
    ItemToItemRecommender,
    KeepsRowsMixin,
    Phase,
    Statistics,
    Tags,
    Totals,
    first_block,
    items_of,
    work_of_items,
)
from sklearn_llmrec.neighbors._similarity import without_diagonal
from sklearn_llmrec.utils import Interval, rows_between


def steps(
    X: sp.csr_array, items: NDArray[np.float64], alpha: float
) -> tuple[sp.csr_array, sp.csr_array]:
    """Return the transition probabilities of users to items, and of items to users, to the power alpha.

    Both have the shape of X; `items` are the sums of the columns over all users.
    """
    values = X.data.astype(np.float64)
    users = np.bincount(entry_rows(X), weights=values, minlength=X.shape[0])
    to_item = with_data(X, ((values / users[entry_rows(X)]) ** alpha).astype(X.dtype))
    to_user = with_data(X, ((values / items[X.indices]) ** alpha).astype(X.dtype))
    return to_item, to_user


def discounted_weights(
    into: sp.csr_array, items: NDArray[np.float64], beta: float, gamma: float
) -> sp.csr_array:
    """Return weights from the walks that reach each candidate, a row per candidate."""
    # The degree of the candidate scales its whole row: it changes scores, not the choice of neighbours.
    degree = np.where(items == 0, 1, items) ** beta
    discounted = into.data / degree[entry_rows(into)]
    sums = np.bincount(into.indices, weights=discounted, minlength=len(items)) ** gamma
    data = (discounted / sums[into.indices]).astype(into.dtype)
    return sp.csr_array(with_data(into, data).T.tocsr())


class P3alpha(ItemBlocksMixin, KeepsRowsMixin, ItemToItemRecommender):
    r"""Random walk of three steps: from the user to an item, to another user, to the candidate.

    With :math:`P_{ui} = (x_{ui} / \sum_j x_{uj})^\alpha` and
    :math:`P_{iu} = (x_{ui} / \sum_v x_{vi})^\alpha`, a history x scores candidate j by

    .. math:: \hat{x}_j = \sum_{i \in N(j)} x_i \sum_u P_{iu} P_{uj},

    where N(j) are the `n_neighbors` items from which most walks reach the *candidate* j.

    Parameters
    ----------
    n_neighbors : int, default=100
        How many neighbours an item keeps.
    alpha : float, default=0.8
        Exponent of the transition probabilities.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items)
        Entry (i, j) is the weight of walks from i to j if i is a neighbour of j.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    RP3beta : The same, with popular candidates discounted.

    Notes
    -----
    Fit is one sparse product, O(sum of squared row lengths) time and O(n_items n_neighbors) memory.
    Negative values are refused.

    References
    ----------
    C. Cooper et al., "Random walks in recommender systems: exact computation and simulations",
    WWW 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.neighbors import P3alpha
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> items, scores = P3alpha().fit(X).recommend([[1, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self, n_neighbors: int = 100, *, alpha: float = 0.8, n_jobs: int | None = None
    ) -> None:
        self.n_neighbors = n_neighbors
        self.alpha = alpha
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        self._keep_rows(X)
        # Not by sums over one block: a loop that multiplies and chooses at once stores no product.
        items = np.bincount(X.indices, X.data, X.shape[1]).astype(np.float64, copy=False)
        to_item, to_user = steps(X, items, self.alpha)
        into = product_rows(
            to_item.T.tocsr(),
            to_user,
            self.n_neighbors + 1,
            n_threads=effective_n_jobs(self.n_jobs),
        )
        self._set_walks(without_diagonal(into, self.n_neighbors), items)

    def _set_walks(self, into: sp.csr_array, items: NDArray[np.float64]) -> None:
        """Set the weights from the best walks into each candidate, and the sums of the columns."""
        beta, gamma = getattr(self, "beta", 0.0), getattr(self, "gamma", 0.0)
        self._set_weights(discounted_weights(into, items, beta, gamma))

    def _plan(self, totals: Totals) -> Phase:
        return Phase("work", {"items": totals.column_sums, "dtype": totals.dtype})

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        if phase.name == "work":
            return {"work": work_of_items(X)}

        to_item, to_user = self._factors(X, phase)
        walks = product_with_terms(rows_between(to_item, items_of(phase)), to_user)
        return {"walks": with_data(walks, walks.data.real.copy())}

    def _advance(self, phase: Phase, total: Statistics) -> Phase | None:
        if phase.name == "work":
            return first_block(total["work"], dict(phase.known))
        S = sp.csr_array(total["walks"].astype(phase.known["dtype"], copy=False))
        best = as_rows(topk_sparse(S, min(self.n_neighbors + 1, S.shape[1])), S.shape[1])
        start = items_of(phase).start
        return self._next_items(phase, without_diagonal(best, self.n_neighbors, first=start))

    def _factors(self, X: sp.csr_array, phase: Phase) -> tuple[sp.csr_array, sp.csr_array]:
        to_item, to_user = steps(X, phase.known["items"], self.alpha)
        return to_item.T.tocsr(), to_user

    def _best_of_items(
        self, A: sp.csr_array, B: sp.csr_array, phase: Phase, items: slice
    ) -> sp.csr_array:
        n_threads = effective_n_jobs(self.n_jobs)
        into = product_rows(A, B, self.n_neighbors + 1, n_threads=n_threads)
        return without_diagonal(into, self.n_neighbors, first=items.start)

    def _set_best(self, best: sp.csr_array, phase: Phase) -> None:
        self._set_walks(best, phase.known["items"])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


class RP3beta(P3alpha):
    r"""Random walk of three steps with popular candidates discounted.

    The score of :class:`P3alpha`, divided by a power of the candidate's degree:

    .. math:: \hat{x}_j = \sum_{i \in N(j)} x_i \frac{w_{ij}}{(\sum_l w_{il})^\gamma}, \qquad
       w_{ij} = \frac{\sum_u P_{iu} P_{uj}}{(\sum_u x_{uj})^\beta},

    where N(j) are the `n_neighbors` items from which most walks reach the *candidate* j: chosen per
    candidate, the discount cannot crowd popular candidates out of the neighbourhoods.

    Parameters
    ----------
    n_neighbors : int, default=100
        How many neighbours an item keeps.
    alpha : float, default=0.8
        Exponent of the transition probabilities.
    beta : float, default=0.4
        Exponent of the candidate's degree. With 0, and `gamma` 0, this is P3alpha.
    gamma : float, default=0.5
        Exponent of the sum of a history item's weights: how far items that are in many
        neighbourhoods are kept from dominating. 0 is the published method.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items)
        Entry (i, j) is the weight of walks from i to j if i is a neighbour of j.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    ItemKNN : Neighbours by similarity.

    Notes
    -----
    Fit is one sparse product, O(sum of squared row lengths) time and O(n_items n_neighbors) memory.
    Negative values are refused.

    References
    ----------
    B. Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive
    applications", ACM TiiS 7(1), 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.neighbors import RP3beta
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> items, scores = RP3beta().fit(X).recommend([[1, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **P3alpha._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_neighbors: int = 100,
        *,
        alpha: float = 0.8,
        beta: float = 0.4,
        gamma: float = 0.5,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(n_neighbors, alpha=alpha, n_jobs=n_jobs)
        self.beta = beta
        self.gamma = gamma
