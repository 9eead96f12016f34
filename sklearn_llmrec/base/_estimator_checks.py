"""Checks of the recommender contract, which any estimator can run, also a third party's."""

import pickle
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_llmrec.base._check_tools import (
    assert_close,
    assert_lists_are_the_best,
    assert_refused,
    fitted,
    odd_matrices,
    refusal,
    taste_matrix,
)
from sklearn_llmrec.base._data_checks import (
    check_numeric_types,
    check_retrieval_vectors,
    check_state_is_owned,
)
from sklearn_llmrec.base._recommend import recommend

__all__ = [
    "EXPECTED_FAILED_CHECKS",
    "check_recommender",
    "parametrize_with_recommender_checks",
    "recommender_checks",
]

_ONE_PER_ITEM = (
    "demands one predicted value per row; a recommender predicts one per item. check_recommender repeats the check "
    "with the shape (n_users, n_items)"
)
#: The checks of scikit-learn that a recommender cannot pass, with the reason.
EXPECTED_FAILED_CHECKS = {
    "check_estimator_sparse_array": _ONE_PER_ITEM,
    "check_estimator_sparse_matrix": _ONE_PER_ITEM,
}


def check_containers(estimator: Any) -> None:
    """Check that all containers of X give one result.

    Containers are the sparse formats as array or matrix, 32- and 64-bit indices, dense arrays and read-only memory
    maps.
    """
    from sklearn_llmrec.interactions import Interactions

    model, X = fitted(estimator)
    expected = model.predict(X)
    assert expected.shape == X.shape, f"predict returned {expected.shape} for X of shape {X.shape}."
    assert np.isfinite(expected).all(), "predict returned scores that are not finite."
    wide = sp.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape
    )
    # Zeros that are stored, one of them in a row that has nothing else, and every value in two halves.
    padded = X.copy()
    padded.data = np.concatenate([[0.0], X.data, [0.0]])
    padded.indices = np.concatenate([[4], X.indices, [X.shape[1] - 1]], dtype=X.indices.dtype)
    padded.indptr = X.indptr + np.r_[0, np.ones(X.shape[0] - 1), 2].astype(X.indptr.dtype)
    rows, columns = X.nonzero()
    halves = sp.coo_matrix(
        (np.tile(X.data / 2, 2), (np.tile(rows, 2), np.tile(columns, 2))), shape=X.shape
    )
    variants: list[Any] = [X.toarray(), wide, padded, Interactions(X)]
    variants += [getattr(X, f"to{form}")() for form in ("csc", "coo", "lil", "dok", "bsr")]
    variants += [sp.csr_matrix(X), sp.csc_matrix(X), halves]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.joblib"
        joblib.dump(X, path)
        variants.append(joblib.load(path, mmap_mode="r"))
        for variant in variants:
            name = type(variant).__name__
            assert_close(expected, model.predict(variant), f"predict of {name}")
            refitted = clone(model).fit(variant)
            assert_close(expected, refitted.predict(X), f"fit of {name}")
            items, _ = model.recommend(variant, k=3)
            assert items.shape == (X.shape[0], 3)
        del variants, variant


def check_dtype(estimator: Any) -> None:
    """Check that float32 stays float32 and everything else becomes float64."""
    for dtype, expected in (
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int64, np.float64),
    ):
        X = taste_matrix(dtype)
        model = clone(estimator).fit(X)
        assert model.predict(X).dtype == expected, (
            f"predict of {np.dtype(dtype)} is {model.predict(X).dtype}."
        )
        assert model.recommend(X, k=2)[1].dtype == expected


def check_recommend_agrees(estimator: Any) -> None:
    """Check that `recommend` returns the top of `predict` without seen items."""
    model, X = fitted(estimator)
    for exclude_seen in (True, False):
        scores = model.predict(X)
        if exclude_seen:
            scores[X.nonzero()] = -np.inf
        k = 8
        items, values = model.recommend(X, k=k, exclude_seen=exclude_seen)
        assert items.shape == values.shape == (X.shape[0], k)
        assert np.issubdtype(items.dtype, np.integer)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        assert_close(best, values, "recommend against the top of predict")
        assert (np.diff(values, axis=1) <= 0).all(), "recommend is not sorted by score."
        chosen = np.take_along_axis(scores, items, axis=1)
        assert_close(best, chosen, "the items of recommend under the scores of predict")
        assert all(len(set(row)) == k for row in items.tolist()), "recommend repeats an item."


