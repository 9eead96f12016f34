"""`partial_fit` over catalogues that grow: columns are matched by id, and a model changes as a whole or not at all."""

import copy
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _instances import instances
from hypothesis import given, settings, strategies as st
from sklearn.base import clone

from sklearn_llmrec import Interactions, TextEmbeddingRecommender, recommend_ids
from sklearn_llmrec.base import PartialFitMixin
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE, SLIM, NaiveBayesRecommender, SparseEASE
from sklearn_llmrec.neighbors import ItemKNN, P3alpha, RP3beta, UserKNN

# The matrices here have no texts, and a model that reads says so.
pytestmark = pytest.mark.filterwarnings("ignore:.* knows no text of any item:UserWarning")

EXACT = [
    PopularityRecommender(),
    PopularityRecommender("values"),
    EASE(2.0),
    SparseEASE(2.0, n_neighbors=4),
    SLIM(2.0, l1_regularization=0.1),
    NaiveBayesRecommender(),
    ItemKNN(5),
    ItemKNN(4, weighting=None),
    ItemKNN(5, center="baseline", metric="pearson"),
    UserKNN(5),
    UserKNN(5, metric="adjusted_cosine"),
    P3alpha(5),
    RP3beta(5),
]
GROWING = [
    model
    for model in instances()
    if isinstance(model, PartialFitMixin) and type(model).partial_fit is not None
]
IDS = np.array([f"item {j}" for j in range(16)])


def _matrix(rng, n_users, ids):
    """Interactions over the given items, two tastes."""
    taste = rng.integers(0, 2, n_users)[:, None] == np.array([int(i[5:]) % 2 for i in ids])
    values = rng.integers(1, 6, taste.shape) * (rng.random(taste.shape) < 0.15 + 0.4 * taste)
    return Interactions(values.astype(float), item_ids=ids)


def _seeded(model):
    model = clone(model)
    return model.set_params(random_state=0) if "random_state" in model.get_params() else model


def _parts(seed, n_parts):
    """Parts over some of the items each, their columns in any order; all items occur somewhere."""
    rng = np.random.default_rng(seed)
    parts = [_matrix(rng, 25, rng.permutation(IDS)[: rng.integers(6, 12)])]
    for _ in range(n_parts):
        ids = rng.permutation(IDS)[: rng.integers(1, 16)]
        parts.append(_matrix(rng, int(rng.integers(1, 12)), ids))
    return parts


@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
@pytest.mark.parametrize("model", EXACT, ids=repr)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), n_parts=st.integers(1, 3))
def test_parts_over_any_items_equal_one_fit_on_all(model, begin, seed, n_parts):
    parts = _parts(seed, n_parts)
    whole = Interactions.concat(parts)
    grown = getattr(clone(model), begin)(parts[0])
    for part in parts[1:]:
        grown.partial_fit(part)
    expected = clone(model).fit(whole)
    assert grown.item_ids_.tolist() == whole.item_ids.tolist()
    assert grown.n_features_in_ == whole.shape[1]
    assert grown.n_users_fit_ == whole.shape[0]
    np.testing.assert_array_equal(grown.item_popularity_, expected.item_popularity_)
    np.testing.assert_allclose(grown.predict(whole), expected.predict(whole), rtol=1e-7, atol=1e-9)


def _sizes(value, name="", depth=0):
    """Shapes of all arrays that a model holds, by where they are."""
    if isinstance(value, np.ndarray) or sp.issparse(value):
        return {name: value.shape}
    if hasattr(value, "__dict__") and type(value).__module__.startswith("sklearn_llmrec"):
        value = vars(value)
    if not isinstance(value, dict) or depth > 4:
        return {}
    return {
        where: shape
        for key, inner in value.items()
        for where, shape in _sizes(inner, f"{name}.{key}", depth + 1).items()
    }


@pytest.mark.parametrize("model", GROWING, ids=lambda model: type(model).__name__)
def test_every_array_of_items_grows(model):
    rng = np.random.default_rng(0)
    old = _matrix(rng, 40, IDS[:11])
    new = _matrix(rng, 21, np.r_[IDS[13:15], IDS[:3]])  # 11 and 13 items: no other size is the same
    grown = _seeded(model).fit(old)
    before = _sizes(grown)
    grown.partial_fit(new)
    after = _sizes(grown)
    assert grown.item_ids_.tolist() == [*IDS[:11], *IDS[13:15]]
    for name, shape in before.items():
        if name in after:
            assert after[name].count(13) == shape.count(11), name
    asked = new.with_items(grown)
    assert np.isfinite(grown.predict(asked)).all()
    items, _ = grown.recommend(asked, 3, ids=True)
    assert set(items.ravel()) <= set(grown.item_ids_)
    loaded = pickle.loads(pickle.dumps(grown))
    np.testing.assert_array_equal(loaded.predict(asked), grown.predict(asked))
    # The last items can be recommended: those of a taste come before those of the other.
    if hasattr(grown, "similar_items"):
        grown.similar_items(IDS[13], 3, ids=True)


