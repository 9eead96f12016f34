"""SentimentWeighter on texts of planted polarity."""

import sys
import types

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import Interactions
from sklearn_llmrec.text import SentimentWeighter

REVIEWS = ["lovely cup", "awful cup", "lovely pot, lovely", "awful, awful", None, "lovely cup"]
LIKED = np.array([1, 0, 1, 0, 1, 1])
LOG = {"user": list("aabbcc"), "item": list("xyxyxy"), "review": REVIEWS}


def classifier():
    return make_pipeline(CountVectorizer(), LogisticRegression())


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_planted_polarity(library):
    log = library(LOG)
    weighter = SentimentWeighter(classifier=classifier(), missing=0.5).fit(log, LIKED)
    weighted = weighter.transform(log)
    assert type(weighted) is library
    weights = weighted["weight"].to_numpy()
    assert weights[4] == 0.5
    assert ((weights > 0) == (LIKED > 0)).all()
    assert (np.abs(weights) <= 1).all()
    X = Interactions.from_frame(weighted, user="user", item="item", value="weight")
    assert X.nnz == 4
    with pytest.raises(
        ValueError, match=r"no column 'text': there are \['user', 'item', 'review'\]"
    ):
        clone(weighter).set_params(text="text").fit(log, LIKED)


def test_disliked_items_can_be_a_channel_of_their_own():
    log = pd.DataFrame(LOG)
    fitted = classifier().fit([text or "" for text in REVIEWS], LIKED)
    kept = SentimentWeighter(classifier=fitted).fit_transform(log)["weight"]
    clipped = SentimentWeighter(classifier=fitted, negative="clip").fit_transform(log)["weight"]
    both = SentimentWeighter(classifier=fitted, negative="split").fit_transform(log)
    np.testing.assert_array_equal(clipped, kept.clip(lower=0))
    np.testing.assert_array_equal(both["weight"] - both["weight_negative"], kept)
    assert "weight" not in log


def test_what_cannot_read_is_refused():
    log = pd.DataFrame(LOG)
    with pytest.raises(ValueError, match="not fitted"):
        SentimentWeighter(classifier=classifier()).fit(log)
    with pytest.raises(ValueError, match="two classes"):
        SentimentWeighter(classifier=classifier()).fit(log, np.arange(6) % 3)


def test_vader_by_default(monkeypatch):
    class Analyzer:
        def polarity_scores(self, text):
            return {"compound": 1.0 if "lovely" in text else -1.0}

    module = types.ModuleType("vaderSentiment.vaderSentiment")
    module.SentimentIntensityAnalyzer = Analyzer
    monkeypatch.setitem(sys.modules, "vaderSentiment", types.ModuleType("vaderSentiment"))
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", module)
    weights = SentimentWeighter().fit_transform(pd.DataFrame(LOG))["weight"]
    assert weights.tolist() == [1, -1, 1, -1, 0, 1]


def test_without_vader_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(ImportError, match="pip install vaderSentiment"):
        SentimentWeighter().fit(pd.DataFrame(LOG))


def test_the_real_vader():
    pytest.importorskip("vaderSentiment")
    log = pd.DataFrame({"review": ["I love it, great!", "Terrible, I hate it.", ""]})
    weights = SentimentWeighter().fit_transform(log)["weight"]
    assert weights[0] > 0.5
    assert weights[1] < -0.5
    assert weights[2] == 0
