"""The estimator checks of scikit-learn and our own, over every public estimator."""

import os
import pickle
import subprocess
import sys

import pytest
from _instances import TRAINED_BY_TORCH, instances
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.base._check_tools import fitted
from sklearn_llmrec.sequence import LMRecommender
from sklearn_llmrec.utils import EXPECTED_FAILED_CHECKS, parametrize_with_recommender_checks

# What the checks make has no texts, and models that read say so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.* knows no text of any item:UserWarning"),
    pytest.mark.filterwarnings(
        "ignore:.* without early stopping:UserWarning"
    ),  # few users in the checks
]

ALL = instances()
# scikit-learn has no checks for transformers of texts; theirs are beside their own tests.
CHECKED = [estimator for estimator in ALL if estimator.__sklearn_tags__().input_tags.two_d_array]
RECOMMENDERS = [estimator for estimator in ALL if isinstance(estimator, BaseRecommender)]


def expected_failed_checks(estimator):
    return EXPECTED_FAILED_CHECKS if isinstance(estimator, BaseRecommender) else {}


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@parametrize_with_recommender_checks(RECOMMENDERS)
def test_recommender_contract(estimator, check):
    check(estimator)


def test_fitted_models_answer_the_same_in_a_fresh_process(tmp_path):
    answers = []
    for estimator in RECOMMENDERS:
        # The models given to some live in a test file, and what torch trains is pickled beside its own tests.
        if hasattr(estimator, "model") or isinstance(estimator, (*TRAINED_BY_TORCH, LMRecommender)):
            continue
        model, X = fitted(estimator)
        answers.append((model, X, model.predict(X), model.recommend(X, k=3)[0]))
    (tmp_path / "models").write_bytes(pickle.dumps(answers))
    code = (
        "import pickle, sys\n"
        "import numpy as np\n"
        "for model, X, scores, items in pickle.load(open(sys.argv[1], 'rb')):\n"
        "    np.testing.assert_allclose(model.predict(X), scores, err_msg=repr(model), rtol=1e-6, atol=1e-9)\n"
        "    np.testing.assert_array_equal(model.recommend(X, k=3)[0], items, err_msg=repr(model))\n"
    )
    # Strings hash otherwise there.
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path / "models")]
    subprocess.run(command, check=True, env=environment)
