"""Private fits: nothing but released values is kept, sensitivities hold, and failed fits spend what they released."""

import io
import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_llmrec import EASE, ALSRecommender, ItemKNN, PopularityRecommender, load, save
from sklearn_llmrec.base._private import (
    choose_items,
    count_vector,
    denoised,
    equal_norm_rows,
    gram_vector,
    unpacked_triangle,
)
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split
from sklearn_llmrec.privacy import GaussianMechanism, PrivacyBudgetError, PrivacyLedger

MODELS = {
    "EASE": EASE,
    "EASE, all parameters": lambda **rest: EASE(
        dropout=0.2, max_self_weight=0.1, popularity_exponent=0.3, **rest
    ),
    "ItemKNN": ItemKNN,
    "PopularityRecommender": PopularityRecommender,
    "ALSRecommender": lambda **rest: ALSRecommender(6, max_iter=2, random_state=0, **rest),
}
NAMES = ["EASE", "ItemKNN", "PopularityRecommender", "ALSRecommender"]


class Fixed(GaussianMechanism):
    """Release the same numbers whatever the data are: what is left of X afterwards has leaked."""

    def release(self, values, sensitivity=1.0, *, share=1.0, label="release"):
        values = np.asarray(values)
        rng = np.random.default_rng(values.size)
        return np.abs(rng.normal(3.0, 2.0, values.shape)) * 50


def fixed():
    return Fixed(1.0, sampler="unsafe_seeded", random_state=0)


def neighbours(seed=0):
    """Return a matrix, it with a row more, it with a row less, and it with another row in the place of the first."""
    X = make_interactions(120, 80, n_interactions=900, random_state=seed).interactions
    X = sp.csr_array((X.data.astype(float), X.indices, X.indptr), shape=X.shape)
    row = sp.csr_array(np.full((1, 80), 1e6))
    return [X, sp.vstack([X, row], format="csr"), X[1:], sp.vstack([row, X[1:]], format="csr")]


@pytest.mark.parametrize("name", MODELS)
def test_no_attribute_depends_on_the_data_except_through_releases(name):
    states = []
    for X in neighbours():
        model = MODELS[name](privacy=fixed()).fit(sp.csr_array(X))
        states.append((model, X))
    first = states[0][0]
    fitted = {key: value for key, value in vars(first).items() if key != "privacy"}
    assert any(key.endswith("_") for key in fitted)
    for model, _ in states[1:]:
        assert vars(model).keys() == vars(first).keys()
        for key, value in fitted.items():
            assert pickle.dumps(vars(model)[key]) == pickle.dumps(value), f"{key} depends on X"
        assert repr(model) == repr(first)
        question = neighbours(1)[0]
        assert_array_equal(model.predict(question), first.predict(question))
        assert_array_equal(model.recommend(question[:5], 5)[0], first.recommend(question[:5], 5)[0])
        # A row without evidence gets the fallback, which is released too.
        empty = sp.csr_array((1, 80))
        assert_array_equal(model.predict(empty), first.predict(empty))


