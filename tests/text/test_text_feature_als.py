"""FeatureALSRecommender: features give factors to those without interactions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from sklearn_llmrec import ALSRecommender, Interactions
from sklearn_llmrec.text import FeatureALSRecommender

KWARGS = {"n_components": 6, "confidence": 1.0, "regularization": 1.0, "random_state": 0}


def planted(n_users=90, n_items=45, seed=0):
    rng = np.random.default_rng(seed)
    topic, taste = np.arange(n_items) % 3, np.arange(n_users) % 3
    X = (rng.random((n_users, n_items)) < np.where(taste[:, None] == topic, 0.4, 0.02)).astype(
        float
    )
    X[:, -6:] = 0
    return X, topic, taste


def test_new_items_get_factors_from_their_words():
    X, topic, taste = planted()
    words = np.array(["tea cup", "garden spade", "board game"])[topic]
    model = FeatureALSRecommender(list(words), **KWARGS).fit(X)
    items, _ = model.recommend(X, k=2, candidates=np.arange(39, 45))
    assert (topic[items] == taste[:, None]).mean() > 0.9
    by_number = FeatureALSRecommender(np.eye(3)[topic], encoder="passthrough", **KWARGS).fit(X)
    items, _ = by_number.recommend(X, k=2, candidates=np.arange(39, 45))
    assert (topic[items] == taste[:, None]).mean() > 0.9


def test_new_users_are_known_by_their_features():
    X, topic, taste = planted()
    X[:6, :] = 0
    X[:6, 0] = 1  # all the same single choice
    table = pd.DataFrame({"country": np.array(["UK", "FR", "DE"])[taste]})
    model = FeatureALSRecommender(feature_weight=20.0, **KWARGS).fit(
        Interactions(X, user_features=table)
    )
    items, _ = model.recommend(Interactions(X, user_features=table)[:6], k=3)
    assert (topic[items] == taste[:6, None]).mean() > 0.6  # chance: a third
    plain, _ = model.recommend(X[:6], k=3)
    assert (plain == plain[0]).all()
    records = table.to_records(index=False)
    again = FeatureALSRecommender(feature_weight=20.0, **KWARGS)
    again.fit(Interactions(X, user_features=np.asarray(records)))
    np.testing.assert_allclose(again.components_, model.components_, atol=1e-6)


def test_without_features_it_is_als():
    X, _, _ = planted()
    expected = ALSRecommender(**KWARGS).fit(X).predict(X)
    np.testing.assert_allclose(
        FeatureALSRecommender(**KWARGS).fit(X).predict(X), expected, atol=1e-6
    )


def test_features_that_are_no_weights_are_refused():
    X, _, _ = planted()
    prices = pd.DataFrame({"price": np.arange(45.0)})
    with pytest.raises(ValueError, match="item features contain negative"):
        FeatureALSRecommender(prices.to_numpy() - 3, encoder="passthrough", **KWARGS).fit(X)
    with pytest.raises(ValueError, match="item features contain negative"):
        FeatureALSRecommender(np.c_[prices, prices], encoder=StandardScaler(), **KWARGS).fit(X)
    bins = KBinsDiscretizer(4, strategy="uniform")
    FeatureALSRecommender(np.c_[prices, prices], encoder=bins, **KWARGS).fit(X)
    with pytest.raises(ValueError, match="3 rows of user features, and 90 users"):
        FeatureALSRecommender(user_features=np.eye(3), **KWARGS).fit(X)