@pytest.mark.parametrize("model", GROWING, ids=lambda model: type(model).__name__)
def test_new_items_without_events_widen_the_model(model):
    rng = np.random.default_rng(0)
    old = _matrix(rng, 40, IDS[:11])
    grown = _seeded(model).fit(old)
    expected = grown.predict(old)
    nothing = Interactions(sp.csr_array((2, 3)), item_ids=IDS[10:13])
    grown.partial_fit(nothing)
    wide = old.with_items(grown)
    found = grown.predict(wide)
    assert found.shape == (40, 13)
    assert np.isfinite(found).all()
    items, _ = grown.recommend(wide, 5)
    assert (items >= 0).all()
    if isinstance(model, (EASE, PopularityRecommender, SparseEASE, SLIM)):
        np.testing.assert_allclose(found[:, :11], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("model", GROWING, ids=lambda model: type(model).__name__)
def test_only_ids_extend_a_model(model):
    rng = np.random.default_rng(0)
    old = _matrix(rng, 40, IDS[:11])
    wide = _matrix(rng, 5, IDS)
    fitted = _seeded(model).fit(old)
    before = dict(vars(fitted))
    plain = sp.csr_array(wide.toarray())
    bad = [
        (plain, "features"),
        (wide.toarray(), "features"),
        (Interactions(wide.toarray()), "features"),
        (Interactions(wide.toarray(), item_ids=np.arange(16)), "two kinds"),
        (Interactions(wide.toarray(), item_ids=[*IDS[:15], IDS[0]]), "'item 0' again at column 15"),
        (Interactions(wide.toarray() * np.nan, item_ids=IDS), "NaN"),
    ]
    for X, words in bad:
        with pytest.raises(ValueError, match=words):
            fitted.partial_fit(X)
        assert vars(fitted).keys() == before.keys()
        assert all(vars(fitted)[name] is value for name, value in before.items())
    unnamed = _seeded(model).fit(old.toarray())
    with pytest.raises(ValueError, match="features"):
        unnamed.partial_fit(wide)
    unnamed.partial_fit(_matrix(rng, 5, IDS[:11]))  # the same width: by position, as without ids
    assert not hasattr(unnamed, "item_ids_")


@pytest.mark.parametrize("model", GROWING, ids=lambda model: type(model).__name__)
def test_an_error_in_the_middle_leaves_the_old_model(model, monkeypatch):
    rng = np.random.default_rng(0)
    fitted = _seeded(model).fit(_matrix(rng, 40, IDS[:11]))
    asked = _matrix(rng, 5, IDS[:11])
    expected, before = fitted.predict(asked), dict(vars(fitted))

    def fails(self, X):
        learned(self, X)
        raise RuntimeError("no more memory")

    learned = type(fitted)._partial_fit
    monkeypatch.setattr(type(fitted), "_partial_fit", fails)
    with pytest.raises(RuntimeError, match="no more memory"):
        fitted.partial_fit(_matrix(rng, 30, IDS[5:]))
    assert all(vars(fitted)[name] is value for name, value in before.items())
    assert fitted.n_features_in_ == 11
    np.testing.assert_array_equal(fitted.predict(asked), expected)


@pytest.mark.parametrize(
    "model",
    [EASE(2.0), ItemKNN(5), PopularityRecommender(), NaiveBayesRecommender(), UserKNN(5)],
    ids=repr,
)
def test_a_reader_sees_the_old_model_or_the_new_one(model):
    """A thread recommends during updates: every answer is that of one version."""
    rng = np.random.default_rng(1)
    parts = [_matrix(rng, 30, IDS[:8]), *(_matrix(rng, 20, IDS[:n]) for n in (9, 11, 13, 16))]
    histories = [["item 1"], ["item 2", "item 4"], []]
    versions, version = [], clone(model).fit(parts[0])
    for part in parts[1:]:
        versions.append(recommend_ids(version, histories, k=8))
        version = copy.deepcopy(version).partial_fit(part)
    versions.append(recommend_ids(version, histories, k=8))
    live, stop, answers, errors = clone(model).fit(parts[0]), threading.Event(), [], []

    def read():
        try:
            while not stop.is_set():
                answers.append(recommend_ids(live, histories, k=8))
        except BaseException as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for part in parts[1:]:
        n_answers = len(answers)
        while len(answers) < n_answers + 2 and not errors:
            pass
        live.partial_fit(part)
    n_answers = len(answers)
    while len(answers) < n_answers + 2 and not errors:
        pass
    stop.set()
    reader.join()
    assert errors == []
    seen = []
    for answer in answers:
        of = [
            number
            for number, one in enumerate(versions)
            if answer["item"].tolist() == one["item"].tolist()
            and np.allclose(answer["score"], one["score"], rtol=1e-9)
        ]
        assert of, "an answer of no version"
        seen.append(of)
    assert 0 in seen[0]
    assert len(versions) - 1 in seen[-1]


def test_an_update_in_the_middle_of_a_call_does_not_show(monkeypatch):
    """The update happens exactly between two steps of a call."""
    rng = np.random.default_rng(1)
    old, new = _matrix(rng, 30, IDS[:8]), _matrix(rng, 30, IDS)
    model = EASE(2.0).fit(old)
    expected = [model.recommend(old, 5, ids=True), model.predict(old), model.similar_items(0, 3)]
    prepare = EASE._prepared

    def updated_first(self, X):
        monkeypatch.setattr(EASE, "_prepared", prepare)
        live.partial_fit(new)
        return prepare(self, X)

    for number, call in enumerate(
        [lambda m: m.recommend(old, 5, ids=True), lambda m: m.predict(old)]
    ):
        live = EASE(2.0).fit(old)
        monkeypatch.setattr(EASE, "_prepared", updated_first)
        for found, one in zip(call(live), expected[number]):
            np.testing.assert_array_equal(found, one)
        assert live.n_features_in_ == 16


def test_a_recommender_without_the_hook_says_so():
    class Fixed(PartialFitMixin):
        def _fit(self, X):
            pass

        def _partial_fit(self, X):
            pass

        def _score_rows(self, X):
            return np.tile(self.item_popularity_.astype(X.dtype), (X.shape[0], 1))

    rng = np.random.default_rng(0)
    model = Fixed().fit(_matrix(rng, 10, IDS[:6]))
    with pytest.raises(ValueError, match=r"Fixed cannot take up any.*X\.with_items"):
        model.partial_fit(_matrix(rng, 10, IDS[:7]))
    assert model.n_features_in_ == 6
    assert model.partial_fit(_matrix(rng, 10, IDS[:3])).n_users_fit_ == 20  # fewer items are fine


def test_ties_of_versions():
    """A snapshot by `copy.copy` keeps its version."""
    rng = np.random.default_rng(0)
    model = ItemKNN(5).fit(_matrix(rng, 20, IDS[:8]))
    kept = copy.copy(model)
    model.partial_fit(_matrix(rng, 20, IDS))
    assert (kept.n_features_in_, model.n_features_in_) == (8, 16)
    assert kept.predict(np.ones((1, 8))).shape == (1, 8)


def _with_features(X, vectors):
    X.item_features = vectors[[int(i[5:]) for i in X.item_ids.tolist()]]
    return X


def test_vectors_of_new_items_are_those_of_a_refit():
    """Where the space is not learned from the items, an update of a text model is exact."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((16, 5))
    old = _with_features(_matrix(rng, 30, IDS[:9]), vectors)
    new = _with_features(_matrix(rng, 20, np.r_[IDS[14:5:-1]]), vectors)
    model = TextEmbeddingRecommender(encoder="passthrough", center=False)
    whole = Interactions.concat([old, new])
    grown = clone(model).fit(old).partial_fit(new)
    refitted = clone(model).fit(whole)
    np.testing.assert_allclose(grown.item_embeddings_, refitted.item_embeddings_)
    np.testing.assert_allclose(grown.predict(whole), refitted.predict(whole))


def test_new_items_without_texts_are_named():
    rng = np.random.default_rng(0)
    words = np.array(["red tea", "blue tea", "red mug", "blue mug"] * 4)
    old, new = _matrix(rng, 30, IDS[:9]), _matrix(rng, 20, IDS)
    old.item_features = pd.DataFrame({"title": words[:9]})
    model = TextEmbeddingRecommender("{title}").fit(old)
    kept = model.item_embeddings_.copy()
    new.item_features = pd.DataFrame({"title": words})
    model.partial_fit(new)
    np.testing.assert_allclose(model.item_embeddings_[:9], kept)
    assert model.item_texts_ == words.tolist()
    # Equal texts have equal vectors, of known and of new items.
    np.testing.assert_allclose(model.item_embeddings_[9:], model.item_embeddings_[5:12])
    given = TextEmbeddingRecommender(words[:9].tolist()).fit(old)
    with pytest.warns(UserWarning, match="Nothing is known of 7 new items"):
        given.partial_fit(new)
    assert not given.item_embeddings_[9:].any()
