"""Every recommender gives the numbers of one process under every joblib backend, in the caller and in a worker."""

import warnings

import joblib
import numpy as np
import pytest
from _instances import TRAINED_BY_TORCH, instances
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.sequence import LMRecommender
from sklearn_llmrec.utils import in_threads, slices_for_threads

BACKENDS = ["loky", "multiprocessing", "threading"]
# Arrays above this many bytes reach workers as read-only memory maps: joblib's default, and nearly everything.
MAX_BYTES = {"below the limit": "1M", "above the limit": 1}
RECOMMENDERS = [model for model in instances() if isinstance(model, BaseRecommender)]
# Models that import torch, whose import takes longer than all other fits.
HEAVY = [m for m in RECOMMENDERS if isinstance(m, (*TRAINED_BY_TORCH, LMRecommender))]
LIGHT = [m for m in RECOMMENDERS if m not in HEAVY]


def _name(model):
    return type(model).__name__


def answers(model, X):
    """Fit a clone and return its scores, lists and figure."""
    model = clone(model)
    if "random_state" in model.get_params(deep=False):
        model.set_params(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # workers do not have the filters of the tests
        model.fit(X)
        items, scores = model.recommend(X, k=5)
        return model.predict(X), items, scores, model.score(X)


def _assert_same(got, want, where):
    atol = 1e-5 * np.abs(want[0]).max()
    np.testing.assert_allclose(got[0], want[0], rtol=0, atol=atol, err_msg=where)
    np.testing.assert_array_equal(got[1], want[1], err_msg=where)
    np.testing.assert_allclose(got[2], want[2], rtol=0, atol=atol, err_msg=where)
    assert got[3] == pytest.approx(want[3], abs=1e-12), where


@pytest.fixture(scope="module")
def X():
    return make_interactions(n_users=40, n_items=20, random_state=0).interactions


@pytest.fixture(scope="module")
def expected(X):
    known = {}

    def of(model):
        if _name(model) not in known:
            known[_name(model)] = answers(model, X)
        return known[_name(model)]

    return of


def _check(models, backend, limit, X, expected):
    options = {} if backend == "threading" else {"max_nbytes": MAX_BYTES[limit]}
    with joblib.parallel_config(backend=backend, n_jobs=2, **options):
        for model in models:
            _assert_same(answers(model, X), expected(model), f"{_name(model)} in the caller")
        in_workers = joblib.Parallel()(joblib.delayed(answers)(model, X) for model in models)
    for model, got in zip(models, in_workers, strict=True):
        _assert_same(got, expected(model), f"{_name(model)} in a worker")


@pytest.mark.parametrize("limit", MAX_BYTES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_are_those_of_one_process(backend, limit, X, expected):
    _check(LIGHT, backend, limit, X, expected)


@pytest.mark.slow
@pytest.mark.parametrize("limit", MAX_BYTES)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", HEAVY, ids=_name)
def test_numbers_of_networks_are_those_of_one_process(model, backend, limit, X, expected):
    # A worker that has grown by the size of torch ends itself as leaking: each model gets new ones.
    get_reusable_executor().shutdown(wait=True)
    _check([model], backend, limit, X, expected)


def test_networks_fitted_in_threads_are_those_fitted_alone(X, expected):
    _check(HEAVY, "threading", "below the limit", X, expected)


def test_threads_write_into_the_arrays_of_the_caller():
    written = np.zeros(100)

    def fill(rows):
        written[rows] = np.arange(rows.start, rows.stop)
        return rows.stop - rows.start

    for backend in BACKENDS:
        written[:] = -1
        with joblib.parallel_config(backend=backend, n_jobs=2):
            sizes = in_threads(fill, slices_for_threads(100, 2), 2)
        np.testing.assert_array_equal(written, np.arange(100))
        assert sum(sizes) == 100


def test_an_error_in_a_thread_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 // n, [1, 0, 2], 2)


@pytest.mark.parametrize(("n", "n_threads"), [(0, 1), (0, 3), (5, 1), (5, 4), (1000, 2)])
def test_slices_cover_every_row_once(n, n_threads):
    rows = [row for part in slices_for_threads(n, n_threads) for row in range(n)[part]]
    assert rows == list(range(n))
