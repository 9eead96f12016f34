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
from _tiny_models import tiny_causal_model, tiny_tokenizer

from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.text import LLMReranker

pytestmark = pytest.mark.slow

SERVE = shutil.which("transformers", path=str(Path(sys.executable).parent))


def save_model(folder):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    )
    tiny_causal_model("llama").save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    for module in ("transformers", "fastapi", "uvicorn", "accelerate"):
        pytest.importorskip(module)
    if SERVE is None:
        pytest.skip("no transformers command beside this Python")
    folder = tmp_path_factory.mktemp("model")
    save_model(folder)
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
        else:
            raise RuntimeError(
                f"The server does not answer: {(folder / 'log').read_text()[-2000:]}"
            )
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
