"""The vote of several recommenders."""

import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import rankdata, zscore
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_llmrec import Interactions, ItemKNN, UserKNN, VotingRecommender, recommend
from sklearn_llmrec.base import BaseRecommender, needs_order
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.preprocessing import BM25Transformer, RecencyDecayTransformer

EXEMPT = dict.fromkeys(
    ("check_estimator_sparse_array", "check_estimator_sparse_matrix"),
    "demands one predicted value per row, where a recommender predicts one per item",
)


def interactions(seed=0, shape=(60, 15), density=0.3):
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, 3, shape[0])[:, None] == np.arange(shape[1]) % 3
    values = (rng.random(shape) < density * (0.4 + 1.6 * taste)) * rng.integers(1, 5, shape)
    values[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = 1
    return sp.csr_array(values.astype(np.float64))


def voting(**params):
    members = [
        ("knn", ItemKNN(5)),
        ("ease", make_pipeline(BM25Transformer(), EASE(20))),
        ("popular", PopularityRecommender()),
    ]
    return VotingRecommender(members, **params)


def by_hand(scores, normalize):
    if normalize == "minmax":
        low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
        return (scores - low) / (high - low)
    if normalize == "zscore":
        return zscore(scores, axis=1)
    ranks = rankdata(-scores.round(9), axis=1)
    if normalize == "rank":
        return (scores.shape[1] - ranks) / (scores.shape[1] - 1)
    if normalize == "rrf":
        return 1 / (60 + ranks)
    return scores


@pytest.mark.parametrize("normalize", ["minmax", "zscore", "rank", "rrf", None])
@pytest.mark.parametrize("weights", [None, [3, 1, 0.5]])
def test_equals_the_sum_by_hand(normalize, weights):
    X, unseen = interactions(), interactions(1)
    fitted = voting(normalize=normalize, weights=weights).fit(X)
    parts = [
        by_hand(clone(member).fit(X).predict(unseen), normalize) for _, member in fitted.estimators
    ]
    expected = np.average(parts, axis=0, weights=weights)
    np.testing.assert_allclose(fitted.predict(unseen), expected, rtol=1e-9, atol=1e-12)
    items, scores = fitted.recommend(unseen, k=3)
    masked = np.where(unseen.toarray() != 0, -np.inf, fitted.predict(unseen))
    np.testing.assert_array_equal(items, np.argsort(-masked, axis=1, kind="stable")[:, :3])
    np.testing.assert_array_equal(scores, np.take_along_axis(masked, items, axis=1))


@pytest.mark.parametrize("normalize", ["minmax", "zscore", "rank", "rrf"])
def test_one_member_alone_keeps_its_order(normalize):
    X = interactions()
    alone = EASE(20).fit(X)
    fitted = VotingRecommender([("ease", EASE(20))], normalize=normalize).fit(X)
    np.testing.assert_array_equal(fitted.recommend(X, 5)[0], alone.recommend(X, 5)[0])


@pytest.mark.parametrize("normalize", ["minmax", "zscore", "rank", "rrf", None])
def test_alone_as_in_a_batch(normalize):
    X, unseen = interactions(), interactions(2)
    fitted = voting(normalize=normalize).fit(X)
    batch = fitted.predict(unseen)
    alone = np.vstack([fitted.predict(unseen[[row]]) for row in range(unseen.shape[0])])
    np.testing.assert_allclose(alone, batch, rtol=0, atol=1e-9 * np.abs(batch).max())
    assert fitted.predict(unseen.astype(np.float32)).dtype == np.float32


def test_votes_do_not_depend_on_candidates_or_seen_items():
    X = interactions()
    fitted = voting().fit(X)
    candidates = np.array([1, 4, 7, 9, 13])
    _, scores = fitted.recommend(X, 5, exclude_seen=False, candidates=candidates)
    every = -np.sort(-fitted.predict(X)[:, candidates], axis=1)
    np.testing.assert_array_equal(scores, every)


@pytest.mark.parametrize("normalize", ["rank", "rrf"])
def test_ranks_do_not_tell_rounding_apart(normalize):
    class Noisy(BaseRecommender):
        def __init__(self, noise=0.0):
            self.noise = noise

        def _fit(self, X):
            pass

        def _score_rows(self, X):
            scores = np.tile(np.arange(X.shape[1]) // 2.0, (X.shape[0], 1))
            return scores + self.noise * (np.arange(X.shape[1]) % 2)

    X = interactions()
    exact, noisy = (
        VotingRecommender([("m", Noisy(noise))], normalize=normalize).fit(X).predict(X)
        for noise in (0.0, 1e-12)
    )
    np.testing.assert_array_equal(exact, noisy)


def test_dropped_members():
    X = interactions()
    without = voting(weights=[3, 1, 2]).set_params(ease="drop").fit(X)
    members = [("knn", ItemKNN(5)), ("popular", PopularityRecommender())]
    expected = VotingRecommender(members, weights=[3, 2]).fit(X)
    np.testing.assert_array_equal(without.predict(X), expected.predict(X))
    assert len(without.estimators_) == 2
    assert without.named_estimators_["ease"] == "drop"
    assert without.named_estimators_["popular"] is without.estimators_[1]
    assert without.named_estimators["knn"] is without.estimators[0][1]


def test_weight_zero_does_not_vote():
    X = interactions()
    zero = voting(weights=[1, 0, 0]).fit(X)
    only = VotingRecommender([("knn", ItemKNN(5))]).fit(X)
    np.testing.assert_array_equal(zero.predict(X), only.predict(X))
    assert len(zero.estimators_) == 3


def test_members_are_cloned_and_fits_repeat():
    X = interactions()
    model = voting()
    first = model.fit(X).predict(X)
    assert not hasattr(model.estimators[0][1], "n_features_in_")
    np.testing.assert_array_equal(model.fit(X).predict(X), first)
    np.testing.assert_array_equal(clone(model).fit(X).predict(X), first)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), first)


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_parallel_fit_is_the_same(backend):
    X = interactions()
    with joblib.parallel_config(backend=backend):
        parallel = voting(n_jobs=2).fit(X).predict(X)
    # A worker process gives BLAS other threads than this one: sums may round in another order.
    np.testing.assert_allclose(parallel, voting().fit(X).predict(X), rtol=1e-12, atol=1e-14)


