"""Rerankers against brute force, and what they must never do."""

import pickle
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _oracles import plain_ease
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV

from sklearn_llmrec import Interactions
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.ensemble import (
    CalibratedReranker,
    DPPReranker,
    MMRReranker,
    RuleReranker,
    boost,
    cap_per_category,
    reserve_slots,
)
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import diversity_at_k, miscalibration_at_k
from sklearn_llmrec.neighbors import ItemKNN


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    taste = np.arange(60)[:, None] % 3 == np.arange(40) % 3
    return sp.csr_array((rng.random((60, 40)) < np.where(taste, 0.4, 0.08)).astype(float))


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(1).normal(size=(40, 5))


def rerankers(features):
    return [
        MMRReranker(EASE(), item_features=features, n_candidates=15),
        MMRReranker(EASE(), n_candidates=15),
        DPPReranker(EASE(), item_features=features, n_candidates=15),
        CalibratedReranker(EASE(), n_candidates=15),
        RuleReranker(EASE(), rules=[boost(features[:, 0])], n_candidates=15),
    ]


def test_candidates_stand_above_all_others_which_keep_the_order_of_the_base(X, features):
    base = EASE().fit(X).predict(X)
    for reranker in rerankers(features):
        scores = reranker.fit(X).predict(X)
        for row in range(X.shape[0]):
            seen = X[[row]].indices
            unseen = np.setdiff1d(np.arange(40), seen)
            candidates = unseen[np.argsort(-base[row, unseen], kind="stable")][:15]
            order = np.argsort(-scores[row], kind="stable")
            assert set(order[:15]) == set(candidates)
            rest = np.setdiff1d(np.arange(40), candidates)
            assert_array_equal(order[15:], rest[np.argsort(-base[row, rest], kind="stable")])


def test_lists_of_the_fast_and_the_dense_way_agree_also_in_batches(X, features):
    for reranker in rerankers(features):
        scores = reranker.fit(X).predict(X)
        scores[X.nonzero()] = -np.inf
        for k in (1, 5, 15, 20):
            items, values = reranker.recommend(X, k=k)
            assert_array_equal(items, np.argsort(-scores, axis=1, kind="stable")[:, :k])
            assert_allclose(values, np.take_along_axis(scores, items, axis=1))
        alone = np.vstack([reranker.recommend(X[[row]], k=5)[0] for row in range(9)])
        assert_array_equal(alone, reranker.recommend(X, k=5)[0][:9])


def test_targets_change_no_fitted_reranker(X, features):
    y = X[np.random.default_rng(0).permutation(60)]
    for reranker in rerankers(features):
        assert_array_equal(reranker.fit(X, y).predict(X), reranker.fit(X).predict(X))


def test_mmr_equals_the_definition(X, features):
    d, n, k = 0.4, 12, 6
    base = EASE().fit(X)
    pool, relevance = base.recommend(X, k=n)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    got, _ = (
        MMRReranker(base, diversity=d, item_features=features, n_candidates=n)
        .fit(X)
        .recommend(X, k)
    )
    for row in range(X.shape[0]):
        r = (relevance[row] - relevance[row].min()) / np.ptp(relevance[row])
        chosen: list[int] = []
        while len(chosen) < k:
            value = {
                p: (1 - d) * r[p]
                - (
                    d * max(unit[pool[row, p]] @ unit[pool[row, q]] for q in chosen)
                    if chosen
                    else 0
                )
                for p in range(n)
                if p not in chosen
            }
            chosen.append(max(value, key=value.__getitem__))
        assert_array_equal(got[row], pool[row, chosen])


def test_mmr_trades_relevance_for_diversity(X, features):
    base = EASE().fit(X)
    lists = [
        MMRReranker(EASE(), diversity=d, item_features=features).fit(X).recommend(X, 5)[0]
        for d in (0, 0.3, 0.7, 1)
    ]
    assert_array_equal(lists[0], base.recommend(X, 5)[0])
    spread = [diversity_at_k(items, features, k=5) for items in lists]
    assert (np.diff(spread) > 0).all()
    # The first place is the base's whatever the diversity.
    assert_array_equal(lists[3][:, 0], lists[0][:, 0])