@pytest.mark.parametrize("name", MODELS)
def test_the_walk_finds_a_leak(name):
    """The same comparison fails for fits without privacy: it can see a difference of one row."""
    models = [MODELS[name]().fit(sp.csr_array(X)) for X in neighbours()[:2]]
    assert any(
        pickle.dumps(vars(models[0])[key]) != pickle.dumps(vars(models[1])[key])
        for key in vars(models[0])
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_private_refit_leaves_nothing_of_an_exact_fit(name):
    X = sp.csr_array(neighbours()[0])
    model = MODELS[name]()
    model.partial_fit(X)  # keeps the sums too
    refitted = model.set_params(privacy=fixed()).fit(X)
    anew = MODELS[name](privacy=fixed()).fit(X)
    assert vars(refitted).keys() == vars(anew).keys()
    for key in set(vars(anew)) - {"privacy"}:
        assert pickle.dumps(vars(refitted)[key]) == pickle.dumps(vars(anew)[key]), key


def _adversarial_rows(n_items, rng):
    one, everything, two = np.zeros(n_items), np.ones(n_items), np.zeros(n_items)
    one[rng.integers(n_items)] = 1.0
    two[rng.choice(n_items, 2, replace=False)] = 1.0
    huge = np.where(rng.random(n_items) < 0.5, 1e9, 0.0)
    return [one, everything, two, huge, -everything, one * 1e-9, np.zeros(n_items)]


@pytest.mark.parametrize("name", MODELS)
def test_an_exact_refit_claims_no_guarantee(name):
    X = sp.csr_array(neighbours()[0])
    model = MODELS[name](privacy=fixed()).fit(X)
    assert hasattr(model, "privacy_spent_")
    refitted, anew = model.set_params(privacy=None).fit(X), MODELS[name]().fit(X)
    assert vars(refitted).keys() == vars(anew).keys()
    assert_array_equal(refitted.item_popularity_, anew.item_popularity_)


def test_sensitivities_on_random_and_adversarial_neighbours():
    rng = np.random.default_rng(0)
    largest = {"counts": 0.0, "gram": 0.0, "above": 0.0}
    n_items = 12
    above = np.concatenate([[0] + [1] * (n_items - 1 - i) for i in range(n_items)]).astype(bool)
    for draw in range(10_000):
        n_users = int(rng.integers(1, 6))
        X = np.where(rng.random((n_users, n_items)) < rng.random(), rng.lognormal(0, 3), 0.0)
        special = _adversarial_rows(n_items, rng)
        row = (
            special[draw % 14]
            if draw % 14 < len(special)
            else np.where(rng.random(n_items) < rng.random(), rng.normal(0, 100), 0.0)
        )
        one, more = sp.csr_array(X), sp.csr_array(np.vstack([X, row]))
        largest["counts"] = max(
            largest["counts"], np.linalg.norm(count_vector(more) - count_vector(one))
        )
        change = gram_vector(more) - gram_vector(one)
        largest["gram"] = max(largest["gram"], np.linalg.norm(change))
        largest["above"] = max(largest["above"], np.linalg.norm(change[above]) / math.sqrt(2))
        if row.any():
            m = np.count_nonzero(row)
            # What the documentation derives, for every row and not only the worst.
            assert abs(np.linalg.norm(change) - 1) < 1e-9
            part = np.linalg.norm(change[above]) / math.sqrt(2)
            assert abs(part - math.sqrt((m - 1) / (2 * m))) < 1e-9
    assert largest["counts"] <= 1 + 1e-9
    assert largest["gram"] <= 1 + 1e-9
    assert largest["above"] <= 1 / math.sqrt(2) + 1e-9


def test_choice_of_items_does_not_raise_the_sensitivity():
    # The Gram matrix is of the chosen columns: rows are divided by their norm there, so any choice has sensitivity 1.
    rng = np.random.default_rng(1)
    X = sp.csr_array((rng.random((30, 20)) < 0.3).astype(float))
    items = np.array([2, 3, 5, 11])
    for row in range(30):
        rest = sp.csr_array(X[np.delete(np.arange(30), row)][:, items])
        change = gram_vector(sp.csr_array(X[:, items])) - gram_vector(rest)
        assert np.linalg.norm(change) <= 1 + 1e-9


def test_noise_of_the_gram_matrix_is_that_of_the_derivation():
    # The released triangle has noise s on the diagonal and s / sqrt(2) above it.
    mechanism = GaussianMechanism(1.0, 1e-5)
    scale = mechanism.noise_scale(1.0, share=0.9)
    n = 300
    G = unpacked_triangle(mechanism.release(np.zeros(n * (n + 1) // 2), share=0.9), n)
    assert_array_equal(G, G.T)
    upper = G[np.triu_indices(n, 1)]
    assert abs(upper.std() / (scale / math.sqrt(2)) - 1) < 0.02
    assert abs(G.diagonal().std() / scale - 1) < 0.2
    # All eigenvalues of noise are within the edge, about: nothing is kept of them.
    matrix, edge = denoised(G, scale / math.sqrt(2))
    assert np.linalg.norm(matrix, 2) < 0.5 * edge


def test_packed_triangle_is_the_gram_matrix():
    X = sp.csr_array((np.random.default_rng(0).random((40, 9)) < 0.4) * 3.0)
    rows = equal_norm_rows(X).toarray()
    assert_allclose(unpacked_triangle(gram_vector(X), 9), rows.T @ rows, atol=1e-12)


def test_a_large_budget_gives_what_the_exact_sums_give():
    X = make_interactions(3000, 60, random_state=0).interactions
    X = sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)
    mechanism = GaussianMechanism(1e5, 1e-5)
    released = choose_items(count_vector(X), mechanism)
    counts = np.bincount(X.indices, minlength=60)
    assert abs(released.n_users - np.count_nonzero(np.diff(X.indptr))) <= 5
    assert np.corrcoef(released.popularity, counts)[0, 1] > 0.95
    exact = EASE(dropout=0.0, max_self_weight=0.0, user_exponent=1.0, regularization=50.0)
    # The unit of `regularization` without privacy is that of unweighted users.
    share = np.count_nonzero(np.diff(X.indptr)) / X.nnz
    private = EASE(50.0 * share, dropout=0.0, max_self_weight=0.0, privacy=mechanism).fit(X)
    assert_allclose(private.coef_, exact.fit(X).coef_, atol=0.02)


@pytest.mark.filterwarnings("ignore:The sums of all items:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_private_models_report_and_charge(name):
    X = neighbours()[0]
    ledger = PrivacyLedger(1.2, 1e-5)
    model = MODELS[name](privacy=GaussianMechanism(1.0, 1e-5, ledger=ledger)).fit(X)
    assert model.privacy_spent_ == (1.0, 1e-5)
    assert_allclose(ledger.spent()[0], 1.0, rtol=1e-6)
    with pytest.raises(PrivacyBudgetError):
        model.fit(X)
    assert model.privacy_spent_ == (1.0, 1e-5)  # the model is as it was
    with pytest.raises(ValueError, match="no partial_fit"):
        model.partial_fit(X)
    with pytest.raises(ValueError, match="would add rows without noise"):
        model.set_params(privacy=None).partial_fit(X)
    assert not hasattr(model.fit(X), "privacy_spent_")


@pytest.mark.parametrize("kind", [EASE, ItemKNN])
def test_a_failed_fit_spends_what_it_released(kind):
    ledger = PrivacyLedger(0.5, 1e-5)  # enough for the counts, and not for the Gram matrix
    with pytest.raises(PrivacyBudgetError, match="Gram matrix"):
        kind(privacy=GaussianMechanism(1.0, 1e-5, ledger=ledger)).fit(neighbours()[0])
    assert [label for label, _ in ledger.releases] == ["counts of items and users"]
    assert 0 < ledger.spent()[0] < 0.5


def test_a_refused_matrix_spends_nothing():
    ledger = PrivacyLedger(1.0)
    with pytest.raises(ValueError, match="NaN"):
        EASE(privacy=GaussianMechanism(1.0, ledger=ledger)).fit([[np.nan, 1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="half_life"):
        PopularityRecommender(half_life=1.0, privacy=GaussianMechanism(1.0, ledger=ledger)).fit(
            make_interactions(20, 10, random_state=0).interactions
        )
    with pytest.raises(ValueError, match="needs metric='cosine'"):
        ItemKNN(metric="jaccard", privacy=GaussianMechanism(1.0, ledger=ledger)).fit(
            neighbours()[0]
        )
    assert ledger.releases == []


@pytest.mark.parametrize("name", NAMES)
def test_values_of_histories_do_not_matter(name):
    X = neighbours()[0]
    model = MODELS[name](privacy=GaussianMechanism(50.0)).fit(X)
    assert_allclose(model.predict(X * 7.0), model.predict(X), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The sums of all items:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_private_models_pickle_and_load_from_bundles(name, tmp_path):
    pytest.importorskip("skops")
    X = neighbours()[0]
    ledger = PrivacyLedger(5.0)
    model = MODELS[name](privacy=GaussianMechanism(2.0, ledger=ledger)).fit(X)
    file = io.BytesIO()
    pickle.dump(model, file)
    save(tmp_path / "bundle", model)
    for loaded in (pickle.loads(file.getvalue()), load(tmp_path / "bundle").estimator):
        assert_allclose(loaded.predict(X), model.predict(X))
        assert loaded.privacy_spent_ == (2.0, 1e-5)
        with pytest.raises(PrivacyBudgetError, match="record"):
            loaded.fit(X)


def test_private_fits_beat_popularity_on_generated_users():
    data = make_interactions(8000, 200, random_state=0).interactions
    train, test = holdout_split(data, random_state=0)

    def measured(model):
        return ndcg_at_k(test, model.fit(train).recommend(train, 10)[0], k=10, seen=train)

    popular = measured(PopularityRecommender())
    weak = measured(EASE(privacy=GaussianMechanism(5.0)))
    strong = measured(EASE(privacy=GaussianMechanism(0.3)))
    assert popular < weak
    assert strong < weak < measured(EASE()) + 0.02


def test_a_delta_as_large_as_one_user_warns():
    X = sp.csr_array(np.ones((200, 5)))
    with pytest.warns(UserWarning, match=r"delta=0.05 is not below 1 / n_users \(about \d+ users"):
        PopularityRecommender(
            privacy=GaussianMechanism(5.0, 0.05, sampler="unsafe_seeded", random_state=0)
        ).fit(X)
