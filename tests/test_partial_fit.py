"""Learning part after part equals learning at once."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE, SLIM, NaiveBayesRecommender, SparseEASE
from sklearn_llmrec.neighbors import ItemKNN, P3alpha, RP3beta, UserKNN

MODELS = [
    PopularityRecommender(),
    PopularityRecommender("values"),
    EASE(2.0),
    SparseEASE(2.0, n_neighbors=4),
    SLIM(2.0, l1_regularization=0.1),
    SLIM(2.0, n_neighbors=4, positive=False),
    NaiveBayesRecommender(),
    ItemKNN(5),
    ItemKNN(5, center="baseline", metric="pearson"),
    UserKNN(5),
    UserKNN(5, center="user"),
    P3alpha(5),
    RP3beta(5),
]


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return sp.csr_array(rng.integers(1, 6, (60, 20)) * (rng.random((60, 20)) < 0.3).astype(float))


@pytest.mark.parametrize("begin", ["partial_fit", "fit"])
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_parts_equal_the_whole(model, begin, X):
    whole = model.fit(X).predict(X)
    popularity = model.item_popularity_
    model = type(model)(**model.get_params())
    getattr(model, begin)(X[:25])
    kept = model.item_popularity_.copy()
    first = model.item_popularity_
    model.partial_fit(X[25:40]).partial_fit(X[40:])
    np.testing.assert_allclose(model.predict(X), whole, rtol=1e-9)
    np.testing.assert_array_equal(model.item_popularity_, popularity)
    np.testing.assert_array_equal(first, kept)
    assert model.n_users_fit_ == 60


@pytest.mark.parametrize("model", MODELS[2:], ids=repr)
def test_a_failed_part_changes_nothing(model, X):
    model.fit(X)
    expected = model.predict(X)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :-1])
    np.testing.assert_array_equal(model.predict(X), expected)
