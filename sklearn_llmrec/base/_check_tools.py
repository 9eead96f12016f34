"""Helpers of the checks of recommenders: matrices, a fitted model, and assertions."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone


def taste_matrix(dtype: Any = np.float64) -> sp.csr_array:
    """Make a matrix of two groups of users with different tastes.

    Values are distinct within a row, so they can be read as times too.
    """
    rng = np.random.default_rng(0)
    n_users, n_items = 48, 30
    odds = np.where(np.arange(n_users)[:, None] % 2 == np.arange(n_items) % 2, 0.55, 0.1)
    odds[:, ::5] *= 1.6
    X = (rng.random((n_users, n_items)) < odds) * rng.permuted(
        np.tile(np.arange(1, n_items + 1), (n_users, 1)), axis=1
    )
    X[:, -1] = 0  # an item that nobody interacted with
    X[0] = 0  # a user without interactions
    X[1, 1:] = 0
    X[1, 0] = 3.0  # a user with one
    return sp.csr_array(X.astype(dtype))


def fitted(estimator: Any) -> tuple[Any, sp.csr_array]:
    """Return a fitted clone and the matrix that it was fitted on."""
    X = taste_matrix()
    model = clone(estimator)
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    return model.fit(X), X


def assert_close(a: NDArray[Any], b: NDArray[Any], what: str, tolerance: float = 1e-5) -> None:
    """Assert that scores differ by no more than the tolerance, as a share of the row's largest score."""
    scale = np.maximum(np.abs(a).max(axis=1, keepdims=True), 1e-12)
    worst = float((np.abs(a - b) / scale).max())
    assert worst <= tolerance, f"{what}: scores differ by {worst:.2g} of the row's largest score."


def assert_lists_are_the_best(
    model: Any, X: sp.csr_array, what: str, *, k: int, exclude_seen: bool = True
) -> None:
    """Assert that lists are as long as possible and contain the best finite scores of `predict`, with these scores."""
    scores = model.predict(X)
    assert np.isfinite(scores).all(), f"{what}: scores are not finite."
    size = np.abs(scores).max(axis=1, keepdims=True)
    scores = scores / np.where(size == 0, 1, size)
    items, values = model.recommend(X, k=k, exclude_seen=exclude_seen)
    assert ((items >= 0) == (values > -np.inf)).all(), f"{what}: empty places are not said so."
    ranked = np.where(exclude_seen & (X.toarray() != 0), -np.inf, scores)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(ranked, order, axis=1)
    empty = best == -np.inf
    assert np.array_equal(items < 0, empty), (
        f"{what}: lists are too short, or contain what is seen."
    )
    chosen = np.take_along_axis(ranked, np.where(empty, order, items), axis=1)
    for found, name in ((values / np.where(size == 0, 1, size), "scores"), (chosen, "items")):
        worst = np.abs(found[~empty] - best[~empty]).max(initial=0)
        assert worst <= 1e-5, f"{what}: the {name} of recommend are not those of predict."


def refusal(call: Callable[[], Any]) -> str | None:
    """Return the message of the ValueError that a call raises, or None if it raises none."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def assert_refused(call: Callable[[], Any], kind: Any, words: str, what: str) -> None:
    """Assert that a call raises this kind of error with a message that matches the words."""
    try:
        call()
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(f"{what} is not refused with {kind}.")
    assert re.search(words, message, re.IGNORECASE), (
        f"{what} is refused, but the message does not match {words!r}: {message}"
    )


def odd_matrices() -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield small matrices of unusual shape or content, with a name each."""
    matrix = np.tile(np.eye(5), (2, 1)) * np.arange(1.0, 6)
    yield "users with one item each", matrix
    once = np.zeros((4, 8))
    once[np.arange(8) // 2, np.arange(8)] = np.tile([1.0, 2.0], 4)
    yield "items with one user each", once
    everything = np.array([[1.0, 2, 3, 4], [2, 1, 0, 0], [0, 1, 2, 0], [1, 0, 0, 2]])
    yield "a user who has everything", everything
    yield "duplicate users", np.tile([[5.0, 3, 0, 0], [0, 0, 4, 1]], (4, 1))
    yield "values that are all equal", (np.indices((7, 5)).sum(axis=0) % 2) * 3.0
    yield "a matrix of 3 x 2", np.array([[1.0, 0], [0, 1], [1, 2]])
    yield "a single user", np.array([[1.0, 0, 3, 0, 2]])
    yield "a single interaction", np.pad([[5.0]], ((2, 1), (1, 2)))
    yield "users who all have everything", np.arange(1.0, 13).reshape(4, 3)
    yield "users who are all equal", np.ones((4, 3))
    yield "many users who all have everything", np.ones((11, 9))
    yield "values that cancel", np.array([[1.0, -2, 0], [2, 1, 0], [0, 2, -1], [0, 0, 3]])
