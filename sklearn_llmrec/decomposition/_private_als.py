"""Item factors of ALS under user-level differential privacy: noisy sums over users, regressions on released numbers.

After Chien et al. (2021): the factors p of a user depend on the user's row and on item factors that are released. A
sweep releases what the regressions of all items need, as one vector of sums over users. A row of m interactions adds,
with its factors scaled to length 1,

    sqrt(1 - g) p / sqrt(m)   to the sums of each of its m items,
    sqrt(g) p p' / sqrt(m)    to the Gram matrix (its triangle, sqrt(2) times above the diagonal).

The squared norm of the first part is (1 - g) m |p|^2 / m = 1 - g, that of the second g |p|^4 / m <= g. So the vector
of a row has a norm of at most 1, whatever the row contains: neighbouring data sets differ by one row, and the release
has sensitivity 1. Nothing is clipped or sampled. A sample of s of the m items, each with the weight 1 / sqrt(s), would
have the same norm, and add sqrt(s) / m to an item on average, which is less than 1 / sqrt(m).

Differences from the paper. It releases a matrix of outer products for each item, of d (d + 1) / 2 noisy numbers. Here
this matrix is estimated from released numbers: the Gram matrix times the share of the users who have the item, which is
exact where taste for the item is independent of the factors. So one matrix is released with noise, and
not one for each item.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import equal_norm_rows, packed_triangle, unpacked_triangle
from sklearn_llmrec.privacy import GaussianMechanism
from sklearn_llmrec.utils import warn

# The share of the Gram matrix in the squared norm of what a row adds, g.
_GRAM_SHARE = 0.1
# Items are kept whose noisy count is above the length of the noise in their sums, times this.
_LENGTHS_OF_NOISE = 1.5
# The fewest items that are kept.
_LEAST_ITEMS = 50
# The penalty of "auto": in the unit of unobserved pairs with factors of length 1.
AUTO_PENALTY = 1.0


class ItemSums(NamedTuple):
    """Released sums for the regressions of all items, with the standard deviation of the noise in `sums`."""

    sums: NDArray[np.float64]
    gram: NDArray[np.float64]
    noise: float


def sum_noise(mechanism: GaussianMechanism, share: float) -> float:
    """Return the standard deviation of the noise in `ItemSums.sums`."""
    return mechanism.noise_scale(1.0, share=share) / math.sqrt(1 - _GRAM_SHARE)


def items_above_noise(
    counts: NDArray[np.float64], n_components: int, noise: float
) -> NDArray[np.int64]:
    """Return the items whose noisy counts are above the noise that their sums will have, sorted; 50 at least.

    The count of an item bounds the length of its sums, since a user adds 1 / sqrt(m) to the one and factors of this
    length to the other.
    """
    n_kept = np.count_nonzero(counts > _LENGTHS_OF_NOISE * noise * math.sqrt(n_components))
    best = np.argsort(-counts, kind="stable")[: max(n_kept, _LEAST_ITEMS)]
    return np.sort(best)


def unit_factors(P: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return rows scaled to length 1, in float64; zeros stay zeros, and rows that are not finite become zeros."""
    finite = np.isfinite(P).all(axis=1, keepdims=True)
    factors: NDArray[np.float64] = np.where(finite, P, 0).astype(np.float64)
    # By the largest entry first: squares of tiny numbers would be zero.
    largest = np.abs(factors).max(axis=1, keepdims=True)
    factors /= np.maximum(largest, np.finfo(np.float64).smallest_subnormal)
    norms = np.linalg.norm(factors, axis=1, keepdims=True)
    factors /= np.maximum(norms, 1)  # the largest entry is 1, or all are 0
    return factors


def sweep_vector(X: sp.csr_array, P: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what a sweep releases: sums of user factors per item, then the packed Gram matrix of the users.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
        Canonical; only which entries are stored counts.
    P : ndarray of shape (n_users, n_components)
        The factors of its rows, of any length.

    Returns
    -------
    vector : ndarray of shape (n_items * d + d * (d + 1) / 2,), with d components
    """
    P = unit_factors(P)
    counts = np.diff(X.indptr)
    sums = equal_norm_rows(X).T @ P
    weighted = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0)[:, None] * P
    return np.concatenate(
        [
            math.sqrt(1 - _GRAM_SHARE) * sums.ravel(),
            math.sqrt(_GRAM_SHARE) * packed_triangle(np.asfortranarray(P.T @ weighted)),
        ]
    )


def released_sums(
    vector: NDArray[np.float64],
    shape: tuple[int, int],
    mechanism: GaussianMechanism,
    *,
    share: float,
    label: str,
) -> ItemSums:
    """Release sums of `sweep_vector` for item factors of a shape, with sensitivity 1.

    Raises
    ------
    PrivacyBudgetError
        If the ledger has not enough left; what earlier sweeps released stays spent.
    """
    noisy = mechanism.release(vector, 1.0, share=share, label=label)
    sums, packed = np.split(noisy, [shape[0] * shape[1]])
    return ItemSums(
        sums.reshape(shape) / math.sqrt(1 - _GRAM_SHARE),
        unpacked_triangle(packed / math.sqrt(_GRAM_SHARE), shape[1]),
        sum_noise(mechanism, share),
    )


def item_factors(
    released: ItemSums,
    counts: NDArray[np.float64],
    *,
    confidence: float,
    unobserved_weight: float,
    penalty: float,
) -> NDArray[np.float64]:
    """Return item factors from released numbers only.

    Item i with the sums b is regressed on the users: its factors are

        (w0 G + confidence (c / tr(G)) G + (penalty + noise) I)^-1 (w0 + confidence) b

    with G the Gram matrix, negative eigenvalues set to 0, and c the noisy count of the item, at least 0. tr(G) is the
    weight of all users, so c / tr(G) is the share of the item.

    Parameters
    ----------
    released : ItemSums
    counts : ndarray of shape (n_items,)
        Noisy sums over users of 1 / sqrt(m) per item.
    confidence, unobserved_weight, penalty : float

    Returns
    -------
    factors : ndarray of shape (n_items, n_components), float64
        Zeros, with a warning, where the sums of all items together are not above their noise.
    """
    sums = released.sums
    # Three standard deviations above the mean of the sum of squares of as many normal numbers.
    if np.square(sums).sum() < (sums.size + 3 * math.sqrt(2 * sums.size)) * released.noise**2:
        warn(
            "The sums of all items together are not above their noise, so all factors are zero and lists are those of "
            "popularity. Pass a larger epsilon, or fewer n_components or sweeps (max_iter)."
        )
        return np.zeros_like(sums)
    values, V = np.linalg.eigh(released.gram)
    values = np.maximum(values, 0)
    shares = values / max(float(values.sum()), np.finfo(float).tiny)
    normal = unobserved_weight * values + confidence * np.maximum(counts, 0)[:, None] * shares
    right = (unobserved_weight + confidence) * sums @ V
    return (right / (normal + penalty + released.noise)) @ V.T
