"""The estimator checks of scikit-learn and our own, over every public estimator."""

import pytest
from _instances import instances
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.utils.estimator_checks import EXPECTED_FAILED_CHECKS, recommender_checks

# What the checks make has no texts, and models that read say so.
pytestmark = pytest.mark.filterwarnings("ignore:.* knows no text of any item:UserWarning")

ALL = instances()
# scikit-learn has no checks for transformers of texts; theirs are beside their own tests.
CHECKED = [estimator for estimator in ALL if estimator.__sklearn_tags__().input_tags.two_d_array]
RECOMMENDERS = [estimator for estimator in ALL if isinstance(estimator, BaseRecommender)]


def expected_failed_checks(estimator):
    return EXPECTED_FAILED_CHECKS if isinstance(estimator, BaseRecommender) else {}


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", list(recommender_checks()), ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", RECOMMENDERS, ids=lambda estimator: type(estimator).__name__)
def test_recommender_contract(estimator, check):
    check(estimator)
