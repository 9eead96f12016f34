"""Regressions from Gram matrices: elastic nets, and the Gram matrices of a few columns each.

`elastic_nets` is called by `SLIM` and `NMFRecommender`: O(k^2) for each sweep over k coefficients. `support_grams` is
called by `SparseEASE` and by `SLIM` with `n_neighbors`.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._arrays import plain


def elastic_nets(
    S: NDArray[Any],
    g: NDArray[Any],
    excluded: NDArray[np.int64] | None,
    l1: float,
    l2: float,
    *,
    positive: bool,
    max_iter: int,
    tol: float | NDArray[Any],
) -> NDArray[Any]:
    """Solve elastic nets by coordinate descent.

    Minimises ``w' S w / 2 - g' w + l1 |w|_1 + l2 |w|^2 / 2`` for every problem.

    Parameters
    ----------
    S : ndarray of shape (n, k, k) or (1, k, k), in C order
        Symmetric; of all problems, if there is one.
    g : ndarray of shape (n, k)
        Products with the targets.
    excluded : ndarray of shape (n,), int64, or None
        A coefficient of each problem that stays at zero.
    l1, l2 : float
    positive : bool
        Whether coefficients are at least zero.
    max_iter : int
        Sweeps at most.
    tol : float or ndarray of shape (n,)
        A problem is solved when a sweep changes none of its coefficients by more.

    Returns
    -------
    w : ndarray of shape (n, k)
    """
    from sklearn_llmrec._kernels._solver_loops import elastic_nets as nets_loop

    excluded = np.full(len(g), -1) if excluded is None else excluded
    residuals, w = np.array(g, order="C"), np.zeros(g.shape, dtype=g.dtype)
    number = S.dtype.type
    nets_loop.of(S.dtype)(
        *(0, len(g), plain(S), len(S), excluded, w, residuals),
        *(number(l1), number(l2), positive, max_iter, plain(np.broadcast_to(tol, len(g)), S.dtype)),
    )
    return w


def support_grams(
    H: sp.csr_array,
    T: sp.csr_array,
    rank: NDArray[np.int32],
    head: NDArray[Any],
    places: NDArray[Any],
    items: NDArray[np.int64],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Gram matrices of some columns each, and their products with a target column.

    Parameters
    ----------
    H : csr_array of shape (n_users, m)
        Some columns, best those with most entries.
    T : csr_array of shape (n_items, n_users)
        All columns, as rows.
    rank : ndarray of shape (n_items,), int32
        The place of a column in H, or -1.
    head : ndarray of shape (m, m), in C order
        ``H.T @ H``. All other pairs are met through the users of the column that is not in H.
    places : ndarray of shape (n, k), integers
        Columns, each once, filled with -1.
    items : ndarray of shape (n,), int64
        Targets, not among their own columns.

    Returns
    -------
    S : ndarray of shape (n, k, k)
        Zeros beyond the columns there are.
    g : ndarray of shape (n, k)
    """
    from sklearn_llmrec._kernels._support_loops import support_grams as grams_loop

    k = places.shape[1]
    S = np.zeros((len(items), k, k), dtype=T.dtype)
    g = np.zeros((len(items), k), dtype=T.dtype)
    last = np.full(T.shape[1], -1, dtype=np.int32)
    arrays = []
    for M in (H, T):
        arrays += [plain(M.indptr, np.int64), plain(M.indices, np.int32).view(np.uint32)]
        arrays.append(plain(M.data))
    grams_loop.of(T.dtype)(*arrays, rank, plain(head), plain(places, np.int32), items, last, S, g)
    return S, g
