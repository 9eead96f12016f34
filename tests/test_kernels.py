"""Kernels against brute force: exact top-k, the sparse top-n product, masking inside the product."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from threadpoolctl import ThreadpoolController, threadpool_info

from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec._kernels._masked import masked_topk, with_mask, without_mask
from sklearn_llmrec._kernels._sparse import csr_topk, matmul_topn, normalize_columns, normalize_rows
from sklearn_llmrec._kernels._topk import topk
from sklearn_llmrec.utils._memory import available_memory, require_memory
from sklearn_llmrec.utils._optional import require


def brute_topk(scores, k):
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, items, axis=1)
    return np.where(values == -np.inf, -1, items), values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_columns", [3, 40, 257, 1000, 3416])
@pytest.mark.parametrize("kind", ["continuous", "ties", "mostly -inf", "constant"])
def test_topk_is_the_stable_sort(dtype, n_columns, kind):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(17, n_columns)).astype(dtype)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "mostly -inf":
        scores[rng.random(scores.shape) < 0.995] = -np.inf
    elif kind == "constant":
        scores[:] = 1
    for k in {1, min(10, n_columns), min(50, n_columns)}:
        items, values = topk(scores, k)
        expected_items, expected = brute_topk(scores, k)
        np.testing.assert_array_equal(items, expected_items)
        np.testing.assert_array_equal(values, expected)
        assert values.dtype == dtype


def test_topk_of_a_block_that_is_not_contiguous():
    scores = np.random.default_rng(0).normal(size=(2000, 6)).T
    np.testing.assert_array_equal(topk(scores, 5)[0], brute_topk(scores, 5)[0])


def small(draw_seed, shape, density, signed):
    rng = np.random.default_rng(draw_seed)
    dense = rng.integers(-2 if signed else 0, 3, size=shape) * (rng.random(shape) < density)
    return sp.csr_array(dense.astype(float))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_rows=st.integers(1, 12),
    n_inner=st.integers(1, 12),
    n_columns=st.integers(1, 12),
    k=st.integers(1, 14),
    signed=st.booleans(),
)
def test_matmul_topn_with_cancellations(seed, n_rows, n_inner, n_columns, k, signed):
    # Small integers cancel exactly, which is what the bare kernel cannot stand.
    A = small(seed, (n_rows, n_inner), 0.6, signed)
    B = small(seed + 1, (n_inner, n_columns), 0.6, signed)
    product = (A @ B).toarray()
    got = matmul_topn(A, B, k)
    for row in range(n_rows):
        values = got.data[got.indptr[row] : got.indptr[row + 1]]
        columns = got.indices[got.indptr[row] : got.indptr[row + 1]]
        positive = np.sort(product[row][product[row] > 0])[::-1][:k]
        np.testing.assert_array_equal(values, positive)
        np.testing.assert_array_equal(product[row, columns], values)
        assert len(set(columns.tolist())) == len(columns)


def test_matmul_topn_keeps_negative_values_below_the_threshold():
    A = sp.csr_array(np.array([[1.0, 0.0], [0.0, 1.0]]))
    B = sp.csr_array(np.array([[-1.0, 3.0, -2.0, 5.0], [0.0, 0.0, -4.0, -3.0]]))
    got = matmul_topn(A, B, 3, threshold=-np.inf)
    assert got.data.tolist() == [5.0, 3.0, -1.0, -3.0, -4.0]


@pytest.mark.parametrize(
    "form", ["read-only", "int64", "csc", "float32", "stored zeros", "integers"]
)
def test_matmul_topn_takes_what_the_kernel_refuses(form):
    rng = np.random.default_rng(0)
    A = sp.csr_array(rng.random((30, 20)) * (rng.random((30, 20)) < 0.3))
    B = sp.csr_array(rng.random((20, 40)) * (rng.random((20, 40)) < 0.3))
    if form == "integers":
        A, B = (
            sp.csr_array(np.ceil(A.toarray() * 3).astype(int)),
            sp.csr_array(np.ceil(B.toarray()).astype(int)),
        )
    expected = csr_topk(sp.csr_array(A.astype(float) @ B.astype(float)), 5)
    given_A = A.copy()
    if form == "read-only":
        for part in (given_A.data, given_A.indices, given_A.indptr):
            part.flags.writeable = False
    elif form == "int64":
        given_A.indices, given_A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    elif form == "csc":
        given_A = A.tocsc()
    elif form == "float32":
        given_A = A.astype(np.float32)
    elif form == "stored zeros":
        given_A.data[::3] = 0
        expected = csr_topk(sp.csr_array(given_A @ B), 5)
    got = matmul_topn(given_A, B, 5)
    np.testing.assert_allclose(got.data, expected.data[expected.data > 0], rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), n_items=st.integers(2, 40), k=st.integers(1, 8))
def test_masked_topk_is_the_dense_way(seed, n_items, k):
    k = min(k, n_items)
    A = small(seed, (9, 15), 0.4, False)
    B = small(seed + 1, (15, n_items), 0.3, False)
    seen = small(seed + 2, (9, n_items), 0.3, False)
    seen.eliminate_zeros()
    masked = with_mask(B)
    assert (without_mask(masked) != B).nnz == 0
    for mask in (seen, None):
        dense = (A @ B).toarray()
        dense[dense <= 0] = -np.inf
        if mask is not None:
            dense[mask.toarray() != 0] = -np.inf
        items, values = masked_topk(A, masked, mask, k)
        expected_items, expected = brute_topk(dense, k)
        np.testing.assert_array_equal(items, expected_items)
        np.testing.assert_array_equal(values, expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(2, 300),
    k=st.integers(1, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_the_compiled_kernel_gives_the_same_bits(seed, n_items, k, dtype):
    pytest.importorskip("numba")
    from sklearn_llmrec._kernels._compiled import product_topk
    from sklearn_llmrec._kernels._sparse import kernel_csr

    k, rng = min(k, n_items), np.random.default_rng(seed)
    A = small(seed, (9, 15), 0.4, False)
    # Few columns a row: columns are listed. Many: all are scanned. Integers tie, fractions round.
    B = small(seed + 1, (15, n_items), rng.choice([0.01, 0.3]), False)
    if rng.random() < 0.5:
        B.data *= rng.random(B.nnz)
    seen = small(seed + 2, (9, n_items), 0.3, False)
    seen.eliminate_zeros()
    A, B = kernel_csr(A, dtype), kernel_csr(B, dtype)
    for mask in (seen, None):
        expected_items, expected = masked_topk(sp.csr_array(A), with_mask(B), mask, k)
        for threads in (1, 2):
            given_mask = None if mask is None else kernel_csr(mask, dtype)
            items, values = product_topk(A, B, given_mask, k, n_threads=threads)
            np.testing.assert_array_equal(items, expected_items)
            np.testing.assert_array_equal(values, expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(2, 300),
    k=st.integers(1, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
    shrinkage=st.sampled_from([0.0, 2.5]),
    sides=st.sampled_from([(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.2, 1.5)]),
)
def test_the_compiled_kernel_scales_products_as_brute_force(
    seed, n_items, k, dtype, shrinkage, sides
):
    pytest.importorskip("numba")
    from sklearn_llmrec._kernels._compiled import product_topk
    from sklearn_llmrec._kernels._sparse import kernel_csr

    k, rng = min(k, n_items), np.random.default_rng(seed)
    A = small(seed, (9, 15), 0.4, False)
    # Few columns a row: columns are listed. Many: all are scanned. Small numbers tie.
    B = small(seed + 1, (15, n_items), rng.choice([0.01, 0.3]), False)
    for M in (A, B):
        M.eliminate_zeros()
    product, shared = (A @ B).toarray(), ((A != 0).astype(int) @ (B != 0).astype(int)).toarray()
    left = sides[0] * A.power(2).sum(axis=1) + (sides == (0, 0))
    right, rest = sides[1] * B.power(2).sum(axis=0), 1.0 - sum(sides) - (sides == (0, 0))
    parts = [part.astype(dtype) for part in (left, right, product)]
    with np.errstate(invalid="ignore"):
        # In this dtype and this order, so that ties are those of the kernel.
        expected = parts[2] / (parts[0][:, None] + parts[1] + dtype(rest) * parts[2])
        if shrinkage:
            expected *= shared.astype(dtype) / (shared.astype(dtype) + dtype(shrinkage))
    expected = np.where(product > 0, expected, -np.inf)
    A, B = kernel_csr(A, dtype), kernel_csr(B, dtype)
    for part in (A.data, A.indices, B.data, B.indices):
        part.flags.writeable = False
    scaling = (parts[0], parts[1], dtype(rest), dtype(shrinkage))
    for threads in (1, 2):
        items, values = product_topk(A, B, None, k, n_threads=threads, scaling=scaling)
        best, top = brute_topk(expected, k)
        np.testing.assert_array_equal(values, top)
        np.testing.assert_array_equal(items, best)
        assert values.dtype == dtype


def test_large_products_go_through_the_compiled_kernel_and_change_nothing(monkeypatch):
    pytest.importorskip("numba")
    from sklearn_llmrec._kernels import _sparse

    rng = np.random.default_rng(0)
    A = sp.random_array((300, 80), density=0.2, format="csr", rng=rng)
    B = sp.random_array((80, 500), density=0.2, format="csr", rng=rng)
    seen = sp.random_array((300, 500), density=0.1, format="csr", rng=rng)
    masked = with_mask(B)
    before = masked_topk(A, masked, seen, 7), matmul_topn(A, B, 20)
    monkeypatch.setattr(_sparse, "WORTH_COMPILING", 0)
    assert _sparse.compiled_topk(A, B, seen, 7) is not None
    after = masked_topk(A, masked, seen, 7), matmul_topn(A, B, 20)
    for one, two in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(one, two)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(before[1], name), getattr(after[1], name))
    B.data[0] = -1
    assert _sparse.compiled_topk(A, B, seen, 7) is None
    monkeypatch.setattr(_sparse, "compiled", lambda: None)
    assert _sparse.compiled_topk(A, abs(B), seen, 7) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 600),
    k=st.integers(1, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
    levels=st.sampled_from([1, 3, 10**6]),
    scale=st.sampled_from([1.0, 3e32]),
)
def test_the_compiled_best_of_a_block_are_those_of_numpy(seed, n_items, k, dtype, levels, scale):
    pytest.importorskip("numba")
    from sklearn_llmrec._kernels._ranking import best_unseen

    k, rng = min(k, n_items), np.random.default_rng(seed)
    scores = (scale * rng.integers(-levels, levels + 1, (7, n_items))).astype(dtype)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    scores[0] = -np.inf
    for density in (0.0, 0.3, 1.0):
        seen = sp.csr_array(rng.random(scores.shape) < density)
        for hidden in (None, seen):
            expected = best_unseen(scores.copy(), k, hidden, 0)
            got = best_unseen(scores.copy(), k, hidden, 10**9)
            np.testing.assert_array_equal(got[0], expected[0])
            np.testing.assert_array_equal(got[1], expected[1])
            assert got[1].dtype == dtype


@pytest.mark.parametrize("rows", [slice(0, 6), slice(2, 5), slice(3, 3), slice(5, 6)])
def test_rows_between_are_the_rows(rows):
    from sklearn_llmrec.utils._chunks import rows_between

    X = np.random.default_rng(0).random((6, 50))
    X = sp.csr_array(np.where(X < 0.3, X, 0))
    np.testing.assert_array_equal(rows_between(X, rows).toarray(), X.toarray()[rows])


def test_products_that_underflow_to_zero_are_no_entries():
    pytest.importorskip("numba")
    from sklearn_llmrec._kernels._compiled import product_topk
    from sklearn_llmrec._kernels._sparse import kernel_csr

    A = kernel_csr(sp.csr_array(np.full((1, 6), 1e-30)), np.float32)
    B = np.zeros((6, 200))
    B[:, 3] = 1e-30
    B[5, 4] = 1.0
    items, values = product_topk(A, kernel_csr(sp.csr_array(B), np.float32), None, 3)
    assert items.tolist() == [[4, -1, -1]]
    assert values[0, 0] == np.float32(1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("compiled", [False, True])
def test_dense_products_by_blocks_are_the_product(monkeypatch, dtype, n_threads, compiled):
    from sklearn_llmrec._kernels import _sparse

    monkeypatch.setattr(_sparse, "_CACHE_BYTES", 1000)
    if compiled:
        pytest.importorskip("numba")
        monkeypatch.setattr(_sparse, "WORTH_COMPILING", 0)
    rng = np.random.default_rng(0)
    X = sp.csr_array(((rng.random((60, 50)) < 0.3) * rng.random((60, 50))).astype(dtype))
    W = rng.normal(size=(50, 110)).astype(dtype)
    for rows in (X, X[:1], X[:0]):
        for weights in (W, np.asfortranarray(W)):
            got = _sparse.dense_product(rows, weights, n_threads=n_threads)
            np.testing.assert_array_equal(got, rows @ W)
            assert got.dtype == dtype


def test_normalising_gives_unit_length_and_keeps_empty():
    X = sp.csr_array(np.array([[3.0, 0, 0], [4.0, 2.0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(
        normalize_columns(X).toarray(), [[0.6, 0, 0], [0.8, 1, 0], [0, 0, 0]]
    )
    np.testing.assert_allclose(np.linalg.norm(normalize_rows(X).toarray(), axis=1), [1, 1, 0])


def test_a_refusal_names_the_size_and_the_remedy():
    if available_memory() is None:
        pytest.skip("the system does not tell its memory")
    with pytest.raises(MemoryError, match=r"The matrix takes 1048576.0 GiB.*Use less\."):
        require_memory(2**50, "The matrix", "Use less.")
    require_memory(1, "A byte", "")


def test_a_missing_optional_package_is_named_with_its_extra():
    with pytest.raises(ImportError, match=r"no_such_package is needed.*sklearn-llmrec\[text\]"):
        require("no_such_package.part", extra="text")
    with pytest.raises(ModuleNotFoundError, match=r"sklearn_llmrec\.no_such_module"):
        require("sklearn_llmrec.no_such_module", extra="text")


def test_threads_are_limited_for_a_while_and_libraries_looked_for_once(monkeypatch):
    def n_threads():
        return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}

    before = n_threads()
    with blas_threads(2):
        assert n_threads() == {2}
        with blas_threads(1), blas_threads(None):
            assert n_threads() == {1}
        assert n_threads() == {2}
    assert n_threads() == before
    monkeypatch.setattr(ThreadpoolController, "__init__", lambda self: pytest.fail("looked again"))
    with blas_threads(1):
        pass


@pytest.mark.parametrize("n_bytes", [0, 3 * 200 * 4, 2**26])
def test_rows_that_are_added_in_full_change_no_bit(monkeypatch, n_bytes):
    pytest.importorskip("numba")
    from sklearn_llmrec._kernels import _compiled
    from sklearn_llmrec._kernels._sparse import kernel_csr

    rng = np.random.default_rng(0)
    density = np.linspace(0, 1, 50)[rng.permutation(50), None]
    B = (rng.random((50, 200)) < density) * rng.random((50, 200))
    B = kernel_csr(sp.csr_array(B), np.float32)
    A = kernel_csr(sp.csr_array((rng.random((80, 50)) < 0.2) * rng.random((80, 50))), np.float32)
    monkeypatch.setattr(_compiled, "_FULL_BYTES", n_bytes)
    longest, place, held = _compiled._full_rows(B)
    assert len(held) == min(n_bytes // 800, np.count_nonzero(np.diff(B.indptr) > 50))
    chosen = np.diff(B.indptr) >= longest
    np.testing.assert_array_equal(held[place[chosen]], B[chosen].toarray())
    items, values = _compiled.product_topk(A, B, None, 12)
    monkeypatch.setattr(_compiled, "_full_rows", lambda B: (10**9, place, held))
    expected_items, expected = _compiled.product_topk(A, B, None, 12)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(
        values, -np.sort(-(A @ B).toarray(), axis=1)[:, :12], rtol=1e-5, atol=1e-6
    )