def test_mmr_reads_sparse_features_and_columns_alike(X):
    dense = MMRReranker(EASE(), item_features=X.toarray().T).fit(X).recommend(X, 6)[0]
    for source in (None, sp.csr_array(X.T), sp.csr_matrix(X.T)):
        assert_array_equal(
            MMRReranker(EASE(), item_features=source).fit(X).recommend(X, 6)[0], dense
        )


def test_calibration_brings_the_lists_to_the_users_shares(X):
    kinds = np.arange(40) % 3
    onehot = np.eye(3)[kinds]
    distances = [
        miscalibration_at_k(
            CalibratedReranker(EASE(), categories=kinds, calibration=c).fit(X).recommend(X, 9)[0],
            X,
            onehot,
            k=9,
        )
        for c in (0.0, 0.5, 1.0)
    ]
    assert distances[0] > distances[1] >= distances[2]
    assert distances[1] < 0.5 * distances[0]
    base = EASE().fit(X).recommend(X, 9)[0]
    none = CalibratedReranker(EASE(), categories=kinds, calibration=0).fit(X)
    assert_array_equal(none.recommend(X, 9)[0], base)


def test_calibration_reads_labels_lists_texts_matrices_and_columns(X):
    labels = np.array(["b", "a", "c"])[np.arange(40) % 3]
    expected = CalibratedReranker(EASE(), categories=labels).fit(X).predict(X)
    table = pd.DataFrame({"genre": labels})
    held = Interactions(X, item_features=table)
    for spec in ([[v] for v in labels], [f"{v}|" for v in labels], "genre"):
        model = CalibratedReranker(EASE(), categories=spec).fit(held)
        assert_array_equal(model.categories_, ["a", "b", "c"])
        assert_array_equal(model.predict(held), expected)
    held.item_features = np.array([(v,) for v in labels], dtype=[("genre", "U1")])
    fields = CalibratedReranker(EASE(), categories="genre").fit(held)
    assert_array_equal(fields.predict(held), expected)
    missing = pd.Series([*labels[:-1], pd.NA], dtype="string")
    assert CalibratedReranker(EASE(), categories=missing).fit(X)._weights_[[39]].nnz == 0
    onehot = sp.csr_array(labels[:, None] == np.array(["a", "b", "c"]))
    assert_array_equal(CalibratedReranker(EASE(), categories=onehot).fit(X).predict(X), expected)
    with pytest.raises(ValueError, match="X carries none"):
        CalibratedReranker(EASE(), categories="genre").fit(X)
    with pytest.raises(ValueError, match="one value per item, 40; got 39"):
        CalibratedReranker(EASE(), categories=labels[:-1]).fit(X)


def test_rules_cap_reserve_boost_and_filter(X):
    kinds = np.arange(40) % 3
    new = np.arange(30, 40)
    allowed = np.arange(40) % 2 == 0
    model = RuleReranker(
        ItemKNN(),
        rules=[cap_per_category(kinds, 2), reserve_slots(new, [1])],
        allowed=allowed,
        also_candidates=new,
    ).fit(X)
    items, _ = pickle.loads(pickle.dumps(model)).recommend(X, k=6)
    held = X.toarray() > 0
    for row, line in enumerate(items):
        assert allowed[line].all()
        assert not held[row, line].any()
        free = allowed & ~held[row]
        if free[new].any():
            assert line[1] in new
        # One more than the cap where a reserved place asks for it.
        assert np.bincount(kinds[line], minlength=3).max() <= 3
    top = RuleReranker(ItemKNN(), rules=[boost(np.eye(40)[7] * 10)]).fit(X).recommend(X, k=1)[0]
    assert (top[~held[:, 7]] == 7).all()


