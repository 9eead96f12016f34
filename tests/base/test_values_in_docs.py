"""The docstring of a model says whether it ignores values and whether it refuses negative ones."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from _instances import TRAINED_BY_TORCH, instances
from sklearn.base import clone
from sklearn.utils import get_tags

from sklearn_llmrec import Interactions, LMRecommender
from sklearn_llmrec.base import BaseRecommender

rng = np.random.default_rng(0)
SHAPE = (40, 12)
PATTERN = sp.csr_array((rng.random(SHAPE) < 0.4) | (np.arange(12) == np.arange(40)[:, None] % 12))
TIMES = rng.permutation(PATTERN.nnz)
TEXTS = [
    f"{colour} {thing}"
    for colour in ("red", "blue", "tall")
    for thing in ("pot", "cup", "bag", "box")
]
MODELS = {
    type(model).__name__: model for model in instances() if isinstance(model, BaseRecommender)
}


def filled(values):
    X = PATTERN.astype(float)
    X.data[:] = values
    return Interactions(X, timestamps=TIMES)


def scores(model, X):
    model = clone(model)
    parameters = model.get_params()
    given = {"random_state": 0, "item_texts": TEXTS}
    model.set_params(**{name: value for name, value in given.items() if name in parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X).predict(X)


def says(model, words):
    return words in " ".join((type(model).__doc__ or "").split()).lower()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_ignores_values_says_so(name):
    model = MODELS[name]
    if isinstance(model, (*TRAINED_BY_TORCH, LMRecommender)):
        pytest.importorskip("torch")
    ratings = [np.ones(PATTERN.nnz), *(rng.integers(1, 6, PATTERN.nnz) for _ in range(2))]
    first, *others = (scores(model, filled(values)) for values in ratings)
    ignores = all(np.allclose(first, other, rtol=1e-5, atol=1e-8) for other in others)
    assert says(model, "values of x are ignored") == ignores


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_refuses_negative_values_says_so(name):
    model = MODELS[name]
    assert says(model, "negative values are refused") == get_tags(model).input_tags.positive_only
