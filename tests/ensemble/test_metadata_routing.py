"""scikit-learn's metadata routing through recommenders made of recommenders."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.fixes import parse_version
from sklearn.utils.metadata_routing import MetadataRouter

from sklearn_llmrec import VotingRecommender
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.ensemble import (
    FallbackRecommender,
    MMRReranker,
    StackingRecommender,
    SwitchRecommender,
)
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.preprocessing import BM25Transformer


class Weighted(BaseRecommender):
    """Popularity among users by their weights; remembers what it was given."""

    def fit(self, X, y=None, sample_weight=None, region=None):
        self.sample_weight_ = np.ones(X.shape[0]) if sample_weight is None else sample_weight
        self.region_ = region
        return super().fit(X, y)

    def _fit(self, X):
        self.popularity_ = np.asarray(self.sample_weight_) @ X

    def _score_rows(self, X):
        return np.tile(self.popularity_, (X.shape[0], 1)) + 0.01 * (X @ np.eye(X.shape[1]))


@pytest.fixture(autouse=True)
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return sp.csr_array((rng.random((60, 12)) < 0.4) * 1.0)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(1).uniform(0.1, 5, 60)


def asking():
    return Weighted().set_fit_request(sample_weight=True, region=False)


def composed(kind, member):
    members = [("w", member), ("popular", PopularityRecommender())]
    return {
        "vote": lambda: VotingRecommender(members),
        "learned vote": lambda: VotingRecommender(members, weights="learn"),
        "stack": lambda: StackingRecommender(members, final_estimator=LogisticRegression()),
        "fallback": lambda: FallbackRecommender(members),
        "switch": lambda: SwitchRecommender(members, fit_on="all"),
        "rerank": lambda: MMRReranker(member),
    }[kind]()


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    reason="Pipeline.score asks for nothing of its last step before scikit-learn 1.7",
)
def test_a_search_over_a_pipeline_scores_with_and_without_weights(X, weights):
    # Pipeline.score hands sample_weight=None to its last step, which has to know the word.
    pipeline = make_pipeline(BM25Transformer(), EASE())
    plain = GridSearchCV(pipeline, {"ease__regularization": [1.0, 10.0]}, cv=2).fit(X)
    asking = make_pipeline(BM25Transformer(), EASE().set_score_request(sample_weight=True))
    weighted = GridSearchCV(asking, {"ease__regularization": [1.0, 10.0]}, cv=2)
    scores = weighted.fit(X, sample_weight=weights).cv_results_["mean_test_score"]
    assert (scores != plain.cv_results_["mean_test_score"]).all()
    for kind in KINDS:
        piped = make_pipeline(BM25Transformer(), composed(kind, EASE()))
        assert np.isfinite(piped.fit(X).score(X))
        last = piped[-1].set_score_request(sample_weight=True)
        assert piped.score(X, sample_weight=weights) == last.score(
            piped[0].transform(X), sample_weight=weights
        )


def test_weights_of_users_in_a_score_are_repetitions(X):
    model, counts = EASE().fit(X), np.arange(60) % 3
    repeated = sp.csr_array(X[np.repeat(np.arange(60), counts)])
    assert_allclose(model.score(X, sample_weight=counts), model.score(repeated))
    assert model.score(X, sample_weight=np.ones(60)) == pytest.approx(model.score(X))
    with pytest.raises(ValueError, match="zero for every row that has a target"):
        model.score(X, sample_weight=np.zeros(60))
    with pytest.raises(ValueError, match=r"one weight per row, shape \(60,\); got shape \(3,\)"):
        model.score(X, sample_weight=[1, 2, 3])
    with pytest.raises(ValueError, match="finite and at least 0"):
        model.score(X, sample_weight=-np.ones(60))


def inner(model):
    return model.estimator_ if hasattr(model, "estimator_") else model.estimators_[0]


KINDS = ("vote", "learned vote", "stack", "fallback", "switch", "rerank")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_reach_the_member_that_asks(X, weights, kind):
    model = composed(kind, asking())
    assert isinstance(model.get_metadata_routing(), MetadataRouter)
    fitted = inner(model.fit(X, sample_weight=weights))
    assert_array_equal(fitted.sample_weight_, weights)
    assert_array_equal(fitted.popularity_, weights @ X)
    assert not hasattr(model, "_routed_params")
    assert_array_equal(inner(model.fit(X)).sample_weight_, np.ones(60))


@pytest.mark.parametrize("kind", KINDS)
def test_who_refuses_gets_none_and_who_says_nothing_is_asked(X, weights, kind):
    refusing = Weighted().set_fit_request(sample_weight=False, region=True)
    model = composed(kind, refusing).fit(X, region=np.arange(60))
    assert_array_equal(inner(model).region_, np.arange(60))
    before = inner(model)
    with pytest.raises(TypeError, match="got unexpected argument"):
        model.fit(X, sample_weight=weights)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        composed(kind, Weighted()).fit(X, sample_weight=weights)
    assert inner(model) is before
    assert not hasattr(model, "_routed_params")


@pytest.mark.parametrize("kind", KINDS)
def test_without_routing_metadata_are_refused(X, weights, kind):
    model = composed(kind, asking())
    with (
        config_context(enable_metadata_routing=False),
        pytest.raises(ValueError, match="enable_metadata_routing=True"),
    ):
        model.fit(X, sample_weight=weights)


def test_an_alias_and_two_members(X, weights):
    other = Weighted().set_fit_request(sample_weight="trust", region=False)
    model = VotingRecommender([("a", asking()), ("b", other), ("c", EASE())])
    model.fit(X, sample_weight=weights, trust=1 / weights)
    assert_array_equal(model.named_estimators_["a"].sample_weight_, weights)
    assert_array_equal(model.named_estimators_["b"].sample_weight_, 1 / weights)


def test_the_parts_of_a_learned_vote_see_the_same_weights(X, weights, monkeypatch):
    seen = []
    plain = Weighted._fit
    monkeypatch.setattr(
        Weighted, "_fit", lambda self, X: (seen.append(self.sample_weight_), plain(self, X))[1]
    )
    composed("learned vote", asking()).fit(X, sample_weight=weights)
    assert len(seen) == 2
    for one in seen:
        assert_array_equal(one, weights)


def test_a_switch_gives_each_member_the_weights_of_its_rows(X, weights):
    members = [("few", asking()), ("many", asking())]
    model = SwitchRecommender(members, fit_on="routed").fit(X, sample_weight=weights)
    routes = model.route(X)
    for name in ("few", "many"):
        own = model.named_estimators_[name].sample_weight_
        assert_array_equal(own, weights[routes == name])


def test_through_pipelines_and_searches(X, weights):
    nested = make_pipeline(BM25Transformer(), asking())
    vote = VotingRecommender([("pipe", nested), ("ease", EASE())])
    fitted = clone(vote).fit(X, sample_weight=weights)
    assert_array_equal(fitted.estimators_[0][-1].sample_weight_, weights)
    vote.set_score_request(sample_weight=False)  # members learn with weights, the mean has none
    search = GridSearchCV(vote, {"ease__regularization": [1.0, 10.0]}, cv=2)
    search.fit(X, sample_weight=weights)
    assert_array_equal(search.best_estimator_.estimators_[0][-1].sample_weight_, weights)
    whole = make_pipeline(BM25Transformer(), MMRReranker(asking())).fit(X, sample_weight=weights)
    assert_array_equal(whole[-1].estimator_.sample_weight_, weights)


def test_a_dropped_member_asks_for_nothing(X, weights):
    model = composed("vote", asking()).set_params(popular="drop").fit(X, sample_weight=weights)
    assert_array_equal(inner(model).sample_weight_, weights)
    with pytest.raises(TypeError, match="unexpected argument"):
        composed("vote", asking()).set_params(w="drop").fit(X, sample_weight=weights)
