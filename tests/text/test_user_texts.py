"""Texts of users in TextEmbeddingRecommender: profiles equal the formula, and cold users get their topic."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from sklearn_llmrec import (
    FallbackRecommender,
    Interactions,
    ItemKNN,
    PopularityRecommender,
    SwitchRecommender,
    TextEmbeddingRecommender,
)
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.neighbors import IndexedRecommender

TEXTS = ["red tea cup", "blue tea pot", "garden spade", "garden rake", "board game", "card game"]
HISTORY = np.array([[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0] * 6])
OWN = ["game", "", "garden", None]


def with_texts(texts=OWN, X=HISTORY, library=pd.DataFrame):
    return Interactions(
        sp.csr_array(np.asarray(X, dtype=float)),
        user_features=library({"about": list(texts)}),
        timestamps=np.arange(np.count_nonzero(X)),
    )


def unit(V):
    lengths = np.linalg.norm(V, axis=-1, keepdims=True)
    return V / np.where(lengths > 0, lengths, 1)


@pytest.mark.parametrize("profile", ["mean", "recency", "last"])
@pytest.mark.parametrize("weight", [0.3, 2.0])
def test_scores_are_cosines_with_the_sum_of_history_and_text(profile, weight):
    model = TextEmbeddingRecommender(
        TEXTS, user_texts="about", user_text_weight=weight, profile=profile
    ).fit(with_texts())
    V = model.item_embeddings_
    history = unit(HISTORY @ V)
    words = np.zeros_like(history)
    some = [0, 2]
    vectors = model.encoder_.transform([OWN[row] for row in some])
    words[some] = unit(vectors - np.asarray(model.encoder_.transform(TEXTS)).mean(axis=0))
    expected = unit(history + weight * words) @ V.T
    scores = model.predict(with_texts())
    np.testing.assert_allclose(scores[:3], expected[:3], atol=1e-12)
    np.testing.assert_array_equal(scores[3], model.item_popularity_)  # neither history nor text


def test_interests_take_the_text_as_one_more():
    plain = TextEmbeddingRecommender(TEXTS, profile="interests")
    model = TextEmbeddingRecommender(TEXTS, profile="interests", user_texts="about")
    X = with_texts()
    model.fit(X), plain.fit(X)
    alone = model.predict(with_texts(X=np.zeros_like(HISTORY)))
    np.testing.assert_allclose(
        model.predict(X)[0], np.maximum(plain.predict(X)[0], alone[0]), atol=1e-12
    )
    assert alone[2].min() < 0  # the zeros of an empty history do not hide negative scores
    np.testing.assert_array_equal(model.predict(X)[1], plain.predict(X)[1])


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_lists_of_cold_users_follow_their_texts(library):
    X = with_texts(library=library)
    model = TextEmbeddingRecommender(TEXTS, user_texts="about").fit(X)
    items, scores = model.recommend(X, k=6, exclude_seen=False)
    assert set(items[2, :2].tolist()) == {2, 3}
    np.testing.assert_allclose(scores[2], -np.sort(-model.predict(X)[2]), atol=1e-12)
    one, _ = model.recommend(X[2:3], k=2)
    assert set(one[0].tolist()) == {2, 3}
    among, _ = model.recommend(X, k=2, candidates=[0, 1, 3])
    assert among[2, 0] == 3
    unknown = with_texts(["zzz"] * 4, np.zeros_like(HISTORY))
    np.testing.assert_array_equal(
        model.predict(unknown), np.tile(model.item_popularity_, (4, 1))
    )  # words that the encoder does not know are no evidence


def test_index_lists_cold_users_by_their_texts():
    pytest.importorskip("faiss")
    X = with_texts()
    model = TextEmbeddingRecommender(TEXTS, user_texts="about")
    items, _ = IndexedRecommender(model, min_items=1).fit(X).recommend(X, k=2)
    assert set(items[2].tolist()) == {2, 3}


def test_ensembles_route_cold_users_to_the_model_that_reads_their_texts():
    X = with_texts()
    reader, neighbors = TextEmbeddingRecommender(TEXTS, user_texts="about"), ItemKNN()
    members = [("known", neighbors), ("new", reader)]
    switch = SwitchRecommender(members[::-1], by="length", thresholds=[1]).fit(X)
    for model in (switch, FallbackRecommender(members).fit(X)):
        items, _ = model.recommend(X, k=2)
        assert set(items[2].tolist()) == {2, 3}
        np.testing.assert_array_equal(items[3], [0, 2])  # neither history nor text


def test_histories_alone_where_users_have_no_features():
    X = with_texts()
    plain = TextEmbeddingRecommender(TEXTS).fit(HISTORY)
    model = TextEmbeddingRecommender(TEXTS, user_texts="about").fit(X)
    np.testing.assert_allclose(model.predict(HISTORY), plain.predict(HISTORY))
    template = TextEmbeddingRecommender(TEXTS, user_texts="likes {about}").fit(X)
    assert template.recommend(X, k=1)[0][2, 0] in (2, 3)
    parts = model.explain(HISTORY, [1, 3, -1, -1])
    np.testing.assert_allclose(
        parts.sum(axis=1)[:2], model.predict(HISTORY)[[0, 1], [1, 3]], atol=1e-12
    )
    with pytest.raises(ValueError, match="texts of users count too"):
        model.explain(X, [1, 3, -1, -1])


@pytest.mark.parametrize(
    ("options", "X", "message"),
    [
        ({"user_texts": "about"}, HISTORY, "X has none: pass an Interactions with user_features"),
        ({"user_texts": "posts"}, with_texts(), "must be a column of user_features"),
        ({"user_texts": "about", "encoder": "passthrough"}, with_texts(), "encoder that reads"),
    ],
)
def test_user_texts_are_refused_in_words(options, X, message):
    texts = np.eye(6) if "encoder" in options else TEXTS
    with pytest.raises(ValueError, match=message):
        TextEmbeddingRecommender(texts, **options).fit(X)


def test_values_that_are_no_texts_are_named():
    with pytest.raises(TypeError, match="user_texts must contain texts"):
        TextEmbeddingRecommender(TEXTS, user_texts="about").fit(with_texts([1, 2, 3, 4]))


def cold_users(seed):
    """Return nDCG@10 of a fifth of generated users, who have only a text of three words of their topics."""
    data = make_interactions(500, 200, n_topics=8, popularity_exponent=0.3, random_state=seed)
    rng = np.random.default_rng(seed)
    words = [
        " ".join(data["items"]["text"][data["items"]["topic"] == topic]).split()
        for topic in range(8)
    ]
    queries = [
        " ".join(rng.choice(words[rng.choice(8, p=taste)]) for _ in range(3))
        for taste in data.user_topics
    ]
    X = data.interactions
    cold = np.arange(len(queries)) % 5 == 0
    train = Interactions(
        X[~cold],
        item_features=X.item_features,
        user_features=pd.DataFrame({"q": np.array(queries)[~cold]}),
    )
    test = Interactions(
        np.zeros((cold.sum(), 200)), user_features=pd.DataFrame({"q": np.array(queries)[cold]})
    )
    values = {}
    for name, model in {
        "popularity": PopularityRecommender(),
        "texts": TextEmbeddingRecommender("text", user_texts="q"),
    }.items():
        items, _ = model.fit(train).recommend(test, k=10)
        values[name] = ndcg_at_k(X[cold], items, k=10)
    return values


def test_cold_users_with_a_text_are_ranked_better_than_by_popularity():
    values = cold_users(0)
    assert values["texts"] > 1.5 * values["popularity"], values