def test_a_filter_holds_where_too_little_is_left_and_per_user(X):
    model = RuleReranker(PopularityRecommender(), allowed=np.arange(40) < 4).fit(X)
    items, scores = model.recommend(sp.csr_array((1, 40)), k=6)
    assert set(items[0, :4]) == {0, 1, 2, 3}
    assert_array_equal(items[0, 4:], -1)
    assert_array_equal(scores[0, 4:], -np.inf)
    items, _ = model.recommend(X, k=3, exclude_seen=False, candidates=[2, 9])
    assert set(items[:, 0]) == {2}
    assert (items[:, 1:] == -1).all()
    mine = np.random.default_rng(0).random(X.shape) < 0.5
    per_user = RuleReranker(ItemKNN(), allowed=lambda given: mine[: given.shape[0]]).fit(X)
    items, _ = per_user.recommend(X, k=5)
    valid = items >= 0
    assert mine[np.nonzero(valid)[0], items[valid]].all()
    order = np.argsort(-per_user.predict(X), axis=1)
    assert (
        np.take_along_axis(mine, order, axis=1).astype(int)[:, 1:]
        <= np.take_along_axis(mine, order, axis=1).astype(int)[:, :-1]
    ).all()


def test_a_sparse_filter_per_user_is_that_of_the_dense_one_and_stays_sparse(X, monkeypatch):
    mine = np.random.default_rng(0).random(X.shape) < 0.3
    index = {row.tobytes(): allowed for row, allowed in zip(X.toarray(), mine)}

    def dense(given):
        return np.array([index.get(row.tobytes(), mine[0]) for row in given.toarray()])

    def sparse(given):
        return sp.csr_array(dense(given))

    models = [RuleReranker(EASE(), allowed=allowed).fit(X) for allowed in (dense, sparse)]
    some, few = np.random.default_rng(1).random(X.shape) < 0.6, [1, 2, 3, 20, 30]
    for candidates, within in (
        (None, np.full(40, True)),
        (few, np.isin(np.arange(40), few)),
        (sp.csr_array(some), some),
    ):
        lists = [model.recommend(X, k=4, candidates=candidates)[0] for model in models]
        assert_array_equal(*lists)
        kept = lists[0] >= 0
        assert (mine & within)[np.nonzero(kept)[0], lists[0][kept]].all()
    assert_array_equal(models[0].predict(X), models[1].predict(X))
    monkeypatch.setattr(sp.csr_array, "toarray", lambda M: pytest.fail("made dense"))
    assert sp.issparse(RuleReranker(EASE(), allowed=lambda X: X)._allowed_mask(X))


def test_rules_about_other_items_are_refused(X):
    for rule in (boost([1.0, 2.0]), boost(np.ones(41)), cap_per_category(["a"] * 3, 1)):
        with pytest.raises(ValueError, match="and X has 40: one value per item"):
            RuleReranker(ItemKNN(), rules=[rule]).fit(X)
    with pytest.raises(ValueError, match="booleans, one per item, not numbers of items"):
        RuleReranker(ItemKNN(), allowed=np.arange(40)).fit(X)
    for wrong in (1.5, -1):
        with pytest.raises(ValueError, match="n must be an integer from 0"):
            cap_per_category(["a", "b"], wrong)
    with pytest.raises(TypeError, match="got the text 'genre'"):
        cap_per_category("genre", 1)
    with pytest.raises(ValueError, match="places must be integers from 0"):
        reserve_slots([1], [-1])


def test_a_rule_of_the_wrong_shape_is_refused(X):
    with pytest.raises(ValueError, match="one score per candidate"):
        RuleReranker(ItemKNN(), rules=[lambda items, scores, X: scores[:, 1:]]).fit(X)
    with pytest.raises(TypeError, match="rules must be functions"):
        RuleReranker(ItemKNN(), rules=["boost"]).fit(X)


