"""Checks of the contract about the caller's data: ownership of arrays and types of values."""

from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec.base._check_tools import assert_close, fitted, taste_matrix
from sklearn_llmrec.interactions import Interactions


def _seeded(estimator: Any) -> Any:
    model = clone(estimator)
    return model.set_params(random_state=0) if "random_state" in model.get_params() else model


def check_state_is_owned(estimator: Any) -> None:
    """Check that fitted arrays share no memory with the caller's and that no method after `fit` changes them."""
    T = taste_matrix()
    dense, X, logged = T.toarray(), T.copy(), Interactions(T.copy(), item_ids=np.arange(T.shape[1]))
    logged.timestamps = T.data.astype(np.int64)
    cases: list[tuple[Any, list[Any]]] = [
        (dense, [dense]),
        (X, [X.indptr, X.indices, X.data]),
        (logged, [logged.timestamps, logged.item_ids, logged.indptr, logged.indices, logged.data]),
    ]
    more = T[5:20]
    for given, arrays in cases:
        name = type(given).__name__
        model = _seeded(estimator).fit(given)
        before = joblib.hash(model)
        asked = Interactions(given[:9], copy=True)
        asked.item_ids = None
        model.predict(asked)
        model.score(asked)
        model.recommend(asked, k=3)
        model.recommend(asked, k=3, exclude_seen=False, candidates=[1, 2, 9])
        if hasattr(model, "similar_items"):
            model.similar_items([0, 1], k=3)
        assert joblib.hash(model) == before, (
            f"predict or recommend changed what fit learned ({name})."
        )
        expected = model.predict(asked)
        learned = None
        if given is X and hasattr(model, "partial_fit"):
            learned = _seeded(estimator).fit(given.copy()).partial_fit(more.copy()).predict(asked)
        for array in arrays:
            if array.flags.writeable:
                array[:] = array[::-1].copy()
        assert joblib.hash(model) == before, f"the fitted model shares memory with X ({name})."
        assert_close(expected, model.predict(asked), "predict after X was overwritten", 0.0)
        if learned is not None:
            found = model.partial_fit(more).predict(asked)
            assert_close(learned, found, "partial_fit after X was overwritten")


def check_numeric_types(estimator: Any) -> None:
    """Check that numbers of every type give one result and that duplicate entries are summed without overflow."""
    T = taste_matrix()
    five = 5 * T
    expected = _seeded(estimator).fit(five).predict(five)
    dense = five.toarray()
    variants: list[Any] = [dense.astype(kind) for kind in (np.float16, object, ">f8", np.uint8)]
    fifths = T.astype(np.int8).tocoo()
    rows, columns = np.tile(fifths.row, 5), np.tile(fifths.col, 5)
    variants.append(sp.coo_array((np.tile(fifths.data, 5), (rows, columns)), shape=T.shape))
    repeated = np.repeat(T.data, 5).astype(np.int8), np.repeat(T.indices, 5), 5 * T.indptr
    compressed = sp.csr_array(repeated, shape=T.shape)
    variants += [compressed, sp.csc_array(compressed.astype(np.uint8))]
    for variant in variants:
        what = f"{type(variant).__name__} of {variant.dtype}"
        model = _seeded(estimator).fit(variant)
        assert_close(expected, model.predict(variant), f"fit and predict of {what}")
        items, _ = model.recommend(variant, k=3)
        seen = items[dense[np.arange(len(items))[:, None], items] != 0]
        assert not (seen >= 0).any(), f"recommend returns seen items of {what}."


def check_retrieval_vectors(estimator: Any) -> None:
    """Check that products of `_retrieval_vectors`, where a model has them, are the scores of `predict`."""
    if not hasattr(estimator, "_retrieval_vectors"):
        return
    model, X = fitted(estimator)
    for dtype in (np.float32, np.float64):
        rows = model._prepared(model._check_X(X.astype(dtype), reset=False))
        queries, items, bias = model._retrieval_vectors(rows)
        n_users, n_items = X.shape
        assert items.ndim == 2, "items of _retrieval_vectors is no matrix."
        assert len(items) == n_items, f"{len(items)} item vectors for {n_items} items."
        assert queries.shape == (n_users, items.shape[1]), (
            f"queries have shape {queries.shape} and items {items.shape}."
        )
        assert bias is None or bias.shape == (n_items,), "bias must have one number per item."
        products = queries @ items.T + (0 if bias is None else bias)
        scores, known = model._scored(rows)
        size = np.maximum(np.abs(scores).max(axis=1, keepdims=True), 1e-12)
        worst = float((np.abs(products - scores) / size)[known].max(initial=0))
        assert worst <= 1e-5, (
            f"the products of _retrieval_vectors differ from predict by {worst:.2g} of the row's largest score."
        )
        alone = model._retrieval_vectors(rows[2:3])
        assert np.array_equal(alone[1], items), "the item vectors depend on the rows."
        assert bias is None or np.array_equal(alone[2], bias), "the bias depends on the rows."
