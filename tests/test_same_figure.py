"""Popularity on any data has the same figure by every route: functions, scorer, score, searches, compare."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_llmrec import Interactions, recommend
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.metrics import ndcg_at_k, ranking_metrics, ranking_scorer
from sklearn_llmrec.model_selection import SameRows, compare, holdout_split


def random_pair(seed, n_users, n_items, density, kind):
    rng = np.random.default_rng(seed)
    chance = np.minimum(1, density * 2 * rng.uniform(size=n_items))
    M = (rng.uniform(size=(n_users, n_items)) < chance) * rng.integers(1, 6, (n_users, n_items))
    M[0, :3] = 1  # a row that has a target for sure
    if kind == "interactions":
        X = Interactions(M.astype(np.float32), user_ids=np.arange(n_users) + 7)
    else:
        X = sp.csr_array(M.astype(float)) if kind == "sparse" else M.astype(float)
    return holdout_split(X, random_state=seed)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_users=st.integers(2, 60),
    n_items=st.integers(10, 50),
    density=st.floats(0.02, 0.9),
    kind=st.sampled_from(["dense", "sparse", "interactions"]),
)
def test_popularity_by_every_route(seed, n_users, n_items, density, kind):
    X, y = random_pair(seed, n_users, n_items, density, kind)
    model = PopularityRecommender().fit(X)
    figure = model.score(X, y)
    scores = model.predict(X)
    items, _ = model.recommend(X, 10)
    unmasked, _ = model.recommend(X, n_items, exclude_seen=False)
    scorer = ranking_scorer("ndcg@10")
    pipeline = make_pipeline(FunctionTransformer(accept_sparse=True), PopularityRecommender())
    targets = sp.csr_array(y)
    routes = {
        "scores and seen": ndcg_at_k(y, scores, k=10, seen=X),
        "lists": ndcg_at_k(y, items, k=10),
        "lists and seen": ndcg_at_k(y, items, k=10, seen=X),
        "whole lists and seen": ndcg_at_k(y, unmasked, k=10, seen=X),
        "recommend": ndcg_at_k(y, recommend(pipeline.fit(X), X, 10)[0], k=10),
        "per user": np.nanmean(ndcg_at_k(y, items, k=10, per_user=True)),
        "several": ranking_metrics(y, scores, ["recall@3", "ndcg@10"], seen=X)["ndcg@10"],
        "scorer": scorer(model, X, y),
        "scorer of several": ranking_scorer(["auc", "ndcg@10"])(model, X, y)["ndcg@10"],
        "scorer per user": np.nanmean(scorer.per_user(model, X, y)["ndcg@10"]),
        "pipeline": scorer(pipeline, X, y),
        "compare": compare([model], X, y, prefit=True)["ndcg@10"]["PopularityRecommender"],
        "compare, fitted there": compare({"a": model, "b": model}, X, y)["ndcg@10"]["b"],
        "compare, one fold": compare({"a": model}, X, targets, cv=SameRows())["ndcg@10"]["a"],
    }
    for route, value in routes.items():
        assert value == pytest.approx(figure, rel=1e-12), route


@pytest.mark.parametrize("kind", ["dense", "sparse", "interactions"])
def test_popularity_in_searches(kind):
    X, y = random_pair(3, 50, 30, 0.3, kind)
    y = sp.csr_array(y)  # scikit-learn slices the rows of any sparse array
    figure = PopularityRecommender().fit(X).score(X, y)
    for scoring in (None, ranking_scorer("ndcg@10")):
        search = GridSearchCV(PopularityRecommender(), {}, cv=SameRows(), scoring=scoring)
        assert search.fit(X, y).best_score_ == pytest.approx(figure, rel=1e-12)


def test_popularity_of_unseen_users_hidden_by_each_route():
    X, _ = random_pair(5, 80, 30, 0.3, "sparse")
    by_score = cross_val_score(PopularityRecommender(), X, cv=4)
    by_scorer = cross_val_score(PopularityRecommender(), X, cv=4, scoring=ranking_scorer("ndcg@10"))
    np.testing.assert_array_equal(by_score, by_scorer)
    result = compare([PopularityRecommender()], X, cv=4, metrics="ndcg@10")
    of_users = result.per_user["ndcg@10"][0].reshape(4, 20)
    np.testing.assert_allclose(np.nanmean(of_users, axis=1), by_score, rtol=1e-12)


def test_popularity_where_people_buy_again():
    X, _ = random_pair(6, 60, 30, 0.3, "sparse")
    y, _ = random_pair(7, 60, 30, 0.3, "sparse")
    model = PopularityRecommender().fit(X)
    items, _ = model.recommend(X, 10, exclude_seen=False)
    figure = ndcg_at_k(y, items, k=10)
    scorer = ranking_scorer("ndcg@10", exclude_seen=False)
    again = compare([model], X, y, prefit=True, exclude_seen=False)
    assert figure == pytest.approx(ndcg_at_k(y, model.predict(X), k=10), rel=1e-12)
    assert figure == pytest.approx(scorer(model, X, y), rel=1e-12)
    assert figure == pytest.approx(again["ndcg@10"]["PopularityRecommender"], rel=1e-12)
    assert figure != pytest.approx(model.score(X, y), rel=1e-3)
