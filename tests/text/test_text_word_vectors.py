"""WordVectorEncoder: given vectors are averaged, learned ones know which words go together."""

import pickle

import numpy as np
import pytest

from sklearn_llmrec import TextEmbeddingRecommender
from sklearn_llmrec.text import WordVectorEncoder

WORDS = {"tea": [1.0, 0.0], "cup": [1.0, 1.0], "spade": [0.0, 1.0], "mug": [2.0, 0.0]}


def test_idf_weighted_mean_of_given_vectors():
    texts = ["tea cup", "tea", "tea spade"]
    encoder = WordVectorEncoder(WORDS).fit(texts)
    weights = np.log(4 / (1 + np.array([1, 1, 3]))) + 1  # cup, spade, tea
    np.testing.assert_allclose(encoder.idf_, weights)
    expected = weights[0] * np.array([1, 1]) + weights[2] * np.array([1, 0])
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(encoder.transform(["Cup, tea!"])[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(encoder.transform(["mug", "", None]), [[1, 0], [0, 0], [0, 0]])
    assert encoder.get_feature_names_out().shape == (2,)


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_vectors_of_a_file(tmp_path, header):
    path = tmp_path / "vectors.txt"
    path.write_text(header + "tea 1.0 0.0\ncup 1.0 1.0\nspade 0.0 1.0\n")
    texts = ["tea cup", "spade"]
    expected = WordVectorEncoder(WORDS).fit_transform(texts)
    np.testing.assert_array_equal(WordVectorEncoder(path).fit_transform(texts), expected)


def test_learned_vectors_know_the_topic_of_a_word():
    rng = np.random.default_rng(0)
    topics = [["tea", "cup", "pot", "kettle"], ["spade", "rake", "soil", "seed"]]
    texts = [" ".join(rng.choice(topics[i % 2], 3)) for i in range(200)]
    encoder = WordVectorEncoder(n_components=4).fit(texts)
    tea, pot, soil = encoder.transform(["tea", "pot", "soil"])
    assert tea @ pot > tea @ soil + 0.3
    twin = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(twin.transform(["tea"]), encoder.transform(["tea"]))
    X = np.eye(200)
    model = TextEmbeddingRecommender(texts, encoder=WordVectorEncoder(n_components=4)).fit(X)
    items, _ = model.recommend_text(["kettle", "seed"], k=5)
    assert (items[0] % 2 == 0).all()
    assert (items[1] % 2 == 1).all()


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="No text contains a word"):
        WordVectorEncoder().fit(["", "!"])
    with pytest.raises(ValueError, match="None of the 1 words"):
        WordVectorEncoder(WORDS).fit(["théière"])
    assert WordVectorEncoder().fit_transform(["tea", "cup"]).shape == (2, 2)
