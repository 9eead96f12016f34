"""Average the votes of neighbours, which are added to the baseline of a rating."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def weighted_means(
    A: sp.csr_array,
    weights: sp.csr_array,
    values: sp.csr_array,
    voters: sp.csr_array,
    regularization: float,
) -> NDArray[np.float64]:
    """Return weighted averages of votes; 0 where nobody votes.

    They are ``(A @ values) / (|weights| @ |voters| + regularization)``.

    Parameters
    ----------
    A, weights : csr_array of shape (n, p)
    values, voters : csr_array of shape (p, m)
        ``A @ values`` sums votes times similarities, and ``|weights| @ |voters|`` the similarities of those who vote.
        `UserKNN` has the similarities on the left and the votes on the right, `ItemKNN` the other way round.
    regularization : float
        Added to the divisor: a vote of 0 with this weight.
    """
    total = (A @ values).toarray().astype(np.float64, copy=False)
    mass = (abs(weights) @ abs(voters)).toarray()
    return np.divide(total, mass + regularization, out=np.zeros_like(total), where=mass > 0)
