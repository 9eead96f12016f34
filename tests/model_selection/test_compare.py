"""compare: the figures of every other route, the tests of the metrics package, and nothing learned from y."""

import pickle
import sys
from time import process_time

import numpy as np
import pytest
import scipy.sparse as sp
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_llmrec import Interactions, ItemKNN
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.dummy import PopularityRecommender, RandomRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import adjust_p_values, bootstrap_interval, paired_test, ranking_scorer
from sklearn_llmrec.model_selection import compare, holdout_split, interaction_folds


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    taste = rng.integers(3, size=(150, 1)) == np.arange(40) % 3
    X = sp.csr_array((rng.uniform(size=taste.shape) < 0.08 + 0.3 * taste).astype(float))
    return holdout_split(X, random_state=0)


MODELS = {"pop": PopularityRecommender(), "knn": ItemKNN(), "ease": EASE()}


class Keeps(BaseRecommender):
    """Notes what fit was given."""

    seen_y = []

    def fit(self, X, y=None):
        self.seen_y.append(y)
        return super().fit(X, y)

    def _fit(self, X):
        pass

    def _score_rows(self, X):
        return np.tile(np.arange(X.shape[1], dtype=X.dtype), (X.shape[0], 1))


def test_the_table_is_made_of_the_public_parts(data):
    X, y = data
    result = compare(MODELS, X, y, metrics=["recall@5", "ndcg@10", "gini@5"])
    assert sorted(result.names) == sorted(MODELS)
    assert list(result["recall@5"].values()) == sorted(result["recall@5"].values(), reverse=True)
    frame = result.to_frame()
    best, second, third = result.names
    values = dict(zip(result.names, result.per_user["recall@5"]))
    p = adjust_p_values(
        [paired_test(values[name], values[best]).p_value for name in (second, third)]
    )
    np.testing.assert_allclose(frame["recall@5"]["p_value"], [np.nan, *p])
    for name in result.names:
        row = frame.loc[name, "recall@5"]
        low, high = bootstrap_interval(values[name])
        assert row["low"] == pytest.approx(low, abs=0.01)
        assert row["high"] == pytest.approx(high, abs=0.01)
        assert row["mean"] == pytest.approx(row["difference"] + frame.loc[best, "recall@5"]["mean"])
    assert (
        frame.loc[second, "recall@5"]["difference_low"]
        <= frame.loc[second, "recall@5"]["difference"]
    )
    assert np.isnan(frame["gini@5"]["low"]).all()
    assert result.reference["gini@5"] == min(result["gini@5"], key=result["gini@5"].get)
    assert (frame["seconds"] >= 0).all(axis=None)
    assert result.n_users + result.n_left_out == X.shape[0]
    assert result.n_left_out == np.count_nonzero(np.diff(sp.csr_array(y).indptr) == 0)


def test_printed_table(data):
    result = compare(MODELS, *data, metrics=["ndcg@10", "item_coverage@10"], confidence=0.9)
    lines = repr(result).splitlines()
    assert lines[0].startswith("3 models, ")
    assert lines[1] == "all with a visible history"
    assert "90 % interval" in lines[3]
    assert [line.split()[0] for line in lines[4:7]] == result.names
    assert "< 0.001" in lines[6]
    assert max(len(line) for line in lines) <= 100
    assert all(line == line.rstrip() for line in lines)


def test_equals_the_scorer_and_learns_nothing_from_y(data):
    X, y = data
    scorer = ranking_scorer(["ndcg@10", "popularity@10"])
    expected = scorer(EASE().fit(X), X, y)
    result = compare([("ease", EASE())], X, y, metrics=["ndcg@10", "popularity@10"])
    assert result["ndcg@10"]["ease"] == expected["ndcg@10"]
    assert result["popularity@10"]["ease"] == -expected["popularity@10"]
    Keeps.seen_y = []
    compare([Keeps()], X, y, metrics="ndcg@10")
    assert Keeps.seen_y == [None]


def test_pipelines_searches_and_fitted_models(data):
    X, y = data
    models = {
        "pipeline": make_pipeline(Normalizer(), ItemKNN()),
        "search": GridSearchCV(ItemKNN(), {"n_neighbors": [5, 20]}, cv=2),
    }
    fresh = compare(models, X, y, metrics="ndcg@10")
    again = compare(fresh.estimators, X, y, metrics="ndcg@10", prefit=True)
    assert again["ndcg@10"] == fresh["ndcg@10"]
    assert np.isnan(again.fit_seconds).all()
    assert not hasattr(models["search"], "best_estimator_")
    assert not compare(models, X, y, return_estimator=False).estimators
    assert not compare(MODELS, X, cv=2).estimators
    kept = compare(MODELS, X, cv=2, return_estimator=True).estimators
    assert [len(of_model) for of_model in kept.values()] == [2, 2, 2]


def test_without_y_all_models_answer_one_question(data):
    X, _ = data
    result = compare([EASE(), PopularityRecommender()], X, metrics="ndcg@10")
    hidden = ranking_scorer("ndcg@10").hide(X, None, [EASE()])
    expected = compare([EASE(), PopularityRecommender()], *hidden, metrics="ndcg@10")
    assert result["ndcg@10"] == expected["ndcg@10"]
    popularity = PopularityRecommender().fit(X)
    with pytest.warns(UserWarning, match="the figure flatters"):
        learned = compare([popularity], X, metrics="ndcg@10", prefit=True)
    assert learned["ndcg@10"]["PopularityRecommender"] == popularity.score(X)


