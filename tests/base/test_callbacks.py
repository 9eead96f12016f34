"""scikit-learn's callbacks hear of fits and iterations, failed fits included."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.utils._callbacks import iterations

pytest.importorskip("sklearn.callback")

X = sp.csr_array(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1.0]]))


class Recorder:
    """Writes down every hook that is called; stops after `stop_after` iterations."""

    def __init__(self, stop_after=None):
        self.heard = []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.heard.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            self.heard.append(fitted_estimator.predict(X).sum())
        return context.task_name == "iteration" and context.task_id + 1 == self.stop_after


class Iterative(PopularityRecommender):
    def _fit(self, X):
        super()._fit(X)
        self.n_iter_ = 0
        for _ in iterations(self, 5, X=X):
            self.n_iter_ += 1


def test_a_fit_is_one_task_and_iterations_are_its_subtasks():
    recorder = Recorder(stop_after=2)
    model = Iterative().set_callbacks(recorder).fit(X)
    assert model.n_iter_ == 2
    assert recorder.heard == [
        "setup",
        "begin fit",
        "begin iteration",
        "end iteration",
        "begin iteration",
        "end iteration",
        "end fit",
        "teardown",
    ]
    assert Iterative().fit(X).n_iter_ == 5


def test_a_failed_fit_still_tears_down():
    recorder = Recorder()
    model = Iterative().set_callbacks(recorder)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((3, 3), np.nan))
    assert recorder.heard == ["setup", "begin fit", "teardown"]
    assert not hasattr(model, "n_features_in_")


def test_a_score_monitor_follows_als():
    from sklearn.callback import ScoringMonitor

    rng = np.random.default_rng(0)
    taste = np.arange(40)[:, None] % 2 == np.arange(20) % 2
    X = sp.csr_array((rng.random((40, 20)) < np.where(taste, 0.6, 0.1)).astype(float))
    monitor = ScoringMonitor(scoring=ranking_scorer(["ndcg@10"]))
    model = ALSRecommender(2, max_iter=4, regularization=0.1, random_state=0)
    model.set_callbacks(monitor).fit(X)
    assert model.n_iter_ == 4
    log = monitor.get_logs()
    scores = [entry["ndcg@10"] for entry in log.data if "ndcg@10" in entry]
    assert len(scores) >= 4
    assert scores[-1] == pytest.approx(model.score(X))
