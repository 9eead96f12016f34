"""Sequence models that count: pairs at a distance, sessions, n-grams."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_llmrec import Interactions, ItemKNN, VotingRecommender
from sklearn_llmrec.base._recommend import recommend
from sklearn_llmrec.interactions._sequences import event_sequences
from sklearn_llmrec.sequence import MarkovRecommender, SequenceKNN, SessionKNN
from sklearn_llmrec.sequence._knn import _followers, _pair_blocks

MODELS = [SequenceKNN(), SessionKNN(), MarkovRecommender()]


def chains(n_users=60, n_items=20, length=6, noise=0.0, seed=0):
    """Users who walk i, i + 1, i + 2, ... from a random start."""
    rng = np.random.default_rng(seed)
    walk = (rng.integers(n_items, size=n_users)[:, None] + np.arange(length)) % n_items
    walk = np.where(rng.random(walk.shape) < noise, rng.integers(n_items, size=walk.shape), walk)
    return walk, Interactions(
        (np.ones(walk.size), walk.ravel(), np.arange(0, walk.size + 1, length)),
        shape=(n_users, n_items),
        timestamps=np.tile(np.arange(length), n_users),
    )


@pytest.mark.parametrize("model", [SequenceKNN(), MarkovRecommender()])
def test_a_planted_chain_is_learned(model):
    walk, X = chains(noise=0.1)
    history = sp.csr_array(np.eye(20) + 2 * np.roll(np.eye(20), 1, axis=1))  # i, then i + 1
    items, _ = model.fit(X).recommend(history, k=1)
    assert (items.ravel() == (np.arange(20) + 2) % 20).mean() >= 0.9


def test_sequence_knn_is_its_formula():
    rng = np.random.default_rng(0)
    _, X = chains(n_users=12, n_items=7, length=5, noise=0.5)
    model = SequenceKNN(None, window=3, decay=0.7).fit(X)
    sequences, popularity = event_sequences(X), model.item_popularity_
    weights = np.zeros((7, 7))
    for row in np.split(sequences.items, sequences.bounds[1:-1]):
        for late in range(len(row)):
            for early in range(max(0, late - 3), late):
                weights[row[early], row[late]] += 1 / np.sqrt(late - early)
    weights /= np.sqrt(np.outer(popularity, popularity)).clip(1e-9)
    assert np.allclose(model.weights_.toarray(), weights)
    history = rng.permutation(7)[:4]
    x = np.zeros((1, 7))
    x[0, history] = np.arange(1, 5)
    expected = sum(0.7 ** (3 - step) * weights[item] for step, item in enumerate(history))
    known = expected > 0
    assert np.allclose(model.predict(x)[0, known], expected[known])


def test_blocks_of_pairs_change_nothing(monkeypatch):
    _, X = chains(noise=0.5)
    whole = SequenceKNN().fit(X).weights_.toarray()
    monkeypatch.setattr("sklearn_llmrec.sequence._knn._BLOCK_PAIRS", 50)
    sequences = event_sequences(X)
    followers = _followers(sequences, 20)
    assert len(list(_pair_blocks(followers, sequences.items, np.ones(20)))) > 5
    assert np.allclose(SequenceKNN().fit(X).weights_.toarray(), whole)


def test_markov_is_a_distribution_and_prefers_the_longer_context():
    # 0, 1 is followed by 2 and 3, 1 by 4.
    rows = [[0, 1, 2], [0, 1, 2], [3, 1, 4], [3, 1, 4], [3, 1, 4]]
    X = np.zeros((5, 6))
    for user, row in enumerate(rows):
        X[user, row] = np.arange(1, 4)
    model = MarkovRecommender(2, smoothing=0.5).fit(X)
    histories = np.array([[1, 2, 0, 0, 0, 0], [0, 2, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]])
    scores = model.predict(histories)
    assert np.allclose(scores.sum(axis=1), 1)
    assert scores.argmax(axis=1).tolist() == [2, 4, 4]
    # By hand: p0(2) = 3/21; p1(2|1) = (2 + .5 p0)/5.5; p2(2|0,1) = (2 + .5 p1)/2.5
    p1 = (2 + 0.5 * 3 / 21) / 5.5
    assert np.isclose(scores[2, 2], p1)
    assert np.isclose(scores[0, 2], (2 + 0.5 * p1) / 2.5)


def test_session_knn_cuts_long_histories():
    _, X = chains(length=6)
    assert SessionKNN(max_length=4).fit(X).sessions_.shape[0] == 120
    assert SessionKNN(max_length=4).fit(X).sessions_.sum() == 360
    assert SessionKNN().fit(X).sessions_.shape[0] == 60


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_any_history_is_ranked(model):
    _, X = chains(n_items=12)
    X.resize((60, 13))  # the last item never occurred
    model.fit(X)
    long = np.arange(13)[None] + 1.0
    long[0, 4] = 0
    cases = np.vstack([np.zeros(13), np.eye(13)[3], np.eye(13)[12], long[0]])
    items, scores = model.recommend(cases, k=3, exclude_seen=False)
    assert (items >= 0).all()
    assert np.isfinite(scores).all()
    repeated = Interactions(
        (np.ones(4), np.array([2, 2, 3, 3]), np.array([0, 4])),
        shape=(1, 13),
        timestamps=[1, 3, 2, 4],
    )
    assert np.isfinite(model.predict(repeated)).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_beside_other_models(model):
    walk, X = chains()
    times = sp.csr_array(
        (np.tile(np.arange(1.0, 7), 60), walk.ravel(), np.arange(0, 361, 6)), shape=X.shape
    )
    search = GridSearchCV(model, {"order": ["auto", "values"]}, cv=2).fit(times)
    assert search.best_score_ > 0
    pipeline = make_pipeline(MaxAbsScaler(), model).fit(times)
    assert recommend(pipeline, times, k=2)[0].shape == (60, 2)
    vote = VotingRecommender([("order", model), ("knn", ItemKNN())]).fit(times)
    assert np.isfinite(vote.predict(times)).all()
