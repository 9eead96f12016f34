"""Reranking by likelihood: equal to reading whole sequences, grounded, in budget, and blind to the answer."""

import pickle
import time

import numpy as np
import pytest
import scipy.sparse as sp
from _tiny_models import tiny_causal_model, tiny_tokenizer
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_llmrec import Interactions
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import holdout_split
from sklearn_llmrec.text import LikelihoodReranker
from sklearn_llmrec.text._prompts import likelihood_prefix, likelihood_text

TITLES = [f"Title {chr(65 + n // 6)}{n}" + "!" * (n % 4) for n in range(30)]


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    taste = np.arange(12)[:, None] % 2 == np.arange(30) % 2
    held = rng.random((12, 30)) < np.where(taste, 0.4, 0.1)
    return sp.csr_array(held * rng.uniform(0.5, 1.5, held.shape))


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def pair(request):
    pytest.importorskip("transformers")
    return tiny_causal_model(request.param), tiny_tokenizer()


def reranker(pair, **params):
    model, tokenizer = pair
    defaults = {"item_texts": TITLES, "n_candidates": 8, "blend": 1.0}
    return LikelihoodReranker(EASE(), model=model, tokenizer=tokenizer, **(defaults | params))


def whole_likelihood(pair, prefix, text):
    """Log-likelihood of a text after a prefix: the sequence read as one, nothing kept, nothing shared."""
    import torch

    model, tokenizer = pair
    before = tokenizer(prefix)["input_ids"]
    after = tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([before + after]), use_cache=False).logits[0]
    chances = logits.double().log_softmax(-1)
    return sum(float(chances[len(before) + n - 1, token]) for n, token in enumerate(after))


def gain(pair, history, text):
    tail = likelihood_text(text)
    return whole_likelihood(pair, likelihood_prefix(history), tail) - whole_likelihood(
        pair, likelihood_prefix([]), tail
    )


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_gains_equal_those_of_whole_sequences(pair, batch_size):
    from sklearn_llmrec.text._causal import CausalScorer

    history, texts = TITLES[:4], [*TITLES[7:12], "x", "a much longer title than the others"]
    found = CausalScorer(*pair).gains(history, texts, batch_size)
    assert_allclose(found, [gain(pair, history, text) for text in texts], atol=1e-4)
    assert np.ptp(found) > 0.01


def test_the_order_is_that_of_the_gains(pair, X):
    result = reranker(pair).fit(X).rerank(X, 8)
    base = EASE().fit(X).recommend(X, 8)[0]
    for row in range(4):
        held = X[[row]]
        history = [TITLES[i] for i in held.indices[np.argsort(held.data)][-20:]]
        gains = np.array([gain(pair, history, TITLES[item]) for item in base[row]])
        order = np.argsort(-np.round(gains, 4), kind="stable")
        assert_array_equal(result.items[row], base[row, order])
    assert_array_equal(np.sort(result.items), np.sort(base))
    assert result.counts == {"rows": 12, "requests": 12, "answered": 12}
    assert_array_equal(reranker(pair, blend=0.0).fit(X).recommend(X, 8)[0], base)


def test_a_row_alone_and_in_a_batch_and_through_a_pickle(pair, X):
    model = reranker(pair, batch_size=3).fit(X)
    together = model.predict(X)
    assert_array_equal(np.vstack([model.predict(X[[row]]) for row in range(12)]), together)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X[::-1]), together[::-1])
    scores = together.copy()
    scores[X.nonzero()] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    assert_array_equal(model.recommend(X, 10)[0], best)


