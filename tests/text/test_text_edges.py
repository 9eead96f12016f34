"""Texts as they come: lone surrogates, languages without spaces, tiny catalogues, frames as output."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import FunctionTransformer

from sklearn_llmrec import Interactions
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.text import (
    L3AE,
    BilinearContentRecommender,
    ContentColdStart,
    ContentItemKNN,
    ContentUserKNN,
    FeatureALSRecommender,
    LLMReranker,
    SentenceEncoder,
    TextCleaner,
    TextEmbeddingRecommender,
    WordVectorEncoder,
)
from sklearn_llmrec.text._words import long_words, title_tokens, words

X = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1.0]])
READERS = [
    TextEmbeddingRecommender,
    BilinearContentRecommender,
    ContentItemKNN,
    ContentUserKNN,
    L3AE,
    lambda **params: ContentColdStart(EASE(), **params),
    lambda **params: FeatureALSRecommender(n_components=2, random_state=0, **params),
]


class Letters:
    """An encoder that fails on what cannot be encoded, as tokenizers do."""

    def encode(self, texts, **options):
        return [[len(text.encode()), text.count("a") + 1.0] for text in texts]


# -- lone surrogates ----------------------------------------------------------------------------------------------

BROKEN = ["red \ud83d tea", "\udc00", "garden spade", "\ud800\udc00 rake", "cup \udfff"]


@pytest.mark.parametrize("reader", READERS)
def test_texts_with_lone_surrogates_are_read(reader):
    model = reader(item_texts=BROKEN).fit(X)
    assert np.isfinite(model.predict(X)).all()
    model = reader(item_texts=BROKEN, encoder=SentenceEncoder(Letters(), cache=False)).fit(X)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("how", ["list", "column", "template", "ids"])
def test_prompts_hold_no_lone_surrogate(how):
    prompts = []

    def model(messages):
        prompts.append(json_free(messages))
        return '{"ranking": [2, 1]}'

    def json_free(messages):
        return "".join(message["content"] for message in messages).encode().decode()

    held = Interactions(
        X, item_features=pd.DataFrame({"title": BROKEN}, dtype=object), item_ids=BROKEN
    )
    texts = {"list": BROKEN, "column": "title", "template": "a {title}", "ids": None}[how]
    reranker = LLMReranker(
        PopularityRecommender(), model=model, item_texts=texts, instructions="Be \ud800 kind."
    )
    result = reranker.fit(held).rerank(held, k=2)
    assert result.counts["answered"] == result.counts["rows"] == len(prompts) == 4
    assert "\ufffd" in prompts[0]


def test_other_readers_of_texts_take_surrogates_too():
    assert TextCleaner().fit_transform(["a\ud800b"]).tolist() == ["a\ufffdb"]
    assert WordVectorEncoder().fit_transform(["tea \ud800 cup", "tea pot"]).shape[0] == 2
    # Whole pairs, as Python holds them, are letters like any other.
    assert TextCleaner().fit_transform(["\U0001f375 tea"]).tolist() == ["\U0001f375 tea"]


# -- languages without spaces -------------------------------------------------------------------------------------

SHOPS = {
    "chinese": ["红茶杯子", "绿茶杯子", "花园铁铲", "花园耙子工具", "红茶茶壶"],
    "japanese": [
        "赤いティーカップ",
        "青いティーカップ",
        "庭のスコップ",
        "庭の熊手",
        "赤いティーポット",
    ],
    "thai": ["ถ้วยชาแดง", "ถ้วยชาเขียว", "พลั่วสวน", "คราดสวน", "กาน้ำชาแดง"],
    "khmer": ["ពែងតែក្រហម", "ពែងតែបៃតង", "ប៉ែលសួន", "រនាស់សួន", "ប៉ាន់តែក្រហម"],
    "mixed": ["Red 红茶杯子", "Green 绿茶杯子", "花园铁铲 XL", "花园耙子工具", "红茶茶壶"],
    "english": ["red tea cup", "green tea cup", "garden spade", "garden rake", "red tea pot"],
}


@pytest.mark.parametrize("language", list(SHOPS))
def test_alike_titles_are_near_in_every_language(language):
    """Cups are near each other and the pot, garden tools are near each other, with the default encoder."""
    texts = SHOPS[language]
    model = TextEmbeddingRecommender(texts).fit(X)
    items, _ = model.recommend_text(texts, k=2)
    assert_array_equal(items[:, 0], np.arange(5))
    assert items[0, 1] in (1, 4)
    assert items[1, 1] in (0, 4)
    assert_array_equal(items[2:4, 1], [3, 2])
    assert items[4, 1] in (0, 1)
    features = FeatureALSRecommender(n_components=2, item_texts=texts, random_state=0).fit(X)
    # Titles share features: fewer are used than if every title were one word.
    vectors = features.encoder_.transform(texts)
    assert (vectors @ vectors.T).toarray()[2, 3] > 0


def test_word_vectors_and_interests_read_languages_without_spaces():
    texts = SHOPS["chinese"] * 4
    vectors = WordVectorEncoder(n_components=8).fit_transform(texts)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    held = np.tile(X, 4)
    model = TextEmbeddingRecommender(texts).fit(held)
    terms = {term for line in model.user_interests(held) for one in line for term in one.terms}
    assert terms
    assert {len(term) for term in terms} == {2}
    single = TextEmbeddingRecommender(list("abcde")).fit(X)
    assert all(not one.terms for line in single.user_interests(X) for one in line)


def test_words_of_languages_with_spaces_are_what_they_were():
    rng = np.random.default_rng(0)
    letters = list("abc DEF 123 ,.!-_'\u00e9\u00df\u0416\u05d0 ")
    texts = ["".join(rng.choice(letters, size=20)) for _ in range(300)]
    plain = CountVectorizer(token_pattern=r"(?u)\b\w+\b").build_analyzer()
    usual = CountVectorizer().build_analyzer()
    for text in texts:
        assert words(text) == plain(text)
        assert long_words(text) == usual(text)
        assert "".join(title_tokens(text)) == "".join(text.lower().split())
    # Marks belong to their letters, decomposed or not.
    assert words("cafe\u0301 हिन्दी") == ["cafe\u0301", "हिन्दी"]
    assert words("红茶杯") == ["红", "茶", "杯", "红茶", "茶杯"]
    assert title_tokens("Tea红茶!") == ["tea", "红", "茶", "!"]


# -- catalogues of every shape for a language model over items ----------------------------------------------------

W = np.array([[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]] * 3)
TITLES = {
    "no first word in common": ["tea", "spade", "rake", "cup"],
    "first words differ": ["red tea", "green spade", "blue rake", "old cup"],
    "one first word": ["red tea", "red spade", "red rake", "red cup"],
    "all the same": ["tea"] * 4,
    "one begins another": ["tea", "tea pot", "tea pot lid", "tea pot lid red"],
    "two groups": ["red tea", "red cup", "blue tea", "blue cup"],
    "no letters": ["!", "?", "\U0001f375", "..."],
    "surrogates": ["\ud800", "\udc00", "\ud800a", "\ud83d tea"],
    "no spaces": ["红茶杯", "红茶壶", "花园铲", "花园耙"],
}


@pytest.mark.parametrize("tokens", ["titles", "codes"])
@pytest.mark.parametrize("titles", list(TITLES))
def test_a_language_model_over_any_titles_sums_to_one(titles, tokens):
    pytest.importorskip("transformers")
    from sklearn_llmrec.sequence import LMRecommender

    vectors = {"item_texts": TITLES[titles]}
    if tokens == "codes":  # far fewer items than codes, and vectors that may be equal
        vectors = {"item_texts": [[len(t), len(set(t))] for t in TITLES[titles]]}
        vectors |= {"encoder": "passthrough", "n_codes": 64}
    model = LMRecommender(4, n_layers=1, max_iter=1, tokens=tokens, random_state=0, **vectors)
    model.fit(W)
    rows = np.eye(4)
    scores = model.predict(rows)
    assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-5)
    # Lists are the best of the scores.
    items, best = model.recommend(rows, k=3)
    masked = np.where(rows > 0, -np.inf, scores)
    assert_allclose(best, -np.sort(-masked, axis=1)[:, :3], atol=1e-5)
    assert_allclose(np.take_along_axis(masked, items, axis=1), best, atol=1e-5)


# -- frames as output ---------------------------------------------------------------------------------------------

ENCODERS = [
    SentenceEncoder(Letters(), cache=False),
    SentenceEncoder(Letters(), cache=False, truncate_dim=1, normalize=False),
    WordVectorEncoder(n_components=2),
]


@pytest.mark.parametrize("output", ["pandas", "polars", "default"])
@pytest.mark.parametrize("encoder", ENCODERS, ids=["sentences", "truncated", "words"])
def test_encoders_put_out_frames(encoder, output):
    texts = ["red tea", "tea cup", "garden spade", ""]
    expected = clone(encoder).fit_transform(texts)
    framed = clone(encoder).set_output(transform=output)
    for found in (framed.fit_transform(texts), framed.transform(texts)):
        kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "default": np.ndarray}[output]
        assert isinstance(found, kind)
        assert_array_equal(np.asarray(found), expected)
        if output != "default":
            assert list(found.columns) == framed.get_feature_names_out().tolist()
    if output == "pandas":
        column = pd.Series(texts, index=list("wxyz"))
        # Not every version of scikit-learn takes the index of a Series.
        by_sklearn = FunctionTransformer(
            lambda texts: np.zeros((len(texts), 1)), feature_names_out=lambda *_: ["a"]
        )
        index = by_sklearn.set_output(transform=output).fit_transform(column).index
        assert framed.transform(column).index.equals(index)


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("encoder", [None, *ENCODERS[::2]], ids=["default", "sentences", "words"])
def test_recommenders_are_the_same_where_all_transformers_put_out_frames(reader, encoder, output):
    texts = ["red tea cup", "blue tea cup", "garden spade", "garden rake", "tea pot"]
    texts = [f"{text} number {n}" for n, text in enumerate(texts)]
    model = reader(item_texts=texts, encoder=encoder)
    if isinstance(model, FeatureALSRecommender) and isinstance(encoder, WordVectorEncoder):
        pytest.skip("features must not be negative")
    expected = clone(model).fit(X).predict(X)
    with sklearn.config_context(transform_output=output), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(model.fit(X).predict(X), expected, atol=1e-9)
        model.recommend(X, k=1)
