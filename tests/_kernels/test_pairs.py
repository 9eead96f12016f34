"""Gradient steps over pairs, against the same loop in plain Python."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec._kernels import _pairs, pair_epoch
from sklearn_llmrec._kernels._pair_loops import descend_pairs

MASK = 2**64 - 1


def splitmix64(state):
    """Return the numbers of Steele, Lea and Flood's generator, one after the other."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def by_hand(windows, rows, users, P, Q, b, rate, penalty, seed):
    """Each step as the gradient of the loss says it, with Python's integers and floats."""
    P, Q, b = P.copy(), Q.copy(), b.copy()
    entries = [(row, column) for row, columns in enumerate(rows) for column in columns]
    words = splitmix64(seed)
    for first, last in itertools.pairwise(windows):
        for _ in range(last - first):
            word = next(words)
            row, i = entries[first + ((word >> 32) * (last - first) >> 32)]
            j = entries[(word & 0xFFFFFFFF) * len(entries) >> 32][1]
            if j in rows[row]:
                continue
            u = users[row]
            z = 1 / (1 + np.exp(P[u] @ (Q[i] - Q[j]) + b[i] - b[j]))
            user = z * (Q[i] - Q[j]) - penalty * P[u]
            liked, other = z * P[u] - penalty * Q[i], -z * P[u] - penalty * Q[j]
            P[u] += rate * user
            Q[i] += rate * liked
            Q[j] += rate * other
            b[i] += rate * (z - penalty * b[i])
            b[j] += rate * (-z - penalty * b[j])
    return P, Q, b


@pytest.mark.parametrize("windows", [[0, 21], [0, 9, 9, 21]])
def test_an_epoch_is_that_of_the_plain_loop(windows):
    rng = np.random.default_rng(0)
    rows = [[0, 2, 3], [1], [], [0, 1, 2, 3, 4], [3, 4], *([[0, 4]] * 5)]
    lengths = np.array([len(row) for row in rows])
    users = rng.permutation(len(rows))
    P, Q = rng.normal(size=(len(rows), 6)), rng.normal(size=(5, 6))
    b = rng.normal(size=5)
    expected = by_hand(windows, rows, users, P, Q, b, 0.3, 0.05, 12345)
    kept = P[users[3]].copy()
    descend_pairs.of(np.float64)(
        np.array(windows, dtype=np.uint64),
        np.append(0, np.cumsum(lengths)).astype(np.uint64),
        np.concatenate(rows).astype(np.uint32),
        np.repeat(np.arange(len(rows), dtype=np.uint32), lengths),
        users.astype(np.uint32),
        P,
        Q,
        b,
        0.3,
        1 - 0.3 * 0.05,
        np.array([12345], dtype=np.uint64),
    )
    for got, wanted in zip((P, Q, b), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-12)
    np.testing.assert_array_equal(P[users[3]], kept)  # who has every item has no pair


@pytest.mark.parametrize("window", [1, 16, 10**6])
def test_windows_are_whole_rows_and_cover_all(monkeypatch, window):
    """Every user and item with an interaction moves, others stay; equal seeds give equal bits."""
    monkeypatch.setattr(_pairs, "_WINDOW", window)
    rng = np.random.default_rng(3)
    X = (rng.random((60, 30)) < 0.2).astype(np.float32)
    X[7], X[:, 4] = 0, 0
    X = sp.csr_array(X)
    results = []
    for _ in range(2):
        P, Q = np.full((60, 4), 0.1, np.float32), np.full((30, 4), 0.1, np.float32)
        P += np.arange(4, dtype=np.float32)
        bias, draws = np.zeros(30, np.float32), np.random.default_rng(5)
        for _ in range(30):
            pair_epoch(X, P, Q, bias, 0.1, 0.01, draws)
        results.append((P, Q, bias))
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    changed = (results[0][2] != 0) & (results[0][1] != np.float32(0.1)).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(~changed), [4])
    assert (results[0][0][7] == np.float32(0.1) + np.arange(4, dtype=np.float32)).all()
    moved = (results[0][0] != results[0][0][7]).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(~moved), [7])


def test_popular_items_rise_above_others():
    """Biases order items as their numbers of users do, where nothing else tells them apart."""
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((400, 5)) < [0.8, 0.5, 0.3, 0.15, 0.05]).astype(np.float32))
    P, Q = np.zeros((400, 2), np.float32), np.zeros((5, 2), np.float32)
    bias, draws = np.zeros(5, np.float32), np.random.default_rng(1)
    for _ in range(60):
        pair_epoch(X, P, Q, bias, 0.02, 0.01, draws)
    assert (np.diff(bias) < 0).all()
