"""Searches and comparisons under other backends of joblib give the numbers of one process; other engines make lists."""

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from _clusters import two_workers
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from sklearn_llmrec import EASE, ItemKNN
from sklearn_llmrec.model_selection import compare

EXAMPLES = Path(__file__).parents[2] / "examples" / "engines"


@pytest.fixture(scope="module")
def dask():
    with two_workers():
        yield "dask"


@pytest.fixture(scope="module")
def ray_home(tmp_path_factory):
    """Ray on two processes; it writes into the home folder when it starts."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.util.joblib import register_ray

    home, before = tmp_path_factory.mktemp("home"), os.environ.get("HOME")
    # Its workers wait for all other programs, if they are as polite as by default.
    os.environ |= {"HOME": str(home), "RAY_worker_niceness": "0"}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    yield "ray"
    ray.shutdown()
    os.environ["HOME"] = before or ""


@pytest.fixture(params=["loky", "multiprocessing", "threading", "dask", "ray"])
def backend(request):
    """Name a backend of joblib that is ready."""
    ready = {"dask": "dask", "ray": "ray_home"}
    if request.param in ready:
        request.getfixturevalue(ready[request.param])
    return request.param


def purchases():
    rng = np.random.default_rng(0)
    return sp.csr_array((rng.random((400, 50)) < rng.power(0.5, 50) * 0.4).astype(float))


def searched():
    return GridSearchCV(ItemKNN(), {"n_neighbors": [2, 10, 40], "shrinkage": [0.0, 5.0]}, cv=3)


def test_searches_and_comparisons_give_the_numbers_of_one_process(backend):
    X = purchases()
    alone = searched().fit(X)
    table = compare({"knn": ItemKNN(), "ease": EASE()}, X)
    with parallel_config(backend=backend, n_jobs=2):
        there = searched().fit(X)
        same = compare({"knn": ItemKNN(), "ease": EASE()}, X)
    scores = alone.cv_results_["mean_test_score"]
    assert np.ptp(scores) > 0.001
    np.testing.assert_allclose(there.cv_results_["mean_test_score"], scores, rtol=1e-12)
    assert there.best_params_ == alone.best_params_
    for metric, values in table.per_user.items():
        np.testing.assert_allclose(same.per_user[metric], values, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "spark"])
def test_other_engines_make_the_lists_of_all_customers(engine, capsys, monkeypatch, tmp_path):
    pytest.importorskip({"ray": "ray", "spark": "pyspark"}[engine], reason="not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "argv", [engine])
    runpy.run_path(str(EXAMPLES / f"{engine}_lists.py"))
    assert "21690 rows" in capsys.readouterr().out  # five for each of 4,338 customers
