"""Kernels against slow and obvious versions of themselves."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from _oracles import best, elastic_net, masked, mean_of_nearest, product_scores
from hypothesis import given, settings, strategies as st
from threadpoolctl import ThreadpoolController, threadpool_info

from sklearn_llmrec._kernels import (
    _nearest,
    _product,
    as_rows,
    blas_threads,
    dense_product,
    elastic_nets,
    equal_but_for_rounding,
    means_of_nearest,
    model_csr,
    normalize_columns,
    normalize_rows,
    product_rows,
    topk_dense,
    topk_product,
    topk_sparse,
    topk_vectors,
)
from sklearn_llmrec.utils._memory import available_memory, require_memory
from sklearn_llmrec.utils._optional import require


@pytest.mark.parametrize("rows", [slice(0, 6), slice(2, 5), slice(3, 3), slice(5, 6)])
def test_rows_between_are_the_rows(rows):
    from sklearn_llmrec.utils._chunks import rows_between

    X = np.random.default_rng(0).random((6, 50))
    X = sp.csr_array(np.where(X < 0.3, X, 0))
    np.testing.assert_array_equal(rows_between(X, rows).toarray(), X.toarray()[rows])


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


DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def small(seed, shape, density, signed=False, dtype=np.float64):
    """Return a sparse matrix of small integers, whose products tie and, if `signed`, cancel."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(-2 if signed else 0, 3, size=shape) * (rng.random(shape) < density)
    return sp.csr_array(dense.astype(dtype))


def read_only(X):
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    return X


def check(lists, scores, k, dtype):
    items, values = best(scores, k)
    np.testing.assert_array_equal(lists[0], items)
    np.testing.assert_array_equal(lists[1], values)
    assert lists[0].dtype == np.int64
    assert lists[1].dtype == dtype


def restrictions(rng, shape):
    """Return every kind of (seen, candidates)."""
    seen = sp.csr_array(rng.random(shape) < 0.3)
    some = np.flatnonzero(rng.random(shape[1]) < 0.5)
    matrix = sp.csr_array(rng.random(shape) < 0.4)
    return [
        (None, None),
        (seen, None),
        (None, some),
        (seen, some),
        (seen, matrix),
        (seen, some[:0]),
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 600),
    k=st.integers(1, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
    levels=st.sampled_from([1, 3, 10**6]),
    scale=st.sampled_from([1.0, 3e32]),
)
def test_the_best_of_dense_scores(seed, n_items, k, dtype, levels, scale):
    k, rng = min(k, n_items), np.random.default_rng(seed)
    scores = (scale * rng.integers(-levels, levels + 1, (7, n_items))).astype(dtype)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    scores[0] = -np.inf
    for seen, candidates in restrictions(rng, scores.shape):
        lists = topk_dense(scores.copy(), k, seen=seen, candidates=candidates)
        check(lists, masked(scores, seen, candidates), k, dtype)


@pytest.mark.parametrize("k", [1, 10, 3416])
@DTYPES
def test_the_best_of_long_rows(k, dtype):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(17, 3416)).astype(dtype)
    scores[3] = 1
    scores[4, 100:] = -np.inf
    check(topk_dense(scores, k), scores, k, dtype)
    frozen = scores.copy()
    frozen.flags.writeable = False
    check(topk_dense(frozen, k), scores, k, dtype)
    check(topk_dense(np.asfortranarray(scores), k), scores, k, dtype)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(2, 300),
    k=st.integers(1, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
    signed=st.booleans(),
)
def test_the_best_of_products(seed, n_items, k, dtype, signed):
    k, rng = min(k, n_items), np.random.default_rng(seed)
    A = small(seed, (9, 15), 0.4, signed, dtype)
    # Few columns a row: columns are listed. Many: all are scanned. Integers tie and cancel, fractions round.
    B = small(seed + 1, (15, n_items), rng.choice([0.01, 0.3]), signed, dtype)
    if rng.random() < 0.5:
        B.data *= rng.random(B.nnz).astype(dtype)
    B = read_only(model_csr(B))
    scores = product_scores(A, B, signed)
    for seen, candidates in restrictions(rng, scores.shape):
        for n_threads in (1, 2):
            lists = topk_product(
                A, B, k, seen=seen, candidates=candidates, signed=signed, n_threads=n_threads
            )
            check(lists, masked(scores, seen, candidates), k, dtype)