def test_a_folder_is_loaded_and_a_missing_one_is_said_at_fit(pair, X, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for part in pair:
        part.save_pretrained(tmp_path / "model")
    expected = reranker(pair).fit(X).recommend(X, 6)[0]
    for name in (tmp_path / "model", str(tmp_path / "model")):
        model = reranker((name, None), device="cpu").fit(X)
        assert_array_equal(model.recommend(X, 6)[0], expected)
    # The model is not in the pickle.
    assert len(pickle.dumps(model)) < 40_000
    with pytest.raises(OSError, match="no folder with a causal model"):
        reranker((str(tmp_path / "nothing"), None)).fit(X)
    with pytest.raises(TypeError, match="pass the tokenizer"):
        reranker((pair[0], None)).fit(X)


def test_training_mode_and_weights_are_left_alone(pair, X):
    model = pair[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    reranker(pair).fit(X).predict(X)
    assert model.training
    model.eval()
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_a_long_history_is_cut_to_what_the_model_can_read(X):
    pytest.importorskip("transformers")
    short = tiny_causal_model("gpt2", n_positions=100), tiny_tokenizer()
    result = reranker(short).fit(X).rerank(X, 6)
    assert result.counts["answered"] == 12
    tiny = tiny_causal_model("gpt2", n_positions=16), tiny_tokenizer()
    with pytest.warns(UserWarning, match="12 of 12 rows.*12 failed"):
        items = reranker(tiny).fit(X).recommend(X, 6)[0]
    assert_array_equal(items, EASE().fit(X).recommend(X, 6)[0])


def test_the_cache_reads_once_and_knows_the_model(pair, X, tmp_path):
    model = reranker(pair, cache=tmp_path)
    first = model.fit(X).rerank(X, 6)
    second = clone(model).fit(X).rerank(X, 6)
    assert_array_equal(first.items, second.items)
    assert second.counts["cached"] == 12
    assert second.counts["requests"] == 0
    other = reranker((tiny_causal_model("gpt2", seed=5), pair[1]), cache=tmp_path).fit(X)
    assert other.rerank(X, 6).counts["cached"] == 0
    search = GridSearchCV(model, {"blend": [0.0, 0.4, 1.0]}, cv=2).fit(X)
    assert np.isfinite(search.best_score_)
    assert "Title" not in "".join(path.read_text() for path in tmp_path.iterdir())


class Witness:
    """A function in the place of a model; it remembers what it was shown."""

    def __init__(self, answer=None):
        self.shown = []
        self.answer = answer

    def __call__(self, prompt, texts):
        self.shown.append((prompt, texts))
        if self.answer is not None:
            return self.answer(texts)
        return [-float(len(text)) * len(prompt) for text in texts]


def test_the_answer_never_occurs_in_the_prompt(X):
    visible, hidden = holdout_split(X, test_size=0.3, random_state=0)
    witness = Witness()
    model = LikelihoodReranker(EASE(), model=witness, item_texts=TITLES, n_candidates=8, cache=None)
    model.fit(visible, hidden).rerank(visible, 6)
    prompts = [(prompt, texts) for prompt, texts in witness.shown if TITLES[0][:5] in prompt]
    assert len(prompts) == 12
    pools = EASE().fit(visible).recommend(visible, 8)[0]
    for row, (prompt, texts) in enumerate(prompts):
        lines = prompt.splitlines()
        assert {n for n in range(30) if TITLES[n] in lines} == set(visible[[row]].indices)
        assert not [n for n in hidden[[row]].indices if TITLES[n] in prompt.splitlines()]
        assert texts == [TITLES[n] + "\n" for n in pools[row]]
    shown, witness.shown = witness.shown, []
    # Other targets change no byte of any prompt.
    model.fit(visible, hidden[::-1]).rerank(visible, 6)
    assert witness.shown == shown


def test_the_history_is_the_latest_in_order_of_time(X):
    times = np.random.default_rng(0).permutation(X.nnz)
    held = Interactions(X, timestamps=times, item_ids=TITLES)
    witness = Witness()
    LikelihoodReranker(EASE(), model=witness, max_length=2).fit(held).rerank(held, 3)
    prompts = [prompt for prompt, _ in witness.shown if "Title" in prompt]
    for row, prompt in enumerate(prompts):
        begin, end = X.indptr[row], X.indptr[row + 1]
        latest = X.indices[begin:end][np.argsort(times[begin:end])][-2:]
        assert prompt.splitlines()[1:3] == [TITLES[item] for item in latest]


BAD = {
    "too few": lambda texts: [0.0] * (len(texts) - 1),
    "not finite": lambda texts: [np.nan] * len(texts),
    "nothing": lambda texts: [],
}


@pytest.mark.parametrize("name", list(BAD))
def test_numbers_that_cannot_be_read_keep_the_base_order_and_say_so(X, name):
    model = LikelihoodReranker(EASE(), model=Witness(BAD[name]), blend=1.0).fit(X)
    with pytest.warns(UserWarning, match="LikelihoodReranker kept .* 12 of 12 .*12 unreadable"):
        result = model.rerank(X, 6)
    assert_array_equal(result.items, EASE().fit(X).recommend(X, 6)[0])
    assert result.counts["base_order"] == 12


def test_a_function_that_raises_keeps_the_base_order(X):
    def broken(prompt, texts):
        raise RuntimeError("out of reach")

    model = LikelihoodReranker(EASE(), model=broken).fit(X)
    with pytest.warns(UserWarning, match=r"12 failed.*: RuntimeError\.$"):
        result = model.rerank(X, 6)
    assert_array_equal(result.items, EASE().fit(X).recommend(X, 6)[0])


def test_a_slow_model_costs_no_more_than_the_budget(X):
    def slow(texts):
        time.sleep(0.15)
        return [-float(len(text)) for text in texts]

    model = LikelihoodReranker(EASE(), model=Witness(slow), budget=0.7).fit(X)
    start = time.monotonic()
    with pytest.warns(UserWarning, match="out_of_budget"):
        result = model.rerank(X, 6)
    assert time.monotonic() - start < 2
    assert 1 <= result.counts["answered"] < 12
    assert result.counts["answered"] + result.counts["base_order"] == 12
    held = X.toarray() > 0
    for row, line in enumerate(result.items):
        assert len(set(line)) == 6
        assert not held[row, line].any()


def test_without_a_model_the_base_order_is_kept_with_a_warning(X):
    model = LikelihoodReranker(EASE()).fit(X)
    with pytest.warns(UserWarning, match="12 no_model"):
        items, _ = model.recommend(X, 6)
    assert_array_equal(items, EASE().fit(X).recommend(X, 6)[0])
