"""Lists of one query by the lengths of vectors equal those of all products."""

import numpy as np
import pytest

from sklearn_llmrec._kernels import ByNorm
from sklearn_llmrec._kernels._by_norm import _HEAD, _LEAST_ITEMS


def vectors(rng, dtype, *, spread=2.0):
    """Vectors whose lengths differ as those of popular and rare items do, in no order."""
    V = rng.standard_normal((_LEAST_ITEMS, 16)) * rng.lognormal(0, spread, (_LEAST_ITEMS, 1))
    return V.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_equal_those_of_all_products(dtype):
    rng, served = np.random.default_rng(0), 0
    V = vectors(rng, dtype)
    order = ByNorm.of(V)
    for _ in range(20):
        p = rng.standard_normal(16).astype(dtype)
        scores = V @ p
        # Both the longest vectors and the best items are seen.
        seen = np.union1d(order.order[:30], np.argsort(-scores)[:15])
        found = order.topk(p, V, 10, seen)
        if found is None:
            continue
        served += 1
        scores[seen] = -np.inf
        best = np.lexsort((np.arange(len(V)), -scores))[:10]
        np.testing.assert_array_equal(found[0], best)
        np.testing.assert_allclose(found[1], scores[best], rtol=1e-5)
    assert served >= 15


def test_items_beyond_the_head_are_found():
    rng = np.random.default_rng(1)
    V = np.zeros((_LEAST_ITEMS, 4), dtype=np.float64)
    V[:, 1] = 1 + rng.random(_LEAST_ITEMS)  # long, but across the query
    V[:_HEAD, 0] = 1e-3
    best = np.array([9_000, 5_000, 12_000])
    V[best] = [[0.9, 0, 0, 0], [0.8, 0, 0, 0], [0.8, 0, 0, 0]]
    V[_HEAD + 1000 :][V[_HEAD + 1000 :, 0] == 0] *= 1e-6
    found = ByNorm(V).topk(np.array([1.0, 0, 0, 0]), V, 3, np.zeros(0, dtype=np.int64))
    np.testing.assert_array_equal(found[0], [9_000, 5_000, 12_000])  # ties by lower column


def test_vectors_of_equal_length_are_left_to_the_product():
    rng = np.random.default_rng(2)
    V = rng.standard_normal((_LEAST_ITEMS, 8))
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    assert ByNorm(V).topk(V[0], V, 10, np.zeros(0, dtype=np.int64)) is None
