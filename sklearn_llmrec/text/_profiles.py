"""Vectors of users from the texts of their items: one vector or several."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import unit_rows, with_data
from sklearn_llmrec.utils import canonical

# Sweeps of the clustering of one history; they settle in a few.
_SWEEPS = 10


def check_times(X: Any, profile: str) -> None:
    """Refuse data without times for a profile that needs the order of events.

    Raises
    ------
    ValueError
        If X has no times.
    """
    if getattr(X, "timestamps", None) is None:
        raise ValueError(
            f"profile={profile!r} needs to know which events are the latest, and X has no times: "
            f"pass an Interactions with timestamps."
        )


def _ages(X: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of entries in the order of time, and how many events of its row follow each."""
    order = X.event_order()
    ends = np.repeat(X.indptr[1:].astype(np.int64), np.diff(X.indptr))
    return order, ends - 1 - np.arange(len(order))


def recency_weighted(X: Any, half_life: float) -> sp.csr_array:
    """Return the values times ``0.5 ** (number of later events / half_life)``."""
    order, ages = _ages(X)
    decay = np.empty(len(order), dtype=X.dtype)
    decay[order] = 0.5 ** (ages / half_life)
    return canonical(with_data(X, X.data * decay))


def latest_texts(X: Any, texts: list[str], max_length: int) -> list[str]:
    """Return the texts of the latest events of every row as one text, latest first."""
    order, ages = _ages(X)
    keep = ages < max_length
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[keep]
    joined: list[list[str]] = [[] for _ in range(X.shape[0])]
    for row, item in zip(rows, X.indices[order[keep]]):
        joined[row].append(texts[item])
    return [". ".join(text for text in reversed(row_texts) if text) for row_texts in joined]


def clusters(U: NDArray[Any], weights: NDArray[Any], n_clusters: int) -> NDArray[np.int64]:
    """Return clusters of unit vectors by cosine to their centre; the order of the vectors does not matter.

    The first centre is the mean; each further one is the vector that is worst served so far.
    """
    # In float64: on blocks this small the float32 kernels of OpenBLAS may raise "invalid value" for
    # lanes that they do not use.
    U, weights = U.astype(np.float64, copy=False), weights.astype(np.float64, copy=False)
    centers = unit_rows((weights @ U)[None])
    labels = np.zeros(len(U), dtype=np.int64)
    for size in range(2, min(n_clusters, len(U)) + 1):
        similar = (U @ centers.T).max(axis=1)
        if similar.min() > 1 - 1e-6:
            break
        centers = np.vstack([centers, U[similar.argmin()]])
        for _ in range(_SWEEPS):
            assigned = (U @ centers.T).argmax(axis=1)
            if (assigned == labels).all():
                break
            labels = assigned
            sums = np.zeros_like(centers)
            np.add.at(sums, labels, weights[:, None] * U)
            # An emptied cluster keeps its centre.
            centers = np.where(
                (np.bincount(labels, minlength=size) > 0)[:, None], unit_rows(sums), centers
            )
    return labels


def interests(
    X: sp.csr_array, V: NDArray[Any], n_interests: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the unit vectors of the clusters of every history, and where those of each row begin.

    A row without a vector of its own has one of zeros.
    """
    centers, starts = [], np.zeros(X.shape[0], dtype=np.int64)
    n_vectors = 0
    for row in range(X.shape[0]):
        part = slice(X.indptr[row], X.indptr[row + 1])
        known = V[X.indices[part]].any(axis=1) & (X.data[part] > 0)
        U, weights = V[X.indices[part][known]], X.data[part][known]
        starts[row] = n_vectors
        if len(U):
            labels = clusters(U, weights, n_interests)
            sums = np.zeros((labels.max() + 1, V.shape[1]), dtype=V.dtype)
            np.add.at(sums, labels, weights[:, None] * U)
            sums = sums[np.bincount(labels) > 0]
        else:
            sums = np.zeros((1, V.shape[1]), dtype=V.dtype)
        centers.append(unit_rows(sums))
        n_vectors += len(sums)
    return np.vstack(centers), starts


def with_interest(
    P: NDArray[Any], starts: NDArray[np.int64], T: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Append to the vectors of every row its row of T, unless that is zero; it replaces a single vector of zeros."""
    ends = np.append(starts[1:], len(P))
    given = T.any(axis=1)
    # A maximum with the score 0 of an empty history would hide negative scores.
    kept = np.ones(len(P), dtype=bool)
    kept[starts[given & ~P[starts].any(axis=1)]] = False
    rows = np.repeat(np.arange(len(starts)), ends - starts)
    rows = np.concatenate([rows[kept], np.flatnonzero(given)])
    order = np.argsort(rows, kind="stable")
    joined = np.concatenate([P[kept], T[given]])[order]
    return joined, np.searchsorted(rows[order], np.arange(len(starts)))
