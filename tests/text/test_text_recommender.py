"""TextEmbeddingRecommender: planted topics come back, also for new items and words."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_llmrec import Interactions, TextEmbeddingRecommender
from sklearn_llmrec._kernels import topk_vectors, unit_rows
from sklearn_llmrec.base._estimator_checks import recommender_checks
from sklearn_llmrec.text import FeatureALSRecommender, SentenceEncoder
from sklearn_llmrec.text._profiles import clusters

TOPICS = ("tea cup pot kettle", "spade rake soil seed", "dice board card puzzle")


def planted(n_users=60, n_items=45, seed=0):
    """Items of three topics, users with a taste for one; the last item of each topic is new."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n_items) % 3
    texts = [" ".join(rng.choice(TOPICS[t].split(), 3)) + " in a box" for t in topic]
    taste = np.arange(n_users) % 3
    X = (rng.random((n_users, n_items)) < np.where(taste[:, None] == topic, 0.4, 0.02)).astype(
        float
    )
    X[:, -3:] = 0
    X[:, 0] += X.sum(axis=1) == 0
    return X, texts, topic, taste


class CountingModel:
    asked: list[str] = []

    def encode(self, texts, **options):
        CountingModel.asked += texts
        words = " ".join(TOPICS).split()
        return np.array([[t.split().count(w) + 0.01 for w in words] for t in texts])


