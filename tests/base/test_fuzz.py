"""Fifty generated inputs for every recommender and for the reading of logs; `make fuzz` runs thousands."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from fuzz import run, targets

TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_generated_input_gives_the_answers_of_its_oracle(name):
    _, counts, failures, _ = run(name, TARGETS[name], range(50), seed=1)
    assert not failures, failures
    assert counts["fitted"] >= 20, "too few cases reach the oracle"
