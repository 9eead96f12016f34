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
    """Return weighted averages of votes; 0 where nothing was summed.

    They are ``(A @ values) / (|weights| @ |voters| + regularization)``.

    Parameters
    ----------
    A, weights : csr_array of shape (n, p)
        What is multiplied with `values`, and with `voters`.
    values, voters : csr_array of shape (p, m)
    """
    total = (A @ values).toarray().astype(np.float64, copy=False)
    mass = (abs(weights) @ abs(voters)).toarray()
    return np.divide(total, mass + regularization, out=np.zeros_like(total), where=mass > 0)