@pytest.fixture(autouse=True)
def no_texts_asked():
    CountingModel.asked = []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"center": False},
        {"profile": "interests", "n_components": 5},
        {
            "whiten": True,
            "encoder": make_pipeline(TfidfVectorizer(), TruncatedSVD(8, random_state=0)),
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("check", list(recommender_checks()), ids=lambda check: check.__name__)
def test_recommender_contract_with_texts(check, options):
    _, texts, _, _ = planted(n_items=30)
    check(TextEmbeddingRecommender(texts, **options))


@pytest.mark.parametrize("profile", ["mean", "interests", "recency", "last"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_planted_topics(profile, dtype):
    X, texts, topic, taste = planted()
    X = Interactions(X.astype(dtype))
    X.timestamps = np.arange(X.nnz)
    model = TextEmbeddingRecommender(texts, profile=profile).fit(X)
    items, scores = model.recommend(X, k=5)
    assert scores.dtype == dtype
    # A single odd choice is an interest of its own.
    share = 0.7 if profile == "interests" else 0.9
    assert (topic[items] == taste[:, None]).mean() > share
    new, _ = model.recommend(X, k=1, candidates=[42, 43, 44])
    assert (topic[new[:, 0]] == taste).mean() > share
    assert (model.predict(X) <= 1 + 1e-6).all()


def test_words_find_items():
    X, texts, topic, _ = planted()
    model = TextEmbeddingRecommender(texts).fit(X)
    items, scores = model.recommend_text(["a kettle for tea", "seed and soil", "xyz"], k=4)
    assert (topic[items[0]] == 0).all()
    assert (topic[items[1]] == 1).all()
    assert (items[2] == -1).all()
    assert (np.diff(scores[:2], axis=1) <= 0).all()
    items, scores = model.recommend_text([TOPICS[0]], k=3, candidates=[1, 42])
    assert items[0].tolist() == [42, 1, -1]
    assert scores[0, 2] == -np.inf
    with pytest.raises(TypeError, match="pass \\[queries\\]"):
        model.recommend_text("tea")
    with pytest.raises(ValueError, match="between 1 and"):
        model.recommend_text(["tea"], k=46)


def test_mean_profile_is_the_mean_of_cosines():
    X, texts, _, _ = planted()
    model = TextEmbeddingRecommender(texts, center=False, encoder=CountVectorizer()).fit(X)
    V = unit_rows(CountVectorizer().fit_transform(texts).toarray())
    np.testing.assert_allclose(model.item_embeddings_, V)
    U = unit_rows(X[:5] @ V)
    scores = model.predict(X[:5])
    known = U @ V.T != 0
    np.testing.assert_allclose(scores[known], (U @ V.T)[known])


def test_recency_weighs_the_latest_most():
    texts = ["tea cup", "tea pot", "spade soil", "rake soil", "dice"]
    X = Interactions(np.array([[1.0, 0, 1, 0, 0], [1, 0, 1, 0, 0]]))
    X.timestamps = [1, 2, 2, 1]
    model = TextEmbeddingRecommender(texts, profile="recency", half_life=0.5).fit(X)
    items, _ = model.recommend(X, k=1)
    assert items.ravel().tolist() == [3, 1]
    items, _ = model.set_params(profile="last", max_length=1).fit(X).recommend(X, k=1)
    assert items.ravel().tolist() == [3, 1]
    with pytest.raises(ValueError, match="X has no times"):
        model.recommend(X.toarray(), k=1)
    with pytest.raises(ValueError, match="X has no times"):
        clone(model).fit(X.toarray())


def test_interests_keep_two_tastes_apart():
    texts = ["tea cup", "tea pot", "soil spade", "soil rake", "tea soil", "dice game", "card game"]
    X = np.array([[1.0, 0, 1, 0, 0, 0, 0]])
    X = np.vstack([X, np.eye(7)])
    kwargs = {"center": False, "encoder": CountVectorizer()}
    mean = TextEmbeddingRecommender(texts, **kwargs).fit(X)
    both = clone(mean).set_params(profile="interests", n_interests=2).fit(X)
    assert mean.recommend(X[:1], k=1)[0].item() == 4
    np.testing.assert_allclose(both.predict(X[:1])[0, :5], [1, 0.5, 1, 0.5, 0.5])
    one = clone(both).set_params(n_interests=1).fit(X)
    np.testing.assert_allclose(one.predict(X), mean.predict(X), atol=1e-12)


def test_clusters_do_not_depend_on_the_order_of_vectors():
    rng = np.random.default_rng(0)
    U = unit_rows(
        rng.normal(size=(30, 4)) + 3 * rng.permutation(np.repeat(np.eye(4)[:3], 10, axis=0))
    )
    labels = clusters(U, np.ones(30), 3)
    order = rng.permutation(30)
    again = clusters(U[order], np.ones(30), 3)
    same = labels[order][:, None] == labels[order]
    np.testing.assert_array_equal(same, again[:, None] == again)
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, "records"])
def test_templates_and_feature_tables(frame):
    columns = {
        "title": ["cup", "pot", "", None],
        "brand": ["Acme", None, "Bolt", None],
        "price": [1.5, 2.0, 3.0, 4.0],
    }
    if frame == "records":
        table = np.array(
            list(zip(*columns.values())), dtype=[("title", "O"), ("brand", "O"), ("price", "f8")]
        )
    else:
        table = frame(columns)
    X = Interactions(np.eye(4), item_features=table)
    model = TextEmbeddingRecommender("{title} by {brand}").fit(X)
    assert model.item_texts_ == ["cup by Acme", "pot", "by Bolt", ""]
    assert not model.item_embeddings_[3].any()
    model = TextEmbeddingRecommender("{title} for {price:.2f}").fit(X)
    assert model.item_texts_[0] == "cup for 1.50"
    assert TextEmbeddingRecommender().fit(X).item_texts_ == ["cup Acme", "pot", "Bolt", ""]
    with pytest.raises(ValueError, match=r"\['brand', 'price', 'title'\], and not \['color'\]"):
        TextEmbeddingRecommender("{color}").fit(X)
    with pytest.raises(TypeError, match="item_texts must be texts, a column or template"):
        TextEmbeddingRecommender(object()).fit(X)
    for unordered in ({"cup", "pot", "jam", "mug"}, dict.fromkeys(range(4), "cup")):
        with pytest.raises(TypeError, match="has no such order"):
            TextEmbeddingRecommender(unordered).fit(X)
    for kind in (TextEmbeddingRecommender, FeatureALSRecommender):
        with pytest.raises(TypeError, match=r"of shape \(4, 3\) .* encoder='passthrough'"):
            kind(np.ones((4, 3))).fit(X)
        with pytest.raises(ValueError, match="contain no words, for example '!'"):
            kind(["!"] * 4).fit(X)
    joined = TextEmbeddingRecommender(table).fit(np.eye(4)).item_texts_
    assert joined == TextEmbeddingRecommender().fit(X).item_texts_
    assert TextEmbeddingRecommender("title").fit(X).item_texts_ == ["cup", "pot", "", ""]
    with pytest.raises(ValueError, match="in braces"):
        TextEmbeddingRecommender("titles").fit(X)
    with pytest.raises(ValueError, match="names columns of item features, and X has none"):
        TextEmbeddingRecommender("{title}").fit(np.eye(4))


def test_column_names_of_a_dataframe_are_texts():
    X = pd.DataFrame(np.eye(3), columns=["tea cup", "tea pot", "spade"])
    model = TextEmbeddingRecommender().fit(X)
    assert model.item_texts_ == ["tea cup", "tea pot", "spade"]
    assert model.recommend(X[:1], k=1)[0].item() == 1


def test_without_texts_it_recommends_by_popularity_and_says_so():
    X, _, _, _ = planted()
    for options in ({}, {"item_texts": [""] * X.shape[1]}):
        with pytest.warns(
            UserWarning, match="knows no text of any item, and recommends by popularity"
        ):
            model = TextEmbeddingRecommender(**options).fit(X)
        np.testing.assert_array_equal(model.predict(X[:2])[0], model.item_popularity_)
        with pytest.raises(ValueError, match="fitted without any"):
            model.recommend_text(["tea"])


def test_a_wrong_number_of_texts_is_refused_and_a_square_matrix_is_not_confused():
    X, texts, topic, taste = planted(n_users=45)
    assert X.shape[0] == X.shape[1]
    with pytest.raises(ValueError, match="44 entries and X has 45 columns"):
        TextEmbeddingRecommender(texts[:-1]).fit(X)
    search = GridSearchCV(TextEmbeddingRecommender(texts), {"center": [True, False]}, cv=3).fit(X)
    assert search.best_score_ > 0.2
    table = pd.DataFrame({"title": texts})
    search.set_params(estimator=TextEmbeddingRecommender()).fit(
        Interactions(X, item_features=table)
    )
    assert search.best_score_ > 0.2


def test_a_grid_embeds_each_text_once(tmp_path):
    X, texts, _, _ = planted()
    X = Interactions(X)
    X.timestamps = np.arange(X.nnz)
    model = TextEmbeddingRecommender(
        texts, encoder=SentenceEncoder(CountingModel(), cache=tmp_path)
    )
    grid = {"profile": ["mean", "recency", "interests"], "n_components": [2, 5, None]}
    GridSearchCV(model, grid, cv=2).fit(X)
    assert len(CountingModel.asked) == len(set(texts))
    clone(model).fit(X)
    assert len(CountingModel.asked) == len(set(texts))


def test_tables_and_ready_vectors():
    X, texts, topic, taste = planted()
    table = pd.DataFrame({"title": texts, "kind": topic.astype(str), "price": np.arange(45.0)})
    encoder = ColumnTransformer(
        [
            ("words", TfidfVectorizer(), "title"),
            ("kind", OneHotEncoder(), ["kind"]),
            ("price", StandardScaler(), ["price"]),
        ]
    )
    by_table = TextEmbeddingRecommender(encoder=encoder).fit(Interactions(X, item_features=table))
    given = TextEmbeddingRecommender(table, encoder=encoder).fit(X)
    np.testing.assert_array_equal(by_table.predict(X), given.predict(X))
    assert by_table.item_texts_ is None
    with pytest.raises(ValueError, match="fitted without any"):
        by_table.recommend_text(["tea"])
    Y = Interactions(X, item_features=table)
    Y.timestamps = np.arange(Y.nnz)
    with pytest.raises(ValueError, match="joins texts"):
        TextEmbeddingRecommender(encoder=encoder, profile="last").fit(Y)
    vectors = np.eye(3)[topic]
    ready = TextEmbeddingRecommender(vectors, encoder="passthrough").fit(X)
    items, _ = ready.recommend(X, k=5)
    assert (topic[items] == taste[:, None]).mean() > 0.9
    with pytest.raises(ValueError, match="NaN or infinite"):
        TextEmbeddingRecommender(vectors * np.nan, encoder="passthrough").fit(X)
    with pytest.raises(ValueError, match="must be numbers"):
        TextEmbeddingRecommender(texts, encoder="passthrough").fit(X)


def test_parameters_out_of_range_are_refused():
    X, texts, _, _ = planted()
    for options in ({"profile": "median"}, {"n_components": 0}, {"encoder": 3}, {"half_life": 0}):
        with pytest.raises((ValueError, TypeError), match=next(iter(options))):
            TextEmbeddingRecommender(texts, **options).fit(X)
    with pytest.raises(ValueError, match="n_components=100 is more than"):
        TextEmbeddingRecommender(texts, n_components=100).fit(X)


def test_items_without_text_come_last_and_duplicates_tie_in_order():
    texts = ["tea cup", "tea cup", "", "tea pot", "spade", "tea cup"]
    X = sp.csr_array(np.array([[1.0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0]]))
    model = TextEmbeddingRecommender(texts, center=False).fit(X)
    items, scores = model.recommend(X, k=5)
    assert items[0].tolist()[:3] == [1, 5, 3]
    assert np.isfinite(scores[0]).all()
    assert items[2].tolist() == [0, 4, 1, 3, 5]  # nothing known of its history: popularity


def test_whitened_components_have_equal_variance():
    X, texts, _, _ = planted()
    model = TextEmbeddingRecommender(texts, n_components=3, whiten=True).fit(X)
    assert model.item_embeddings_.shape == (45, 3)
    V = model._space_.transform(model.encoder_.transform(texts))
    np.testing.assert_allclose(V, model.item_embeddings_)


@pytest.mark.parametrize("groups", [False, True])
def test_blockwise_top_k_equals_the_sorted_product(groups, monkeypatch):
    from sklearn_llmrec._kernels import _nearest

    monkeypatch.setattr(_nearest, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(_nearest, "_BLOCK_ITEMS", 13)
    rng = np.random.default_rng(0)
    V = rng.integers(-2, 3, (50, 3)).astype(float)  # many ties
    P = rng.integers(-2, 3, (40, 3)).astype(float)
    starts = np.arange(0, 40, 2) if groups else None
    scores = P @ V.T
    if groups:
        scores = np.maximum(scores[::2], scores[1::2])
    seen = sp.csr_array(rng.random(scores.shape) < 0.2)
    scores[seen.toarray() | (scores == 0)] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    items, values = topk_vectors(P, V, 9, starts=starts, seen=seen)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))
    np.testing.assert_array_equal(items, np.where(np.isinf(values), -1, expected))


