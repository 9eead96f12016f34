"""Processes that map one bundle share its memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_llmrec import EASE, save

N_ITEMS = 9856  # 370.6 MiB of float32

READER = """
import sys
import numpy as np
from sklearn_llmrec import EASE, load, save
EASE().fit(np.eye(2, dtype=np.float32)).recommend(np.eye(2, dtype=np.float32), k=1)
import skops.io
print("imported", flush=True)
sys.stdin.readline()
model = load(sys.argv[1], mmap=True).estimator
row = np.zeros((1, model.n_features_in_), dtype=np.float32)
row[0, :50] = 1
model.recommend(row)
print("loaded", flush=True)
sys.stdin.readline()
"""


def _pss(process):
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def _cost(path, n_processes):
    """What processes that have imported the library take more, once they have opened a bundle."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", READER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [
        subprocess.Popen(command, text=True, env=environment, **pipes) for _ in range(n_processes)
    ]
    try:
        assert [process.stdout.readline() for process in processes] == n_processes * ["imported\n"]
        before = sum(map(_pss, processes))
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.stdout.readline() for process in processes] == n_processes * ["loaded\n"]
        return sum(map(_pss, processes)) - before
    finally:
        for process in processes:
            process.communicate("\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs smaps_rollup")
@pytest.mark.parametrize("name", ["folder", "file.zip"])
def test_four_processes_cost_little_more_than_one(name, tmp_path):
    rng = np.random.default_rng(0)
    rows = (rng.random((4, N_ITEMS)) < 0.01).astype(np.float32)
    rows[:, :2] = 1
    model = EASE().fit(rows[:, :4])
    model.coef_ = rng.standard_normal((N_ITEMS, N_ITEMS), dtype=np.float32)
    model.n_features_in_, model.item_popularity_ = N_ITEMS, rows.sum(axis=0).astype(np.float64)
    model._inverse_diagonal_ = np.ones(N_ITEMS, dtype=np.float32)
    path = save(tmp_path / name, model)
    one, four = _cost(path, 1), _cost(path, 4)
    print(f"{name}: one process {one:.0f} MiB, four {four:.0f} MiB, {four / one:.2f} times")
    assert one > 0.95 * model.coef_.nbytes / 2**20  # else nothing was measured
    assert four < 1.3 * one
