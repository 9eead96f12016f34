"""Measuring: users without history are told apart, and figures that flatter are refused or warned about."""

import warnings
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import EASE, Interactions, ItemKNN, UserKNN
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.interactions import as_times
from sklearn_llmrec.linear_model import BaselineRecommender
from sklearn_llmrec.metrics import ranking_scorer, rating_scorer, rmse
from sklearn_llmrec.model_selection import (
    SameRows,
    backtest_folds,
    compare,
    holdout_split,
    interaction_folds,
    time_split,
)
from sklearn_llmrec.preprocessing import BinarizeTransformer, RFMTransformer

MODELS = {"ease": EASE(20.0), "knn": ItemKNN(10), "pop": PopularityRecommender()}


@pytest.fixture(scope="module")
def whole():
    rng = np.random.default_rng(0)
    odds = np.where(np.arange(90)[:, None] % 3 == np.arange(30) % 3, 0.5, 0.1)
    return sp.csr_array((rng.random((90, 30)) < odds).astype(float))


@pytest.fixture(scope="module")
def split(whole):
    """Visible interactions of the first 40 users only, and targets of all."""
    X, y = holdout_split(whole, random_state=0)
    visible = X.toarray()
    visible[40:] = 0
    return sp.csr_array(visible), y


# -- users with and without history


def test_comparison_counts_and_averages_users_apart(split):
    X, y = split
    result = compare(MODELS, X, y, metrics=["ndcg@5", "recall@5", "item_coverage@5"])
    known = X.toarray().any(axis=1)
    asked = y.toarray().any(axis=1)
    assert result.n_with_history == (known & asked).sum()
    assert result.n_without_history == (~known & asked).sum()
    assert result.n_users == asked.sum()
    frame = result.to_frame()
    for metric in ("ndcg@5", "recall@5"):
        for name, model in MODELS.items():
            values = ranking_scorer([metric]).per_user(model.fit(X), X, y)[metric]
            for column, rows in (("with_history", known), ("without_history", ~known)):
                assert frame.loc[name, (metric, column)] == pytest.approx(np.nanmean(values[rows]))
                assert frame.loc[name, (metric, f"n_{column}")] == (rows & asked).sum()
    lines = repr(result).splitlines()
    assert (
        lines[1]
        == f"{result.n_with_history} with a visible history, {result.n_without_history} without"
    )
    assert "users='with_history'" in lines[2]  # most users have none
    head = next(line for line in lines if line.startswith("ndcg@5"))
    best = next(line for line in lines if line.startswith(result.names[0]))
    start = head.index("    with")
    shown = [float(word) for word in best[start : start + 20].split()]
    expected = frame.loc[result.names[0], "ndcg@5"][["with_history", "without_history"]]
    np.testing.assert_allclose(shown, expected, atol=5e-5)


def test_users_of_several_folds_are_told_apart_row_by_row(whole):
    timed = Interactions(whole)
    timed.timestamps = np.random.default_rng(1).integers(0, 1000, whole.nnz)
    X_, y_, cv = backtest_folds(timed, n_splits=3)
    result = compare(
        {"pop": PopularityRecommender()}, X_, y_, cv=cv, groups=np.tile(np.arange(90), 3)
    )
    scorer, rows = ranking_scorer(["ndcg@10"]), {True: {}, False: {}}
    for train, test in cv:
        model = PopularityRecommender().fit(X_[train])
        values = scorer.per_user(model, X_[test], y_[test])["ndcg@10"]
        for user, value in enumerate(values):
            if not np.isnan(value):
                known = X_[[test[user]]].nnz > 0
                rows[known].setdefault(user, []).append(value)
    frame = result.to_frame()
    for known, column in ((True, "with_history"), (False, "without_history")):
        means = [np.mean(values) for values in rows[known].values()]
        assert frame.loc["pop", ("ndcg@10", f"n_{column}")] == len(means)
        if means:
            assert frame.loc["pop", ("ndcg@10", column)] == pytest.approx(np.mean(means))


