"""Weights and second stages learned on hidden interactions, and nothing else."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV

from sklearn_llmrec import Interactions
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.dummy import PopularityRecommender, RandomRecommender
from sklearn_llmrec.ensemble import StackingRecommender, VotingRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split


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
        ("ease", EASE(regularization=20.0)),
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
    assert weight["random score"] < 0.15 * weight["ease score"]


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
    ease = EASE(regularization=20.0).fit(X).recommend(X, 10)[0]
    assert_array_equal(model.recommend(X, 10)[0][:50], ease[:50])


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


def test_a_search_reaches_members_and_final_estimator(X):
    grid = {"final_estimator__C": [0.01, 1.0], "ease__regularization": [5.0, 50.0]}
    search = GridSearchCV(stacking(LogisticRegression()), grid, cv=2).fit(X[:120])
    assert set(search.best_params_) == set(grid)