def test_unseen_users(data):
    X, _ = data
    result = compare({"ease": EASE()}, X, cv=3, metrics="ndcg@10")
    assert result.n_users == np.count_nonzero(np.diff(X.indptr) >= 2)
    fold = np.arange(50)
    scorer = ranking_scorer("ndcg@10")
    rest = np.arange(50, 150)
    expected = scorer.per_user(EASE().fit(X[rest]), X[fold])["ndcg@10"]
    np.testing.assert_array_equal(result.per_user["ndcg@10"][0][:50], expected)


@pytest.mark.parametrize("known_by", ["groups", "user_ids"])
def test_users_of_several_rows_count_once(data, known_by):
    X, _ = data
    ids = np.array([f"u{i}" for i in range(X.shape[0])])
    if known_by == "user_ids":
        X = Interactions(X, user_ids=ids)
    X_, y_, cv = interaction_folds(X, n_splits=3, random_state=0)
    groups = np.tile(ids, 3) if known_by == "groups" else None
    result = compare([EASE()], X_, y_, cv=cv, groups=groups, metrics="ndcg@10")
    assert result.n_users <= X.shape[0]
    assert len(result.users) == X.shape[0]
    scorer = ranking_scorer("ndcg@10")
    folds = [
        scorer.per_user(EASE().fit(X_[train]), X_[test], y_[test])["ndcg@10"] for train, test in cv
    ]
    folds = np.array(folds)
    counted = (~np.isnan(folds)).sum(axis=0)
    expected = np.where(counted > 0, np.nansum(folds, axis=0) / np.maximum(counted, 1), np.nan)
    np.testing.assert_allclose(result.per_user["ndcg@10"][0], expected[np.argsort(ids)])


def test_jobs_seed_and_progress(data, capsys):
    X, y = data
    one = compare(MODELS, X, y, verbose=1)
    out = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in out] == ["[1/3]", "[2/3]", "[3/3]"]
    with parallel_config("threading"):
        two = compare(MODELS, X, y, n_jobs=2)
    statistics = one.to_frame().drop(columns="seconds", level=0)
    assert statistics.equals(two.to_frame().drop(columns="seconds", level=0))
    permuted = compare(MODELS, X, y, test="permutation", correction=None).to_frame()
    np.testing.assert_allclose(
        permuted["ndcg@10"]["p_value"],
        compare(MODELS, X, y, correction=None).to_frame()["ndcg@10"]["p_value"],
        atol=0.03,
    )


def test_named_reference(data):
    result = compare(MODELS, *data, reference="pop")
    assert set(result.reference.values()) == {"pop"}
    frame = result.to_frame()
    assert np.isnan(frame.loc["pop", ("ndcg@10", "p_value")])
    assert (frame.loc[["ease", "knn"], ("ndcg@10", "difference")] > 0).all()


def test_names():
    X = np.eye(4)[[0, 1, 2, 3, 0, 1]] + np.eye(4)[[1, 2, 3, 0, 2, 3]]
    result = compare([RandomRecommender(), RandomRecommender()], X, metrics="ndcg@2")
    assert set(result.names) == {"RandomRecommender-1", "RandomRecommender-2"}
    with pytest.raises(ValueError, match="different names"):
        compare([("a", EASE()), ("a", EASE())], X)
    with pytest.raises(ValueError, match="at least one"):
        compare({}, X)
    with pytest.raises(ValueError, match="reference must be one of"):
        compare({"a": EASE()}, X, reference="b")
    with pytest.raises(ValueError, match="one label per row"):
        compare({"a": EASE()}, X, groups=[1])
    with pytest.raises(ValueError, match="confidence"):
        compare({"a": EASE()}, X, confidence=95)


def test_dense_and_sparse_input_agree(data):
    X, y = data
    result = compare(MODELS, X, y)["ndcg@10"]
    assert compare(MODELS, X.toarray(), y.toarray())["ndcg@10"] == result
    assert compare(MODELS, sp.csc_array(X), sp.coo_array(y))["ndcg@10"] == result


def test_bootstrap_of_6040_users_within_a_second():
    rng = np.random.default_rng(0)
    X, y = holdout_split(
        sp.csr_array(rng.uniform(size=(6040, 60)) < 0.15).astype(float), random_state=0
    )
    models = {name: PopularityRecommender().fit(X) for name in "abcde"}
    start = process_time()
    compare(models, X, y, prefit=True)
    assert process_time() - start < 2


def test_prints_without_pandas(data, monkeypatch):
    result = compare(MODELS, *data, metrics="ndcg@10")
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "ease" in repr(result)
    with pytest.raises(ImportError, match=r"sklearn-llmrec\[all\]"):
        result.to_frame()


def test_pickles(data):
    result = compare(MODELS, *data, metrics="ndcg@10")
    assert repr(pickle.loads(pickle.dumps(result))) == repr(result)