@pytest.mark.parametrize("users", ["with_history", "without_history"])
def test_scorers_measure_the_users_that_are_named(split, users):
    X, y = split
    rows = np.flatnonzero(X.toarray().any(axis=1) == (users == "with_history"))
    for model in (EASE(20.0).fit(X), make_pipeline(BinarizeTransformer(), ItemKNN(5)).fit(X)):
        chosen = ranking_scorer("ndcg@5", users=users)(model, X, y)
        assert chosen == pytest.approx(ranking_scorer("ndcg@5")(model, X[rows], y[rows]))
        apart = ranking_scorer("ndcg@5", groups="history")(model, X, y)
        assert apart[f"ndcg@5[{users}]"] == pytest.approx(chosen)
        assert apart["ndcg@5"] == pytest.approx(ranking_scorer("ndcg@5")(model, X, y))
        coverage = ranking_scorer("item_coverage@5", users=users)(model, X, y)
        assert coverage == ranking_scorer("item_coverage@5")(model, X[rows], y[rows])
    ratings = BaselineRecommender().fit(X)
    expected = rmse(y[rows], ratings.predict(X[rows]))
    assert rating_scorer("rmse", users=users)(ratings, X, y) == pytest.approx(-expected)
    result = compare(MODELS, X, y, metrics="ndcg@5", users=users)
    assert result.n_users == np.count_nonzero(y.toarray()[rows].any(axis=1))
    assert result["ndcg@5"]["ease"] == pytest.approx(
        ranking_scorer("ndcg@5", users=users)(EASE(20.0).fit(X), X, y)
    )


def test_no_user_of_the_named_kind_is_refused(split):
    X, y = split
    model = PopularityRecommender().fit(X)
    for scorer in (
        ranking_scorer("ndcg@5", users="without_history"),
        rating_scorer("rmse", users="without_history"),
    ):
        with pytest.raises(ValueError, match="leaves none of the"):
            scorer(model, X[:40], y[:40])
    with pytest.raises(ValueError, match="'users' parameter"):
        ranking_scorer("ndcg@5", users="new")
    assert (
        repr(ranking_scorer("auc", users="with_history"))
        == "ranking_scorer('auc', users='with_history')"
    )


def test_displays_say_how_many_users_have_no_history(split):
    pytest.importorskip("matplotlib").use("Agg")
    from sklearn_llmrec.inspection import (
        InteractionCurveDisplay,
        MetricAtKDisplay,
        TradeOffDisplay,
        UserActivityDisplay,
    )

    X, y = split
    models = {name: model.fit(X) for name, model in MODELS.items()}
    lists = {name: model.recommend(X, 10)[0] for name, model in models.items()}
    result = compare(models, X, y, metrics=["ndcg@10", "item_coverage@10"], prefit=True)
    asked, known = y.toarray().any(axis=1), X.toarray().any(axis=1)
    n_users, n_without = asked.sum(), (asked & ~known).sum()
    displays = [
        MetricAtKDisplay.from_estimator(models, X, y, ks=[5, 10]),
        MetricAtKDisplay.from_predictions(y, lists, ks=[5, 10], seen=X),
        UserActivityDisplay.from_estimator(models, X, y, n_groups=2),
        InteractionCurveDisplay.from_estimator(MODELS, X, y, train_sizes=[0.5, 1.0]),
        TradeOffDisplay.from_estimator(models, X, y),
        TradeOffDisplay.from_comparison(result, x_metric="item_coverage@10", y_metric="ndcg@10"),
    ]
    for display in displays:
        assert (display.n_users, display.n_without_history) == (n_users, n_without)
        legend = display.ax_.get_legend()
        text = legend.get_title().get_text() if legend else display.ax_.get_title(loc="left")
        assert f"{n_users} users, {n_without} without history" in text
    low, high, n = displays[2].groups[0]
    assert (low, high, n) == (0, 0, n_without)  # never mixed with users of few interactions
    assert all(low > 0 for low, _, _ in displays[2].groups[1:])
    unknown = MetricAtKDisplay.from_predictions(y, lists, ks=[5])
    assert (unknown.n_users, unknown.n_without_history) == (n_users, None)


