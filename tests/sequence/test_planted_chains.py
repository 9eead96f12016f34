"""Trained sequential models find a planted Markov chain at their defaults."""

import warnings

import numpy as np
import pytest
from _planted import planted_chain, share_of_best_hits
from numpy.testing import assert_allclose

from sklearn_llmrec import Interactions
from sklearn_llmrec.interactions import event_sequences
from sklearn_llmrec.sequence import (
    BERT4Rec,
    HMMRecommender,
    LMRecommender,
    MarkovRecommender,
    SASRec,
    SequenceGRURecommender,
    SequenceKNN,
    SequenceLSTMRecommender,
    SequenceRNNRecommender,
)

NETWORKS = [
    BERT4Rec,
    LMRecommender,
    SASRec,
    SequenceGRURecommender,
    SequenceLSTMRecommender,
    SequenceRNNRecommender,
]


@pytest.mark.parametrize(
    ("order", "n_users", "share"), [(1, 1500, 0.95), (1, 5000, 0.95), (2, 5000, 0.9)]
)
def test_markov_chains_are_counted(order, n_users, share):
    assert share_of_best_hits(MarkovRecommender(), n_users, order) >= share


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_users", [1500, 5000])
def test_hidden_states_find_a_chain(n_users, seed):
    assert share_of_best_hits(HMMRecommender(random_state=seed), n_users, 1, seed=seed) >= 0.9


@pytest.mark.parametrize("seed", range(6))
def test_hidden_states_find_a_chain_in_short_histories(seed):
    # From two starts the search for the third seed ended at .899.
    model = HMMRecommender(random_state=seed)
    assert share_of_best_hits(model, 1500, 1, seed=seed, length=10) >= 0.9


@pytest.mark.parametrize("n_users", [1500, 5000])
def test_more_users_bring_a_hidden_chain_no_closer_to_its_plateau(n_users):
    # Interests that are all alike are a saddle point: the first round must leave it whatever the number of users.
    X, _, _ = planted_chain(n_users, 1, seed=1)
    curve = HMMRecommender(max_iter=6, random_state=1).fit(X).log_posterior_curve_
    assert curve[5] - curve[1] > 0.2


def test_sequence_knn_cannot_find_a_chain_and_says_so():
    assert share_of_best_hits(SequenceKNN(), 1500, 1) < 0.8
    assert "transition" in SequenceKNN.__doc__


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("n_users", [1500, 5000])
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_find_a_chain(kind, n_users):
    pytest.importorskip("transformers" if kind is LMRecommender else "torch")
    assert share_of_best_hits(kind(random_state=0), n_users, 1) >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_find_a_chain_of_order_two(kind):
    pytest.importorskip("transformers" if kind is LMRecommender else "torch")
    assert share_of_best_hits(kind(random_state=0), 5000, 2) >= 0.9


@pytest.mark.parametrize("events", [4, 9])
def test_the_language_model_reads_no_place_that_training_did_not_reach(events):
    pytest.importorskip("transformers")
    X, _, _ = planted_chain(60, 1, length=5)
    model = LMRecommender(8, n_layers=1, max_iter=1, early_stopping=False, random_state=0).fit(X)
    _, asked, _ = planted_chain(1, 1, length=events, n_asked=6)
    # Five events are four places that predict the next one: only the latest four are read.
    recent = event_sequences(asked).tail(4)
    times = np.tile(np.arange(4), 6)
    same = Interactions((np.ones(24), recent.items, recent.bounds), shape=(6, 30), timestamps=times)
    assert_allclose(model.predict(asked), model.predict(same), rtol=1e-6)


@pytest.mark.parametrize("kind", [LMRecommender, SASRec, SequenceGRURecommender])
def test_early_stopping_without_users_warns_at_the_line_of_the_caller(kind):
    pytest.importorskip("transformers" if kind is LMRecommender else "torch")
    model = kind(4, n_layers=1, max_iter=1, random_state=0)
    X, _, _ = planted_chain(9, 1)
    with pytest.warns(
        UserWarning, match="without early stopping: 9 users.*validation_fraction"
    ) as caught:
        model.fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    assert model.validation_scores_ == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(early_stopping=False).fit(X)
        model.set_params(early_stopping=True).fit(planted_chain(10, 1)[0])
    assert len(model.validation_scores_) == 1


@pytest.mark.parametrize("name", ["LightGCN", "MultVAERecommender"])
def test_early_stopping_of_row_networks_without_users_warns(name):
    pytest.importorskip("torch")
    from sklearn_llmrec import decomposition

    model = getattr(decomposition, name)(4, max_iter=1, random_state=0)
    X = np.random.default_rng(0).random((9, 8)) < 0.6
    with pytest.warns(UserWarning, match="without early stopping: 9 users") as caught:
        model.fit(X.astype(float))
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("tokens", ["items", "titles"])
def test_the_language_model_is_stopped_by_the_log_probability_of_hidden_items(tokens):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from sklearn_llmrec.sequence._item_tokens import BEGIN, numbered, of_titles
    from sklearn_llmrec.sequence._token_network import TokenHoldout, TokenNetwork, make_config

    catalogue = numbered(30)
    if tokens == "titles":
        catalogue = of_titles([f"{'tea cup ' * (n % 3)} {n}" for n in range(30)], 5, 16)
    X, asked, _ = planted_chain(10, 1, length=6, n_asked=7)
    targets = np.arange(7)
    config = make_config("gpt2", catalogue.n_items, 200, (8, 1, 1), 0.0)
    torch.manual_seed(0)
    network = TokenNetwork(config).requires_grad_(False)
    holdout = TokenHoldout(event_sequences(asked), targets, catalogue)
    items = np.split(catalogue.items, catalogue.bounds[1:-1])
    expected = []
    for history, target in zip(asked.indices[asked.event_order()].reshape(7, 6), targets):
        prefix = [BEGIN, *(token for item in history[-4:] for token in items[item])]
        total = 0.0
        for token in items[target]:  # one token after another, each from a pass of its own
            outputs = network(torch.tensor([prefix]), None)[0, -1]
            total += float(torch.log_softmax(network.item_vectors() @ outputs, 0)[token])
            prefix.append(token)
        expected.append(total)
    assert_allclose(holdout.score(network, 4, False), np.mean(expected), rtol=1e-4)


def test_the_language_model_keeps_its_best_epoch():
    pytest.importorskip("transformers")
    params = {"max_iter": 12, "learning_rate": 0.02, "n_iter_no_change": 2, "random_state": 0}
    model = LMRecommender(8, n_layers=1, **params).fit(planted_chain(120, 1)[0])
    scores = model.validation_scores_
    assert model.best_epoch_ == np.argmax(scores) + 1
    assert len(scores) == model.n_iter_ == min(12, model.best_epoch_ + 2)
    assert max(scores) < 0
