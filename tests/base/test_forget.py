"""Forgetting equals a fit without the rows, or is refused with the reason."""

import numpy as np
import pytest
import scipy.sparse as sp
from _instances import instances
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_llmrec import (
    EASE,
    SLIM,
    ALSRecommender,
    ItemKNN,
    NaiveBayesRecommender,
    P3alpha,
    PopularityRecommender,
    RP3beta,
    SparseEASE,
    UserKNN,
)
from sklearn_llmrec.base import BaseRecommender, forget
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.privacy import GaussianMechanism

MODELS = [
    EASE(),
    EASE(300.0, popularity_exponent=0.2, value_exponent=1.0),
    SLIM(),
    ItemKNN(),
    NaiveBayesRecommender(),
    P3alpha(),
    PopularityRecommender(),
    PopularityRecommender("values"),
    RP3beta(),
    SparseEASE(),
    UserKNN(),
]


def rows():
    X = make_interactions(150, 40, n_interactions=1200, ratings=True, random_state=0).interactions
    return sp.csr_array((X.data.astype(float), X.indices, X.indptr), shape=X.shape)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("part_after_part", [False, True])
def test_forgetting_equals_a_fit_without_the_rows(model, part_after_part):
    from sklearn.base import clone

    X = rows()
    forgotten = np.array([3, 17, 40, 41, 149])
    rest = sp.csr_array(X[np.setdiff1d(np.arange(150), forgotten)])
    expected = clone(model).fit(rest)
    fitted = clone(model)
    for part in (X[:70], X[70:]) if part_after_part else (X,):
        fitted.partial_fit(part) if part_after_part else fitted.fit(part)
    before = fitted.predict(X)
    assert forget(fitted, X[forgotten]) is fitted
    scale = np.abs(expected.predict(X)).max()
    assert np.abs(before - expected.predict(X)).max() > 1e-6 * scale
    assert_allclose(fitted.predict(X), expected.predict(X), atol=1e-8 * scale, rtol=1e-7)
    assert_array_equal(fitted.item_popularity_, expected.item_popularity_)
    assert fitted.n_users_fit_ == 145
    # And it can go on learning: the same users again give the model of all.
    assert_allclose(fitted.partial_fit(X[forgotten]).predict(X), before, atol=1e-7 * scale)


def test_equal_rows_are_forgotten_once_each():
    X = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    model = forget(ItemKNN().fit(X), X[:1])
    assert_allclose(model.predict(X), ItemKNN().fit(X[1:]).predict(X))


@pytest.mark.parametrize("kind", [EASE, ItemKNN, PopularityRecommender])
def test_impossible_rows_are_refused_and_nothing_changes(kind):
    X = rows()
    model = kind().fit(X)
    before = model.predict(X)
    stranger = sp.csr_array(np.ones((149, 40)))
    with pytest.raises(ValueError, match="not all part of the fit"):
        forget(model, stranger)
    with pytest.raises(ValueError, match="would be left"):
        forget(model, X)
    with pytest.raises(ValueError, match=r"features|columns"):
        forget(model, X[:, :5])
    assert_array_equal(model.predict(X), before)
    assert model.n_users_fit_ == 150


def test_other_refusals_name_the_remedy():
    X = rows()
    with pytest.raises(ValueError, match="these values"):
        forget(ItemKNN().fit(X), X[:1] * 0.5)
    with pytest.raises(TypeError, match="Fit it again"):
        forget(ALSRecommender(2, max_iter=1, random_state=0).fit(X), X[:1])
    with pytest.raises(ValueError, match="compact"):
        forget(ItemKNN().fit(X).compact(), X[:1])
    with pytest.raises(ValueError, match="noisy sums"):
        forget(EASE(privacy=GaussianMechanism(1.0)).fit(X), X[:1])
    timed = make_interactions(50, 20, random_state=0).interactions
    with pytest.raises(ValueError, match="half_life"):
        forget(PopularityRecommender(half_life=1e6).fit(timed), timed[:1])


def test_the_docstring_names_all_models_that_can():
    able = {
        type(model).__name__
        for model in instances()
        if isinstance(model, BaseRecommender) and hasattr(type(model), "_forget")
    }
    assert all(f"`{name}`" in forget.__doc__ for name in able)
