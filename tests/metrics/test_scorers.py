"""Scorers inside scikit-learn: the same question for every candidate, the same figure by every route."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer

from sklearn_llmrec import Interactions, ItemKNN, recommend
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.interactions._hide import hide_by_hash, hide_latest
from sklearn_llmrec.metrics import (
    auc_score,
    get_ranking_scorer_names,
    mae,
    miscalibration_at_k,
    ndcg_at_k,
    novelty_at_k,
    r_precision,
    ranking_metrics,
    ranking_scorer,
    rating_scorer,
    rmse,
)
from sklearn_llmrec.model_selection import holdout_split


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    odds = np.where(np.arange(60)[:, None] % 3 == np.arange(40) % 3, 0.5, 0.08)
    X = (rng.random((60, 40)) < odds) * rng.integers(1, 6, (60, 40)).astype(float)
    X[5] = 0
    return sp.csr_array(X)


FORMS = {
    "csr_matrix": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "csr_array": sp.csr_array,
    "Interactions": Interactions,
    "dense": lambda X: X.toarray(),
}


@pytest.mark.parametrize("form", FORMS)
def test_popularity_has_one_figure_by_every_route(X, form):
    visible, y = hide_by_hash(X)
    model = PopularityRecommender().fit(X)
    want = model.score(X)
    given = FORMS[form](X)
    pipeline = make_pipeline(PopularityRecommender()).fit(X)
    search = GridSearchCV(make_pipeline(PopularityRecommender()), {}, cv=2).fit(X)
    search.best_estimator_.fit(X)
    scorer = ranking_scorer("ndcg@10")
    for estimator in (model, pipeline, search):
        assert scorer(estimator, given) == pytest.approx(want, abs=1e-12)
        assert scorer(estimator, FORMS[form](visible), FORMS[form](y)) == pytest.approx(want)
    items, _ = recommend(model, visible, k=10)
    assert ndcg_at_k(y, items) == pytest.approx(want, abs=1e-12)
    assert ndcg_at_k(y, model.predict(visible), seen=visible) == pytest.approx(want, abs=1e-12)
    assert model.score(visible, y) == pytest.approx(want, abs=1e-12)
    assert scorer.per_user(model, given)["ndcg@10"].shape == (60,)
    assert np.nanmean(scorer.per_user(model, given)["ndcg@10"]) == pytest.approx(want)


def test_popularity_is_found_in_pipelines_and_searches(X):
    names = ["novelty@5", "serendipity@5", "popularity@5", "cold_items@5"]
    scorer = ranking_scorer(names)
    fitted = ItemKNN().fit(X)
    want = scorer(fitted, X)
    steps = make_pipeline(Binarizer(), ItemKNN())
    plain = make_pipeline("passthrough", ItemKNN()).fit(X)
    search = GridSearchCV(plain, {"itemknn__n_neighbors": [100]}, cv=2).fit(X)
    nested = make_pipeline(GridSearchCV(ItemKNN(), {}, cv=2)).fit(X)
    for estimator in (plain, search, nested):
        assert scorer(estimator, X) == pytest.approx(want)
    assert scorer(steps.fit(X), X).keys() == want.keys()
    items, _ = recommend(fitted, hide_by_hash(X)[0], k=5)
    novelty = novelty_at_k(items, fitted.item_popularity_, n_users=60, k=5, per_user=True)
    rows = np.diff(hide_by_hash(X)[1].indptr) > 0
    assert rows.sum() == 59
    # novelty reads all lists, so the empty row has one too
    assert want["novelty@5"] == pytest.approx(novelty.mean())
    assert want["popularity@5"] < 0  # less is better: negated
    assert scorer.greater_is_better["popularity@5"] is False
    assert (scorer.per_user(fitted, X)["popularity@5"] > 0).all()
    with pytest.raises(ValueError, match="Ridge has no item_popularity_"):
        scorer(Ridge().fit(X.toarray(), X.toarray()), X)


def test_every_name_scores_alone_and_together(X):
    genres = np.eye(40, 3)[np.arange(40) % 3]
    names = [name.replace("@k", "@4") for name in get_ranking_scorer_names()]
    model = ItemKNN().fit(X)
    together = ranking_scorer(names, item_features=genres)(model, X)
    assert list(together) == names
    for name in names:
        alone = ranking_scorer(name, item_features=genres)
        value = alone(model, X)
        assert isinstance(value, float)
        # alone, rows without targets are not ranked at all: that changes no metric that reads targets
        assert value == pytest.approx(together[name], abs=1e-12)
    assert -together["gini@4"] > 0
    visible, y = hide_by_hash(X)
    items, _ = recommend(model, visible, k=30)
    calibration = miscalibration_at_k(items, visible, genres, k=4)
    assert together["miscalibration@4"] == pytest.approx(-calibration)
    assert together["r_precision"] == pytest.approx(r_precision(y, items))
    assert together["auc"] == pytest.approx(auc_score(y, model.predict(visible), seen=visible))
    assert together["new_items@4"] == 1


@pytest.mark.parametrize("holdout", [None, "hash", "random", "latest"])
def test_every_candidate_is_asked_the_same_question(X, holdout):
    scorer = ranking_scorer("recall@5", holdout=holdout, random_state=3)
    hide = {
        "latest": hide_latest,
        "random": lambda X: holdout_split(X, random_state=3),
    }.get(holdout, hide_by_hash)
    visible, y = hide(X)
    model = ItemKNN().fit(X)
    items, _ = recommend(model, visible, k=5)
    want = ranking_metrics(y, items, "recall@5")["recall@5"]
    assert scorer(model, X) == scorer(model, X) == pytest.approx(want)
    # What is hidden is hidden before the first step: binarising changes values, not the question.
    binary = make_pipeline(Binarizer(), ItemKNN()).fit(X)
    items, _ = recommend(binary, visible, k=5)
    assert scorer(binary, X) == pytest.approx(ranking_metrics(y, items, "recall@5")["recall@5"])


def test_searches_take_it(X):
    one = ranking_scorer("ndcg@5")
    grid = {"n_neighbors": [2, 20]}
    search = GridSearchCV(ItemKNN(), grid, scoring=one, cv=3, error_score="raise").fit(X)
    assert search.score(X) == one(search, X)
    several = ranking_scorer(("ndcg@5", "item_coverage@5", "gini@5"), holdout="random")
    search = GridSearchCV(
        ItemKNN(), grid, scoring=several, refit="ndcg@5", cv=3, error_score="raise"
    ).fit(X)
    assert {"mean_test_ndcg@5", "mean_test_gini@5"} < set(search.cv_results_)
    halving = HalvingGridSearchCV(
        ItemKNN(),
        grid,
        scoring=one,
        cv=KFold(2),
        min_resources=20,
        random_state=0,
        error_score="raise",
    ).fit(X)
    assert halving.best_score_ > 0
    result = cross_validate(ItemKNN(), X, scoring=several, cv=3, error_score="raise")
    assert (result["test_gini@5"] < 0).all()
    assert cross_val_score(ItemKNN(), X, scoring=one, cv=3, error_score="raise").min() > 0
    curve = learning_curve(
        ItemKNN(), X, None, scoring=one, cv=3, train_sizes=[0.5, 1.0], error_score="raise"
    )
    assert np.isfinite(curve[2]).all()


def test_searches_with_targets_measure_known_users(X):
    visible, y = holdout_split(X, random_state=0)
    rows = np.arange(X.shape[0])
    search = GridSearchCV(
        ItemKNN(),
        {"n_neighbors": [5]},
        scoring=ranking_scorer("ndcg@10"),
        cv=[(rows, rows)],
        error_score="raise",
    ).fit(visible, y)
    assert search.best_score_ == pytest.approx(search.best_estimator_.score(visible, y))


def test_square_matrices_and_other_estimators(X):
    square = X[:40]
    assert 0 < ranking_scorer("ndcg@5")(ItemKNN().fit(square), square) <= 1
    dense = X.toarray()
    ridge = make_pipeline(TruncatedSVD(5, random_state=0), Ridge()).fit(dense, dense)
    found = ranking_scorer(["ndcg@5", "auc"])(ridge, dense)
    visible, y = hide_by_hash(X)
    assert found["ndcg@5"] == pytest.approx(
        ndcg_at_k(y, ridge.predict(visible.toarray()), seen=visible, k=5)
    )


def test_repeat_purchases_are_another_question(X):
    y = X.copy()  # everyone buys again what they had
    model = PopularityRecommender().fit(X)
    assert ranking_scorer("recall@40", exclude_seen=False)(model, X, y) == 1
    with pytest.raises(ValueError, match="does not count unless exclude_seen=False"):
        ranking_scorer("recall@10")(model, X, y)
    new = ranking_scorer("new_items@40", exclude_seen=False)(model, X, y)
    assert new == pytest.approx(1 - X.nnz / X.shape[0] / 40)


def test_groups_of_users(X):
    rng = np.random.default_rng(0)
    country = np.where(rng.random(60) < 0.4, "DE", "FR")
    known = Interactions(X, user_features=pd.DataFrame({"country": country}))
    model = ItemKNN().fit(X)
    per_user = ranking_scorer("ndcg@5").per_user(model, X)["ndcg@5"]
    found = ranking_scorer(["ndcg@5", "gini@5"], groups="country")(model, known)
    for label in ("DE", "FR"):
        assert found[f"ndcg@5[{label}]"] == pytest.approx(np.nanmean(per_user[country == label]))
    items, _ = recommend(model, hide_by_hash(X)[0][country == "DE"], k=5)
    gini = ranking_metrics(X[country == "DE"], items, "gini@5")["gini@5"]
    assert found["gini@5[DE]"] == pytest.approx(-gini)
    by_array = ranking_scorer(["ndcg@5", "gini@5"], groups=country)(model, X)
    assert by_array == pytest.approx(found)
    by_activity = ranking_scorer("ndcg@5", groups="activity")(model, X)
    assert list(by_activity) == ["ndcg@5", "ndcg@5[low]", "ndcg@5[mid]", "ndcg@5[high]"]
    assert by_activity["ndcg@5"] == pytest.approx(np.nanmean(per_user))
    result = cross_validate(
        ItemKNN(),
        known,
        scoring=ranking_scorer("ndcg@5", groups="country"),
        cv=2,
        error_score="raise",
    )
    assert "test_ndcg@5[DE]" in result
    for groups, words in [
        ("countri", "Unknown group 'countri'. Did you mean 'country'"),
        (country[:3], "groups contains 3 labels and X has 60 rows"),
    ]:
        with pytest.raises(ValueError, match=words):
            ranking_scorer("ndcg@5", groups=groups)(model, known)
    with pytest.raises(ValueError, match="X has none: build it"):
        ranking_scorer("ndcg@5", groups="country")(model, X)
    with pytest.raises(ValueError, match="groups must be 'activity'"):
        ranking_scorer("ndcg@5", groups=np.eye(3))


def test_rating_scorer(X):
    visible, y = holdout_split(X, random_state=0)
    model = ItemKNN().fit(visible)
    predicted = model.predict(visible)
    assert rating_scorer("rmse")(model, visible, y) == pytest.approx(-rmse(y, predicted))
    assert rating_scorer("mae")(model, visible, y) == pytest.approx(-mae(y, predicted))
    visible, y = hide_by_hash(X)
    predicted = model.predict(visible)
    assert rating_scorer("mae")(model, X) == pytest.approx(-mae(y, predicted))
    search = GridSearchCV(
        ItemKNN(), {"n_neighbors": [2, 5]}, scoring=rating_scorer("rmse"), error_score="raise"
    )
    assert search.fit(X).best_score_ < 0
    with pytest.raises(ValueError, match=r"Unknown rating metric 'rsme'\. Did you mean 'rmse'"):
        rating_scorer("rsme")
    with pytest.raises(ValueError, match="No row of y contains a rating"):
        rating_scorer("rmse")(model, visible, y * 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ranking_scorer("ndcg@10"),
        lambda: ranking_scorer(["map@5", "auc"], holdout="random", random_state=4),
        lambda: rating_scorer("mae", holdout="latest"),
    ],
)
def test_scorers_pickle_clone_and_say_what_they_are(X, make):
    scorer, model = make(), ItemKNN().fit(X)
    for copy in (pickle.loads(pickle.dumps(scorer)), clone(scorer, safe=False), eval(repr(scorer))):
        assert copy(model, X) == scorer(model, X)
        assert repr(copy) == repr(scorer)


def test_repr_names_only_what_differs():
    assert repr(ranking_scorer("ndcg@10")) == "ranking_scorer('ndcg@10')"
    assert (
        repr(ranking_scorer(["mrr@5"], exclude_seen=False, groups="activity", random_state=7))
        == "ranking_scorer(['mrr@5'], exclude_seen=False, random_state=7, groups='activity')"
    )


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("Unknown metric 'ncdg@10'. Did you mean 'ndcg@10'", lambda X: ranking_scorer("ncdg@10")),
        ("Known: auc, capped_recall@k", lambda X: ranking_scorer("accuracy")),
        ("'holdout' parameter of ranking_scorer", lambda X: ranking_scorer("mrr@5", holdout="x")),
        ("'random_state' parameter", lambda X: ranking_scorer("mrr@5", random_state=None)),
        ("'exclude_seen' parameter", lambda X: ranking_scorer("mrr@5", exclude_seen="no")),
        ("'mrr@50' ranks 50 items, and X has 40", lambda X: ranking_scorer("mrr@50")(_knn(X), X)),
        (
            r"y has shape \(59, 40\) and X has shape \(60, 40\)",
            lambda X: ranking_scorer("mrr@5")(_knn(X), X, X[:59]),
        ),
        ("No row has a target", lambda X: ranking_scorer("mrr@5")(_knn(X), X[5:6])),
        (
            "needs item_features",
            lambda X: ranking_scorer("miscalibration@5")(_knn(X), X),
        ),
        (
            "one number for all users",
            lambda X: ranking_scorer("gini@5").per_user(_knn(X), X),
        ),
    ],
)
def test_refusals_say_what_is_wrong(X, words, call):
    with pytest.raises(ValueError, match=words):
        call(X)


def _knn(X):
    return ItemKNN().fit(X)