@pytest.mark.parametrize(
    "form", ["read-only", "memory map", "int64", "int64 model", "float32 rows"]
)
def test_products_take_rows_and_models_as_they_are(form, tmp_path, monkeypatch):
    A, B = small(0, (12, 20), 0.3), model_csr(small(1, (20, 90), 0.2))
    expected = topk_product(A, B, 8, seen=A @ B > 3)
    seen = sp.csr_array(A @ B > 3)
    if form == "read-only":
        read_only(A), read_only(seen)
    elif form == "memory map":
        parts = []
        for name in ("data", "indices", "indptr"):
            np.save(tmp_path / f"{name}.npy", getattr(B, name))
            parts.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
        B = sp.csr_array(B.shape, dtype=B.dtype)
        B.data, B.indices, B.indptr = parts
    elif form.startswith("int64"):
        for M in (A, seen) if form == "int64" else (B,):
            M.indices, M.indptr = M.indices.astype(np.int64), M.indptr.astype(np.int64)
    elif form == "float32 rows":
        A = A.astype(np.float32)
    before = [B.data, B.indices, B.indptr]
    items, values = topk_product(A, B, 8, seen=seen)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(values, expected[1])
    assert values.dtype == A.dtype
    assert all(now is then for now, then in zip([B.data, B.indices, B.indptr], before, strict=True))


@pytest.mark.parametrize("n_bytes", [0, 3 * 200 * 4, 2**26])
def test_rows_that_are_added_in_full_change_no_bit(monkeypatch, n_bytes):
    rng = np.random.default_rng(0)
    density = np.linspace(0, 1, 50)[rng.permutation(50), None]
    B = ((rng.random((50, 200)) < density) * rng.random((50, 200))).astype(np.float32)
    B = model_csr(B)
    A = (rng.random((80, 50)) < 0.4) * rng.random((80, 50))
    A = sp.csr_array(A.astype(np.float32))
    one_by_one = [topk_product(A[[row]], B, 12) for row in range(80)]
    monkeypatch.setattr(_product, "_FULL_BYTES", n_bytes)
    _, held = _product._full_rows(A.indices, B, 200, np.float32, False)
    assert (len(held) == 0) == (n_bytes == 0)
    items, values = topk_product(A, B, 12)
    np.testing.assert_array_equal(items, np.vstack([lists[0] for lists in one_by_one]))
    np.testing.assert_array_equal(values, np.vstack([lists[1] for lists in one_by_one]))


def test_products_that_underflow_to_zero_are_no_entries():
    A = sp.csr_array(np.full((1, 6), 1e-30, dtype=np.float32))
    B = np.zeros((6, 200), dtype=np.float32)
    B[:, 3] = 1e-30
    B[5, 4] = 1.0
    items, values = topk_product(A, model_csr(B), 3)
    assert items.tolist() == [[4, -1, -1]]
    assert values[0, 0] == np.float32(1e-30)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(2, 300),
    k=st.integers(1, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
    shrinkage=st.sampled_from([0.0, 2.5]),
    sides=st.sampled_from([(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.2, 1.5)]),
)
def test_scaled_products(seed, n_items, k, dtype, shrinkage, sides):
    k, rng = min(k, n_items), np.random.default_rng(seed)
    A = small(seed, (9, 15), 0.4)
    B = small(seed + 1, (15, n_items), rng.choice([0.01, 0.3]))
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
    A, B = read_only(A.astype(dtype)), read_only(model_csr(B.astype(dtype)))
    for n_threads in (1, 2):
        lists = topk_product(
            A, B, k, n_threads=n_threads, scaling=(parts[0], parts[1], rest, shrinkage)
        )
        check(lists, expected, k, dtype)


@DTYPES
def test_the_best_of_stored_entries(dtype):
    S = read_only(small(0, (20, 30), 0.5, True, dtype))
    scores = np.full(S.shape, -np.inf)
    rows = np.repeat(np.arange(20), np.diff(S.indptr))
    scores[rows, S.indices] = S.data
    for k in (1, 7, 30):
        check(topk_sparse(S, k), scores, k, dtype)
        got = as_rows(topk_sparse(S, k, n_threads=2), 30)
        np.testing.assert_array_equal(np.diff(got.indptr), np.minimum(np.diff(S.indptr), k))


@pytest.mark.parametrize("n_block", [7, 8192])
@DTYPES
def test_the_best_of_inner_products(monkeypatch, n_block, dtype):
    monkeypatch.setattr(_nearest, "_BLOCK_ITEMS", n_block)
    monkeypatch.setattr(_nearest, "_BLOCK_ROWS", 1 if n_block == 7 else 512)
    rng = np.random.default_rng(0)
    V = rng.integers(-2, 3, (50, 3)).astype(dtype)
    bias = rng.integers(-1, 2, 50).astype(dtype)
    P = rng.integers(-2, 3, (40, 3)).astype(dtype)
    V.flags.writeable = False
    seen = sp.csr_array(rng.random((40, 50)) < 0.2)
    for skip in (True, False):
        scores = P @ V.T + bias
        if skip:
            scores = np.where(scores == 0, -np.inf, scores).astype(dtype)
        for n_threads in (1, 2):
            lists = topk_vectors(
                P, V, 9, bias=bias, seen=seen, skip_zeros=skip, n_threads=n_threads
            )
            check(lists, masked(scores, seen), 9, dtype)
    assert topk_vectors(P.astype(np.float64), V, 9)[1].dtype == np.float64


