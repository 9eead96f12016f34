"""Weights and second stages learned on hidden interactions, and nothing else."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _oracles import plain_ease
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV

from sklearn_llmrec import Interactions
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.dummy import PopularityRecommender, RandomRecommender
from sklearn_llmrec.ensemble import StackingRecommender, VotingRecommender, _hidden
from sklearn_llmrec.ensemble._weights import learn_weights, likeliest_weights, pool_ndcg
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split, time_split
from sklearn_llmrec.neighbors import ItemKNN
from sklearn_llmrec.sequence import RepeatRecommender, SequenceKNN


class Memory(BaseRecommender):
    """Recalls the fitted row that a history is part of: perfect on what it was fitted on."""

    def _fit(self, X):
        self.rows_ = X.toarray()

    def _score_rows(self, X):
        overlap = X @ self.rows_.T / np.maximum(self.rows_.sum(axis=1), 1) ** 0.5
        return self.rows_[np.asarray(overlap).argmax(axis=1)].astype(X.dtype) + 0.01


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    taste = rng.dirichlet(np.full(4, 0.3), 400) @ np.eye(4)[np.arange(60) % 4].T
    popular = rng.uniform(0.3, 1, 60)
    return sp.csr_array((rng.random((400, 60)) < 0.55 * taste * popular + 0.02).astype(float))


def members():
    return [
        ("ease", plain_ease(20.0)),
        ("random", RandomRecommender(random_state=0)),
        ("popular", PopularityRecommender()),
    ]


def voting(**params):
    return VotingRecommender(members(), weights="learn", normalize="zscore", **params)


def stacking(final=None, **params):
    return StackingRecommender(members(), final_estimator=final, **params)


def quality(model, visible, hidden):
    return ndcg_at_k(hidden, model.fit(visible).recommend(visible, 10)[0], seen=visible)


def test_a_random_member_gets_a_weight_near_zero(X):
    model = voting().fit(X)
    assert_allclose(model.weights_.sum(), 1)
    assert model.weights_[0] > 0.5
    assert model.weights_[1] < 0.05
    final = stacking(LogisticRegression(C=1.0)).fit(X).final_estimator_
    weight = dict(zip(stacking().fit(X).feature_names_, np.abs(final.coef_[0])))
    assert weight["random score"] < 0.2 * weight["ease score"]


def test_many_random_members_get_weights_near_zero(X):
    noise = [(f"noise{i}", RandomRecommender(random_state=i)) for i in range(6)]
    ease = ("ease", plain_ease(20.0))
    model = VotingRecommender([ease, *noise], weights="learn", normalize="zscore").fit(X)
    assert model.weights_[0] > 0.8
    visible, hidden = holdout_split(X, test_size=0.3, random_state=0)
    alone = quality(plain_ease(20.0), visible, hidden)
    assert quality(model, visible, hidden) > alone - 0.02
    equal = VotingRecommender([ease, *noise], normalize="zscore")
    assert quality(equal, visible, hidden) < alone - 0.03


def alike(seed, n_users=150, n_items=60, n_members=8):
    """What members say that hear the same taste with the same errors, and a little of their own."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(n_users, n_items))
    chosen = np.argsort(-(taste + rng.gumbel(size=taste.shape)), axis=1)[:, :3]
    hits = np.zeros(taste.shape, dtype=bool)
    np.put_along_axis(hits, chosen, True, axis=1)
    heard = taste + 0.3 * rng.normal(size=taste.shape)
    votes = heard[:, :, None] + 0.3 * rng.normal(size=(*taste.shape, n_members))
    items = np.tile(np.arange(n_items), (n_users, 1))
    ones = np.ones(n_users, dtype=np.int64)
    return _hidden.Pool(items, votes.astype(np.float32), 5 * ones, hits, 3 * ones)


def test_a_member_ahead_by_chance_does_not_decide_alone():
    assert all(learn_weights(alike(seed)).max() < 0.9 for seed in range(20))


