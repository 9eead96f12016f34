"""Chains and switches."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_llmrec import Interactions
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.ensemble import FallbackRecommender, SwitchRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.neighbors import ItemKNN, UserKNN


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    taste = np.arange(60)[:, None] % 4 == np.arange(40) % 4
    X = (rng.random((60, 40)) < np.where(taste, 0.3, 0.01)).astype(float)
    X[0] = 0
    return sp.csr_array(X)


def chain(last=None):
    return FallbackRecommender(
        [
            ("personal", UserKNN(n_neighbors=3)),
            ("similar", make_pipeline(MaxAbsScaler(), ItemKNN(n_neighbors=5))),
            ("popular", last or PopularityRecommender()),
        ]
    )


def test_a_chain_puts_what_each_member_knows_before_the_next(X):
    model = chain().fit(X)
    scores = model.predict(X)
    members = model.estimators_
    first = members[0]._score_rows(X).toarray()
    second = members[1][-1]._score_rows(members[1][0].transform(X)).toarray()
    for row in range(1, X.shape[0]):
        order = np.argsort(-scores[row], kind="stable")
        level = np.where(first[row] > 0, 0, np.where(second[row] > 0, 1, 2))[order]
        assert (np.diff(level) >= 0).all()
        mine = order[level == 0]
        assert (np.diff(first[row, mine]) <= 1e-12).all()
        rest = order[level == 2]
        assert (np.diff(model.item_popularity_[rest]) <= 0).all()


def test_a_chain_always_fills_a_list_and_a_new_user_gets_the_last_member(X):
    model = chain().fit(X)
    items, _ = model.recommend(X, k=20)
    assert (items >= 0).all()
    popular = PopularityRecommender().fit(X)
    assert_array_equal(items[0], popular.recommend(X[[0]], k=20)[0][0])


def test_a_chain_within_a_chain_and_a_dropped_member(X):
    flat = chain().fit(X)
    nested = FallbackRecommender(
        [
            ("both", FallbackRecommender(chain().estimators[:2])),
            ("popular", PopularityRecommender()),
        ]
    ).fit(X)
    assert_array_equal(nested.recommend(X, k=15)[0], flat.recommend(X, k=15)[0])
    short = chain().set_params(similar="drop").fit(X)
    assert len(short.estimators_) == 2
    with pytest.raises(ValueError, match="No member is left"):
        FallbackRecommender([("a", "drop")]).fit(X)


def members():
    return [("new", PopularityRecommender()), ("known", EASE())]


def test_a_switch_by_length_scores_each_row_by_its_member(X):
    model = SwitchRecommender(members(), thresholds=[4]).fit(X)
    few = np.diff(X.indptr) < 4
    assert_array_equal(model.route(X) == "new", few)
    popular, ease = PopularityRecommender().fit(X), EASE().fit(X)
    for got, low, high in zip(model.recommend(X, 6), popular.recommend(X, 6), ease.recommend(X, 6)):
        assert_array_equal(got, np.where(few[:, None], low, high))
    halves = SwitchRecommender(members()).fit(X)
    assert_array_equal(halves.thresholds_, [np.median(np.diff(X.indptr))])


def test_a_switch_by_column_or_function(X):
    shop = np.where(np.arange(60) % 2 == 0, "new", "known").astype(object)
    shop[5] = None
    held = Interactions(X, user_features=pd.DataFrame({"shop": shop}))
    model = SwitchRecommender(members(), by="shop", default="new").fit(held)
    expected = np.where(np.arange(60) % 2 == 0, "new", "known")
    expected[5] = "new"
    assert_array_equal(model.route(held), expected)
    # An empty row goes to the member of its own column value.
    assert_array_equal(model.predict(held)[0], PopularityRecommender().fit(X).predict(X)[0])
    fields = Interactions(X, user_features=np.array([(name,) for name in shop], [("shop", "O")]))
    again = SwitchRecommender(members(), by="shop", default="new").fit(fields)
    assert_array_equal(again.route(fields), expected)
    with pytest.raises(ValueError, match="X carries none"):
        SwitchRecommender(members(), by="shop").fit(X)
    with pytest.raises(ValueError, match=r"\['shop'\], and not 'store'"):
        SwitchRecommender(members(), by="store").fit(held)
    with pytest.raises(ValueError, match=r"such as \['DE'\], and none is the name of a member"):
        SwitchRecommender(members(), by=lambda X: np.full(X.shape[0], "DE")).fit(X)
    total = SwitchRecommender(members(), by=lambda X: X.sum(axis=1), thresholds=[3]).fit(X)
    assert_array_equal(total.route(X) == "new", X.sum(axis=1) < 3)


def test_members_of_a_switch_can_learn_from_their_own_rows(X):
    model = SwitchRecommender(members(), thresholds=[4], fit_on="routed").fit(X)
    few = np.diff(X.indptr) < 4
    own = EASE().fit(X[~few])
    assert_array_equal(model.predict(X[~few]), own.predict(X[~few]))
    with pytest.raises(ValueError, match="No interaction is routed to member 'known'"):
        SwitchRecommender(members(), thresholds=[1000], fit_on="routed").fit(X)


@pytest.mark.parametrize(
    ("thresholds", "words"), [([1, 2], "one number less"), ([np.nan], "finite and increasing")]
)
def test_bad_thresholds_are_refused(X, thresholds, words):
    with pytest.raises(ValueError, match=words):
        SwitchRecommender(members(), thresholds=thresholds).fit(X)
