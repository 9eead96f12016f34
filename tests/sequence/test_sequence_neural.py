"""Sequence networks: what they learn, resume, pickle; and that any history is ranked."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_llmrec import Interactions, ItemKNN, VotingRecommender
from sklearn_llmrec.base._recommend import recommend
from sklearn_llmrec.sequence import (
    BERT4Rec,
    SASRec,
    SequenceGRURecommender,
    SequenceLSTMRecommender,
    SequenceRNNRecommender,
)

torch = pytest.importorskip("torch")
KINDS = [BERT4Rec, SASRec, SequenceGRURecommender, SequenceLSTMRecommender, SequenceRNNRecommender]
SMALL = {
    "n_components": 16,
    "max_length": 8,
    "batch_size": 16,
    "learning_rate": 0.02,
    "max_iter": 8,
    "early_stopping": False,
    "dropout": 0.1,
    "device": "cpu",
    "random_state": 0,
}


def chains(n_users=90, n_items=20, length=6, seed=0):
    """Users who walk i, i + 1, i + 2, ... from a random start; a last item that nobody had."""
    rng = np.random.default_rng(seed)
    walk = (rng.integers(n_items, size=n_users)[:, None] + np.arange(length)) % n_items
    return Interactions(
        (np.ones(walk.size), walk.ravel(), np.arange(0, walk.size + 1, length)),
        shape=(n_users, n_items + 1),
        timestamps=np.tile(np.arange(length), n_users),
    )


def pairs(n_items=20, length=2):
    """Histories i, i + 1, ... and what comes next."""
    history = np.zeros((n_items, n_items + 1))
    rows = np.arange(n_items)
    for step in range(length):
        history[rows, (rows + step) % n_items] = step + 1
    return history, (rows + length) % n_items


def same(a, b):
    return all(np.array_equal(a.weights_[name], b.weights_[name]) for name in a.weights_)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_chain_is_learned(kind):
    # A masked model learns from a fifth of the events an epoch, and histories as long as those.
    max_iter, length = (120, 5) if kind is BERT4Rec else (15, 2)
    model = kind(**{**SMALL, "max_iter": max_iter, "dropout": 0.0}).fit(chains())
    history, following = pairs(length=length)
    items, _ = model.recommend(history, k=1)
    assert (items.ravel() == following).mean() >= 0.9
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize(
    ("loss", "max_iter"), [("softmax", 15), ("sampled_softmax", 20), ("bce", 40), ("gbce", 60)]
)
def test_every_loss_learns(loss, max_iter):
    params = {**SMALL, "max_iter": max_iter, "loss": loss, "n_negatives": 10}
    model = SequenceGRURecommender(**params)
    history, following = pairs()
    items, _ = model.fit(chains()).recommend(history, k=2)
    assert (items == following[:, None]).any(axis=1).mean() >= 0.8


@pytest.mark.parametrize("name", ["softmax", "sampled_softmax", "bce", "gbce"])
def test_losses_and_their_gradients_against_autograd(name, monkeypatch):
    from sklearn_llmrec._networks import _losses

    monkeypatch.setattr(_losses, "_BLOCK", 30)  # several blocks
    rng = np.random.default_rng(0)
    n, m, d, k = 7, 12, 3, 6
    counts = rng.integers(1, 9, m)
    hidden = torch.tensor(rng.normal(size=(n, d)), dtype=torch.float32, requires_grad=True)
    vectors = torch.tensor(rng.normal(size=(m, d)), dtype=torch.float32, requires_grad=True)
    bias = torch.tensor(rng.normal(size=m), dtype=torch.float32, requires_grad=True)
    targets = torch.tensor(rng.integers(m, size=n))
    loss = _losses.Loss(name, counts, k, "cpu")
    found = loss(hidden, targets, vectors, bias, np.random.default_rng(5))
    gradients = torch.autograd.grad(found, (hidden, vectors, bias))

    scores = hidden @ vectors.T + bias
    own = scores[torch.arange(n), targets]
    if name == "softmax":
        expected = torch.nn.functional.cross_entropy(scores, targets)
    else:
        q = np.full(m, 1 / m)
        if name == "sampled_softmax":
            q = (q + counts / counts.sum()) / 2
        drawn = np.searchsorted(np.cumsum(q), np.random.default_rng(5).random(k) * q.sum())
        negative = scores[:, drawn]
        if name == "sampled_softmax":
            negative = negative - torch.tensor(np.log(k * q[drawn]), dtype=torch.float32)
        hit = torch.tensor(drawn) == targets[:, None]
        negative = negative.masked_fill(hit, -torch.inf)
        if name == "sampled_softmax":
            every = torch.cat([own[:, None], negative], dim=1)
            expected = (every.logsumexp(dim=1) - own).mean()
        else:
            weight = loss.weight
            assert weight == 1 or name == "gbce"
            softplus = torch.nn.functional.softplus
            expected = (softplus(negative).sum(dim=1) + weight * softplus(-own)).mean()
    assert torch.allclose(found, expected, atol=1e-5)
    for a, b in zip(gradients, torch.autograd.grad(expected, (hidden, vectors, bias))):
        assert torch.allclose(a, b, atol=1e-5)


def test_dropout_drops_its_share_and_keeps_the_mean():
    from sklearn_llmrec.sequence._layers import Dropout

    x, dropout = torch.ones(97, 103, requires_grad=True), Dropout(0.2)
    dropped = dropout(x)
    assert abs(float((dropped == 0).float().mean()) - 0.2) < 0.02
    assert abs(float(dropped.detach().mean()) - 1) < 0.02
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, dropped)
    assert torch.equal(dropout.eval()(x), x)


def test_sampled_softmax_estimates_the_whole():
    from sklearn_llmrec._networks import _losses

    rng = np.random.default_rng(0)
    hidden = torch.tensor(rng.normal(size=(5, 3)), dtype=torch.float32)
    vectors = torch.tensor(rng.normal(size=(40, 3)), dtype=torch.float32)
    targets, counts = torch.arange(5), rng.integers(1, 50, 40)
    whole = _losses.Loss("softmax", counts, 1, "cpu")(hidden, targets, vectors, None, rng)
    sampled = _losses.Loss("sampled_softmax", counts, 20_000, "cpu")
    assert abs(float(sampled(hidden, targets, vectors, None, rng) - whole)) < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_any_history_is_ranked_and_a_batch_is_its_rows(kind):
    model = kind(**{**SMALL, "max_iter": 2}).fit(chains())
    long = np.arange(21) + 1.0
    long[3] = 0
    cases = np.vstack([np.zeros(21), np.eye(21)[3], np.eye(21)[20], long, pairs()[0]])
    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-10)):
        X = cases.astype(dtype)
        together = model.predict(X)
        assert together.dtype == dtype
        assert np.isfinite(together).all()
        alone = np.vstack([model.predict(row[None]) for row in X])
        assert np.allclose(together, alone, rtol=0, atol=tolerance)
    assert np.array_equal(together[0], model.item_popularity_)
    items, _ = model.recommend(cases, k=3, exclude_seen=False)
    assert np.array_equal(items, np.argsort(-together, axis=1, kind="stable")[:, :3])
    window = 7 if kind is BERT4Rec else 8  # the mask takes a place
    recent = np.where(long > 21 - window, long, 0)
    assert np.allclose(model.predict(long[None]), model.predict(recent[None]))


def test_repeats_are_events():
    model = SASRec(**SMALL).fit(chains())
    repeated = Interactions(
        (np.ones(3), np.array([2, 2, 3]), np.array([0, 3])), shape=(1, 21), timestamps=[1, 3, 2]
    )
    plain = np.zeros((1, 21))
    plain[0, [2, 3]] = [1, 2]
    assert not np.allclose(model.predict(repeated), model.predict(plain))


@pytest.mark.parametrize("kind", [BERT4Rec, SASRec, SequenceLSTMRecommender])
def test_resumed_is_uninterrupted(kind, tmp_path, monkeypatch):
    X = chains()
    params = {**SMALL, "early_stopping": True, "n_iter_no_change": 50, "max_iter": 6}
    whole = kind(**params).fit(X)

    def kill(self, progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    model = kind(**params, checkpoint=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "_report", kill)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X)
    assert not hasattr(model, "weights_")
    epochs = []
    monkeypatch.setattr(kind, "_report", lambda self, progress: epochs.append(progress.epoch))
    model.fit(X)
    assert epochs == [4, 5, 6]
    assert same(model, whole)
    assert model.loss_curve_ == whole.loss_curve_
    assert model.validation_scores_ == whole.validation_scores_
    longer = kind(**{**params, "max_iter": 8}, checkpoint=tmp_path).fit(X)
    assert epochs == [4, 5, 6, 7, 8]
    assert same(longer, kind(**{**params, "max_iter": 8}).fit(X))
    clone(longer).set_params(dropout=0.3).fit(X)  # other parameters, another file
    assert len(list(tmp_path.iterdir())) == 2


def test_resumed_without_a_seed_goes_on_with_the_one_it_had(tmp_path, monkeypatch):
    X, params = chains(), {**SMALL, "early_stopping": True, "random_state": None}
    held = []
    original = SASRec._held_out

    def held_out(self, sequences, seed):
        held.append(seed)
        return original(self, sequences, seed)

    monkeypatch.setattr(SASRec, "_held_out", held_out)
    first = SASRec(**{**params, "max_iter": 2}, checkpoint=tmp_path).fit(X)
    second = SASRec(**{**params, "max_iter": 3}, checkpoint=tmp_path).fit(X)
    assert held[0] == held[1]
    assert second.loss_curve_[:2] == first.loss_curve_


def test_a_seed_is_a_model_and_the_global_generator_is_left_alone():
    X, params = chains(), {**SMALL, "max_iter": 2}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = SASRec(**params).fit(X)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(8)
    assert same(first, SASRec(**params).fit(X))
    assert not same(first, SASRec(**{**params, "random_state": 1}).fit(X))


def test_a_fitted_network_is_arrays():
    model = SASRec(**SMALL).fit(chains())
    stored = pickle.dumps(model)
    assert b"torch" not in stored
    X = pairs()[0]
    assert np.array_equal(pickle.loads(stored).predict(X), model.predict(X))
    assert model.item_vectors_.shape == (21, 16)


def test_early_stopping_keeps_the_best_epoch():
    params = {**SMALL, "early_stopping": True, "max_iter": 40, "n_iter_no_change": 2}
    model = SequenceGRURecommender(**params).fit(chains())
    scores = model.validation_scores_
    assert model.best_epoch_ == np.argmax(scores) + 1
    assert model.n_iter_ == min(40, model.best_epoch_ + 2) == len(model.loss_curve_)
    again = SequenceGRURecommender(
        **{**params, "max_iter": model.best_epoch_, "n_iter_no_change": 50}
    )
    assert same(model, again.fit(chains()))


def test_the_outcome_is_the_mean_of_the_latest_weights(monkeypatch):
    from sklearn_llmrec._networks import Trainer, to_numpy

    met, step = [], Trainer._step

    def recording(self, *given):
        found = step(self, *given)
        met.append(to_numpy(self.network))
        return found

    monkeypatch.setattr(Trainer, "_step", recording)
    model = SequenceGRURecommender(**SMALL).fit(chains())
    assert len(met) == 48
    # With shares 9 / (n + 8), step n counts in proportion to n (n + 1) ... (n + 7).
    n = np.arange(1, len(met) + 1)
    share = np.prod(n[:, None] + np.arange(8), axis=1)
    for name, found in model.weights_.items():
        mean = np.average([weights[name] for weights in met], axis=0, weights=share)
        np.testing.assert_allclose(found, mean, atol=1e-5)


def test_warm_start_and_partial_fit_go_on():
    X = chains()
    model = SequenceGRURecommender(**{**SMALL, "max_iter": 3}, warm_start=True).fit(X)
    first, weights = model.loss_curve_[-1], model.weights_
    before = {name: array.copy() for name, array in weights.items()}
    model.fit(X)
    assert model.n_iter_ == 6
    assert model.loss_curve_[-1] < first
    assert all(np.array_equal(weights[name], before[name]) for name in weights)
    model.partial_fit(X[:30])
    assert model.n_iter_ == 7
    assert model.n_users_fit_ == 120
    fresh = SequenceGRURecommender(**SMALL).partial_fit(X)
    assert fresh.n_iter_ == 1
    with pytest.raises(ValueError, match="features"):
        fresh.partial_fit(X[:, :-2])
    with pytest.raises(ValueError, match="another catalogue"):
        model.fit(X[:, :-2])


@pytest.mark.parametrize("training", ["tuned", "delta", "frozen"])
def test_given_item_vectors(training):
    rng = np.random.default_rng(0)
    given = rng.normal(size=(21, 30)) * np.linspace(2, 0.1, 30)
    params = {**SMALL, "max_iter": 3, "item_embeddings": given, "embedding_training": training}
    model = SASRec(**params).fit(chains())
    start = model._start_vectors(21)
    assert np.isclose((start**2).sum(), (given**2).sum(), rtol=1e-4)
    if training == "frozen":
        assert np.array_equal(model.item_vectors_, start)
    else:
        assert not np.array_equal(model.item_vectors_, start)
    assert np.array_equal(model.weights_["items"], start) == (training != "tuned")
    assert np.isfinite(model.predict(pairs()[0])).all()


def test_bad_parameters_are_named():
    X = chains()
    with pytest.raises(ValueError, match="item_embeddings has 3 rows"):
        SASRec(item_embeddings=np.ones((3, 4))).fit(X)
    with pytest.raises(ValueError, match="item_embeddings is None"):
        SASRec(embedding_training="frozen").fit(X)
    with pytest.raises(ValueError, match="multiple of n_heads"):
        SASRec(10, n_heads=3).fit(X)
    with pytest.raises(ValueError, match="No row of X has two events"):
        SequenceGRURecommender().fit(sp.csr_array(np.eye(4)))


def test_options_of_the_recurrent_family():
    X, (history, following) = chains(), pairs()
    params = {**SMALL, "max_iter": 15}
    for options in ({"attention": True}, {"tie_weights": False}, {"n_layers": 2}):
        model = SequenceGRURecommender(**params, **options).fit(X)
        items, _ = model.recommend(history, k=2)
        assert (items == following[:, None]).any(axis=1).mean() >= 0.8
        assert np.isfinite(model.predict(history)).all()


def test_beside_other_models():
    X = sp.csr_array(pairs()[0])
    model = SASRec(**{**SMALL, "max_iter": 1})
    search = GridSearchCV(model, {"n_components": [4, 8]}, cv=2).fit(X)
    assert np.isfinite(search.best_score_)
    pipeline = make_pipeline(MaxAbsScaler(), model).fit(X)
    assert recommend(pipeline, X, k=2)[0].shape == (20, 2)
    vote = VotingRecommender([("sasrec", model), ("knn", ItemKNN())]).fit(X)
    assert np.isfinite(vote.predict(X)).all()


def test_callbacks_see_every_epoch():
    callback = pytest.importorskip("sklearn.callback")
    X = sp.csr_array(pairs()[0])
    monitor = callback.ScoringMonitor(scoring={"own": lambda est, X, y: est.score(X)})
    SASRec(**{**SMALL, "max_iter": 3}).set_callbacks(monitor).fit(X)
    tasks = [row["task_name"] for row in monitor.get_logs().data]
    assert tasks.count("iteration") == 3


def test_display_of_a_training():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    from sklearn_llmrec.inspection import TrainingCurveDisplay

    params = {**SMALL, "early_stopping": True, "max_iter": 4}
    model = SASRec(**params).fit(chains())
    display = TrainingCurveDisplay.from_estimator(model)
    assert display.lines_["score"].get_ydata().tolist() == model.validation_scores_
    pyplot.close(display.figure_)
    display = TrainingCurveDisplay.from_estimator(SASRec(**SMALL).fit(chains()))
    assert display.score_ax_ is None
    pyplot.close(display.figure_)
    with pytest.raises(ValueError, match="no loss_curve_"):
        TrainingCurveDisplay.from_estimator(ItemKNN())


def test_importing_takes_no_torch():
    code = "import sys, sklearn_llmrec.sequence as s; s.SASRec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_is_built_once_for_all_requests(monkeypatch):
    X = np.array([[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]] * 5, dtype=float)
    model = SASRec(4, n_layers=1, max_iter=1, max_length=8, random_state=0).fit(X)
    expected = model.predict(X)
    built = []
    network = SASRec._network
    monkeypatch.setattr(SASRec, "_network", lambda self, n: built.append(n) or network(self, n))
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(X), expected)
    assert not built
    # Another dtype, another fit and a copy have networks of their own.
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert len(built) == 1
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), expected)
    assert len(built) == 2
    other = model.set_params(random_state=1).fit(X).predict(X)
    assert not np.array_equal(other, expected)


@pytest.mark.parametrize("n_rows", [1, 15, 40, 1500, 5000, 20000])
@pytest.mark.parametrize("batch_size", [8, 128])
def test_an_epoch_has_enough_steps_and_every_row_once(n_rows, batch_size):
    from sklearn_llmrec._networks._batches import bucketed

    rng = np.random.default_rng(0)
    batches = list(bucketed(rng.integers(1, 50, n_rows), batch_size, rng))
    assert sorted(np.concatenate(batches)) == list(range(n_rows))
    sizes = sorted((len(batch) for batch in batches), reverse=True)
    assert sizes[0] <= batch_size
    assert len(set(sizes[:-1])) <= 1, "one batch alone is smaller"
    if len(sizes) > 1 and len(sizes) < 90:
        assert sizes[0] == min(batch_size, 16), (
            "few steps only where batches are as small as may be"
        )