def test_a_member_far_ahead_decides_where_the_likeliest_vote_is_worse():
    """All that is hidden counts for the likelihood, and only the first places for nDCG."""
    rng = np.random.default_rng(0)
    n_users, n_items = 200, 100
    hits = np.zeros((n_users, n_items), dtype=bool)
    hits[:, :20] = True
    items = np.stack([rng.permutation(n_items) for _ in range(n_users)])
    hits = np.take_along_axis(hits, items, axis=1)
    # One knows ten of twenty for sure and nothing of the others; one knows a little of all.
    sure = np.where(items < 10, 3.0, 0.0) + 0.01 * rng.normal(size=items.shape)
    vague = np.where(hits, 1.5, 0.0) + rng.normal(size=items.shape)
    votes = np.stack([sure, vague], axis=2).astype(np.float32)
    n_targets = np.full(n_users, 20)
    pool = _hidden.Pool(items, votes, n_targets, hits, n_targets)
    alone = pool_ndcg(pool, np.array([1.0, 0.0])).mean()
    assert pool_ndcg(pool, likeliest_weights(pool)).mean() < alone - 0.005
    weights = learn_weights(pool)
    assert pool_ndcg(pool, weights).mean() >= alone


def test_a_better_member_gets_more_and_a_twin_changes_nothing(X):
    twins = [("a", EASE(20.0)), ("b", EASE(20.0)), ("popular", PopularityRecommender())]
    model = VotingRecommender(twins, weights="learn", normalize="zscore").fit(X)
    assert_allclose(model.weights_[0], model.weights_[1], atol=0.02)
    one = VotingRecommender(twins[1:], weights="learn", normalize="zscore").fit(X)
    assert one.weights_[0] > 0.5
    assert_allclose(model.weights_[:2].sum(), one.weights_[0], atol=0.1)


@pytest.mark.parametrize("normalize", ["zscore", "rrf", "minmax"])
def test_the_scale_of_a_member_does_not_matter_to_what_is_learned(X, normalize):
    class Scaled(EASE):
        def _score_rows(self, X):
            return 1000 * super()._score_rows(X)

    figures = []
    for kind in (EASE, Scaled):
        pair = [("ease", kind(20.0)), ("popular", PopularityRecommender())]
        model = VotingRecommender(pair, weights="learn", normalize=normalize, holdout="hash")
        figures.append(model.fit(X).recommend(X, 5)[0])
    assert (figures[0] == figures[1]).mean() > 0.99


@pytest.mark.parametrize("kind", [VotingRecommender, StackingRecommender])
def test_holdout_says_what_is_hidden(X, kind, monkeypatch):
    timed = Interactions(X, timestamps=np.random.default_rng(0).permutation(X.nnz))
    calls = []
    for name in ("hide_by_hash", "hide_latest", "hide_from_cut"):
        plain = getattr(_hidden, name)
        monkeypatch.setattr(
            _hidden,
            name,
            lambda X, name=name, plain=plain, **given: (calls.append(name), plain(X, **given))[1],
        )
    parameters = {"weights": "learn"} if kind is VotingRecommender else {}
    plain_members, ordered = members(), [("next", SequenceKNN()), *members()]
    for holdout, used, expected in [
        ("auto", plain_members, "hide_by_hash"),
        ("auto", ordered, "hide_latest"),
        ("hash", ordered, "hide_by_hash"),
        ("latest", plain_members, "hide_latest"),
        ("time", ordered, "hide_from_cut"),
    ]:
        kind(used, holdout=holdout, **parameters).fit(timed)
        assert calls[-1] == expected


def test_where_people_buy_again_the_repeater_gets_weight():
    """Everybody repeats one own item: only lists with seen items can tell."""
    rng = np.random.default_rng(0)
    own = rng.integers(0, 30, 150)
    rows = np.repeat(np.arange(150), 10)
    columns = np.where(rng.random(1500) < 0.6, own[rows], rng.integers(0, 30, 1500))
    X = Interactions(
        (np.ones(1500), columns, np.arange(0, 1501, 10)),  # repeats stay
        shape=(150, 30),
        timestamps=np.tile(np.arange(10), 150),
    )
    pair = [("repeat", RepeatRecommender()), ("random", RandomRecommender(random_state=0))]
    again = VotingRecommender(pair, weights="learn", exclude_seen=False).fit(X)
    assert again.weights_[0] > 0.95
    assert (again.recommend(X, 1, exclude_seen=False)[0].ravel() == own).mean() > 0.95
    stack = StackingRecommender(
        pair, final_estimator=LogisticRegression(), exclude_seen=False, n_candidates=5
    ).fit(X)
    assert (stack.recommend(X, 1, exclude_seen=False)[0].ravel() == own).mean() > 0.9


