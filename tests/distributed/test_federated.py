"""Federated fits equal central ones, leave out clients that fail, and add noise once."""

import threading

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_llmrec import (
    EASE,
    SLIM,
    ALSRecommender,
    Interactions,
    ItemKNN,
    NaiveBayesRecommender,
    PopularityRecommender,
    RP3beta,
    UserKNN,
)
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.distributed import FederatedClient, fit_federated
from sklearn_llmrec.privacy import GaussianMechanism, PrivacyBudgetError, PrivacyLedger
from sklearn_llmrec.sequence import MarkovRecommender, SequenceKNN

N_CLIENTS = 20


@pytest.fixture(scope="module")
def X():
    found = make_interactions(400, 60, random_state=0).interactions
    return sp.csr_array((found.data, found.indices, found.indptr), shape=found.shape)


@pytest.fixture(scope="module")
def parts(X):
    """Rows of 20 clients of uneven sizes, one of them with a single user."""
    cuts = np.sort(np.random.default_rng(0).choice(np.arange(2, 400), N_CLIENTS - 2, replace=False))
    return [X[a:b] for a, b in zip([0, 1, *cuts], [1, *cuts, 400], strict=True)]


def answers(parts):
    return [FederatedClient(part).answer for part in parts]


@pytest.mark.parametrize(
    "model",
    [
        EASE(),
        ALSRecommender(8, max_iter=3, random_state=0),
        ItemKNN(),
        SLIM(),
        RP3beta(),
        NaiveBayesRecommender(),
        PopularityRecommender(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_federated_equals_central(model, X, parts):
    central = model.fit(X)
    result = fit_federated(model, answers(parts), n_items=60)
    assert (result.n_clients, result.left_out) == (N_CLIENTS, {})
    expected = central.predict(X)
    assert_allclose(
        result.estimator.predict(X), expected, rtol=0, atol=1e-6 * max(1, np.abs(expected).max())
    )
    assert_array_equal(result.estimator.item_popularity_, central.item_popularity_)


@pytest.mark.parametrize("order", ["auto", "timestamps", "values"])
@pytest.mark.parametrize("kind", [MarkovRecommender, SequenceKNN])
def test_sequential_models_equal_central_ones(kind, order, X):
    times = np.random.default_rng(0).permutation(X.nnz)
    timed = Interactions(
        sp.csr_array((times + 1.0, X.indices, X.indptr), shape=X.shape), timestamps=times[::-1]
    )
    model = kind(order=order)
    parts = [timed[:1], timed[1:150], timed[150:]]
    result = fit_federated(model, answers(parts), n_items=60)
    assert (result.n_clients, result.left_out) == (3, {})
    central = model.fit(timed)
    assert_allclose(result.estimator.predict(timed), central.predict(timed), rtol=0, atol=1e-12)


def failing(answer, *, at, how):
    """Return a client that fails at its call number `at`."""
    calls = []

    def client(request):
        calls.append(request)
        if len(calls) == at and how == "drops out":
            raise ConnectionError("gone")
        result = answer(request)
        if len(calls) == at:
            name, value = next((n, v) for n, v in result.items() if np.ndim(v))
            if how == "NaN":
                value = value.copy()
                value[0] = np.nan
            result = {**result, name: value if how == "NaN" else value[:-1]}
        return result

    return client


@pytest.mark.parametrize(
    ("model", "at"),
    [
        (EASE(), 1),
        (EASE(), 2),
        (ALSRecommender(8, max_iter=3, random_state=0), 1),
        (ALSRecommender(8, max_iter=3, random_state=0), 3),
        (ALSRecommender(8, max_iter=3, random_state=0), 7),
    ],
)
def test_clients_that_fail_are_left_out_and_counted(model, at, X, parts):
    clients = answers(parts)
    for number, how in ((3, "drops out"), (7, "NaN"), (8, "NaN"), (15, "shape")):
        clients[number] = failing(clients[number], at=at, how=how)
    with pytest.warns(
        UserWarning,
        match=r"4 of 20 clients were left out.*1 no answer \(ConnectionError\) \(clients \[3\]\), "
        r"2 not finite \(clients \[7, 8\]\), 1 wrong shape",
    ):
        result = fit_federated(model, clients, n_items=60)
    assert result.n_clients == 16
    assert result.left_out == {
        3: "no answer (ConnectionError)",
        7: "not finite",
        8: "not finite",
        15: "wrong shape",
    }
    others = sp.vstack([parts[i] for i in range(20) if i not in (3, 7, 8, 15)], format="csr")
    assert_allclose(result.estimator.predict(X), model.fit(others).predict(X), atol=1e-6)
    assert_array_equal(result.estimator.item_popularity_, model.item_popularity_)


@pytest.mark.parametrize("kind", [EASE, ItemKNN, PopularityRecommender])
def test_private_noise_is_added_once_to_the_sum(kind, X, parts):
    """The same noise on the same sums gives the model of a central private fit, and the same cost."""

    def private(ledger):
        mechanism = GaussianMechanism(
            2.0, 1e-5, ledger=ledger, sampler="unsafe_seeded", random_state=0
        )
        return kind(privacy=mechanism)

    ledgers = [PrivacyLedger(5.0, 1e-5), PrivacyLedger(5.0, 1e-5)]
    central = private(ledgers[0]).fit(X)
    result = fit_federated(private(ledgers[1]), answers(parts), n_items=60)
    assert_allclose(result.estimator.predict(X), central.predict(X), atol=1e-6)
    assert_allclose(result.estimator.item_popularity_, central.item_popularity_)
    assert result.estimator.privacy_spent_ == central.privacy_spent_
    assert [cost for _, cost in ledgers[1].releases] == [cost for _, cost in ledgers[0].releases]


def test_private_als_sends_released_factors_and_equals_the_central_fit(X, parts):
    mechanism = GaussianMechanism(20.0, 1e-5, sampler="unsafe_seeded", random_state=0)
    model = ALSRecommender(4, max_iter=2, random_state=0, privacy=mechanism)
    requests, clients = [], answers(parts)
    first = clients[0]
    clients[0] = lambda request: (requests.append(request), first(request))[1]
    result = fit_federated(model, clients, n_items=60)
    central = model.fit(X)
    assert np.abs(central.components_).max() > 0
    assert_allclose(result.estimator.components_, central.components_, atol=1e-6)
    assert_allclose(result.estimator.predict(X), central.predict(X), atol=1e-6)
    names = [request.phase and request.phase.name for request in requests]
    assert names == [None, "private counts", "private users", "private users"]


def test_a_private_fit_continues_without_a_client_and_spends_once(X, parts):
    ledger = PrivacyLedger(2.0, 1e-5)
    clients = answers(parts)
    clients[5] = failing(clients[5], at=2, how="drops out")
    model = EASE(privacy=GaussianMechanism(2.0, 1e-5, ledger=ledger))
    with pytest.warns(UserWarning, match="1 of 20 clients"):
        result = fit_federated(model, clients, n_items=60)
    assert ledger.spent()[0] == pytest.approx(2.0, rel=1e-6)
    assert not {"_gram_", "_sum_of_squares_"} & {
        name for name, value in vars(result.estimator).items() if value is not None
    }
    with pytest.raises(PrivacyBudgetError):
        fit_federated(model, answers(parts), n_items=60)


def test_requests_contain_nothing_of_users(X, parts):
    """What a client gets is the same whatever the rows of one other client are, but for sums over all."""
    requests = []

    def listens(answer):
        return lambda request: (requests.append(request), answer(request))[1]

    clients = answers(parts)
    clients[0] = listens(clients[0])
    fit_federated(EASE(), clients, n_items=60)
    assert [request.phase and request.phase.name for request in requests] == [None, "gram"]
    assert not requests[1].phase.known
    assert not [name for name in vars(requests[1].model) if name in ("item_popularity_", "coef_")]


def test_ids_are_those_of_the_catalogue(X, parts):
    ids = [f"film {i}" for i in range(60)]
    clients = answers([Interactions(part, item_ids=ids) for part in parts])
    result = fit_federated(EASE(), clients, n_items=60, item_ids=ids)
    assert list(result.estimator.item_ids_) == ids
    other = answers([Interactions(part, item_ids=ids[::-1]) for part in parts])
    with pytest.raises(ValueError, match=r"0 of 20 clients gave sound answers.*no answer"):
        fit_federated(EASE(), other, n_items=60, item_ids=ids)


def test_rows_with_ids_need_a_catalogue_with_ids(parts):
    """Without ids, columns in another order would be summed in silence."""
    ids = [f"film {i}" for i in range(60)]
    clients = answers(
        [Interactions(parts[3], item_ids=ids), Interactions(parts[4][:, ::-1], item_ids=ids[::-1])]
    )
    with pytest.raises(ValueError, match="0 of 2 clients") as caught:
        fit_federated(EASE(), clients, n_items=60)
    assert "pass item_ids to fit_federated" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "change",
    [
        {"popularity": lambda value: -value},
        {"popularity": lambda value: value * 1e6},
        {"popularity": lambda value: value + 0.5},
        {"n_users": lambda value: -value},
        {"n_active_users": lambda value: value + 10**9},
        {"n_entries": lambda value: value + 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_impossible_counts_are_left_out(change, X, parts):
    def lies(request):
        answer = FederatedClient(parts[4]).answer(request)
        return {name: change.get(name, lambda v: v)(value) for name, value in answer.items()}

    clients = answers(parts)
    clients[4] = lies
    with pytest.warns(UserWarning, match=r"impossible counts \(clients \[4\]\)"):
        result = fit_federated(EASE(), clients, n_items=60)
    assert result.left_out == {4: "impossible counts"}
    others = sp.vstack([part for i, part in enumerate(parts) if i != 4], format="csr")
    assert_allclose(result.estimator.coef_, EASE().fit(others).coef_, atol=1e-6)


def test_a_client_that_hangs_is_late(X, parts):
    released = threading.Event()

    def hangs(request):
        released.wait(60)
        raise ConnectionError

    clients = [*answers(parts), hangs]
    with pytest.warns(UserWarning, match=r"1 late \(clients \[20\]\)"):
        result = fit_federated(EASE(), clients, n_items=60, timeout=2)
    released.set()
    assert result.left_out == {20: "late"}
    assert_allclose(result.estimator.coef_, EASE().fit(X).coef_, atol=1e-6)


def test_what_cannot_be_fitted_is_refused(parts):
    with pytest.raises(TypeError, match="UserKNN cannot be fitted from shards"):
        fit_federated(UserKNN(), answers(parts), n_items=60)
    with pytest.raises(ValueError, match="1 of 1 clients gave sound answers, and min_clients is 2"):
        fit_federated(EASE(), answers(parts[:1]), n_items=60)
