"""Semantic ids: codes of items computed from their texts, from coarse to fine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state


def residual_codes(
    vectors: NDArray[Any], n_codes: int, n_levels: int, random_state: int
) -> NDArray[np.int64]:
    """Return the codes of residual k-means: the cluster of a vector, then that of its residual, and so on.

    Parameters
    ----------
    vectors : ndarray of shape (n_items, n_dimensions)
    n_codes : int
        Clusters of a level; fewer where there are not as many different vectors.
    n_levels : int
    random_state : int

    Returns
    -------
    codes : ndarray of shape (n_items, n_levels)
        Items alike share their first codes. Levels that have nothing left to explain are 0 throughout.
    """
    seeds = check_random_state(random_state).randint(2**31 - 1, size=n_levels)
    residuals = np.array(vectors, dtype=np.float64)
    residuals /= np.abs(residuals).max(initial=0.0) or 1.0
    codes = np.zeros((len(residuals), n_levels), dtype=np.int64)
    for level, seed in enumerate(seeds):
        residuals = residuals.round(9)  # what differs by rounding alone is the same
        n_different = len(np.unique(residuals, axis=0))
        if n_different == 1:
            break
        means = KMeans(min(n_codes, n_different), n_init=1, random_state=int(seed)).fit(residuals)
        codes[:, level] = means.labels_
        residuals -= means.cluster_centers_[means.labels_]
    return codes