def check_seen_and_short_rows(estimator: Any) -> None:
    """Check that seen items are left out, short lists are filled with -1 and -inf, and k is validated."""
    model, X = fitted(estimator)
    n_items = X.shape[1]
    row = np.arange(1, n_items + 1, dtype=float)[None, :]
    row[0, [2, 7]] = 0
    items, scores = model.recommend(row, k=4)
    assert set(items[0, :2].tolist()) == {2, 7}, f"a row with two unseen items got {items[0]}."
    assert (items[0, 2:] == -1).all()
    assert (scores[0, 2:] == -np.inf).all()
    row[0, [2, 7]] = n_items + 1, n_items + 2
    items, scores = model.recommend(row, k=2)
    assert (items == -1).all(), "a row that has everything got items."
    assert_refused(
        lambda: model.recommend(X, k=n_items + 1), ValueError, "k must be between", "k > n_items"
    )
    assert_refused(lambda: model.recommend(X, k=0), ValueError, "k must be between", "k = 0")


def check_candidates(estimator: Any) -> None:
    """Check that only candidates are recommended, for all rows or row by row, in the order of `predict`."""
    model, X = fitted(estimator)
    allowed = np.array([1, 4, 8, 9, 20])
    scores = model.predict(X)
    mask = np.zeros(X.shape, dtype=bool)
    mask[:, allowed] = True
    for candidates in (allowed, sp.csr_array(mask)):
        items, _ = model.recommend(X, k=3, exclude_seen=False, candidates=candidates)
        assert np.isin(items, allowed).all(), "recommend left the candidates."
        best = np.sort(scores[:, allowed], axis=1)[:, ::-1][:, :3]
        assert_close(
            best, np.take_along_axis(scores, items, axis=1), "candidates in the order of predict"
        )
    items, values = model.recommend(X, k=6, exclude_seen=False, candidates=allowed)
    assert (items[:, 5] == -1).all()
    assert (values[:, 5] == -np.inf).all()
    assert_refused(
        lambda: model.recommend(X, k=2, candidates=[X.shape[1]]),
        ValueError,
        "candidates",
        "a candidate outside",
    )


def check_unseen_users(estimator: Any) -> None:
    """Check that rows that `fit` did not see get the same scores alone, in a batch and in another order."""
    model, X = fitted(estimator)
    new = sp.csr_array(sp.vstack([X[3:20] + X[5:22], X[:4]]))
    together = model.predict(new)
    assert np.isfinite(together).all()
    alone = np.vstack([model.predict(new[[row]]) for row in range(new.shape[0])])
    assert_close(together, alone, "a row alone against the same row in a batch")
    assert_close(together[::-1], model.predict(new[::-1]), "rows in another order")
    batch, _ = model.recommend(new, k=3)
    ranked = np.take_along_axis(alone, batch, axis=1)
    assert (np.diff(ranked, axis=1) <= 1e-5 * np.abs(alone).max(axis=1, keepdims=True)).all()


def check_rows_without_evidence(estimator: Any) -> None:
    """Check that an empty row gets the fallback learned in `fit`: popular items, or a rating model's baseline."""
    model, X = fitted(estimator)
    popularity = np.bincount(X.indices, minlength=X.shape[1])
    assert np.array_equal(model.item_popularity_, popularity), (
        "item_popularity_ is not users per item."
    )
    empty = sp.csr_array((2, X.shape[1]), dtype=X.dtype)
    scores = model.predict(empty)
    assert np.isfinite(scores).all()
    expected = model._fallback_scores() if hasattr(model, "_fallback_scores") else popularity
    assert np.allclose(scores, expected), "an empty row does not get the fallback scores."
    items, _ = model.recommend(empty, k=3)
    assert np.array_equal(items[0], np.argsort(-expected, kind="stable")[:3])


def check_y_is_not_learned(estimator: Any) -> None:
    """Check that no `y` changes the fitted model and that a y of another shape is refused."""
    model, X = fitted(estimator)
    expected = model.predict(X)
    rng = np.random.default_rng(1)
    y = sp.csr_array(X[rng.permutation(X.shape[0])])
    for other in (y, y.toarray(), rng.integers(0, 3, X.shape[0])):
        assert_close(expected, clone(model).fit(X, other).predict(X), "fit with another y", 0.0)
    assert_refused(
        lambda: clone(model).fit(X, y[:, :-1]), ValueError, "y has shape", "a y of another shape"
    )


