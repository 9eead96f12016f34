"""Mult-VAE and LightGCN: what they compute, how they train, how they fold in."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")

from sklearn_llmrec.decomposition import LightGCN, MultVAERecommender  # noqa: E402

SMALL_VAE = {
    "n_components": 4,
    "n_hidden": 8,
    "learning_rate": 0.02,
    "batch_size": 20,
    "annealing": 5,
    "device": "cpu",
    "random_state": 0,
}
SMALL_GRAPH = {"n_components": 4, "learning_rate": 0.05, "device": "cpu", "random_state": 0}
MODELS = [
    MultVAERecommender(**SMALL_VAE, max_iter=12, early_stopping=False),
    LightGCN(**SMALL_GRAPH, max_iter=12, early_stopping=False),
    LightGCN(**SMALL_GRAPH, loss="bpr", max_iter=12, early_stopping=False),
]

# What a training needs beside its loss.
TRAINED_BY_HAND = {
    "holdout": None,
    "learning_rate": 1e-3,
    "regularization": 0.0,
    "patience": 1,
    "report": lambda progress: None,
    "epochs": lambda n, **_: iter(range(n)),
}


def name_of(model):
    return "-".join([type(model).__name__, *([model.loss] if hasattr(model, "loss") else [])])


@pytest.fixture
def X():
    """Two kinds of users and of items, and a little noise; item 0 belongs to nobody."""
    rng = np.random.default_rng(0)
    odds = np.where(np.arange(80)[:, None] % 2 == np.arange(24) % 2, 0.5, 0.04)
    X = (rng.random((80, 24)) < odds).astype(float)
    X[:, 0] = 0
    return sp.csr_array(X)


def test_the_autoencoder_scores_as_the_network_does(X):
    from sklearn_llmrec._networks._loop import from_numpy
    from sklearn_llmrec.decomposition._autoencoder import new_network, row_batches

    model = MultVAERecommender(**SMALL_VAE, max_iter=3).fit(X)
    network = new_network(24, 8, 4, 0.5, 0)
    from_numpy(network, model.weights_, copy=True)
    network.eval()
    with torch.no_grad():
        # A spread of nothing makes the draw the mean.
        network.spread.weight.zero_()
        network.spread.bias.fill_(-1e9)
    for counts, unit in row_batches(X, 7, np.random.default_rng(0)):
        np.testing.assert_allclose(sp.linalg.norm(unit, axis=1), 1, rtol=1e-6)
        with torch.no_grad():
            logits, _ = network(
                torch.from_numpy(counts.indices.astype(np.int64)),
                torch.from_numpy(unit.data),
                torch.from_numpy(counts.indptr[:-1].astype(np.int64)),
            )
        np.testing.assert_allclose(logits.numpy(), model._score_rows(counts), atol=1e-4)


def test_the_bound_is_the_multinomial_likelihood_less_the_divergence(X):
    from sklearn_llmrec.decomposition._autoencoder import BoundTraining, new_network, row_batches

    X = X.copy()
    X.data[:] = np.random.default_rng(0).integers(1, 5, X.nnz)
    network = new_network(24, 8, 4, 0.0, 0)
    training = BoundTraining(
        network=network,
        batches=lambda rng: row_batches(X, 30, rng),
        kl_weight=0.3,
        n_annealing=1,
        **TRAINED_BY_HAND,
    )
    counts, unit = next(row_batches(X, 30, np.random.default_rng(0)))
    normal = torch.distributions.Normal
    for share in (0.5, 1.0, 1.0):  # of the divergence, which one step brings to its full weight
        torch.manual_seed(3)
        loss, n = training.loss_of((counts, unit), np.random.default_rng(0))
        torch.manual_seed(3)
        with torch.no_grad():
            dense = torch.from_numpy(unit.toarray())
            hidden = torch.tanh(dense @ network.item_vectors + network.item_bias)
            mean, spread = network.mean(hidden), (network.spread(hidden) / 2).exp()
            drawn = mean + torch.randn_like(mean) * spread
            logits = network.output(torch.tanh(network.decoder(drawn)))
            likelihood = (
                torch.from_numpy(counts.toarray()) * torch.log_softmax(logits, dim=1)
            ).sum(dim=1)
            divergence = torch.distributions.kl_divergence(normal(mean, spread), normal(0, 1))
            expected = (share * 0.3 * divergence.sum(dim=1) - likelihood).mean()
        assert n == counts.shape[0]
        torch.testing.assert_close(loss.detach(), expected, rtol=1e-5, atol=1e-5)


def test_layers_are_powers_of_the_graph(X):
    from sklearn_llmrec.decomposition._graph import new_network
    from sklearn_llmrec.decomposition._propagation import fold_in, item_layers, normalized

    network = new_network(normalized(X), 4, 3, 0)
    dense = X.toarray()
    with np.errstate(divide="ignore", invalid="ignore"):
        R = np.nan_to_num(dense / np.sqrt(np.outer(dense.sum(axis=1), dense.sum(axis=0))), posinf=0)
    A = np.block([[np.zeros((80, 80)), R], [R.T, np.zeros((24, 24))]])
    start = np.vstack([network.users.detach().numpy(), network.items.detach().numpy()])
    layers = [np.linalg.matrix_power(A, k) @ start for k in range(4)]
    mean = np.mean(layers, axis=0)
    users, items = network()
    np.testing.assert_allclose(users.detach().numpy(), mean[:80], atol=1e-6)
    np.testing.assert_allclose(items.detach().numpy(), mean[80:], atol=1e-6)
    # The gradient of the propagation is that of automatic differentiation through the dense graph.
    (users.square().sum() + 2 * items.sum()).backward()
    first = torch.from_numpy(start).requires_grad_()
    powers = [torch.from_numpy(np.linalg.matrix_power(A, k)).float() @ first for k in range(4)]
    dense_mean = sum(powers) / 4
    (dense_mean[:80].square().sum() + 2 * dense_mean[80:].sum()).backward()
    np.testing.assert_allclose(network.users.grad, first.grad[:80], atol=1e-5)
    np.testing.assert_allclose(network.items.grad, first.grad[80:], atol=1e-5)
    # Folding in leaves out layer 0 of the user and nothing else; items of nobody know nothing.
    senders, vectors = item_layers(X, start[:80], start[80:], 3)
    np.testing.assert_allclose(fold_in(X, senders), mean[:80] - start[:80] / 4, atol=1e-6)
    np.testing.assert_allclose(vectors[1:], mean[81:], atol=1e-6)
    assert not vectors[0].any()


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_users_of_the_softmax_start_from_zero(X, n_layers):
    from sklearn_llmrec.decomposition._graph import new_network
    from sklearn_llmrec.decomposition._propagation import item_layers, normalized

    network = new_network(normalized(X), 4, n_layers, 0, trains_users=False)
    assert [name for name, _ in network.named_parameters()] == ["items"]
    users, items = network.users.numpy(), network.items.detach().numpy()
    assert not users.any()
    counts = np.bincount(X.indices, minlength=24)
    senders, vectors = item_layers(X, users, items, n_layers)
    sent, total = (one.detach().numpy() / (n_layers + 1) for one in network.item_sums())
    known = counts > 0
    np.testing.assert_allclose(total[known], vectors[known], atol=1e-6)
    roots = np.sqrt(np.maximum(counts, 1))[:, None]
    np.testing.assert_allclose((sent / roots)[known], senders[known], atol=1e-6)
    assert not senders[~known].any()


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_softmax_loss_and_its_gradient_are_those_of_dense_algebra(X, n_layers):
    from sklearn_llmrec.decomposition._graph import (
        SoftmaxTraining,
        new_network,
        whole_row_batches,
    )
    from sklearn_llmrec.decomposition._propagation import normalized

    network = new_network(normalized(X), 4, n_layers, 0, trains_users=False)
    training = SoftmaxTraining(
        network=network,
        batches=lambda rng: whole_row_batches(X, 50, rng),
        learned=X,
        penalty=0.3,
        dropout=0.5,
        temperature=0.2,
        **TRAINED_BY_HAND,
    )
    rows = X[np.flatnonzero(np.diff(X.indptr))[5:25]]
    loss, n = training.loss_of(rows, np.random.default_rng(1))
    loss.backward()
    kept = rows.copy()
    kept.data = (np.random.default_rng(1).random(rows.nnz) >= 0.5).astype(float)
    dense = X.toarray()
    with np.errstate(divide="ignore", invalid="ignore"):
        R = np.nan_to_num(dense / np.sqrt(np.outer(dense.sum(axis=1), dense.sum(axis=0))), posinf=0)
    first = network.items.detach().double().requires_grad_()
    second = torch.from_numpy(R.T @ R) @ first
    sent = first + second if n_layers > 2 else first
    vectors = first + second if n_layers > 1 else first
    senders = sent / torch.from_numpy(np.sqrt(np.maximum(dense.sum(axis=0), 1)))[:, None]
    cosines = torch.nn.functional.cosine_similarity(
        (torch.from_numpy(kept.toarray()) @ senders)[:, None], vectors[None], dim=2
    )
    likelihood = (
        torch.from_numpy(rows.toarray()) * torch.log_softmax(cosines / 0.2, dim=1)
    ).sum() / rows.nnz
    expected = 0.15 * first.square().sum() / X.nnz - likelihood
    expected.backward()
    assert n == rows.nnz
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network.items.grad.double(), first.grad, rtol=1e-4, atol=1e-5)


def test_batches_of_rows_contain_each_row_once(X, monkeypatch):
    from sklearn_llmrec.decomposition import _graph

    filled = X[np.flatnonzero(np.diff(X.indptr))].toarray()
    X = sp.csr_array(sp.vstack([X, np.zeros((3, 24))], format="csr"))
    met = list(_graph.whole_row_batches(X, 50, np.random.default_rng(0)))
    together = sp.vstack(met).toarray()
    assert sorted(map(tuple, together)) == sorted(map(tuple, filled))
    longest = np.diff(X.indptr).max()
    assert len(met) == -(-X.nnz // 50)
    assert all(50 - longest < part.nnz < 50 + longest for part in met[:-1])
    monkeypatch.setattr(_graph, "_MAX_SCORES", 5 * 24)
    met = list(_graph.whole_row_batches(X, 10_000, np.random.default_rng(0)))
    assert [part.shape[0] for part in met] == [5] * (len(filled) // 5) + [len(filled) % 5] * (
        len(filled) % 5 > 0
    )
    assert sum(part.nnz for part in met) == X.nnz


def test_scores_of_the_softmax_are_cosines(X):
    model = LightGCN(**SMALL_GRAPH, max_iter=3, early_stopping=False).fit(X)
    queries, items, _ = model._retrieval_vectors(X)
    filled = np.diff(X.indptr) > 0
    np.testing.assert_allclose(np.linalg.norm(queries[filled], axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(items[1:], axis=1), 1)


def test_triples_hold_each_interaction_once_and_items_not_had(X):
    from sklearn_llmrec.decomposition._graph import triples

    X = sp.csr_array(sp.vstack([X, np.ones((1, 24))], format="csr"))  # the last has everything
    met = [np.stack(batch) for batch in triples(X, 50, np.random.default_rng(0))]
    users, items, others = np.hstack(met)
    dense = X.toarray() != 0
    assert dense[users, items].all()
    assert not dense[users, others].any()
    assert len(set(zip(users.tolist(), items.tolist()))) == len(users) == X.nnz - 24
    assert 80 not in users
    assert len(np.unique(others)) == 24


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_training_learns_the_tastes_and_repeats(model, X):
    model.fit(X)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.validation_scores_ == []
    assert model.best_epoch_ == model.n_iter_ == 12
    scores = model.predict(X)
    same = np.arange(80)[:, None] % 2 == np.arange(24) % 2
    same[:, 0] = False
    other = ~same
    other[:, 0] = False
    better = [(s[a].mean() > s[b].mean()) for s, a, b in zip(scores, same, other)]
    assert np.mean(better) > 0.9
    np.testing.assert_array_equal(scores, model.fit(X).predict(X))
    np.testing.assert_array_equal(scores, pickle.loads(pickle.dumps(model)).predict(X))


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_early_stopping_keeps_the_best_epoch(model, X):
    params = {**model.get_params(), "early_stopping": True, "validation_fraction": 0.3}
    model = type(model)(**{**params, "max_iter": 60, "n_iter_no_change": 3}).fit(X)
    assert model.n_iter_ < 60
    assert model.best_epoch_ == np.argmax(model.validation_scores_) + 1 == model.n_iter_ - 3


def test_warm_start_goes_on(X):
    model = MultVAERecommender(**SMALL_VAE, max_iter=5, early_stopping=False, warm_start=True)
    first = model.fit(X).loss_curve_
    weights = model.weights_
    assert model.fit(X).loss_curve_[:5] == first
    assert model.n_iter_ == 10
    assert not np.array_equal(weights["item_vectors"], model.weights_["item_vectors"])
    with pytest.raises(ValueError, match="24 items and X has 23 columns"):
        model.fit(X[:, 1:])
    assert model.n_iter_ == 10


def test_scores_need_no_torch(X, tmp_path):
    for model in MODELS:
        (tmp_path / name_of(model)).write_bytes(pickle.dumps(model.fit(X)))
    code = (
        "import pathlib, pickle, sys\n"
        "import numpy as np\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    model = pickle.loads(path.read_bytes())\n"
        "    assert np.isfinite(model.predict(np.eye(24))).all()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def facts_of(X):
    """Return the kind of every item as one of two facts, and a fact that only item 0 has."""
    F = np.zeros((X.shape[1], 3))
    F[np.arange(X.shape[1]), np.arange(X.shape[1]) % 2] = 0.5
    F[0, 2] = 1
    return F


def test_facts_are_further_rows_of_the_graph(X):
    F = facts_of(X)
    settings = {**SMALL_GRAPH, "max_iter": 3, "early_stopping": False}
    with_facts = LightGCN(item_facts=sp.coo_array(F), **settings).fit(X)
    stacked = LightGCN(**settings).fit(sp.csr_array(sp.vstack([X, F.T != 0])))
    np.testing.assert_array_equal(with_facts.components_, stacked.components_)
    np.testing.assert_array_equal(with_facts.predict(X), stacked.predict(X))
    np.testing.assert_array_equal(with_facts.item_popularity_, np.bincount(X.indices, minlength=24))
    dense = LightGCN(item_facts=F, **settings).fit(X)
    np.testing.assert_array_equal(dense.components_, with_facts.components_)


def test_items_without_users_are_ranked_by_their_facts(X):
    settings = {**SMALL_GRAPH, "max_iter": 40}
    plain = LightGCN(**settings, early_stopping=False).fit(X)
    assert not plain.components_[:, 0].any()
    model = LightGCN(item_facts=facts_of(X), **settings).fit(X)
    scores = model.predict(X)[:, 0]
    taste = np.arange(80) % 2 == 0
    assert scores[taste].mean() > scores[~taste].mean() + scores.std()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (np.ones((3, 2)), "has the shape"),
        (np.full((24, 2), np.nan), "NaN or infinite"),
    ],
)
def test_strange_facts_are_refused(X, facts, message):
    with pytest.raises(ValueError, match=message):
        LightGCN(item_facts=facts, **SMALL_GRAPH).fit(X)


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_an_item_that_nobody_had_says_nothing_about_a_row(X, loss):
    model = LightGCN(**SMALL_GRAPH, loss=loss, max_iter=3, early_stopping=False).fit(X)
    with_unseen = sp.lil_array(X)
    with_unseen[:, 0] = 1
    filled = np.diff(X.indptr) > 0
    expected, found = model.predict(X)[filled], model.predict(with_unseen)[filled]
    if loss == "bpr":  # the length of the row scales its factors
        expected, found = (S / np.abs(S).max(axis=1, keepdims=True) for S in (expected, found))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    only = np.zeros((1, 24))
    only[0, 0] = 1
    np.testing.assert_array_equal(
        model.recommend(only, k=5)[0][0], np.argsort(-X.sum(axis=0), kind="stable")[:5]
    )


def test_a_model_saved_before_the_softmax_has_the_loss_it_learned_by(X):
    model = LightGCN(**SMALL_GRAPH, loss="bpr", max_iter=2, early_stopping=False).fit(X)
    expected, state = model.predict(X), dict(model.__getstate__())
    for name in ("loss", "temperature", "dropout", "_scores_cosines_"):
        del state[name]
    old = LightGCN.__new__(LightGCN)
    old.__setstate__(state)
    assert old.get_params() == model.get_params()
    np.testing.assert_array_equal(old.predict(X), expected)


@pytest.mark.parametrize(
    "model", [LightGCN(**SMALL_GRAPH, temperature=1e-300), MultVAERecommender(learning_rate=1e38)]
)
def test_a_loss_that_is_not_finite_is_an_error(model, X):
    model.set_params(early_stopping=False, max_iter=5)
    with pytest.raises(ValueError, match=r"training loss of epoch \d+ is (nan|inf)"):
        model.fit(X)
    assert not hasattr(model, "components_")
    assert not hasattr(model, "weights_")