def test_permuted_y_changes_nothing():
    X, y = interactions(), interactions(3)
    shuffled = y[np.random.default_rng(0).permutation(y.shape[0])]
    one, other = (voting().fit(X, target).predict(X) for target in (y, shuffled))
    np.testing.assert_array_equal(one, other)


def test_nested_parameters_in_a_search():
    X = interactions()
    grid = {
        "knn__n_neighbors": [2, 10],
        "ease__bm25transformer__k1": [0.5, 2],
        "popular": ["drop", PopularityRecommender()],
    }
    search = GridSearchCV(voting(), grid, cv=2, error_score="raise").fit(X)
    assert set(search.best_params_) == set(grid)
    assert len(np.unique(search.cv_results_["mean_test_score"].round(12))) > 1
    best = search.best_estimator_.named_estimators_
    assert best["knn"].n_neighbors == search.best_params_["knn__n_neighbors"]
    items, _ = recommend(search, X, 3)
    np.testing.assert_array_equal(items, search.best_estimator_.recommend(X, 3)[0])


def test_in_a_pipeline_and_inside_another_vote():
    X = interactions()
    pipeline = make_pipeline(BM25Transformer(), voting()).fit(X)
    assert recommend(pipeline, X, 3)[0].shape == (X.shape[0], 3)
    nested = VotingRecommender([("inner", voting()), ("users", UserKNN(5))]).fit(X)
    assert nested.get_params()["inner__knn__n_neighbors"] == 5
    assert nested.predict(X).shape == X.shape


def test_members_see_times():
    X = interactions()
    times = np.random.default_rng(0).integers(0, 1000, X.nnz)
    timed = Interactions(X, timestamps=times)
    decayed = make_pipeline(RecencyDecayTransformer(100), ItemKNN(5))
    model = VotingRecommender([("decayed", decayed), ("knn", ItemKNN(5))])
    assert model.fit(timed).predict(timed).shape == X.shape
    with pytest.raises(ValueError, match="no timestamps"):
        model.fit(X)
    assert model.predict(timed).shape == X.shape


