"""Rank and solve: top-k lists, sparse products, neighbour search, linear systems; compiled where it pays."""

from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec._kernels._evidence import best_of_sparse, dense, fill_unknown
from sklearn_llmrec._kernels._masked import masked_topk, with_mask, without_mask
from sklearn_llmrec._kernels._nearest import best_of_groups, nearest, unit_rows
from sklearn_llmrec._kernels._ranking import best_of_block
from sklearn_llmrec._kernels._row_systems import RowSystems, columns_in_use
from sklearn_llmrec._kernels._sparse import (
    WORTH_COMPILING,
    as_rows,
    compiled,
    compiled_topk,
    csr_topk,
    dense_product,
    entry_rows,
    kernel_csr,
    matmul_topn,
    normalize_columns,
    normalize_rows,
    with_data,
)
from sklearn_llmrec._kernels._topk import topk

__all__ = [
    "WORTH_COMPILING",
    "RowSystems",
    "as_rows",
    "best_of_block",
    "best_of_groups",
    "best_of_sparse",
    "blas_threads",
    "columns_in_use",
    "compiled",
    "compiled_topk",
    "csr_topk",
    "dense",
    "dense_product",
    "entry_rows",
    "fill_unknown",
    "kernel_csr",
    "masked_topk",
    "matmul_topn",
    "nearest",
    "normalize_columns",
    "normalize_rows",
    "topk",
    "unit_rows",
    "with_data",
    "with_mask",
    "without_mask",
]