def test_pickle():
    X, texts, _, _ = planted()
    model = TextEmbeddingRecommender(texts).fit(X)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.recommend_text(["tea"])[0], model.recommend_text(["tea"])[0])


@pytest.mark.parametrize("profile", ["mean", "recency", "interests"])
def test_explanations_sum_to_scores(profile):
    X, texts, topic, _ = planted()
    X = Interactions(X)
    X.timestamps = np.arange(X.nnz)
    model = TextEmbeddingRecommender(texts, profile=profile).fit(X)
    items, scores = model.recommend(X, k=4)
    parts = model.explain(X, items)
    assert parts.shape == (60 * 4, 45)
    np.testing.assert_allclose(parts.sum(axis=1).reshape(60, 4), scores, atol=1e-10)
    of_history = (X != 0).toarray()[np.arange(60).repeat(4)]
    assert not parts.toarray()[~of_history].any()
    best = parts.toarray().argmax(axis=1)
    assert (topic[best] == topic[items.ravel()]).mean() > 0.9
    np.testing.assert_allclose(model.explain(X, items[:, 0]).toarray(), parts.toarray()[::4])
    items[0, 3] = -1
    assert model.explain(X, items)[[3]].nnz == 0


def test_what_cannot_be_explained_is_refused():
    X, texts, _, _ = planted()
    model = TextEmbeddingRecommender(texts).fit(X)
    with pytest.raises(ValueError, match="one list of items"):
        model.explain(X, [[1, 2]])
    X = Interactions(X)
    X.timestamps = np.arange(X.nnz)
    with pytest.raises(ValueError, match="explain splits a score"):
        model.set_params(profile="last").fit(X).explain(X, np.zeros((60, 2), dtype=int))


