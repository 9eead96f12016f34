"""The reranker against a real OpenAI-compatible server: `transformers serve` with a tiny random model."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.text import LLMReranker

pytestmark = pytest.mark.slow

SERVE = shutil.which("transformers", path=str(Path(sys.executable).parent))


def tiny_model(folder):
    """A Llama of one layer with random weights that writes bytes, and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {"<s>": 256, "</s>": 257}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=257,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    for module in ("transformers", "fastapi", "uvicorn", "accelerate"):
        pytest.importorskip(module)
    if SERVE is None:
        pytest.skip("no transformers command beside this Python")
    folder = tmp_path_factory.mktemp("model")
    tiny_model(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVE, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, str(folder)],
            stdout=log,
            stderr=log,
            env={"HF_HUB_OFFLINE": "1", "PATH": str(Path(SERVE).parent), "HOME": str(folder)},
        )
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(240):
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            try:
                with opener.open(f"http://127.0.0.1:{port}/health", timeout=1):
                    break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait(30)


def test_a_real_server_with_a_model_that_talks_nonsense(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url, model = server
    rng = np.random.default_rng(0)
    X = sp.csr_array((rng.random((6, 20)) < 0.3) * rng.uniform(0.5, 1.5, (6, 20)))
    reranker = LLMReranker(
        EASE(), model=model, base_url=url, n_candidates=5, max_tokens=16, n_jobs=2, timeout=60
    ).fit(X)
    with pytest.warns(UserWarning, match="kept the order of the base"):
        result = reranker.rerank(X, 5)
    held = X.toarray() > 0
    for row, line in enumerate(result.items):
        assert len(set(line)) == 5
        assert not held[row, line].any()
    assert result.counts["requests"] == result.counts["rows"] == 6
    # The server answered every chat; the words of random weights are no ranking.
    assert result.counts["unreadable"] + result.counts["answered"] == 6