def check_refit_and_failed_refit(estimator: Any) -> None:
    """Check that a second fit equals the first, a failed one changes nothing, and X is not modified."""
    model, X = fitted(estimator)
    before = X.copy()
    expected = model.predict(X)
    assert_close(expected, model.fit(X).predict(X), "a second fit", 0.0)
    for other in (np.full((4, 4), np.nan), np.zeros((5, 3)), X.toarray()[:, :1]):
        assert_refused(partial(model.fit, other), ValueError, "", "a matrix that cannot be fitted")
        assert model.n_features_in_ == X.shape[1]
        assert_close(expected, model.predict(X), "predict after a failed refit", 0.0)
    assert np.array_equal(before.toarray(), X.toarray()), "fit or predict changed X."
    loaded = pickle.loads(pickle.dumps(model))
    assert_close(expected, loaded.predict(X), "predict after pickling", 0.0)


def check_bad_input(estimator: Any) -> None:
    """Check that invalid input is refused with the problem and the remedy, before any work."""
    model, X = fitted(estimator)
    dense, expected = X.toarray(), model.predict(X)
    name = type(model).__name__
    for bad, words in ((np.nan, "NaN"), (np.inf, "inf")):
        wrong = dense.copy()
        wrong[3, 3] = bad
        for method in (clone(model).fit, model.predict, model.recommend):
            assert_refused(partial(method, wrong), ValueError, words, f"{name}: {words}")
            assert_refused(
                partial(method, sp.csr_array(wrong)),
                ValueError,
                words,
                f"{name}: sparse {words}",
            )
    cases: list[tuple[Any, str]] = [
        (dense[:, :-1], "features"),
        (dense.T, "transposed"),
        (dense[0], "1D array"),
        (dense.astype(str).astype(object) + "a", "could not convert string.*from_frame"),
    ]
    for wrong, words in cases:
        assert_refused(
            partial(model.predict, wrong),
            (ValueError, TypeError),
            words,
            f"{name}: predict, {words}",
        )
    ids = np.arange(20)[:, None]
    assert_refused(
        lambda: clone(model).fit(ids),
        ValueError,
        "n_features = 1.*from_frame",
        f"{name}: a column of ids",
    )
    assert_refused(
        lambda: clone(model).fit(np.zeros((4, 3))),
        ValueError,
        "no interaction",
        f"{name}: an empty matrix",
    )
    if model.__sklearn_tags__().input_tags.positive_only:
        assert_refused(
            lambda: clone(model).fit(-dense),
            ValueError,
            "negative values.*drop or clip",
            f"{name}: negative",
        )
    assert_close(expected, model.predict(X), "predict after refusals", 0.0)


def check_score(estimator: Any) -> None:
    """Check that `score` is an nDCG with and without `y`, for any order of rows, and refuses rows without targets."""
    model, X = fitted(estimator)
    value = model.score(X)
    assert 0 <= value <= 1
    assert abs(value - model.score(X[::-1])) < 1e-9, "score depends on the order of rows."
    assert abs(value - model.score(X, np.zeros(X.shape[0]))) < 1e-9, (
        "a one-dimensional y is not ignored."
    )
    y = sp.csr_array(X[np.random.default_rng(0).permutation(X.shape[0])])
    assert 0 <= model.score(X, y) <= 1
    assert_refused(lambda: model.score(X[:2]), ValueError, "", "rows without targets")


def check_in_scikit_learn(estimator: Any) -> None:
    """Check that the estimator works in a Pipeline and in cross-validation, and `recommend` accepts the Pipeline."""
    model, X = fitted(estimator)
    pipeline = make_pipeline(MaxAbsScaler(), clone(model)).fit(X)
    assert pipeline.predict(X).shape == X.shape
    items, scores = recommend(pipeline, X, k=3)
    assert items.shape == scores.shape == (X.shape[0], 3)
    seen = X.toarray() != 0
    valid = items >= 0
    assert not seen[np.nonzero(valid)[0], items[valid]].any(), (
        "a seen item was recommended through a Pipeline."
    )
    result = cross_validate(clone(model), X, cv=2, error_score="raise")
    assert np.isfinite(result["test_score"]).all()


def check_odd_matrices(estimator: Any) -> None:
    """Check small and unusual matrices: each gives valid results or a clear error.

    They are single items, single users, full rows, equal rows, equal values and a 3 x 2 matrix.
    """
    for what, D in odd_matrices():
        X = sp.csr_array(D)
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
        model = clone(estimator)
        if (reason := refusal(partial(model.fit, X))) is not None:
            assert len(reason.split()) >= 5, f"{what}: refused without a reason: {reason}"
            continue
        for exclude_seen in (True, False):
            for k in (1, D.shape[1]):
                assert_lists_are_the_best(model, X, what, k=k, exclude_seen=exclude_seen)


