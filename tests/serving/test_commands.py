"""The command line, and the commands of the documentation as a new user runs them."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from _server import ROOT, free_port, small_data

from sklearn_llmrec import ItemKNN, load
from sklearn_llmrec.serving import main

COLUMNS = ["--timestamp", "time"]


@pytest.fixture
def log(tmp_path):
    """Paths of a log and a pipeline."""
    X = small_data()
    coo = X.tocoo()
    rows, columns = coo.coords
    frame = pd.DataFrame(
        {"user": X.user_ids[rows], "item": X.item_ids[columns], "time": X.timestamps, "n": X.data}
    )
    frame.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "pipeline.py").write_text(
        "from sklearn_llmrec import ItemKNN\npipeline = ItemKNN(n_neighbors=20)\n"
    )
    return str(tmp_path / "log.csv"), str(tmp_path / "pipeline.py")


def run(capsys, *arguments):
    """Run a command and return what it printed."""
    assert main([str(one) for one in arguments]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_fit_saves_what_the_library_fits(log, tmp_path, capsys):
    X, out = small_data(), tmp_path / "model.zip"
    told = run(capsys, "fit", *log, "-o", out, *COLUMNS, "--value", "n", "--measure")
    bundle = load(out)
    assert (told["users"], told["items"]) == (120, 40)
    assert bundle.manifest["metrics"] == told["metrics"]
    assert bundle.histories.user_ids.tolist() == X.user_ids.tolist()
    items, _ = ItemKNN(n_neighbors=20).fit(X).recommend(X)
    assert bundle.estimator.recommend(bundle.histories)[0].tolist() == items.tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_recommend_writes_the_lists(log, tmp_path, capsys, kind):
    out, lists = tmp_path / "model.zip", tmp_path / f"lists.{kind}"
    run(capsys, "fit", *log, "-o", out, *COLUMNS)
    told = run(capsys, "recommend", out, "-o", lists, "-k", "3")
    frame = pd.read_csv(lists) if kind == "csv" else pd.read_parquet(lists)
    bundle = load(out)
    items, _ = bundle.estimator.recommend(bundle.histories, 3)
    assert told["rows"] == len(frame) == 360
    assert frame["item"].tolist() == bundle.item_ids[items].ravel().tolist()
    assert frame["user"].tolist() == bundle.histories.user_ids.repeat(3).tolist()


def test_evaluate_measures_pipelines_and_bundles(log, tmp_path, capsys):
    out = tmp_path / "model.zip"
    for holdout in ("random", "latest", "time"):
        told = run(capsys, "evaluate", log[1], log[0], *COLUMNS, "--holdout", holdout)
        assert 0 < told["ndcg@10"] < 1
    run(capsys, "fit", *log, "-o", out, *COLUMNS)
    later = tmp_path / "later.csv"
    bundle = load(out)
    items, _ = bundle.estimator.recommend(bundle.histories, 2)
    # What the bundle recommends first is bought, and something that it knows already.
    bought = pd.DataFrame({"user": bundle.histories.user_ids, "item": bundle.item_ids[items[:, 0]]})
    known = bundle.item_ids[bundle.histories.indices[bundle.histories.indptr[:-1]]]
    pd.concat([bought, bought.assign(item=known)]).to_csv(later, index=False)
    told = run(capsys, "evaluate", out, later, "--metrics", "mrr@10", "recall@1")
    assert told == {"mrr@10": 1.0, "recall@1": 1.0, "n_users": 120}


def test_texts_with_leading_zeros_and_dates(tmp_path, capsys):
    rows = [f"00{n % 4},0{n % 3}{n % 5},2024-01-0{1 + n % 9}" for n in range(40)]
    path = tmp_path / "log.csv"
    path.write_text("user,item,day\n" + "\n".join(rows) + "\n")
    (tmp_path / "p.py").write_text("from sklearn_llmrec import ItemKNN\npipeline = ItemKNN()\n")
    out = tmp_path / "model.zip"
    run(capsys, "fit", path, tmp_path / "p.py", "-o", out, "--text-ids", "--timestamp", "day")
    bundle = load(out)
    assert bundle.histories.user_ids.tolist() == ["000", "001", "002", "003"]
    assert bundle.histories.timestamps.max() == pd.Timestamp("2024-01-09").timestamp()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "log.txt", "p.py", "-o", "m.zip"], "must end with"),
        (["fit", "log.csv", "empty.py", "-o", "m.zip"], "must define `pipeline`"),
        (["fit", "log.csv", "p.py", "-o", "m.zip", "--user", "who"], "no column"),
        (["serve", "nowhere.zip", "--host", "0.0.0.0"], "no key protects"),
        (["update", "nowhere.zip", "--feedback", "f.db"], "nowhere.zip"),
    ],
)
def test_errors_are_one_line(log, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text("")
    Path("p.py").write_text("from sklearn_llmrec import ItemKNN\npipeline = ItemKNN()\n")
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def documented():
    """Return the commands of the first transcript of the page."""
    page = (ROOT / "docs" / "serving.md").read_text()
    block = re.search(r"```console\n(.*?)```", page, re.DOTALL).group(1)
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.timeout(1200)
def test_the_commands_of_the_documentation_run(tmp_path):
    commands, port = documented(), free_port()
    assert len(commands) == 10
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, module in (("python", ""), ("sklearn-llmrec", "-m sklearn_llmrec")):
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (tools / name).chmod(0o755)
    lines = [
        line.replace("8000", str(port)).replace("--retry 60", "--retry 240") for line in commands
    ]
    script = "set -e\n" + "".join(f"{line}\necho @@@\n" for line in lines)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with open(tmp_path / "err", "w+") as errors:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        told = []
        try:
            for line in process.stdout:
                told.append(line)
                if "".join(told).count("@@@") == 10:
                    break
            process.wait(60)
        finally:
            with suppress(ProcessLookupError):  # nothing of the transcript runs any more
                os.killpg(process.pid, signal.SIGTERM)
            process.stdout.close()
        errors.seek(0)
        assert process.returncode == 0, errors.read()[-3000:] + "".join(told)
    answers = "".join(told).split("@@@\n")
    assert json.loads(answers[2])["ndcg@10"] > 0.03
    assert json.loads(answers[4])["rows"] == 5 * json.loads(answers[3])["users"]
    assert json.loads(answers[6])["ready"] is True
    assert len(json.loads(answers[7])["items"]) == 3
    assert json.loads(answers[8])["accepted"] == 1
    updated = json.loads(answers[9])
    assert updated["version"] != updated["version_before"]
    assert updated["n_events"] == 1
