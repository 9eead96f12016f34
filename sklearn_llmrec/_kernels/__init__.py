"""Rank and solve with compiled loops: top-k lists, sparse products, neighbour search, linear systems.

`topk_dense`, `topk_sparse`, `topk_product` and `topk_vectors` choose the best of dense scores, of stored entries, of
products of sparse matrices, and of inner products of vectors. `best_of_sparse` and `fill_unknown` complete lists and
scores by popularity. `RowSystems`, `elastic_nets` and `support_grams` solve regressions; `gram` and `dense_product`
multiply; `means_of_nearest` averages votes; `pair_epoch`
descends a loss over pairs. The loops themselves are in the modules ``_*_loops``, which import numba
and are imported when first used.
"""

from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec._kernels._by_norm import ByNorm
from sklearn_llmrec._kernels._evidence import (
    EQUAL_SHARE,
    best_of_sparse,
    dense,
    equal_but_for_rounding,
    fill_unknown,
)
from sklearn_llmrec._kernels._gram import ONE_THREAD_ABOVE, dense_product, fill_upper, gram
from sklearn_llmrec._kernels._nearest import best_of_groups, topk_vectors, unit_rows
from sklearn_llmrec._kernels._pairs import pair_epoch
from sklearn_llmrec._kernels._product import (
    as_rows,
    product_rows,
    product_with_terms,
    topk_product,
)
from sklearn_llmrec._kernels._regressions import elastic_nets, support_grams
from sklearn_llmrec._kernels._row_systems import (
    ColumnSteps,
    CommonPart,
    RowSystems,
    columns_in_use,
)
from sklearn_llmrec._kernels._sparse import (
    entry_rows,
    model_csr,
    normalize_columns,
    normalize_rows,
    with_data,
)
from sklearn_llmrec._kernels._topk import empty_lists, topk_dense, topk_sparse
from sklearn_llmrec._kernels._votes import means_of_nearest

__all__ = [
    "EQUAL_SHARE",
    "ONE_THREAD_ABOVE",
    "ByNorm",
    "ColumnSteps",
    "CommonPart",
    "RowSystems",
    "as_rows",
    "best_of_groups",
    "best_of_sparse",
    "blas_threads",
    "columns_in_use",
    "compile_all",
    "dense",
    "dense_product",
    "elastic_nets",
    "empty_lists",
    "entry_rows",
    "equal_but_for_rounding",
    "fill_unknown",
    "fill_upper",
    "gram",
    "means_of_nearest",
    "model_csr",
    "normalize_columns",
    "normalize_rows",
    "pair_epoch",
    "product_rows",
    "product_with_terms",
    "support_grams",
    "topk_dense",
    "topk_product",
    "topk_sparse",
    "topk_vectors",
    "unit_rows",
    "with_data",
]


def compile_all() -> list[str]:
    """Compile every loop for float32 and float64, and return their names; a cached one is only loaded."""
    from sklearn_llmrec._kernels import (  # noqa: F401
        _pair_loops,
        _solver_loops,
        _support_loops,
        _topk_loops,
    )
    from sklearn_llmrec._kernels._compile import KERNELS

    return [loop.compile() for loop in KERNELS]