def test_a_leaking_member_gains_nothing(X):
    """Fitted on what it must predict a memory would be perfect; hidden inside fit it is not."""
    visible, hidden = holdout_split(X, test_size=0.3, random_state=0)
    assert Memory().fit(X).score(visible, hidden) > 0.95
    with_leak = [*members(), ("memory", Memory())]
    weights = VotingRecommender(with_leak, weights="learn", normalize="zscore").fit(X).weights_
    assert weights[3] < 0.1
    plain = quality(stacking(LogisticRegression()), visible, hidden)
    leaking = StackingRecommender(with_leak, final_estimator=LogisticRegression())
    assert abs(quality(leaking, visible, hidden) - plain) < 0.02


def test_learned_hybrids_are_as_good_as_their_best_member(X):
    visible, hidden = holdout_split(X, test_size=0.3, random_state=1)
    best = max(quality(member, visible, hidden) for _, member in members())
    assert quality(voting(), visible, hidden) > best - 0.01
    assert quality(stacking(LogisticRegression()), visible, hidden) > best - 0.02


@pytest.mark.parametrize("make", [voting, lambda: stacking(LogisticRegression())])
def test_targets_change_nothing(X, make):
    y = X[np.random.default_rng(0).permutation(X.shape[0])]
    assert_array_equal(make().fit(X, y).predict(X), make().fit(X).predict(X))


def test_weights_by_activity(X):
    few = np.arange(400) % 2 == 0
    rng = np.random.default_rng(1)
    dense = X.toarray()
    dense[few] *= rng.random(dense[few].shape) < 0.35
    thin = sp.csr_array(dense)
    model = voting(activity_bins=2).fit(thin)
    assert model.weights_.shape == (2, 3)
    assert model.activity_bounds_.shape == (1,)
    groups = np.searchsorted(model.activity_bounds_, np.diff(thin.indptr), side="right")
    by_group = [
        VotingRecommender(members(), weights=weights, normalize="zscore").fit(thin).predict(thin)
        for weights in model.weights_
    ]
    some = np.diff(thin.indptr) > 0
    expected = np.where(groups[:, None] == 0, *by_group)
    assert_allclose(model.predict(thin)[some], expected[some])
    given = VotingRecommender(
        members(), weights=model.weights_, activity_bins=model.activity_bounds_, normalize="zscore"
    )
    assert_allclose(given.fit(thin).predict(thin), model.predict(thin))
    with pytest.raises(ValueError, match="one row of them for each group"):
        VotingRecommender(members(), weights=model.weights_, activity_bins=[1, 2]).fit(thin)
    with pytest.raises(ValueError, match="increasing bounds"):
        VotingRecommender(members(), activity_bins=[3, 2]).fit(thin)


def test_a_dropped_member_takes_no_part_in_learning(X):
    model = voting().set_params(random="drop").fit(X)
    assert model.weights_.shape == (2,)
    assert stacking().set_params(random="drop").fit(X).feature_names_[1] == "popular score"


def test_borda_counts_places(X):
    scores = (
        VotingRecommender([("a", PopularityRecommender())], normalize="borda").fit(X).predict(X)
    )
    order = np.argsort(-scores[0], kind="stable")
    assert scores[0, order[0]] == pytest.approx(1, abs=0.03)
    assert (np.diff(PopularityRecommender().fit(X).predict(X)[0, order]) <= 0).all()


@pytest.mark.parametrize("learner", [voting, stacking])
def test_nothing_to_hide_is_said(learner):
    with pytest.raises(ValueError, match="every row has fewer than two"):
        learner().fit(sp.csr_array(np.eye(6)))


@pytest.mark.parametrize(
    "final",
    [
        HistGradientBoostingClassifier(max_iter=20),
        HistGradientBoostingRegressor(max_iter=20),
        RidgeClassifier(),
        Ridge(),
    ],
    ids=lambda final: type(final).__name__,
)
def test_any_classifier_or_regressor_ranks(X, final):
    visible, hidden = holdout_split(X, test_size=0.3, random_state=0)
    popular = quality(PopularityRecommender(), visible, hidden)
    assert quality(stacking(final), visible, hidden) > popular


class Ranker(BaseEstimator):
    """The interface of LightGBM's and XGBoost's rankers."""

    def fit(self, X, y, *, group=None):
        assert group.sum() == len(X) == len(y)
        assert (group > 0).all()
        self.n_groups_ = len(group)
        return self

    def predict(self, X):
        return X[:, 0]


