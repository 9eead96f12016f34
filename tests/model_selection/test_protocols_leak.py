"""The time protocols leak nothing: what is planted in the future reaches no fit, and memory of it is worth nothing.

`Memorises` is the adversary: it finds the rows it was fitted on again, and recommends what they hold beyond what it is
shown. Where anything of the future reaches its fit, it is perfect; where nothing does, it is popularity.
"""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import Interactions
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import (
    backtest_folds,
    compare,
    holdout_split,
    leave_last_out,
    time_split,
)
from sklearn_llmrec.preprocessing import BM25Transformer

N_USERS, N_ITEMS, N_PLANTED = 120, 40, 5
PLANTED = np.arange(N_ITEMS, N_ITEMS + N_PLANTED)
CUT = 1000


class Memorises(BaseRecommender):
    """Recommends what rows of the fit hold beyond the given row, then what is popular; notes what it was given."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.recommender_tags.keeps_input = True
        return tags

    given = []

    def _fit(self, X):
        self.rows_ = X.toarray() != 0
        type(self).given.append(X)

    def _score_rows(self, X):
        shown = X.toarray() != 0
        known = (
            shown.astype(float) @ self.rows_.T
        )  # how many of the shown items a row of the fit has
        same = known == shown.sum(axis=1, keepdims=True)
        beyond = same.astype(float) @ self.rows_ * ~shown
        return (beyond * 1e6 + self.item_popularity_).astype(X.dtype)


@pytest.fixture(autouse=True)
def _forget():
    Memorises.given = []


def events(repeats="keep", seed=0):
    """A log whose items drift: each is popular for a while, and the planted ones only ever after the cut."""
    rng = np.random.default_rng(seed)
    n = 3000
    times = rng.integers(0, CUT, size=n)
    users = rng.integers(N_USERS, size=n)
    items = (times * 3 // 100 + rng.geometric(0.15, size=n)) % N_ITEMS
    later = CUT + rng.integers(0, 200, size=3 * N_USERS)
    users = np.concatenate([users, np.tile(np.arange(N_USERS), 3)])
    items = np.concatenate([items, rng.choice(PLANTED, size=3 * N_USERS)])
    times = np.concatenate([times, later])
    import pandas as pd

    log = pd.DataFrame({"user": users, "item": items, "time": times})
    return Interactions.from_frame(log, user="user", item="item", timestamp="time", repeats=repeats)


def figures(models, X, y):
    return compare(models, X, y, metrics="ndcg@10", confidence=0.99).to_frame()["ndcg@10"]


def assert_worth_nothing(frame):
    """Memorises is no better than popularity, beyond what chance makes of some users."""
    memory = frame.loc["memory"]
    assert memory["mean"] <= frame.loc["popularity", "high"] + 1e-12


MODELS = {"memory": Memorises(), "popularity": PopularityRecommender()}


@pytest.mark.parametrize("repeats", ["keep", "sum"])
@pytest.mark.parametrize("settings", [{"cut": CUT}, {"cut": CUT, "horizon": 50}, {"cut": 700}, {}])
def test_time_split(repeats, settings):
    X = events(repeats)
    X_visible, y = time_split(X, **settings)
    cut = y.timestamps.min()
    assert X_visible.timestamps.max() < cut
    frame = figures(MODELS, X_visible, y)
    (given,) = Memorises.given
    assert given.timestamps.max() < cut
    if settings.get("cut") == CUT:
        assert not np.isin(given.indices, PLANTED).any()
        assert np.isin(y.indices, PLANTED).all()
    if "horizon" in settings:
        assert y.timestamps.max() < cut + settings["horizon"]
    assert_worth_nothing(frame)


def test_the_adversary_works():
    """Where the future does reach the fit, Memorises finds it: the tests here would see a leak."""
    X = events()
    X_visible, y = time_split(X, cut=CUT)
    scorer = ranking_scorer("ndcg@10")
    leaked = scorer(Memorises().fit(X), X_visible, y)
    assert leaked > 0.9
    assert scorer(PopularityRecommender().fit(X_visible), X_visible, y) < 0.1


@pytest.mark.parametrize("repeats", ["keep", "sum"])
@pytest.mark.parametrize("settings", [{"n_splits": 3}, {"cuts": [300, 600, CUT]}])
def test_backtest_in_vanilla_scikit_learn(repeats, settings):
    X_, y_, cv = backtest_folds(events(repeats), **settings)
    scorer = ranking_scorer("ndcg@10")
    grid = {"memory": Memorises(), "popularity": PopularityRecommender()}
    scores = {}
    for name, model in grid.items():
        search = GridSearchCV(model, {}, cv=cv, scoring=scorer, refit=False).fit(X_, y_)
        scores[name] = [search.cv_results_[f"split{k}_test_score"][0] for k in range(len(cv))]
    assert len(Memorises.given) == len(cv)
    for given, (_, test) in zip(Memorises.given, cv):
        assert given.timestamps.max() < y_[test].timestamps.min()
    assert np.mean(scores["memory"]) <= np.mean(scores["popularity"]) + 0.02
    for k, (train, test) in enumerate(cv):
        again = scorer(PopularityRecommender().fit(X_[train]), X_[test], y_[test])
        assert scores["popularity"][k] == again


def test_backtest_through_compare_and_pipelines():
    X_, y_, cv = backtest_folds(events(), cuts=[400, 700, CUT])
    models = {
        "memory": Memorises(),
        "piped": make_pipeline(BM25Transformer(), Memorises()),
        "popularity": PopularityRecommender(),
    }
    frame = compare(models, X_, y_, cv=cv, metrics="ndcg@10", confidence=0.99).to_frame()
    assert_worth_nothing(frame["ndcg@10"])
    assert frame.loc["piped", ("ndcg@10", "mean")] <= frame.loc["popularity", ("ndcg@10", "high")]
    assert len(Memorises.given) == 6
    for k, (given, cut) in enumerate(zip(Memorises.given, [400, 700, CUT] * 2)):
        assert given.timestamps.max() < cut, k
        assert not np.isin(given.indices, PLANTED).any()
    assert frame.loc["popularity", ("ndcg@10", "n_users")] == N_USERS


@pytest.mark.parametrize(
    "split",
    [
        lambda X: leave_last_out(X, 2),
        lambda X: holdout_split(X, holdout="latest", test_size=0.2),
        lambda X: leave_last_out(X, 3, keep_baskets=False),
    ],
)
def test_latest_of_each_user(split):
    X_visible, y = split(events())
    for user in range(N_USERS):
        later, earlier = y[[user]].timestamps, X_visible[[user]].timestamps
        assert not len(later) or earlier.max() <= later.min()
    assert_worth_nothing(figures(MODELS, X_visible, y))
    assert len(Memorises.given) == 1


def test_y_is_kept_from_the_models_that_compare_fits():
    X_visible, y = time_split(events(), cut=CUT)
    kept = []

    class Peeks(PopularityRecommender):
        def fit(self, X, y=None):
            kept.append(y)
            return super().fit(X, y)

    compare({"peeks": Peeks()}, X_visible, y)
    assert kept == [None]


def test_values_as_times():
    times = np.zeros((N_USERS, N_ITEMS + N_PLANTED))
    X = events("sum")
    rows = np.repeat(np.arange(N_USERS), np.diff(X.indptr))
    times[rows, X.indices] = X.timestamps + 1
    X_visible, y = time_split(times, cut=CUT + 1, order="values")
    assert X_visible.max() <= CUT
    assert not X_visible[:, PLANTED].any()
    assert_worth_nothing(figures(MODELS, X_visible, y))


def test_permuted_targets_change_no_fit():
    X_visible, y = time_split(events(), cut=CUT)
    rng = np.random.default_rng(0)
    shuffled = y[rng.permutation(N_USERS)]
    scorer = {"a": ranking_scorer("ndcg@10")}
    both = [
        cross_validate(
            PopularityRecommender(),
            X_visible,
            t.toarray(),
            cv=3,
            scoring=scorer,
            return_estimator=True,
        )
        for t in (y, shuffled)
    ]
    for one, other in zip(*(result["estimator"] for result in both)):
        np.testing.assert_array_equal(one.item_popularity_, other.item_popularity_)
