"""Every Python block of the site and of README.md runs: examples with prompts as doctests, all others here.

A page that has others is run here as one module, from its first block to its last.
"""

import doctest
import sys
import textwrap
import time
import tomllib
import warnings
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

import numpy as np
import pytest
from _pages import (
    ROOT,
    as_module,
    fenced,
    is_python,
    is_skipped,
    needs_a_run,
    page_module,
    pages,
    python_blocks,
)
from sklearn.exceptions import SkipTestWarning

from sklearn_llmrec import Interactions, ItemKNN, load, save
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.ensemble import BanditReranker

PAGES = pages()
TO_RUN = [page for page in PAGES if needs_a_run(page)]
# What is not installed everywhere, and is needed by a page with scripts.
NEEDS = {
    "deployment.md": ("pandas", "skops", "mlflow", "onnx", "onnxruntime"),
    "recipes.md": ("pandas", "faiss"),
    "serving.md": ("pandas", "skops", "fastapi", "sqlalchemy", "uvicorn"),
    "shards.md": ("pyarrow", "skops", "dask"),  # "distributed" finds the folder of these tests too
}


@contextmanager
def a_shop_and_its_own_ranker(folder, monkeypatch):
    """Write a log, a table of goods, and a bundle of a class that the library does not trust."""
    import mlflow
    import pandas as pd

    X = make_interactions(60, 20, random_state=0).interactions
    ids = np.array(["tea", "mug", *(f"good {number}" for number in range(18))])
    rows, columns = X.tocoo().coords
    pd.DataFrame({"user": rows, "item": ids[columns]}).to_csv("log.csv", index=False)
    pd.DataFrame({"item": ids, "title": [f"A {name}" for name in ids]}).to_csv(
        "goods.csv", index=False
    )
    package = folder / "mycompany"
    package.mkdir()
    (package / "models.py").write_text(
        "from sklearn_llmrec import ItemKNN\nclass Ranker(ItemKNN):\n    pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    from mycompany.models import Ranker

    save("ranker", Ranker().fit(X), X)
    with pytest.raises(Exception, match=r"mycompany\.models\.Ranker"):
        load("ranker")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    mlflow.set_tracking_uri((folder / "runs").as_uri())
    mlflow.set_experiment("page")

    def check(page):
        assert isinstance(page.bundle.estimator, Ranker)
        np.testing.assert_allclose(page.served_scores, page.model.predict(page.X))
        items, _ = page.model.recommend(page.X[:100], k=10)
        np.testing.assert_array_equal(page.items, items)

    try:
        with warnings.catch_warnings():
            # MLflow's own: of type hints in its modules, and of the store that it keeps for compatibility.
            for kind in (UserWarning, FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", kind)
            yield {"check": check}
    finally:
        for name in ("mycompany", "mycompany.models"):
            sys.modules.pop(name, None)


@contextmanager
def a_bandit_that_was_served(folder, monkeypatch):
    """Serve lists of a bandit, send clicks on the first items back, and wait until both are in the database."""
    from _server import ServerProcess, save_bundle

    from sklearn_llmrec.serving import logged_choices

    X = make_interactions(120, 40, random_state=0).interactions
    X.user_ids, X.item_ids = np.arange(120), np.array(["85048", "22423", *map(str, range(38))])
    bandit = BanditReranker(ItemKNN(n_neighbors=20), policy="epsilon_greedy", random_state=0)
    save_bundle(folder / "model.zip", X, bandit)
    with ServerProcess(folder / "model.zip", "--feedback", folder / "feedback.db") as server:
        client, n_places = server.client(), 0
        for user in range(60):
            status, answer = client.post("/v1/recommend", {"user": user, "k": 2})
            assert status == 200, answer
            n_places += len(answer["items"])
            event = {"event_id": f"e-{user}", "user": user, "item": answer["items"][0]}
            event |= {"type": "click", "request_id": answer["request_id"]}
            status, answer = client.post("/v1/feedback", {"events": [event]})
            assert (status, answer["accepted"]) == (200, 1)
        deadline = time.monotonic() + 60
        while len(logged_choices(str(folder / "feedback.db"))["rewards"]) < n_places:
            assert time.monotonic() < deadline, "what the bandit showed is not in the database"
            time.sleep(0.05)

    def check(page):
        assert page.first.sum() == 60
        assert page.estimate.value == 1  # every first item was clicked

    yield {"check": check}


@contextmanager
def a_cluster(folder, monkeypatch):
    """Start a cluster of Dask whose workers are threads of this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=":0"
    ) as cluster:

        def check(page):
            of_all = ItemKNN().fit(Interactions.concat(list(page.shards)))
            weights = page.on_cluster.weights_
            np.testing.assert_allclose(weights.toarray(), of_all.weights_.toarray(), atol=1e-6)

        there = [
            ("scheduler:8786", cluster.scheduler_address),
            ("/shared/scratch", str(folder / "scratch")),
        ]
        yield {"check": check, "replace": there}


@contextmanager
def checks_that_skip(folder, monkeypatch):
    """Accept that scikit-learn skips the checks of array API, which a switch of the environment turns on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        yield {}


# What a page takes from its reader: files, a server, a cluster.
SURROUNDINGS = {
    "deployment.md": a_shop_and_its_own_ranker,
    "extending.md": checks_that_skip,
    "serving.md": a_bandit_that_was_served,
    "shards.md": a_cluster,
}


@pytest.mark.parametrize("page", TO_RUN, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    missing = [name for name in NEEDS.get(page.name, ()) if not find_spec(name)]
    if missing:
        pytest.skip(f"{page.name} needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    prepared = SURROUNDINGS.get(page.name)
    with prepared(tmp_path, monkeypatch) if prepared else nullcontext({}) as given:
        check = given.pop("check", None)
        with page_module(page, tmp_path, **given) as module:
            if check is not None:
                check(module)


def blocks_not_run(page, collected, to_run):
    """Return the Python blocks of a page that neither its doctest nor its module contains."""
    examples = doctest.DocTestParser().get_examples(page.read_text())
    is_collected = any(page == path or path in page.parents for path in collected)
    doctests = {one.lineno + 1 for one in examples if is_collected and not is_skipped(one)}
    module = as_module(page).splitlines() if page in to_run else []
    in_module = {number for number, line in enumerate(module, 1) if line}
    found = []
    for block in python_blocks(page):
        lines = enumerate(textwrap.dedent(block.code).splitlines(), block.line)
        if block.has_prompts:
            runs = {
                number for number, line in lines if line.startswith(">>>")
            } <= doctests | in_module
        else:
            runs = all(module[number - 1 : number] == [line] for number, line in lines)
        found += [] if runs else [block]
    return found


def test_every_python_block_runs():
    """A block with prompts is a doctest that is collected and not skipped; the others are scripts, run above."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "--doctest-glob=*.md" in settings["addopts"]
    collected = [ROOT / path for path in settings["testpaths"]]
    assert sum(len(python_blocks(page)) for page in PAGES) > 80
    assert not [str(block) for page in PAGES for block in blocks_not_run(page, collected, TO_RUN)]


def test_examples_with_prompts_are_marked_as_python():
    for page in PAGES:
        for language, line, code in fenced(page.read_text()):
            assert is_python(language) or ">>>" not in code, f"{page.name}:{line}"
            assert language, f"{page.name}:{line}: name the language of the block, or write text"


def test_blocks_that_would_not_run_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n>>> 1 + 1\n2\n\n```\n"
        "- in a list\n\n  ```{code-block} python\n  if True:\n      x = 2\n  ```\n"
        "~~~py\n>>> nothing  # doctest: +SKIP\n\n~~~\n```sh\nls\n```\n"
    )
    lines = [block.line for block in python_blocks(page)]
    assert lines == [2, 9, 13]
    assert needs_a_run(page)
    assert blocks_not_run(page, [tmp_path], [page]) == []
    assert [block.line for block in blocks_not_run(page, [], [page])] == []
    assert [block.line for block in blocks_not_run(page, [tmp_path], [])] == [9, 13]
    assert [block.line for block in blocks_not_run(page, [], [])] == [2, 9, 13]
    with pytest.raises(NameError, match="nothing"), page_module(page, tmp_path):
        pass
