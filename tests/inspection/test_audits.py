"""Audits: of what a fit reveals about a user, and of fake profiles."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest

from sklearn_llmrec import EASE, ItemKNN, PopularityRecommender, UserKNN
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.inspection import membership_audit, shilling_audit
from sklearn_llmrec.inspection._membership import epsilon_bound
from sklearn_llmrec.inspection._shilling import fake_profiles, without_near_duplicates
from sklearn_llmrec.privacy import GaussianMechanism


def rows(n_users=200, n_items=40, seed=0):
    X = make_interactions(n_users, n_items, random_state=seed).interactions
    return sp.csr_array((X.data.astype(float), X.indices, X.indptr), shape=X.shape)


def popular_pair(X):
    """Two popular items: a private fit keeps them."""
    row = np.zeros(X.shape[1])
    row[np.argsort(-np.bincount(X.indices, minlength=X.shape[1]))[:2]] = 1
    return row


def test_exact_ease_is_found_out():
    audit = membership_audit(EASE(), rows(), n_fits=60, random_state=0)
    assert audit.epsilon > 1
    assert audit.true_positive_rate > audit.false_positive_rate


@pytest.mark.parametrize("epsilon", [1.0, 5.0])
@pytest.mark.parametrize("popular", [False, True])
def test_private_ease_stays_below_its_budget(epsilon, popular):
    X = rows()
    audit = membership_audit(
        EASE(privacy=GaussianMechanism(epsilon, 1e-5)),
        X,
        canary=popular_pair(X) if popular else None,
        n_fits=200,
        random_state=0,
    )
    assert audit.epsilon < epsilon
    assert audit.confidence == 0.99


def test_too_little_noise_is_found_out():
    """A mechanism that promises epsilon 0.2 and adds a hundredth of the noise is caught: the audit can fail."""

    class Broken(GaussianMechanism):
        def release(self, values, sensitivity=1.0, **rest):
            exact = np.asarray(values, dtype=float)
            return exact + (super().release(exact, sensitivity, **rest) - exact) / 100

    X = rows()
    audit = membership_audit(
        PopularityRecommender(privacy=Broken(0.2)),
        X,
        canary=popular_pair(X),
        max_samples=1.0,
        n_fits=100,
        random_state=0,
    )
    assert audit.epsilon > 0.2


def test_bound_is_that_of_clopper_and_pearson():
    low = binomtest(45, 50).proportion_ci(0.99, "exact").low
    high = binomtest(3, 50).proportion_ci(0.99, "exact").high
    expected = max(np.log((low - 1e-5) / high), np.log((1 - high - 1e-5) / (1 - low)))
    assert_allclose(epsilon_bound(45, 3, 50, delta=1e-5, confidence=0.99), expected)
    assert epsilon_bound(25, 25, 50, delta=1e-5, confidence=0.99) == 0
    assert epsilon_bound(0, 50, 50, delta=1e-5, confidence=0.99) == 0


def test_bound_holds_at_its_confidence():
    # Randomised response with epsilon 1: the bound may exceed 1 in 1 % of audits.
    rng = np.random.default_rng(0)
    share = np.e / (1 + np.e)
    bounds = [
        epsilon_bound(
            rng.binomial(100, share), rng.binomial(100, 1 - share), 100, delta=0.0, confidence=0.99
        )
        for _ in range(1000)
    ]
    assert np.mean(np.array(bounds) > 1) <= 0.02
    assert np.max(bounds) > 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_fits": 3}, "n_fits"),
        ({"max_samples": 0.0}, "max_samples"),
        ({"confidence": 1.0}, "confidence"),
        ({"delta": 1.0}, "delta"),
        ({"canary": np.eye(40)[0]}, "at least two"),
        ({"canary": np.ones(39)}, "row of 40"),
    ],
)
def test_membership_audit_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        membership_audit(EASE(), rows(), **arguments)


@pytest.mark.parametrize("attack", ["random", "average", "bandwagon"])
def test_profiles_are_what_the_attack_says(attack):
    X = rows(300)
    X.data[:] = np.random.default_rng(3).integers(1, 6, X.nnz)
    targets = np.array([3, 9])
    P = fake_profiles(
        X, attack, targets=targets, n_profiles=20, n_filler=8, rng=np.random.RandomState(0)
    ).toarray()
    assert P.shape == (20, 40)
    assert (P[:, targets] == 5).all()
    assert (np.count_nonzero(P, axis=1) == 10).all()
    counts = np.bincount(X.indices, minlength=40)
    order = np.setdiff1d(np.argsort(-counts, kind="stable"), targets, assume_unique=True)
    if attack == "bandwagon":
        assert (P[:, order[:4]] == 5).all()
    if attack == "average":
        means = X.toarray().sum(axis=0) / np.maximum(counts, 1)
        held = P[:, order[0]]
        assert_allclose(held[held > 0], means[order[0]])
    if attack != "random":
        assert (P[:, order[:10]] > 0).sum() > (P[:, order[-10:]] > 0).sum()


def test_profiles_push_items_and_removal_of_duplicates_undoes_it():
    X = rows(400, 60)
    audit = shilling_audit(ItemKNN(), X, "bandwagon", n_profiles=80)
    assert audit.n_profiles == 80
    assert audit.hit_rate_after > audit.hit_rate_before
    assert audit.ndcg_after < audit.ndcg_before
    copies = np.zeros((50, 60))
    copies[:, [0, 1, 2, 30]] = 1
    both = sp.csr_array(sp.vstack([X, sp.csr_array(copies)], format="csr"))
    kept = without_near_duplicates(both, 0.9)
    assert not kept[400:].any()
    assert kept[:400].mean() > 0.8  # short rows coincide

    def known(rows):
        mask = np.arange(rows.shape[0]) < 400
        return sp.csr_array(rows[mask]), mask

    cured = shilling_audit(ItemKNN(), X, "bandwagon", n_profiles=80, defence=known)
    assert cured.n_removed_profiles == 80
    assert cured.hit_rate_after == cured.hit_rate_before
    assert cured.ndcg_after == cured.ndcg_before


def test_row_weights_lower_the_effect_of_long_profiles():
    X = rows(400, 60)
    plain = shilling_audit(
        EASE(value_exponent=1.0, user_exponent=0.0), X, n_profiles=80, n_filler=40
    )
    weighted = shilling_audit(
        EASE(value_exponent=1.0, user_exponent=0.0),
        X,
        n_profiles=80,
        n_filler=40,
        defence="row_weights",
    )
    assert_array_equal(plain.target_items, weighted.target_items)
    assert plain.hit_rate_after > plain.hit_rate_before
    assert weighted.hit_rate_after < plain.hit_rate_after


def test_the_estimator_is_not_changed_and_the_audit_repeats():
    model = UserKNN().fit(rows())
    before = model.predict(rows())
    one = shilling_audit(model, rows(), "average", target_items=[5], n_profiles=10, random_state=1)
    two = shilling_audit(model, rows(), "average", target_items=[5], n_profiles=10, random_state=1)
    assert one[:7] == two[:7]
    assert_array_equal(model.predict(rows()), before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"attack": "love"}, "attack must"),
        ({"n_profiles": 0}, "n_profiles"),
        ({"target_items": [99]}, "target_items"),
        ({"target_items": []}, "target_items"),
        ({"defence": "prayer"}, "defence"),
    ],
)
def test_shilling_audit_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        shilling_audit(ItemKNN(), rows(), **arguments)