# -- figures that flatter


@pytest.mark.parametrize("of", ["sparse", "dense", "interactions"])
def test_same_rows_without_targets_is_refused(whole, of):
    X = {"sparse": whole, "dense": whole.toarray(), "interactions": Interactions(whole)}[of]
    with pytest.raises(ValueError, match=r"y is None.*holdout_split"):
        GridSearchCV(ItemKNN(), {}, cv=SameRows(), error_score="raise").fit(X)
    with pytest.raises(ValueError, match=r"y is None.*holdout_split"):
        compare(MODELS, X, cv=SameRows())
    visible, y = holdout_split(X, random_state=0)
    GridSearchCV(ItemKNN(), {}, cv=SameRows(), error_score="raise").fit(visible, y)


def _warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [(str(one.message), one.filename) for one in caught if "flatter" in str(one.message)]


@pytest.mark.parametrize(
    "wrap", [lambda model: model, lambda model: make_pipeline(BinarizeTransformer(), model)]
)
@pytest.mark.parametrize(
    "model", [EASE(20.0), ItemKNN(10), UserKNN(10), PopularityRecommender()], ids=repr
)
def test_fitted_models_that_know_the_targets_are_named(whole, model, wrap):
    X, y = holdout_split(whole, random_state=0)
    leaky = wrap(clone(model)).fit(whole)
    for arguments in ((X, y), (whole,)):
        [(text, file)] = _warned(partial(compare, {"leaky": leaky}, *arguments, prefit=True))
        assert text.startswith("leaky: ")
        assert file == __file__
    honest = wrap(clone(model)).fit(X)
    assert not _warned(lambda: compare({"honest": honest}, X, y, prefit=True))
    unseen = wrap(model).fit(whole[:60])
    assert not _warned(lambda: compare({"unseen": unseen}, whole[60:], prefit=True))


def test_repeated_targets_were_not_hidden(whole):
    model = PopularityRecommender().fit(whole)
    arguments = (whole, whole[:, :])  # what was bought before is bought again
    assert not _warned(lambda: compare([model], *arguments, prefit=True, exclude_seen=False))


@pytest.mark.parametrize("of", [sp.csr_array, sp.csr_matrix, Interactions])
@pytest.mark.parametrize(
    "wrap", [lambda model: model, lambda model: make_pipeline(BinarizeTransformer(), model)]
)
def test_a_refit_on_the_stack_of_folds_warns(whole, of, wrap):
    X_, y_, cv = interaction_folds(of(whole), n_splits=3, random_state=0)
    estimator = wrap(ItemKNN(10))
    search = GridSearchCV(estimator, {}, cv=cv, refit=False, scoring=ranking_scorer("ndcg@10"))
    assert not _warned(lambda: search.fit(X_, y_))
    assert not _warned(lambda: compare({"a": estimator}, X_, y_, cv=cv))
    search.set_params(refit=True)
    [(text, file)] = _warned(lambda: search.fit(X_, y_))
    assert "refit=False" in text
    assert file == __file__
    assert len(_warned(lambda: estimator.fit(X_))) == 1
    assert not _warned(lambda: estimator.fit(X_[cv[0][0]]))
    assert not _warned(lambda: estimator.fit(of(whole)))


def test_backtests_mark_their_stack_too(whole):
    X = Interactions(whole)
    X.timestamps = np.arange(whole.nnz)
    for n_splits, n_warnings in ((3, 1), (1, 0)):
        X_, _, _ = backtest_folds(X, n_splits=n_splits)
        assert len(_warned(partial(PopularityRecommender().fit, X_))) == n_warnings


# -- times


@pytest.fixture
def timed():
    X = Interactions(np.array([[1.0, 1, 0], [0, 1, 1]]))
    X.timestamps = [10, 20, 15, 25]
    return X