def test_rankers_get_their_groups(X):
    model = stacking(Ranker(), learn_users=100).fit(X)
    assert model.final_estimator_.n_groups_ == 100
    ease = plain_ease(20.0).fit(X).recommend(X, 10)[0]
    assert_array_equal(model.recommend(X, 10)[0][:50], ease[:50])


class Recorder(BaseEstimator):
    """A regressor that keeps what it was given."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        return X[:, 0]


def test_popularity_tells_nothing_about_what_was_hidden(X):
    model = stacking(Recorder(), n_candidates=60, learn_users=None).fit(X)
    column = model.final_estimator_.X_[:, model.feature_names_.index("item popularity")]
    visible = np.bincount(_hidden.hide_by_hash(X)[0].indices, minlength=60)
    possible = np.log1p(visible) - np.log1p(visible.mean())
    assert_allclose(np.unique(column), np.unique(possible.astype(np.float32)), rtol=1e-6)


def test_several_hidings_are_learned_from_together(X):
    """The rows of two hidings are those of the first and those of another choice."""
    one, two = (
        stacking(Recorder(), n_candidates=60, learn_users=None, n_hidings=n, test_size=0.1).fit(X)
        for n in (1, 2)
    )
    first, both = one.final_estimator_, two.final_estimator_
    assert_array_equal(both.X_[: len(first.X_)], first.X_)
    assert_array_equal(both.y_[: len(first.y_)], first.y_)
    n_hidden = _hidden.hide_by_hash(X, test_size=0.1)[1].nnz
    assert both.y_.sum() == 2 * n_hidden
    assert (both.y_[len(first.y_) :] != first.y_).any()
    assert_array_equal(one.predict(X), two.predict(X))  # the members are fitted on everything


def test_the_latest_are_hidden_step_by_step():
    shown = []

    class Shown(PopularityRecommender):
        def _fit(self, X):
            shown.append(X.toarray())
            super()._fit(X)

    X = np.tile(np.arange(1.0, 11), (12, 1))  # values are times
    VotingRecommender([("shown", Shown())], weights="learn", holdout="latest", n_hidings=3).fit(X)
    lengths = [(one > 0).sum(axis=1).tolist() for one in shown]
    assert lengths == [[8] * 12, [6] * 12, [5] * 12, [10] * 12]
    for one in shown:
        assert_array_equal(one[one > 0], X[one > 0])
        assert (np.where(one > 0, one, 0).max(axis=1) == (one > 0).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("package", "name", "params"),
    [
        ("lightgbm", "LGBMRanker", {"verbose": -1, "min_child_samples": 5}),
        ("lightgbm", "LGBMClassifier", {"verbose": -1, "min_child_samples": 5}),
        ("xgboost", "XGBRanker", {"objective": "rank:ndcg"}),
        ("xgboost", "XGBRegressor", {}),
    ],
)
def test_real_rankers(X, monkeypatch, package, name, params):
    kind = getattr(pytest.importorskip(package), name)
    given = {}
    plain = kind.fit

    def noted(self, features, targets, *, group=None, **rest):
        given.update(group=group, features=features, targets=targets)
        own = {} if group is None else {"group": group}
        return plain(self, features, targets, **own, **rest)

    final = kind(n_estimators=20, random_state=0, n_jobs=1, **params)
    visible, hidden = holdout_split(X, test_size=0.3, random_state=0)
    popular = quality(PopularityRecommender(), visible, hidden)
    model = stacking(final, learn_users=250)
    with monkeypatch.context() as patched:
        if name.endswith("Ranker"):
            patched.setattr(kind, "fit", noted)
        assert quality(model, visible, hidden) > popular
    assert isinstance(model.final_estimator_, kind)
    if name.endswith("Ranker"):
        # One group per user, in the order of the rows: the length of a history is constant in it.
        assert len(given["group"]) == 250
        assert sum(given["group"]) == len(given["targets"]) == len(given["features"])
        lengths = given["features"][:, model.feature_names_.index("history length")]
        for part in np.split(lengths, np.cumsum(given["group"])[:-1]):
            assert len(np.unique(part)) == 1
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_features_of_items_and_users_reach_the_second_stage(X):
    rng = np.random.default_rng(0)
    held = Interactions(X, user_features=pd.DataFrame({"age": rng.integers(18, 80, 400)}))
    items = rng.normal(size=(60, 2))
    final = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    model = stacking(final, item_features=items, user_columns=["age"]).fit(held)
    assert model.feature_names_[-3:] == ["item feature 0", "item feature 1", "age"]
    assert model.final_estimator_.n_features_in_ == len(model.feature_names_) == 11
    sparse = stacking(final, item_features=sp.csr_array(items), user_columns=["age"]).fit(held)
    assert_array_equal(sparse.predict(held), model.predict(held))
    with pytest.raises(ValueError, match="X carries none"):
        stacking(final, user_columns=["age"]).fit(X)
    held.user_features = pd.DataFrame({"age": 30, "town": ["A"] * 400})
    with pytest.raises(ValueError, match=r"columns of numbers, and \['town'\] are not"):
        stacking(final, user_columns=["age", "town"]).fit(held)
    with pytest.raises(ValueError, match=r"\['age', 'town'\], and not 'size'"):
        stacking(final, user_columns=["age", "size"]).fit(held)
    held.user_features = np.array([(30,)] * 400, dtype=[("age", float)])  # as data sets ship
    assert stacking(final, user_columns=["age"]).fit(held).feature_names_[-1] == "age"


def test_lists_of_rows_without_history_follow_the_features_of_users(X):
    age = np.arange(400) % 2
    held = Interactions(X, user_features=pd.DataFrame({"age": age}))
    items = np.arange(60)[:, None] % 2
    final = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    model = stacking(final, item_features=items, user_columns=["age"]).fit(held)
    new = Interactions(sp.csr_array((2, 60)), user_features=pd.DataFrame({"age": np.array([0, 1])}))
    scores, (chosen, values) = model.predict(new), model.recommend(new, k=5)
    assert_array_equal(np.take_along_axis(scores, chosen, axis=1), values)
    assert_array_equal(values, -np.sort(-scores, axis=1)[:, :5])
    assert not np.allclose(scores, model._fallback_scores())


def test_workers_hide_under_the_callers_settings(X):
    found = []

    class Reads(PopularityRecommender):
        def _fit(self, X):
            found.append(get_config()["working_memory"])
            super()._fit(X)

    model = VotingRecommender([("a", Reads()), ("b", Reads())], weights="learn", n_jobs=2)
    with config_context(working_memory=7), parallel_config("threading"):
        model.fit(X)
    assert found == [7] * 4


def test_a_search_reaches_members_and_final_estimator(X):
    grid = {"final_estimator__C": [0.01, 1.0], "ease__regularization": [5.0, 50.0]}
    search = GridSearchCV(stacking(LogisticRegression()), grid, cv=2).fit(X[:120])
    assert set(search.best_params_) == set(grid)


@pytest.mark.parametrize("holdout", ["hash", "latest"])
@pytest.mark.parametrize(("max_hidden", "n_hidden"), [(5, 5), (2, 2), (None, 8)])
def test_long_rows_lose_no_more_than_the_limit(holdout, max_hidden, n_hidden):
    shown = []

    class Shown(PopularityRecommender):
        def _fit(self, X):
            shown.append(np.diff(X.indptr))
            super()._fit(X)

    rng = np.random.default_rng(0)
    X = np.zeros((30, 50))
    lengths = np.where(np.arange(30) % 2, 40, 5)  # a fifth is 8 or 1
    for row, length in enumerate(lengths):
        X[row, rng.choice(50, length, replace=False)] = rng.permutation(length) + 1  # times
    for kind, params in ((VotingRecommender, {"weights": "learn"}), (StackingRecommender, {})):
        shown.clear()
        kind([("shown", Shown())], holdout=holdout, max_hidden=max_hidden, **params).fit(X)
        assert_array_equal(shown[0], lengths - np.where(lengths == 40, n_hidden, 1))
        assert_array_equal(shown[1], lengths)


@pytest.mark.parametrize("kind", [VotingRecommender, StackingRecommender])
def test_members_know_nothing_from_the_cut_on(kind):
    """The hidden part is that of `time_split`, whatever `max_hidden` says, and a step earlier at the next hiding."""
    seen = []

    class Shown(PopularityRecommender):
        def _fit(self, X):
            seen.append(np.sort(X.timestamps))
            super()._fit(X)

    X = Interactions(sp.random_array((40, 30), density=0.4, random_state=0, format="csr"))
    X.timestamps = np.random.default_rng(0).permutation(X.nnz)
    parameters = {"weights": "learn"} if kind is VotingRecommender else {}
    kind(
        [("shown", Shown(half_life=9.0))], holdout="time", test_size=0.25, n_hidings=2, **parameters
    ).fit(X)
    visible, hidden = time_split(X, test_size=0.25)
    assert hidden.nnz > 5 * X.shape[0] / 2  # more than `max_hidden` allows
    assert_array_equal(seen[0], np.sort(visible.timestamps))
    earlier, _ = time_split(visible, test_size=0.25)
    assert_array_equal(seen[1], np.sort(earlier.timestamps))
    assert_array_equal(seen[2], np.sort(X.timestamps))


def test_a_member_that_follows_the_trend_gets_weight_under_a_cut_in_time():
    """Every user takes what is new in the week; who hides any items of a row learns to trust the whole past."""
    rng = np.random.default_rng(0)
    week = np.repeat(np.arange(10), 300)
    users = rng.integers(0, 60, len(week))
    items = np.where(
        rng.random(len(week)) < 0.8,
        5 * week + rng.integers(0, 5, len(week)),
        rng.integers(0, 50, len(week)),
    )
    X = Interactions.from_frame(
        pd.DataFrame({"user": users, "item": items, "time": week * 7.0 + rng.random(len(week))}),
        user="user",
        item="item",
        timestamp="time",
    )
    pair = [
        ("recent", PopularityRecommender(half_life=3.0)),
        ("all", PopularityRecommender()),
    ]
    weight = {
        holdout: VotingRecommender(pair, weights="learn", holdout=holdout, test_size=0.05)
        .fit(X)
        .weights_[0]
        for holdout in ("hash", "time")
    }
    assert weight["time"] > weight["hash"] + 0.2


def test_a_cut_in_time_needs_times_and_rows_that_cross_it():
    pair = [("pop", PopularityRecommender()), ("knn", ItemKNN())]
    vote = VotingRecommender(pair, weights="learn", holdout="time")
    with pytest.raises(ValueError, match="timestamps"):
        vote.fit(np.ones((3, 4)))
    X = Interactions(sp.eye_array(4, format="csr"), timestamps=np.arange(4))
    with pytest.raises(ValueError, match=r"no row has events before and after the cut.*test_size"):
        vote.fit(X)


@pytest.mark.parametrize("holdout", ["hash", "latest"])
@pytest.mark.parametrize("kind", [VotingRecommender, StackingRecommender])
def test_rows_that_teach_nothing_stay_whole(kind, holdout):
    """Of 60 rows 35 lose interactions, and lose what the limit says; times and values of all others stay."""
    seen = []

    class Shown(PopularityRecommender):
        def _fit(self, X):
            seen.append(X)
            super()._fit(X)

    X = Interactions(sp.random_array((60, 30), density=0.5, random_state=0, format="csr"))
    X.timestamps = np.random.default_rng(0).permutation(X.nnz)
    parameters = {"weights": "learn"} if kind is VotingRecommender else {}
    kind(
        [("shown", Shown(half_life=9.0))],
        holdout=holdout,
        learn_users=35,
        max_hidden=2,
        **parameters,
    ).fit(X)
    fewer = np.diff(X.indptr) - np.diff(seen[0].indptr)
    assert_array_equal(np.sort(fewer), np.repeat([0, 2], [25, 35]))
    whole = np.flatnonzero(fewer == 0)
    assert_array_equal(seen[0][whole].toarray(), X[whole].toarray())
    assert_array_equal(seen[0][whole].timestamps, X[whole].timestamps)
    assert_array_equal(seen[1].toarray(), X.toarray())


def test_too_few_users_teach_no_weights():
    """With a member that finds two groups of items and a random one, 29 users change nothing, 30 do."""
    rng = np.random.default_rng(0)
    X = np.kron(np.tile(np.eye(2), (15, 1)), np.ones(20)) * (rng.random((30, 40)) < 0.7)
    pair = [("ease", EASE()), ("random", RandomRecommender(random_state=0))]
    vote = VotingRecommender(pair, weights="learn")
    with pytest.warns(UserWarning, match="29 rows with hidden items.*vote alike.*from 30"):
        assert_array_equal(vote.fit(X[:29]).weights_, [0.5, 0.5])
    assert vote.fit(X[:30]).weights_[0] > 0.5


def test_the_limit_and_the_scale_of_a_vote_by_default(X):
    given = VotingRecommender(members(), weights="learn", normalize="zscore", max_hidden=5).fit(X)
    assert_array_equal(
        VotingRecommender(members(), weights="learn").fit(X).weights_, given.weights_
    )
