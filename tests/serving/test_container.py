"""The image's steps, as a script without Docker runs them."""

import json
import re
import subprocess
import sys

import pytest
from _server import ROOT, free_port

SCRIPT = (ROOT / "tools" / "container_steps.sh").read_text()
IMAGE = (ROOT / "docker" / "Dockerfile").read_text()


def test_script_and_image_take_the_same_steps():
    for step in (r"python -m venv|-m venv app", r"-m sklearn_llmrec\.warm_up", r"health/ready"):
        assert re.search(step, SCRIPT), step
        assert re.search(step, IMAGE), step
    packages = [re.search(r"\[([\w,]+)\]\"? (\w+)\n", text).groups() for text in (SCRIPT, IMAGE)]
    assert packages[0] == packages[1]
    copied = set(re.search(r"COPY (.*) \./\n", IMAGE)[1].split())
    assert copied == set(re.search(r"/\{([\w.,]+)\}", SCRIPT)[1].split(","))


def test_image_runs_without_root_and_is_watched():
    lines = IMAGE.splitlines()
    user = lines.index("USER app")
    assert not any(line.startswith("USER root") for line in lines)
    assert user < next(n for n, line in enumerate(lines) if "warm_up" in line and "RUN" in line)
    assert any(line.startswith("HEALTHCHECK") for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_steps_run_in_a_clean_environment(tmp_path):
    import os

    command = [ROOT / "tools" / "container_steps.sh", tmp_path / "clean", str(free_port())]
    env = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert len(answer["items"]) == 3
    assert answer["known_user"] is True
    assert " loops ready in" in done.stdout
