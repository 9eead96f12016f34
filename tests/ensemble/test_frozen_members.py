"""A fitted recommender takes part in rerankers and votes without another fit, as scikit-learn's FrozenEstimator."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_llmrec import EASE, ContentColdStart, ItemKNN, MMRReranker, VotingRecommender


@pytest.fixture
def X():
    return (np.random.default_rng(0).random((60, 20)) < 0.3).astype(float)


@pytest.fixture
def fitted(X):
    return EASE().fit(X[:30])


@pytest.mark.parametrize(
    "around",
    [
        MMRReranker,
        lambda base: ContentColdStart(
            base, np.random.default_rng(1).random((20, 3)), encoder="passthrough"
        ),
    ],
    ids=["reranker", "cold start"],
)
def test_a_frozen_base_keeps_its_weights(around, X, fitted):
    model = around(FrozenEstimator(fitted)).fit(X)
    np.testing.assert_array_equal(model.estimator_.coef_, fitted.coef_)
    assert not np.array_equal(around(EASE()).fit(X).estimator_.coef_, fitted.coef_)


@pytest.mark.parametrize("weights", [None, "learn"])
def test_a_vote_takes_frozen_members(weights, X, fitted):
    members = [("ease", FrozenEstimator(fitted)), ("knn", ItemKNN())]
    vote = VotingRecommender(members, weights=weights).fit(X)
    np.testing.assert_array_equal(vote.estimators_[0].coef_, fitted.coef_)
    assert vote.recommend(X, k=3)[0].shape == (60, 3)