def test_interests_are_named_in_words():
    X, texts, topic, _ = planted()
    both = np.zeros((2, 45))
    both[0, np.flatnonzero(topic == 0)[:6]] = 1
    both[0, np.flatnonzero(topic == 1)[:3]] = 1
    model = TextEmbeddingRecommender(texts, n_interests=2).fit(X)
    found = model.user_interests(both, n_terms=3)
    assert found[1] == []
    first, second = found[0]
    assert first.share == pytest.approx(2 / 3)
    assert set(first.terms) <= set(TOPICS[0].split())
    assert set(second.terms) <= set(TOPICS[1].split())
    assert (topic[first.items] == 0).all()


def test_smoothing_draws_items_to_what_is_chosen_with_them():
    X, vectors = np.zeros((6, 5)), np.eye(5)
    X[:3, [0, 1]] = 1  # together
    X[3:, [2, 3]] = 1
    plain = TextEmbeddingRecommender(vectors, encoder="passthrough", center=False).fit(X)
    drawn = TextEmbeddingRecommender(
        vectors, encoder="passthrough", center=False, neighbor_weight=0.3
    )
    V = drawn.fit(X).item_embeddings_
    np.testing.assert_allclose(V[0], unit_rows(np.array([[0.7, 0.3, 0, 0, 0]]))[0])
    np.testing.assert_allclose(np.linalg.norm(V, axis=1), 1)
    np.testing.assert_array_equal(V[4], plain.item_embeddings_[4])  # nobody chose it
    parts = drawn.explain(X[:1], [[1]])
    np.testing.assert_allclose(parts.sum(), drawn.predict(X[:1])[0, 1])


def test_smoothed_items_are_found_by_the_words_of_their_companions():
    texts = ["hand warmer", "hot bottle", "garden rake", "seed box"]
    X = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
    model = TextEmbeddingRecommender(texts, neighbor_weight=0.3).fit(X)
    items, _ = model.recommend_text(["a warmer"], k=2)
    assert [texts[item] for item in items[0]] == ["hand warmer", "hot bottle"]
