"""Keys of caches: the same in every process, and different where the content is."""

import functools
import io
import json
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from sklearn_llmrec.utils import UnstableContentError, content_hash


class Model:
    scale = 1.0
    asked: list = []

    def __init__(self, step, **more):
        self.step = step
        self.__dict__.update(more)

    def __call__(self, messages):
        Model.asked += messages
        return messages[:: self.step]


def factory(step):
    return lambda messages: messages[::step]


def with_default(messages, step=1):
    return messages[::step]


STEP = 1


def by_global(messages):
    return messages[::STEP]


def nested(messages):
    def inner():
        return STEP

    return messages[:: inner()]


def values():
    """Values of many kinds, all different."""
    yield from (None, True, 1, 1.5, -0.0, 2**70, "1", b"1", "\ud800", "", (), [], {}, set())
    yield from ([1, 2], (1, 2), {1, 2}, {"a": 1}, {"a": 2}, {1: "a"}, [[1], 2], [[1, 2]])
    yield from (np.zeros(3), np.zeros(3, np.float32), np.zeros((3, 1)), np.array([1, "a"], object))
    yield from (np.zeros(2, [("a", "<i8")]), np.array(["NaT"], "M8[s]"), np.float32(1.5), 1j)
    yield from (Model(1), Model(2), Model(1, more=1), OrderedDict(a=1), Path("a"), Ridge(1.0))
    yield from (Ridge(2.0), factory(1), factory(2), factory([1]), with_default, len, np.sum, json)
    yield from (functools.partial(with_default, step=2), functools.partial(factory(1)))
    yield from (Model(1).__call__, Model(2).__call__, Model, "a".upper, "b".upper, np.random)
    yield from (sp.csr_array(np.eye(2)), sp.csr_array(2 * np.eye(2)), pd.DataFrame({"a": [1, 2]}))
    yield from (pd.DataFrame({"a": [1, 3]}), pd.DataFrame({"b": [1, 2]}), range(3), slice(1, 2))
    yield np.random.RandomState(0)
    yield np.random.RandomState(1)


def test_equal_content_has_one_hash_and_other_content_another():
    first = [content_hash(value) for value in values()]
    assert first == [content_hash(value) for value in values()]
    assert len(set(first)) == len(first)


def test_the_hash_is_the_same_in_every_process():
    code = "from test_content_hash import *; print(*[content_hash(v) for v in values()])"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": f"{Path.cwd()}:{Path(__file__).parent}"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert len(set(runs.pop().split())) == len(list(values()))


def test_the_order_of_sets_and_dictionaries_does_not_count():
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash({"abc", "de", "f"}) == content_hash({"f", "abc", "de"})
    assert content_hash(np.int64(3), np.float64(2)) == content_hash(3, 2.0)
    rows = np.arange(6).reshape(2, 3)
    assert content_hash(rows.T) == content_hash(np.ascontiguousarray(rows.T))


def test_what_a_function_reads_counts_and_what_it_records_does_not(monkeypatch):
    module = sys.modules[__name__]
    for function in (by_global, nested):
        before = content_hash(function)
        monkeypatch.setattr(module, "STEP", 2)
        assert content_hash(function) != before
        monkeypatch.setattr(module, "STEP", 1)
        assert content_hash(function) == before
    model = Model(1)
    before = content_hash(model)
    model("abc")
    assert Model.asked
    assert content_hash(model) == before
    monkeypatch.setattr(Model, "scale", 2.0)
    assert content_hash(model) != before
    n_calls = 0

    def counting(messages):
        nonlocal n_calls
        n_calls += 1

    before = content_hash(counting)
    counting("")
    assert n_calls == 1
    assert content_hash(counting) == before


def test_cycles_end():
    ring = [1]
    ring.append(ring)
    other = [2]
    other.append(other)
    assert content_hash(ring) != content_hash(other)


def test_what_has_no_content_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with io.FileIO(__file__) as file:
        unstable = [threading.Lock(), (i for i in "ab"), file, sys._getframe(), deep]
        holding = [[value] for value in unstable]
        holding += [factory(threading.Lock()), Model(1, at=sys.stdout)]
        for value in unstable + holding:
            with pytest.raises(UnstableContentError):
                content_hash(value)


def test_models_and_tokenizers_are_known_by_what_they_compute():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from _tiny_models import tiny_causal_model, tiny_tokenizer

    model, tokenizer = tiny_causal_model("gpt2"), tiny_tokenizer()
    before = content_hash(model, tokenizer)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=3)
    model.train()
    assert content_hash(tiny_causal_model("gpt2"), tiny_tokenizer()) == before
    assert content_hash(model, tokenizer) == before
    hashes = {before, content_hash(tiny_causal_model("gpt2", seed=1), tokenizer)}
    with torch.no_grad():
        model.transformer.ln_f.bias[0] += 1
    hashes.add(content_hash(model, tokenizer))
    tokenizer.split_special_tokens = True
    hashes.add(content_hash(model, tokenizer))
    model.config.attn_pdrop = 0.5
    hashes.add(content_hash(model, tokenizer))
    layers = [
        torch.nn.Sequential(torch.nn.Linear(2, 2), last)
        for last in (torch.nn.ReLU(), torch.nn.LeakyReLU(0.1))
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    hashes |= {content_hash(layer) for layer in layers}
    layers[1][1].negative_slope = 0.2
    hashes.add(content_hash(layers[1]))
    assert len(hashes) == 8
