"""Ten lines lead from a log to lists with titles, in two processes; they are those of docs/deployment.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]


def _run(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_a_log_to_lists_with_titles(tmp_path):
    page = (ROOT / "docs" / "deployment.md").read_text()
    saving, loading = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[:2]
    lines = [line for line in (saving + loading).splitlines() if line]
    assert len(lines) <= 10
    pairs = [("ann", "tea"), ("ann", "mug"), ("ann", "jar"), ("bob", "tea"), ("bob", "jar")]
    pairs += [("cat", "mug"), ("cat", "jar"), ("dan", "pot"), ("dan", "jar")]
    pd.DataFrame(pairs, columns=["user", "item"]).to_csv(tmp_path / "log.csv", index=False)
    titles = {"tea": "Green tea", "mug": "A mug", "jar": "A jar", "pot": "A pot"}
    goods = pd.DataFrame({"item": list(titles), "title": list(titles.values())})
    goods.to_csv(tmp_path / "goods.csv", index=False)
    _run(saving, tmp_path)
    to_file = "bundle.recommend_ids([['tea', 'mug'], [], ['tea', 'unknown']], k=3, "
    assert to_file.replace("'", '"') in loading
    _run(loading.replace("print(", "(").rstrip() + ".to_csv('lists.csv', index=False)", tmp_path)
    lists = pd.read_csv(tmp_path / "lists.csv")
    found = {user: part["item"].tolist() for user, part in lists.groupby(lists.columns[0])}
    assert found[0] == ["jar", "pot"]  # what is not seen
    assert found[1][0] == "jar"  # the most popular
    assert found[2][0] == "jar"
    assert set(found[2]) == {"jar", "mug", "pot"}
    assert (lists["title"] == lists["item"].map(titles)).all()
