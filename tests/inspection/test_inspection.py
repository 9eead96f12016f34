"""Displays show the figures of the metrics, in the colours and axes they are given, and load matplotlib late."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import trapezoid

from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.inspection import (
    ExposureDisplay,
    InteractionCurveDisplay,
    MetricAtKDisplay,
    TradeOffDisplay,
    UserActivityDisplay,
)
from sklearn_llmrec.inspection._common import metric_label
from sklearn_llmrec.inspection._user_activity import equal_groups
from sklearn_llmrec.metrics import gini_at_k, ndcg_at_k, ranking_scorer, recall_at_k
from sklearn_llmrec.model_selection import compare, holdout_split
from sklearn_llmrec.neighbors import ItemKNN

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _headless():
    pyplot.close("all")  # of another test: Matplotlib 3.8 warns of closing them with the backend
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def data():
    return holdout_split(make_interactions(random_state=0).interactions, random_state=0)


@pytest.fixture(scope="module")
def models(data):
    return {"pop": PopularityRecommender().fit(data[0]), "knn": ItemKNN().fit(data[0])}


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_long_names_are_wrapped(data, models):
    named = {"a model whose name goes on and on for two lines": models["pop"], **models}
    display = ExposureDisplay.from_estimator(named, data[0])
    assert {max(map(len, text.split("\n"))) <= 24 for text in legend_of(display)} == {True}
    assert any(text.startswith("a model whose name goes\non") for text in legend_of(display))


def test_metric_at_k(data, models):
    X, y = data
    display = MetricAtKDisplay.from_estimator(models, X, y, metric="recall", ks=[20, 5])
    assert display.ks == [5, 20]
    items, _ = models["knn"].recommend(X, 20)
    np.testing.assert_allclose(
        display.lines_["knn"].get_ydata(), [recall_at_k(y, items, k=k) for k in (5, 20)]
    )
    low, high = display.curves["knn"][1:]
    assert (low < display.curves["knn"][0]).all()
    assert (high > display.curves["knn"][0]).all()
    assert display.ax_.get_ylabel() == "recall@k, mean over users"
    again = MetricAtKDisplay.from_predictions(
        y, {"knn": items, "pop": models["pop"].predict(X)}, metric="recall", ks=[5, 20], seen=X
    )
    for name in models:
        np.testing.assert_allclose(again.curves[name], display.curves[name])
    one = MetricAtKDisplay.from_predictions(y, items, ks=[10])
    assert list(one.curves) == ["model"]
    with pytest.raises(ValueError, match="one number for all users"):
        MetricAtKDisplay.from_estimator(models, X, y, metric="gini")
    with pytest.raises(ValueError, match="between 1 and the number of items"):
        MetricAtKDisplay.from_estimator(models, X, y, ks=[10**6])


def test_trade_off(data, models):
    X, y = data
    display = TradeOffDisplay.from_estimator(models, X, y, x_metric="gini@10")
    scorer = ranking_scorer(["gini@10", "ndcg@10"])
    for name, model in models.items():
        scores = scorer(model, X, y)
        (x, low, _), (value, *_) = display.points[name]
        assert (-x, value) == (scores["gini@10"], scores["ndcg@10"])
        assert np.isnan(low)
    assert display.ax_.get_xlabel() == "Gini index of exposure@10, less is better"
    assert set(display.texts_) == set(models)
    lists = {name: model.recommend(X, 10)[0] for name, model in models.items()}
    again = TradeOffDisplay.from_predictions(y, lists, x_metric="gini@10")
    np.testing.assert_allclose(
        [again.points[name] for name in models], [display.points[name] for name in models]
    )
    result = compare(models, X, y, metrics=["ndcg@10", "gini@10"], prefit=True)
    third = TradeOffDisplay.from_comparison(result, x_metric="gini@10", y_metric="ndcg@10")
    np.testing.assert_allclose(third.points["knn"][1], display.points["knn"][1])


def test_names_do_not_cover_each_other(data):
    points = {f"model {i}": ((0.5 + i * 1e-3, np.nan, np.nan), (0.5, 0.4, 0.6)) for i in range(6)}
    display = TradeOffDisplay(points=points, x_metric="novelty@10", y_metric="ndcg@10").plot()
    boxes = [text.get_window_extent() for text in display.texts_.values()]
    overlaps = sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert overlaps == 0


def test_exposure(data, models):
    X, _ = data
    display = ExposureDisplay.from_estimator(models, X, k=5)
    items, _ = models["knn"].recommend(X, 5)
    expected = gini_at_k(items, X.shape[1], k=5)
    assert f"knn (Gini {expected:.2f})" in legend_of(display)
    curve = display.lines_["knn"].get_ydata()
    area = trapezoid(curve, display.lines_["knn"].get_xdata())
    assert 1 - 2 * area == pytest.approx(expected)
    again = ExposureDisplay.from_predictions({"knn": items}, X.shape[1], k=5)
    np.testing.assert_array_equal(again.exposures["knn"], display.exposures["knn"])


def test_user_activity(data, models):
    X, y = data
    display = UserActivityDisplay.from_estimator(models, X, y, n_groups=3)
    values = ndcg_at_k(y, models["knn"].recommend(X, 10)[0], per_user=True)
    activity = np.diff(X.indptr)
    for (low, high, n), mean in zip(display.groups, display.curves["knn"][0]):
        inside = (activity >= low) & (activity <= high) & ~np.isnan(values)
        assert inside.sum() == n
        assert mean == pytest.approx(values[inside].mean())
    assert sum(n for *_, n in display.groups) == np.count_nonzero(~np.isnan(values))
    again = UserActivityDisplay.from_predictions(
        y, models["knn"].predict(X), seen=X, n_groups=3, ax=display.ax_
    )
    assert again.figure_ is display.figure_
    np.testing.assert_allclose(again.curves["model"], display.curves["knn"])


def test_groups_of_equal_activity_are_not_parted():
    activity = np.array([1, 1, 1, 1, 2, 2, 9, 10])
    groups = equal_groups(activity, np.ones(8, dtype=bool), 4)
    assert [activity[rows].tolist() for rows in groups] == [[1, 1, 1, 1], [2, 2], [9], [10]] or [
        activity[rows].tolist() for rows in groups
    ] == [[1, 1, 1, 1], [2, 2], [9, 10]]
    assert len(equal_groups(np.ones(5), np.ones(5, dtype=bool), 3)) == 1


@pytest.mark.parametrize("given_y", [True, False])
def test_interaction_curve(data, given_y):
    X, y = data
    y = y if given_y else None
    display = InteractionCurveDisplay.from_estimator(
        {"knn": ItemKNN()}, X, y, train_sizes=[0.25, 1.0], item_features=None
    )
    expected = compare({"knn": ItemKNN()}, X, y, metrics="ndcg@10")["ndcg@10"]["knn"]
    assert display.curves["knn"][0][-1] == pytest.approx(expected)
    assert display.n_interactions[0] == pytest.approx(display.n_interactions[1] / 4, abs=1)
    with pytest.raises(ValueError, match="shares above 0"):
        InteractionCurveDisplay.from_estimator(ItemKNN(), X, y, train_sizes=[0])


def test_hidden_without_y_is_that_of_the_scorer(data, models):
    X, _ = data
    expected = ranking_scorer("ndcg@10")(models["pop"], X)
    with pytest.warns(UserWarning, match="the figure flatters"):
        display = MetricAtKDisplay.from_estimator(models["pop"], X, ks=[10])
    assert display.curves["PopularityRecommender"][0][0] == expected


def test_a_model_keeps_its_colour(data, models):
    X, y = data
    lines = MetricAtKDisplay.from_estimator(models, X, y).lines_
    curves = ExposureDisplay.from_estimator(models, X).lines_
    assert [lines[name].get_color() for name in models] == ["C0", "C1"]
    assert [curves[name].get_color() for name in models] == ["C0", "C1"]


def test_words():
    assert metric_label("ndcg@10") == "nDCG@10"
    assert metric_label("novelty@5") == "novelty@5 (bits)"
    assert metric_label("hit_rate@1") == "hit rate@1"
    assert metric_label("auc") == "AUC"


def test_matplotlib_is_imported_late():
    code = "import sys, sklearn_llmrec.inspection; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
