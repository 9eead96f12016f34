"""Transformers of single values: logarithm and presence."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.preprocessing._base import InteractionTransformer


class Log1pTransformer(InteractionTransformer):
    r"""Logarithm of counts: :math:`\operatorname{sign}(x) \ln(1 + |x|)`.

    Tames heavy tails (a few people buy a thousand pieces) while every event stays non-zero.
    Negative values keep their sign.

    Attributes
    ----------
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    BM25Transformer : Saturates counts and discounts popular items.
    BinarizeTransformer : Forgets counts altogether.

    Notes
    -----
    Cost: O(nnz).

    References
    ----------
    Y. Hu, Y. Koren and C. Volinsky (2008), "Collaborative filtering for implicit feedback
    datasets", ICDM, use the logarithm of counts as confidence.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.preprocessing import Log1pTransformer
    >>> Log1pTransformer().fit_transform(np.array([[0.0, 1.0, 99.0]])).round(2)
    array([[0.  , 0.69, 4.61]])
    """

    def _values(self, X: Any) -> NDArray[Any]:
        values = X.data.astype(np.float64)
        return np.sign(values) * np.log1p(np.abs(values))


class BinarizeTransformer(InteractionTransformer):
    """Every interaction counts 1, whatever its value.

    Attributes
    ----------
    n_features_in_ : int
        Number of items seen at fit.

    See Also
    --------
    sklearn.preprocessing.Binarizer : With a threshold, below which values become zero.
    Log1pTransformer : Keeps some of the counts.

    Notes
    -----
    Values are not selected: a rating of 1 star counts as much as one of 5 stars. To keep only what
    counts as positive, filter the event log. Repeated events of one user with one item share the 1
    in proportion to their values. Cost: O(nnz).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.preprocessing import BinarizeTransformer
    >>> BinarizeTransformer().fit_transform(np.array([[0.0, 1.0, 99.0]]))
    array([[0., 1., 1.]])
    """

    def _values(self, X: Any) -> NDArray[Any]:
        return np.ones(X.nnz)