def check_size_of_values(estimator: Any) -> None:
    """Check that values near the limits of float32 give finite, consistent scores or a clear error."""
    model, X = fitted(estimator)
    X = X.astype(np.float32)
    for size, at_fit in ((1e30, True), (1e9, True), (1e-30, True), (1e30, False)):
        large, asked = X * np.float32(size), clone(model) if at_fit else model
        what = f"values near {size:g}"
        with np.errstate(all="ignore"):
            reason = refusal(partial(asked.fit if at_fit else asked.predict, large))
            if reason is None:
                assert_lists_are_the_best(asked, large, what, k=3)
            else:
                assert re.search("large|small|size", reason), f"{what}: refused with {reason}"


def check_more_than_the_data_has(estimator: Any) -> None:
    """Check sizes above those of the data: neighbours, factors, candidates and threads beyond users and items.

    Each gives valid results or a clear error, and all numbers of threads agree.
    """
    model, X = fitted(estimator)
    params = model.get_params()
    for name in {"n_components", "n_neighbors", "n_candidates"} & params.keys():
        more = clone(model).set_params(**{name: X.shape[0] + 12})
        what = f"{name}={X.shape[0] + 12}"
        reason = refusal(partial(more.fit, X))
        assert reason is None or name in reason, f"{what}: refused with {reason}"
        if reason is None:
            assert_lists_are_the_best(more, X, what, k=X.shape[1], exclude_seen=False)
    if "n_jobs" in params:
        with joblib.parallel_config("threading"):
            threaded = clone(model).set_params(n_jobs=2).fit(X)
            assert_close(model.predict(X), threaded.predict(X), "two threads")
            assert_lists_are_the_best(threaded, X, "two threads", k=3)


_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_containers,
    check_dtype,
    check_recommend_agrees,
    check_seen_and_short_rows,
    check_candidates,
    check_unseen_users,
    check_rows_without_evidence,
    check_y_is_not_learned,
    check_refit_and_failed_refit,
    check_bad_input,
    check_score,
    check_in_scikit_learn,
    check_odd_matrices,
    check_size_of_values,
    check_more_than_the_data_has,
    check_state_is_owned,
    check_numeric_types,
    check_retrieval_vectors,
)


def recommender_checks() -> Iterator[Callable[[Any], None]]:
    """Yield the checks that `check_recommender` runs, one by one, for ``pytest.mark.parametrize``."""
    yield from _CHECKS


def check_recommender(estimator: Any) -> None:
    """Check that an estimator keeps the contract of recommenders.

    Run it beside scikit-learn's `check_estimator`, whose checks of sparse input are repeated here for one score per
    item (`EXPECTED_FAILED_CHECKS` names them).

    Parameters
    ----------
    estimator : object
        An unfitted recommender; it is cloned, never fitted itself.

    Raises
    ------
    AssertionError
        At the first check that fails, in words.

    Examples
    --------
    >>> from sklearn_llmrec import check_recommender
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> check_recommender(PopularityRecommender())
    """
    for check in recommender_checks():
        check(estimator)


def parametrize_with_recommender_checks(
    estimators: list[Any],
    *,
    expected_failed_checks: Callable[[Any], dict[str, str]] | None = None,
) -> Any:
    """Return a pytest decorator that runs each check of the contract on each estimator.

    It is to `check_recommender` what scikit-learn's `parametrize_with_checks` is to `check_estimator`. Run both.

    Parameters
    ----------
    estimators : list of estimators
        Unfitted recommenders.
    expected_failed_checks : callable, default=None
        Takes an estimator and returns a dict from the names of checks that it fails to the reasons. They are marked as
        expected failures, strictly: a check that passes nevertheless fails.

    Returns
    -------
    decorator : pytest.mark.parametrize
        For a test with the arguments `estimator` and `check`, which calls ``check(estimator)``.

    Examples
    --------
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.utils import parametrize_with_recommender_checks
    >>> @parametrize_with_recommender_checks([PopularityRecommender()])
    ... def test_contract(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases = []
    for estimator in estimators:
        reasons = {} if expected_failed_checks is None else expected_failed_checks(estimator)
        for check in recommender_checks():
            reason = reasons.get(check.__name__)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            name = f"{type(estimator).__name__}-{check.__name__}"
            cases.append(pytest.param(estimator, check, marks=marks, id=name))
    return pytest.mark.parametrize(("estimator", "check"), cases)