def test_a_search_reaches_the_base_and_the_reranker(X):
    grid = {"diversity": [0.0, 0.9], "estimator__regularization": [1.0, 100.0]}
    search = GridSearchCV(MMRReranker(EASE()), grid, cv=2).fit(X)
    assert search.best_params_["diversity"] == 0.0


def volume_kernel(features, ridge=0.01):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = (1 - ridge) * (1 + unit @ unit.T) / 2
    np.fill_diagonal(similar, 1)
    return similar


def test_dpp_equals_greedy_determinants(X, features):
    d, n, k = 0.3, 12, 6
    base = EASE().fit(X)
    pool, values = base.recommend(X, k=n)
    similar = volume_kernel(features)
    model = DPPReranker(base, diversity=d, item_features=features, n_candidates=n).fit(X)
    got, _ = model.recommend(X, k)
    for row in range(X.shape[0]):
        r = (values[row] - values[row].min()) / np.ptp(values[row])
        chosen: list[int] = []

        while len(chosen) < k:
            value = {}
            for p in set(range(n)) - set(chosen):
                items = pool[row, [*chosen, p]]
                _, volume = np.linalg.slogdet(similar[np.ix_(items, items)])
                value[p] = (1 - d) * r[[*chosen, p]].sum() + d * volume
            chosen.append(max(value, key=value.__getitem__))
        assert_array_equal(got[row], pool[row, chosen])


def test_dpp_is_near_the_best_of_all_sets(X, features):
    n, k = 9, 3
    base = plain_ease(500.0).fit(X)
    pool, _ = base.recommend(X, k=n)
    similar = volume_kernel(features)
    model = DPPReranker(base, diversity=1.0, item_features=features, n_candidates=n).fit(X)
    got, _ = model.recommend(X, k)
    for row in range(X.shape[0]):

        def volume(items):
            return np.linalg.slogdet(similar[np.ix_(items, items)])[1]

        sets = [volume(list(items)) for items in combinations(pool[row], k)]
        # Greedy is no exact search; every set is counted to see how far from the best it ends.
        assert volume(got[row]) > np.quantile(sets, 0.5)
        assert volume(got[row]) >= max(sets) - 0.5


def test_dpp_has_no_use_for_copies_and_reads_what_mmr_reads(X, monkeypatch):
    kinds = np.eye(4)[np.arange(40) % 4]
    items, _ = DPPReranker(EASE(), diversity=1.0, item_features=kinds).fit(X).recommend(X, 4)
    assert (np.sort(items % 4, axis=1) == np.arange(4)).all()
    # Past the rank of the features relevance and evenness go on.
    items, _ = DPPReranker(EASE(), diversity=1.0, item_features=kinds).fit(X).recommend(X, 8)
    assert all((np.bincount(line % 4, minlength=4) == 2).all() for line in items)
    base = EASE().fit(X).recommend(X, 6)[0]
    assert_array_equal(DPPReranker(EASE(), diversity=0.0).fit(X).recommend(X, 6)[0], base)
    dense = DPPReranker(EASE(), item_features=X.toarray().T).fit(X).recommend(X, 6)[0]
    monkeypatch.setattr("sklearn_llmrec.ensemble._dpp._DENSE_VALUES", 0)
    for source in (None, sp.csr_array(X.T), sp.csr_matrix(X.T)):
        model = DPPReranker(EASE(), item_features=source).fit(X)
        assert_array_equal(model.recommend(X, 6)[0], dense)


def test_dpp_trades_relevance_for_diversity(X, features):
    lists = [
        DPPReranker(EASE(), diversity=d, item_features=features).fit(X).recommend(X, 5)[0]
        for d in (0, 0.05, 0.3, 1)
    ]
    spread = [diversity_at_k(items, features, k=5) for items in lists]
    assert (np.diff(spread) > 0).all()