def test_order_of_a_member_is_order_of_the_vote():
    class Newest(PopularityRecommender):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.recommender_tags.needs_order = True
            return tags

    assert not needs_order(voting())
    assert needs_order(voting().set_params(knn=Newest()))
    assert needs_order(voting().set_params(knn=make_pipeline(BM25Transformer(), Newest())))


def test_rows_without_evidence_get_popular_items():
    X = interactions()
    fitted = voting().fit(X)
    np.testing.assert_array_equal(
        fitted.predict(np.zeros((1, X.shape[1])))[0], fitted.item_popularity_
    )


def test_verbose(capsys):
    voting(verbose=True).set_params(ease="drop").fit(interactions())
    printed = capsys.readouterr().out
    assert "(1 of 2) Processing knn" in printed
    assert "(2 of 2) Processing popular" in printed


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimators": []}, ValueError, "non-empty list"),
        ({"estimators": [ItemKNN()]}, ValueError, r"list of \(name, estimator\) tuples"),
        ({"estimators": [("a", ItemKNN()), ("a", EASE())]}, ValueError, "not unique"),
        ({"estimators": [("a__b", ItemKNN())]}, ValueError, "must not contain __"),
        ({"estimators": [("weights", ItemKNN())]}, ValueError, "conflict with constructor"),
        ({"estimators": [("a", ItemKNN)]}, TypeError, "Member 'a' must be an instance"),
        ({"estimators": [("a", BM25Transformer())]}, TypeError, "Member 'a' must be"),
        ({"estimators": [("a", "drop")]}, ValueError, "No member is left"),
        ({"weights": [1, 2]}, ValueError, "one number per member, 3"),
        ({"weights": [1, -2, 1]}, ValueError, "finite and >= 0"),
        ({"weights": [1, np.nan, 1]}, ValueError, "finite and >= 0"),
        ({"weights": [0, 0, 0]}, ValueError, "No member is left to vote"),
        ({"normalize": "softmax"}, ValueError, "'normalize' parameter"),
        ({"rrf_k": -1}, ValueError, "'rrf_k' parameter"),
    ],
)
def test_refusals_leave_the_fitted_vote_alone(params, error, message):
    X = interactions()
    model = voting().fit(X)
    before = model.predict(X)
    model.set_params(**params)
    with pytest.raises(error, match=message):
        model.fit(X)
    assert len(model.estimators_) == 3
    model.set_params(**voting().get_params(deep=False))
    np.testing.assert_array_equal(model.predict(X), before)


def test_member_with_another_number_of_columns():
    class Narrow(PopularityRecommender):
        def predict(self, X):
            return super().predict(X)[:, :-1]

    model = VotingRecommender([("narrow", Narrow())]).fit(interactions())
    with pytest.raises(ValueError, match=r"Narrow\.predict returned shape"):
        model.predict(interactions())


@parametrize_with_checks(
    [
        VotingRecommender([("knn", ItemKNN(3)), ("ease", EASE())], normalize=normalize)
        for normalize in ("minmax", "rank")
    ],
    expected_failed_checks=lambda estimator: EXEMPT,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_learned_weights_go_to_the_activity_of_whole_rows(monkeypatch):
    """Lengths at predict are those of whole rows, so what is hidden to learn weights counts in the groups too."""
    from sklearn_llmrec.ensemble import _voting

    rng = np.random.default_rng(0)
    X = np.zeros((120, 30))
    for row in range(120):  # 8 or 12 items; with a fifth hidden, 6 or 10
        X[row, rng.choice(30, 8 if row % 2 else 12, replace=False)] = 1
    masks = []

    def learn_weights(pool, common=None, mine=None):
        if mine is None:
            return np.array([0.5, 0.5])
        masks.append(int(mine.sum()))
        return np.array([0.9, 0.1])

    monkeypatch.setattr(_voting, "learn_weights", learn_weights)
    members = [("knn", ItemKNN()), ("pop", PopularityRecommender())]
    learned = {}
    for bound in (7, 9, 11):
        masks.clear()
        vote = VotingRecommender(members, weights="learn", activity_bins=[bound], holdout="hash")
        learned[bound] = vote.fit(X).weights_[:, 0].tolist(), list(masks)
    assert learned[7] == ([0.5, 0.9], [120])
    assert learned[9] == ([0.9, 0.9], [60, 60])
    assert learned[11] == ([0.9, 0.9], [60, 60])