@pytest.mark.parametrize("cut", [True, False, np.True_])
def test_a_cut_that_is_a_bool_is_refused(timed, cut):
    with pytest.raises(TypeError, match="A cut must be a time"):
        time_split(timed, cut=cut)
    with pytest.raises(TypeError, match="A cut must be a time"):
        backtest_folds(timed, cuts=[cut, 20])


@pytest.mark.parametrize("cut", [np.datetime64("NaT"), "NaT", np.nan, np.inf, np.float32("nan")])
def test_a_cut_that_is_missing_is_refused(timed, cut):
    with pytest.raises(ValueError, match="missing or infinite"):
        time_split(timed, cut=cut)
    with pytest.raises(ValueError, match="missing or infinite"):
        backtest_folds(timed, cuts=[15, cut])


def test_other_cuts_are_named(timed):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="missing"):
        time_split(timed, cut=pandas.NaT)
    with pytest.raises(TypeError, match="A cut must be a time"):
        time_split(timed, cut="yesterday")
    with pytest.raises(TypeError, match="A cut must be a time"):
        time_split(timed, cut=[10])
    for horizon in (True, 0, -1, np.nan, "1 day"):
        with pytest.raises(ValueError, match="horizon must be"):
            time_split(timed, cut=15, horizon=horizon)


@pytest.mark.parametrize(
    "cut", [20, 20.0, np.int8(20), np.uint64(20), np.float32(20), "1970-01-01T00:00:20"]
)
def test_cuts_of_any_type_cut_alike(timed, cut):
    X, y = time_split(timed, cut=cut)
    assert X.timestamps.tolist() == [10, 15]
    assert y.timestamps.tolist() == [20, 25]


def test_times_that_int64_cannot_hold_are_refused():
    largest = np.iinfo(np.int64).max
    exact = as_times(np.array([0, largest], dtype=np.uint64))
    assert exact.dtype == np.int64
    assert exact.tolist() == [0, largest]
    for times in (
        np.array([0, largest + 1], dtype=np.uint64),
        np.array([2**64 - 1], dtype=np.uint64),
    ):
        with pytest.raises(ValueError, match="would wrap around"):
            as_times(times)
    X = Interactions(np.eye(2))
    with pytest.raises(ValueError, match="would wrap around"):
        X.timestamps = np.array([1, 2**63], dtype=np.uint64)
    values = np.array([[1, 2], [3, 2**63]], dtype=np.uint64)
    with pytest.raises(ValueError, match="would wrap around"):
        time_split(values, cut=2, order="values")
    small = np.array([[1, 2], [3, 4]], dtype=np.uint64)
    assert time_split(small, cut=3, order="values")[0].tolist() == [[1, 2], [0, 0]]
    with pytest.raises(ValueError, match="one side of the cut is empty"):
        time_split(small, cut=np.uint64(2**64 - 1), order="values")


# -- customers


def test_rfm_counts_stored_parts_of_one_entry_once():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, columns = rng.integers(0, 8, 60), rng.integers(0, 5, 60)
        values = rng.integers(1, 9, 60).astype(float)
        D = np.zeros((8, 5))
        np.add.at(D, (rows, columns), values)
        order = np.argsort(rows, kind="stable")
        indptr = np.searchsorted(rows[order], np.arange(9))
        parts = sp.csr_array((values[order], columns[order], indptr), shape=(8, 5))
        assert not parts.has_canonical_format
        expected = RFMTransformer().fit(D).transform(D)
        np.testing.assert_array_equal(expected[:, 0], (D > 0).sum(axis=1))
        for X in (
            parts,
            sp.csr_matrix(parts),
            sp.coo_array((values, (rows, columns)), shape=(8, 5)),
        ):
            np.testing.assert_array_equal(RFMTransformer().fit(X).transform(X), expected)
    cancelled = sp.csr_array(([5.0, -5.0, 2.0], [0, 0, 1], [0, 3]), shape=(1, 2))
    values = RFMTransformer(output="values").fit(cancelled).transform(cancelled)
    np.testing.assert_array_equal(values, [[1.0, 2.0]])
    assert cancelled.nnz == 3
