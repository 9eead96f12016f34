"""What only further training needs can be dropped: scores stay, training goes on no more."""

import pickle

import numpy as np
import pytest
from _instances import instances
from sklearn.exceptions import NotFittedError

from sklearn_llmrec import EASE, ALSRecommender, ItemKNN, UserKNN, VotingRecommender
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.datasets import make_interactions

X = make_interactions(n_users=80, n_items=25, random_state=0).interactions
RECOMMENDERS = [kind for kind in instances() if isinstance(kind, BaseRecommender)]


@pytest.mark.parametrize("model", RECOMMENDERS, ids=lambda model: type(model).__name__)
def test_scores_stay_the_same(model):
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    model.fit(X)
    before = model.predict(X), *model.recommend(X, k=5)
    size = len(pickle.dumps(model))
    assert model.compact() is model
    for old, new in zip(before, (model.predict(X), *model.recommend(X, k=5)), strict=True):
        np.testing.assert_array_equal(new, old)
    dropped = type(model)._training_only
    assert len(pickle.dumps(model)) < size if dropped else len(pickle.dumps(model)) <= size
    if dropped:
        state = pickle.dumps(model)
        with pytest.raises(ValueError, match=r"partial_fit needs what compact\(\) dropped"):
            model.partial_fit(X[:5])
        assert pickle.dumps(model) == state
        np.testing.assert_array_equal(model.fit(X).predict(X), before[0])
        model.partial_fit(X[:5])


def test_rows_of_users_are_gone():
    marked = np.zeros((40, 12))
    marked[:, :3] = 1
    marked[7, 5] = 123456.5
    for kind in (ItemKNN, EASE):
        model = kind().partial_fit(marked)
        assert np.float64(123456.5).tobytes() in pickle.dumps(model) or kind is EASE
        assert np.float64(123456.5).tobytes() not in pickle.dumps(model.compact())


def test_members_are_compacted_too():
    voting = VotingRecommender([("knn", ItemKNN()), ("als", ALSRecommender(n_components=2))]).fit(X)
    voting.compact()
    assert not hasattr(voting.estimators_[0], "_rows_")
    assert not hasattr(voting.estimators_[1], "_past_")
    with pytest.raises(NotFittedError):
        UserKNN().compact()
