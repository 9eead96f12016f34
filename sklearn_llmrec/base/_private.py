"""Sums over users under differential privacy: noisy counts, and a noisy, denoised Gram matrix of chosen items.

Neighbouring data sets differ by one user: one has a row more. Each row with m interactions is binarised and divided by
its norm sqrt(m), so that its contribution to a sum is bounded whatever it contains, without clipping:

- Counts: x / sqrt(m) has norm 1. A further coordinate counts users: with the weights sqrt(1 - w^2) and w, the vector of
  both has norm 1 for every row.
- Gram matrix: x' x / m has m entries 1/m on the diagonal and m (m - 1) / 2 above it. The squared norm of the part above
  is (m - 1) / (2 m) < 1/2, that of the triangle with the diagonal (m + 1) / (2 m) <= 1. With the part above multiplied
  by sqrt(2), the squared norm is 1/m + (m - 1)/m = 1 for every row: one release of sensitivity 1 has noise s on the
  diagonal and s / sqrt(2) above it.

Every attribute of a private model is computed from these two releases.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import eigh

from sklearn_llmrec._kernels import gram, with_data
from sklearn_llmrec.base._block_sums import Phase, Statistics, Totals
from sklearn_llmrec.privacy import GaussianMechanism
from sklearn_llmrec.utils import require_memory, warn

# The weight of the coordinate that counts users.
_USERS_WEIGHT = 0.1
# The share of the budget that the counts take where a Gram matrix is released too.
COUNTS_SHARE = 0.1
# So many items are kept, times the root of users per standard deviation of the noise above the diagonal.
_ITEMS_PER_ROOT = 6
# The fewest items that are kept.
_LEAST_ITEMS = 50


def equal_norm_rows(X: sp.csr_array) -> sp.csr_array:
    """Return X with every row of m stored entries replaced by ones over sqrt(m), float64."""
    counts = np.diff(X.indptr)
    return with_data(X, np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts))


class NoisyCounts(NamedTuple):
    """Noisy sums of rows of norm 1 per item, and the noisy number of users with interactions."""

    per_item: NDArray[np.float64]
    n_users: float


class NoisyGram(NamedTuple):
    """Denoised Gram matrix of chosen items, from released statistics only.

    `matrix` is positive semi-definite and in Fortran order; `noise_level` is about the largest eigenvalue that the
    noise alone has; `popularity` estimates the users of every item.
    """

    items: NDArray[np.int64]
    matrix: NDArray[np.float64]
    noise_level: float
    popularity: NDArray[np.float64]
    n_users: int


def count_vector(X: sp.csr_array) -> NDArray[np.float64]:
    """Return what `released_counts` releases: the sum over rows of vectors of norm 1 (0 for an empty row)."""
    sums = np.bincount(X.indices, equal_norm_rows(X).data, minlength=X.shape[1])
    n_active = np.count_nonzero(np.diff(X.indptr))
    return np.append(math.sqrt(1 - _USERS_WEIGHT**2) * sums, _USERS_WEIGHT * n_active)


def packed_triangle(G: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper triangle of a symmetric matrix row by row, times sqrt(2) above the diagonal.

    The norm of the result is the Frobenius norm of the matrix.
    """
    size = len(G)
    packed = np.empty(size * (size + 1) // 2)
    start = 0
    for i in range(size):
        stop = start + size - i
        packed[start:stop] = G[i:, i]  # symmetric, and its columns are contiguous
        packed[start + 1 : stop] *= math.sqrt(2)
        start = stop
    return packed


def unpacked_triangle(packed: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the symmetric matrix whose triangle `packed_triangle` packed."""
    G = np.empty((size, size), order="F")
    start = 0
    for i in range(size):
        stop = start + size - i
        G[i, i] = packed[start]
        G[i + 1 :, i] = packed[start + 1 : stop] / math.sqrt(2)
        G[i, i + 1 :] = G[i + 1 :, i]
        start = stop
    return G


def gram_vector(X: sp.csr_array, *, n_threads: int = 1) -> NDArray[np.float64]:
    """Return what `released_gram` releases: the packed triangle of the Gram matrix of rows of norm 1."""
    return packed_triangle(gram(equal_norm_rows(X), np.float64, n_threads=n_threads))


def released_counts(
    count_sums: NDArray[np.float64], mechanism: GaussianMechanism, *, share: float = 1.0
) -> NoisyCounts:
    """Release sums of `count_vector`, with sensitivity 1."""
    noisy = mechanism.release(count_sums, 1.0, share=share, label="counts of items and users")
    n_users = noisy[-1] / _USERS_WEIGHT
    if mechanism.delta * n_users >= 1:
        warn(
            f"delta={mechanism.delta:g} is not below 1 / n_users (about {n_users:.0f} users): with such a delta a "
            "release may publish whole users. Choose it well below."
        )
    return NoisyCounts(noisy[:-1] / math.sqrt(1 - _USERS_WEIGHT**2), n_users)


def denoised(G: NDArray[np.float64], deviation: float) -> tuple[NDArray[np.float64], float]:
    """Return a positive semi-definite estimate of a symmetric matrix behind noise, and the edge of the noise.

    Noise of standard deviation s above the diagonal has its eigenvalues between -2 s sqrt(n) and 2 s sqrt(n), the
    edge. An eigenvalue l above the edge is replaced by sqrt(l^2 - edge^2), which minimises the squared error for a
    matrix of low rank (Gavish and Donoho, 2017); all others by 0.
    """
    edge = 2 * deviation * math.sqrt(len(G))
    # Eigenvalues below the edge are not needed, which saves most of the work.
    values, vectors = eigh(G, subset_by_value=(edge, np.inf), overwrite_a=True)
    scaled = vectors * np.sqrt(np.sqrt(np.maximum(values**2 - edge**2, 0)))
    return np.asfortranarray(scaled @ scaled.T), edge


class ChosenItems(NamedTuple):
    """Items that noisy counts choose, with what the counts show."""

    items: NDArray[np.int64]
    popularity: NDArray[np.float64]
    n_users: int


def choose_items(count_sums: NDArray[np.float64], mechanism: GaussianMechanism) -> ChosenItems:
    """Release sums of `count_vector`, and choose the items whose Gram matrix is worth releasing."""
    counts = released_counts(count_sums, mechanism, share=COUNTS_SHARE)
    n_users = max(1, round(counts.n_users))
    n_kept = int(_ITEMS_PER_ROOT * math.sqrt(n_users / _deviation(mechanism)))
    n_kept = min(max(n_kept, _LEAST_ITEMS), len(counts.per_item))
    items = np.sort(np.argsort(-counts.per_item, kind="stable")[:n_kept])
    require_memory(
        3 * n_kept**2 * 8,
        f"The noisy Gram matrix of {n_kept} items (three times, while it is denoised)",
        "Keep fewer items, or pass a smaller epsilon, which keeps fewer by itself.",
    )
    return ChosenItems(items, np.maximum(counts.per_item, 0), n_users)


def released_gram(
    gram_sums: NDArray[np.float64], chosen: ChosenItems, mechanism: GaussianMechanism
) -> NoisyGram:
    """Release sums of `gram_vector` over the chosen items, and denoise them."""
    n_kept = len(chosen.items)
    packed = mechanism.release(
        gram_sums, 1.0, share=1 - COUNTS_SHARE, label=f"Gram matrix of {n_kept} items"
    )
    matrix, edge = denoised(unpacked_triangle(packed, n_kept), _deviation(mechanism))
    return NoisyGram(chosen.items, matrix, edge, chosen.popularity, chosen.n_users)


def _deviation(mechanism: GaussianMechanism) -> float:
    """Return the standard deviation of the noise above the diagonal of a released Gram matrix."""
    return mechanism.noise_scale(1.0, share=1 - COUNTS_SHARE) / math.sqrt(2)


def private_phase(totals: Totals) -> Phase:
    """Return the first of two phases that release counts, and the Gram matrix of the items that these choose.

    Of the totals nothing is read but what X looks like: only released sums may.
    """
    return Phase("private counts", {"n_items": totals.n_items, "dtype": totals.dtype})


def private_statistics(X: sp.csr_array, phase: Phase, *, n_threads: int = 1) -> Statistics:
    """Return the sums of a phase over canonical rows; only which entries are stored counts."""
    if phase.name == "private counts":
        return {"counts": count_vector(X)}
    chosen = sp.csr_array(X[:, phase.known["chosen"].items])
    return {"gram": gram_vector(chosen, n_threads=n_threads)}


def next_private_phase(
    phase: Phase, total: Statistics, mechanism: GaussianMechanism
) -> Phase | NoisyGram:
    """Release the sums of a phase, and return the next phase, or after the last the denoised Gram matrix.

    Raises
    ------
    PrivacyBudgetError
        If the ledger has too little left. Where it has enough for the counts only, these are spent.
    """
    if phase.name == "private counts":
        chosen = choose_items(total["counts"], mechanism)
        return Phase("private gram", {**phase.known, "chosen": chosen})
    return released_gram(total["gram"], phase.known["chosen"], mechanism)


def check_public_settings(estimator: Any, **wanted: Any) -> None:
    """Refuse parameters that a private fit cannot follow.

    Raises
    ------
    ValueError
        If a parameter differs from the value that it must have with ``privacy=``.
    """
    for name, value in wanted.items():
        given = getattr(estimator, name)
        if given != value:
            raise ValueError(
                f"{type(estimator).__name__}(privacy=...) needs {name}={value!r}, got {given!r}: only this way has a "
                "proof of its sensitivity. Leave the parameter, or fit without privacy."
            )


def presence(X: sp.csr_array) -> sp.csr_array:
    """Return X with ones for its stored entries, which is how private models read histories."""
    return with_data(X, np.ones(X.nnz, dtype=X.dtype))
