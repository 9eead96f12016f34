"""A model has the same figure by every route: functions, scorer, score, searches, compare, displays."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_llmrec import Interactions, recommend
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.metrics import ndcg_at_k, ranking_metrics, ranking_scorer
from sklearn_llmrec.model_selection import SameRows, compare, holdout_split
from sklearn_llmrec.sequence import SequenceKNN


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


def timed_histories(n_users=60, n_items=40):
    """Walks through the items, whose next item the last one tells."""
    rng = np.random.default_rng(0)
    start = rng.integers(n_items, size=n_users)
    items = (start[:, None] + np.cumsum(rng.integers(1, 3, (n_users, 12)), axis=1)) % n_items
    X = sp.csr_array(
        (np.ones(items.size), (np.repeat(np.arange(n_users), 12), items.ravel())),
        shape=(n_users, n_items),
    )
    X.sum_duplicates()
    times = np.empty(X.nnz, dtype=np.int64)
    for row in range(n_users):
        part = slice(X.indptr[row], X.indptr[row + 1])
        times[part] = [list(items[row]).index(column) for column in X.indices[part]]
    return Interactions(X, timestamps=times)


@pytest.mark.parametrize("wrap", ["bare", "pipeline", "search"])
def test_a_model_of_order_is_asked_for_the_latest_by_every_route(wrap):
    X = timed_histories()
    everything = [(np.arange(X.shape[0]), np.arange(X.shape[0]))]
    model = SequenceKNN()
    if wrap == "pipeline":
        model = make_pipeline(FunctionTransformer(accept_sparse=True), model)
    if wrap == "search":
        model = GridSearchCV(model, {}, cv=everything)
    fitted = model.fit(X)
    figure = SequenceKNN().fit(X).score(X)
    latest = ranking_scorer("ndcg@10", holdout="latest")
    by_hash = ranking_scorer("ndcg@10", holdout="hash")
    assert latest(fitted, X) == pytest.approx(figure, rel=1e-12)
    assert by_hash(fitted, X) != pytest.approx(figure, rel=1e-3)
    with pytest.warns(UserWarning, match="the figure flatters"):
        prefit = compare({"a": fitted}, X, prefit=True)
    routes = {
        "scorer": ranking_scorer("ndcg@10")(fitted, X),
        "scorer of several": ranking_scorer(["auc", "ndcg@10"])(fitted, X)["ndcg@10"],
        "per user": np.nanmean(ranking_scorer("ndcg@10").per_user(fitted, X)["ndcg@10"]),
        "compare": prefit["ndcg@10"]["a"],
        "compare, one fold": compare({"a": model}, X, cv=everything)["ndcg@10"]["a"],
    }
    for route, value in routes.items():
        assert value == pytest.approx(figure, rel=1e-12), route


def test_models_of_both_kinds_answer_one_question():
    X = timed_histories()
    models = {"order": SequenceKNN().fit(X), "none": PopularityRecommender().fit(X)}
    latest = ranking_scorer("ndcg@10", holdout="latest")
    with pytest.warns(UserWarning, match="the figure flatters"):
        both = compare(models, X, prefit=True)["ndcg@10"]
    assert both["none"] == pytest.approx(latest(models["none"], X), rel=1e-12)
    assert both["order"] == pytest.approx(latest(models["order"], X), rel=1e-12)
    with pytest.warns(UserWarning, match="the figure flatters"):
        alone = compare({"none": models["none"]}, X, prefit=True)["ndcg@10"]["none"]
    assert alone == pytest.approx(models["none"].score(X), rel=1e-12)
    folds = compare(models, X, cv=3)
    named = compare(models, X, cv=3, holdout="latest")
    np.testing.assert_array_equal(folds.per_user["ndcg@10"], named.per_user["ndcg@10"])


def test_displays_ask_what_score_asks():
    pytest.importorskip("matplotlib").use("Agg")
    from sklearn_llmrec.inspection import InteractionCurveDisplay, MetricAtKDisplay

    X = timed_histories()
    model = SequenceKNN().fit(X)
    with pytest.warns(UserWarning, match="the figure flatters"):
        curve = MetricAtKDisplay.from_estimator({"a": model}, X, ks=[10]).curves["a"]
    assert curve[0, 0] == pytest.approx(model.score(X), rel=1e-12)
    grown = InteractionCurveDisplay.from_estimator({"a": SequenceKNN()}, X, train_sizes=[1.0])
    compared = compare({"a": SequenceKNN()}, X)["ndcg@10"]["a"]
    assert grown.curves["a"][0, 0] == pytest.approx(compared, rel=1e-12)