@DTYPES
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("copy_from", [0, np.inf])
def test_dense_products_with_and_without_blocks_are_the_product(
    monkeypatch, dtype, n_threads, copy_from
):
    from sklearn_llmrec._kernels import _gram

    monkeypatch.setattr(_gram, "_CACHE_BYTES", 1000)
    monkeypatch.setattr(_gram, "_COPY_FROM", copy_from)
    rng = np.random.default_rng(0)
    X = sp.csr_array(((rng.random((60, 50)) < 0.3) * rng.random((60, 50))).astype(dtype))
    W = rng.normal(size=(50, 110)).astype(dtype)
    W.flags.writeable = False
    for rows in (X, X[:1], X[:0]):
        for weights in (W, np.asfortranarray(W)):
            got = dense_product(rows, weights, n_threads=n_threads)
            np.testing.assert_array_equal(got, rows @ W)
            assert got.dtype == dtype


def test_a_batch_of_requests_copies_no_weights(monkeypatch):
    from sklearn_llmrec._kernels import _gram

    # More entries than items, as of 32 requests: a copy of the weights would cost four times as much as the product.
    X = sp.csr_array(np.ones((4, 20)))
    W = np.random.default_rng(0).normal(size=(20, 20))
    monkeypatch.setattr(_gram.np, "ascontiguousarray", None)
    monkeypatch.setattr(
        _gram, "of_rows", lambda X, _: (X.indptr.astype("u8"), X.indices.astype("u4"), X.data)
    )
    got = dense_product(X, W)
    np.testing.assert_allclose(got, X @ W)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@DTYPES
def test_elastic_nets_take_the_steps_of_coordinate_descent(positive, shared, dtype):
    rng = np.random.default_rng(0)
    D = rng.normal(size=(6, 30, 8))
    S = np.einsum("nui,nuj->nij", D, D).astype(dtype)
    S = S[:1] if shared else S
    g = (10 * rng.normal(size=(6, 8))).astype(dtype)
    own = np.array([0, 3, 7, 1, 1, 5])
    steps = {"positive": positive, "max_iter": 15, "tol": 1e-3}
    S.flags.writeable = False
    got = elastic_nets(S, g, own, 0.7, 0.3, **steps)
    for row in range(6):
        expected = elastic_net(
            S[0 if shared else row].astype(float), g[row].astype(float), own[row], 0.7, 0.3, **steps
        )
        np.testing.assert_allclose(got[row], expected, atol=1e-4 if dtype == np.float32 else 1e-12)
        assert got[row, own[row]] == 0


@pytest.mark.parametrize("n_threads", [1, 2])
def test_means_of_nearest_votes(n_threads):
    rng = np.random.default_rng(0)
    S, V = small(0, (9, 12), 0.5, True), small(1, (12, 15), 0.4, True)
    V.data *= rng.random(V.nnz)  # some are stored zeros, which vote
    for M in (S, V):
        read_only(M)
    for most in (1, 3, 12):
        got = means_of_nearest(S, V, most, 0.5, n_threads=n_threads)
        np.testing.assert_allclose(got, mean_of_nearest(S, V, most, 0.5), atol=1e-14)


def test_many_places_that_stay_empty_take_no_memory():
    n = 20_000
    A = B = model_csr(sp.eye_array(n, format="csr", dtype=np.float32))
    tracemalloc.start()
    try:
        lists = product_rows(A, B, n)
        assert (
            tracemalloc.get_traced_memory()[1] < 2**28
        )  # the lists of all rows at once take 4.8 GB
    finally:
        tracemalloc.stop()
    assert (lists != A).nnz == 0


def test_scores_that_differ_by_rounding_are_equal():
    rng = np.random.default_rng(0)
    noise = 2.0**-19  # of a sum in float32, whatever the dtype it is returned in
    for dtype in (np.float32, np.float64):
        level = np.asarray([[1.0], [-300.0], [0.0]], dtype)
        scores = (level * (1 + noise * rng.random((3, 50)))).astype(dtype)
        assert equal_but_for_rounding(scores.min(axis=1), scores.max(axis=1)).all()
        scores[:, 7] += np.asarray([1e-4, -1e-2, 1e-30], dtype)
        assert not equal_but_for_rounding(scores.min(axis=1), scores.max(axis=1)).any()
