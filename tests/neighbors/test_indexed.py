"""Lists from an approximate index: near the exact ones, within every restriction, safe to store and to update."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_llmrec import (
    ALSRecommender,
    BPRRecommender,
    IndexedRecommender,
    Interactions,
    Item2Vec,
    ItemKNN,
    PureSVD,
    recommend,
    recommend_ids,
)
from sklearn_llmrec.base import InnerProductMixin
from sklearn_llmrec.neighbors._vector_index import IndexSettings, VectorIndex, with_bias
from sklearn_llmrec.utils import check_recommender

faiss = pytest.importorskip("faiss")

N_ITEMS, WIDTH = 4000, 16
KINDS = ["hnsw", "ivf"]


class Given(InnerProductMixin):
    """Item vectors whose norms differ as popularity does; a user is the sum of the unit vectors of the history."""

    def __init__(self, with_bias=False, seed=0):
        self.with_bias = with_bias
        self.seed = seed

    def _fit(self, X):
        rng = np.random.default_rng(self.seed)
        n_items = X.shape[1]
        V = rng.standard_normal((n_items, WIDTH))
        self.unit_ = (V / np.linalg.norm(V, axis=1, keepdims=True)).astype(X.dtype)
        norms = rng.permutation((np.arange(n_items) + 10.0) ** -0.5)
        self.vectors_ = (self.unit_ * norms[:, None] / norms.max()).astype(X.dtype)
        self.bias_ = rng.standard_normal(n_items).astype(X.dtype) if self.with_bias else None

    def _retrieval_vectors(self, X):
        return X @ self.unit_, self.vectors_, self.bias_


@pytest.fixture(scope="module")
def histories():
    rng = np.random.default_rng(1)
    X = sp.random_array((200, N_ITEMS), density=20 / N_ITEMS, random_state=rng, format="lil")
    X[7] = 0
    X[7, :3000] = 1  # more than the index is ever asked for
    return sp.csr_array(X)


def exact_lists(model, X, k, allowed=None):
    """The k best by brute force over `predict`."""
    scores = model.predict(X)
    scores[X.nonzero()] = -np.inf
    if allowed is not None:
        scores[:, np.setdiff1d(np.arange(X.shape[1]), allowed)] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k], scores


def share_found(items, best):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(items.tolist(), best.tolist())])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("index", KINDS)
def test_lists_are_nearly_exact_and_their_scores_exactly_those_of_predict(histories, index, bias):
    model = IndexedRecommender(Given(with_bias=bias), index=index, min_items=0, random_state=0)
    model.fit(histories)
    assert model._index_ is not None
    items, values = model.recommend(histories, k=10)
    best, scores = exact_lists(model, histories, 10)
    assert share_found(items, best) >= 0.98
    np.testing.assert_allclose(values, np.take_along_axis(scores, items, axis=1), rtol=1e-6)
    assert (np.diff(values, axis=1) <= 0).all()
    np.testing.assert_allclose(model.predict(histories), model.estimator_.predict(histories))


@pytest.mark.parametrize("index", KINDS)
def test_recall_is_the_share_of_the_exact_lists(histories, index):
    model = IndexedRecommender(Given(), index=index, n_candidates=10, n_probes=1, n_links=4)
    model.set_params(min_items=0, random_state=0).fit(histories)
    items, _ = model.recommend(histories, k=10)
    best, _ = exact_lists(model, histories, 10)
    assert model.recall(histories) == pytest.approx(share_found(items, best))
    if index == "hnsw":
        assert model.recall(histories) < 1  # so narrow a search misses some: the figure can fall


def test_equal_scores_count_as_found_whichever_item_is_listed():
    X = sp.csr_array(np.eye(6))

    class Equal(Given):
        def _fit(self, X):
            super()._fit(X)
            self.vectors_ = np.ones_like(self.vectors_)
            self.unit_ = np.ones_like(self.unit_)
            self.bias_ = np.array([0.0, 0, 0, 0, 0, -1])

    model = IndexedRecommender(Equal(), index="hnsw", min_items=0).fit(X)
    assert model.recall(X, k=2) == 1


@pytest.mark.parametrize("index", KINDS)
def test_restrictions_hold_and_lists_stay_full(histories, index):
    model = IndexedRecommender(Given(), index=index, min_items=0, random_state=0).fit(histories)
    seen = histories.toarray() != 0
    items, _ = model.recommend(histories, k=200)
    assert (items >= 0).all()
    assert not np.take_along_axis(seen, items, axis=1).any()
    # The row with 3,000 seen items is ranked exactly.
    best, _ = exact_lists(model, histories[[7]], 200)
    assert np.array_equal(items[7], best[0])
    # Items that no search for the largest products finds: those of the shortest vectors.
    shortest = np.sort(np.argsort(np.linalg.norm(model.estimator_.vectors_, axis=1))[:60])
    for allowed in (shortest, np.arange(0, N_ITEMS, 2)):
        items, _ = model.recommend(histories, k=10, candidates=allowed)
        best, _ = exact_lists(model, histories, 10, allowed)
        assert np.isin(items, allowed).all()
        assert share_found(items, best) >= (1 if allowed is shortest else 0.97)
        again, _ = (
            clone(model)
            .set_params(min_items=3000)
            .fit(histories)
            .recommend(histories, k=10, candidates=allowed)
        )
        assert share_found(again, best) == 1  # shorter than min_items: exhaustively
    mask = sp.csr_array(seen[::-1])
    items, _ = model.recommend(histories, k=3, candidates=mask)
    rows, places = np.nonzero(items >= 0)
    assert (seen[::-1] & ~seen)[rows, items[rows, places]].all()
    none, values = model.recommend(histories, k=3, candidates=[])
    assert (none == -1).all()
    assert np.isneginf(values).all()
    other = sp.csr_array(np.roll(seen, 1, axis=1))
    items, _ = model.recommend(histories, k=10, seen=other)
    assert not other.toarray()[np.arange(200)[:, None], items].any()


def test_an_allow_list_shorter_than_k_gives_a_short_list(histories):
    model = IndexedRecommender(Given(), min_items=100).fit(histories)
    items, values = model.recommend(histories[:5], k=4, exclude_seen=False, candidates=[3, 9])
    assert np.array_equal(np.sort(items, axis=1), [[-1, -1, 3, 9]] * 5)
    assert np.isneginf(values[:, 2:]).all()


def test_a_bias_alone_brings_an_item_into_the_lists(histories):
    class Hit(Given):
        def _fit(self, X):
            super()._fit(X)
            self.vectors_[17] = 0
            self.bias_[17] = 100

    for index in KINDS:
        model = IndexedRecommender(Hit(with_bias=True), index=index, n_candidates=10, min_items=0)
        items, _ = model.fit(histories).recommend(histories, k=1, exclude_seen=False)
        assert (items == 17).all()


@pytest.mark.parametrize("index", KINDS)
def test_equal_input_gives_equal_lists_in_a_copy_and_with_more_threads(histories, index):
    model = IndexedRecommender(Given(), index=index, min_items=0, random_state=3).fit(histories)
    expected = model.recommend(histories, k=20)
    threads = faiss.omp_get_max_threads()
    copies = [
        clone(model).fit(histories),
        clone(model).set_params(n_jobs=2).fit(histories),
        pickle.loads(pickle.dumps(model)),
    ]
    assert faiss.omp_get_max_threads() == threads
    for other in copies:
        items, values = other.recommend(histories, k=20)
        assert np.array_equal(items, expected[0])
        np.testing.assert_allclose(values, expected[1], rtol=1e-6)
    one, _ = model.recommend(histories[[3]], k=20)
    assert np.array_equal(one[0], expected[0][3])


@pytest.mark.parametrize("index", KINDS)
def test_partial_fit_updates_the_member_and_the_index(index):
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((120, 300)) < 0.05) * 1.0)
    model = IndexedRecommender(
        ALSRecommender(4, max_iter=2, random_state=0), index=index, min_items=0, random_state=0
    )
    model.partial_fit(X[:80])
    alone = ALSRecommender(4, max_iter=2, random_state=0).partial_fit(X[:80])
    before, index_before = model.estimator_, model._index_
    old = before.components_.copy()
    model.partial_fit(X[80:])
    alone.partial_fit(X[80:])
    np.testing.assert_allclose(model.predict(X), alone.predict(X), rtol=1e-6)
    assert model.recall(X) >= 0.98
    assert np.array_equal(model.item_popularity_, alone.item_popularity_)
    assert model.n_users_fit_ == 120
    # The model that another thread may be reading is whole.
    assert model.estimator_ is not before
    assert model._index_ is not index_before
    assert np.array_equal(before.components_, old)
    kept = model._index_
    model.partial_fit(sp.csr_array((2, 300)))
    assert model._index_ is kept
    state = dict(vars(model))
    with pytest.raises(ValueError, match="300"):
        model.partial_fit(X[:, :200])
    assert vars(model) == state


@pytest.mark.parametrize("index", KINDS)
def test_new_ids_become_items_of_the_index(index):
    rng = np.random.default_rng(0)
    ids = np.array([f"item {column:03}" for column in range(330)])
    X = Interactions((rng.random((150, 330)) < 0.05) * 1.0, item_ids=ids)
    old, new = X[:100, :300], X[100:, 30:]  # the night lacks items too
    assert new.item_ids[0] == "item 030"
    als = ALSRecommender(4, max_iter=2, random_state=0)
    model = IndexedRecommender(als, index=index, min_items=0, random_state=0).fit(old)
    alone = clone(als).fit(old).partial_fit(new)
    model.partial_fit(new)
    assert model.item_ids_.tolist() == alone.item_ids_.tolist() == ids.tolist()
    assert model.n_features_in_ == model._index_._index.ntotal == 330
    assert model.recall(X) >= 0.98
    histories = [["item 310", "item 320"], ["item 001"], [], ["unknown"]]
    items = recommend_ids(model, histories, k=3)["item"]
    assert items.tolist() == recommend_ids(alone, histories, k=3)["item"].tolist()
    state = dict(vars(model))
    other = Interactions(np.eye(2), item_ids=[1, 2])
    with pytest.raises(ValueError, match="of two kinds"):
        model.partial_fit(other)
    assert vars(model) == state


def test_partial_fit_is_there_only_where_the_member_has_it():
    assert not hasattr(IndexedRecommender(PureSVD()), "partial_fit")
    assert hasattr(IndexedRecommender(ALSRecommender()), "partial_fit")


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_grows_by_new_items_and_the_old_one_stays(kind):
    rng = np.random.default_rng(0)
    vectors = with_bias(rng.standard_normal((900, 8)), None)
    settings = IndexSettings(
        kind=kind, n_links=16, ef_construction=40, n_lists=20, n_probes=20, seed=0
    )
    index = VectorIndex(vectors[:800], settings)
    longer = index.updated(vectors)
    queries = vectors[850:, :-1]
    best = np.argsort(-(queries @ vectors[:, :-1].T), axis=1)[:, :5]
    assert share_found(longer.search(queries, 50)[:, :5], best) >= 0.98
    assert index.search(queries, 50).max() < 800
    assert index.updated(vectors[:800].copy()) is index
    changed = vectors[:800].copy()
    changed[5] = 50
    assert (index.updated(changed).search(changed[5:6, :-1], 5)[:, 0] == 5).all()


def test_a_small_catalogue_is_ranked_by_the_model_itself(histories):
    model = IndexedRecommender(PureSVD(8, random_state=0)).fit(histories)
    assert model._index_ is None
    for mine, its in zip(model.recommend(histories), model.estimator_.recommend(histories)):
        assert np.array_equal(mine, its)
    assert model.recall(histories) == 1


def test_what_cannot_be_indexed_is_refused_by_name(histories):
    for wrong in (ItemKNN(), PureSVD):
        with pytest.raises((TypeError, ValueError), match=r"_retrieval_vectors|estimator"):
            IndexedRecommender(wrong).fit(histories)


def test_a_missing_library_is_named_with_its_extra_before_anything_is_fitted(
    histories, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    model = IndexedRecommender(PureSVD(4))
    with pytest.raises(ImportError, match=r"sklearn-llmrec\[ann\]"):
        model.fit(histories)
    assert not hasattr(model, "estimator_")


@pytest.mark.parametrize(
    "model",
    [
        IndexedRecommender(PureSVD(5, random_state=0)),
        IndexedRecommender(ALSRecommender(4, max_iter=2, random_state=0), min_items=0),
        IndexedRecommender(BPRRecommender(4, random_state=0), index="ivf", min_items=0),
        IndexedRecommender(Item2Vec(2), index="ivf", min_items=0),
    ],
    ids=str,
)
def test_the_contract_holds_around_different_members(model):
    check_recommender(model)


def test_searches_and_pipelines_reach_the_member(histories):
    model = IndexedRecommender(PureSVD(random_state=0), min_items=0)
    search = GridSearchCV(model, {"estimator__n_components": [2, 4]}, cv=2).fit(histories)
    assert recommend(search, histories, k=5)[0].shape == (200, 5)
    assert search.best_estimator_.estimator_.components_.shape[0] in (2, 4)
