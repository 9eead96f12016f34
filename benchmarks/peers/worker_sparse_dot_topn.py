"""sparse_dot_topn alone: the 100 nearest columns of every column by cosine; it ranks nothing."""

from importlib.metadata import version

import numpy as np
import scipy.sparse as sp
from _run import THREADS, run
from sparse_dot_topn import sp_matmul_topn


def fit(job, X):
    norms = np.sqrt(np.bincount(X.indices, weights=X.data**2, minlength=X.shape[1]))
    norms[norms == 0] = 1
    unit = sp.csr_matrix(
        ((X.data / norms[X.indices]).astype(np.float32), X.indices, X.indptr), shape=X.shape
    )
    return sp_matmul_topn(
        unit.T.tocsr(), unit, top_n=101, threshold=0.0, sort=True, n_threads=THREADS
    )


if __name__ == "__main__":
    run("sparse_dot_topn", version("sparse_dot_topn"), fit, None)
