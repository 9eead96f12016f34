"""Load a server on loopback: CPU per request, throughput and p99 beside an endpoint that does nothing.

python benchmarks/serving_load.py                     ML-1M, EASE, ItemKNN and ALSRecommender, 1, 8 and 32 clients
python benchmarks/serving_load.py --generated         200,000 users x 100,000 items, ItemKNN and ALSRecommender
python benchmarks/serving_load.py --feedback          feedback events from 8 clients, one event a request

Needs wrk (a compiled load tool, in most distributions). Every line is the median of --repeats runs of --seconds; the
requests ask for a random known user's ten items. The endpoint that does nothing is /health/live of the same server; its
runs take turns with the others, so that other work on the machine affects both. `ranking alone` is the list of one user
without HTTP.
"""

import re
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from shutil import which
from statistics import median
from time import process_time

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import _data
import numpy as np
import psutil
from _server import ServerProcess

from sklearn_llmrec import EASE, ALSRecommender, Interactions, ItemKNN, load as open_bundle, save
from sklearn_llmrec.serving._served import ServedModel

LISTS = """wrk.method = "POST"
math.randomseed(%d)
function request()
  return wrk.format(nil, nil, nil, '{"user": ' .. math.random(1, %d) .. ', "k": 10}')
end
"""
EVENTS = """wrk.method = "POST"
local number = 0
function request()
  number = number + 1
  return wrk.format(nil, nil, nil, '{"events": [{"event_id": "%d-' .. number .. '", "user": ' ..
    math.random(1, %d) .. ', "item": 1}]}')
end
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def ml_1m(folder):
    """Training part of ML-1M with ids from 1."""
    X, _ = _data.random_split(_data.movielens_1m(folder))
    X = X.astype("float32")
    X.item_features = None
    return X


def with_ids(X):
    """The matrix with ids from 1."""
    n_users, n_items = X.shape
    return Interactions(X, user_ids=range(1, n_users + 1), item_ids=range(1, n_items + 1))


def cpu_seconds(process):
    """CPU seconds of a process and its children."""
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])


def load(server, path, script, clients, seconds):
    """Requests a second, p50 and p99 in ms, CPU ms a request of the server, and failures of one run."""
    process = psutil.Process(server.process.pid)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency"]
    command += ["-s", script] if script else []
    before = cpu_seconds(process)
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    used, text = cpu_seconds(process) - before, done.stdout
    n_requests = int(re.search(r"(\d+) requests in", text)[1])
    p50, p99 = (
        float(value) * UNITS[unit]
        for value, unit in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)", text)
    )
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, p50, p99, 1e3 * used / max(n_requests, 1), int(failed[1]) if failed else 0


def ranking(path, n_users, n_rows=2000):
    """CPU ms of the list of one random known user, in this process and without HTTP."""
    served = ServedModel(open_bundle(path), max_history=1000)
    served.warm_up()
    users = np.random.default_rng(0).integers(1, n_users, n_rows, endpoint=True).tolist()
    start = process_time()
    for user in users:
        served.lists([served.row_of_user(user, None, 0)], 10, exclude_seen=True)
    return 1e3 * (process_time() - start) / n_rows


def medians(runs):
    """Medians of the figures of several runs, and the sum of their failures."""
    return *(median(column) for column in list(zip(*runs))[:-1]), sum(run[-1] for run in runs)


def show(name, clients, what, figures, beside=None):
    rate, p50, p99, cpu, failed = figures
    line = f"| {name} | {clients} | {what} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {cpu:.2f} | {failed} |"
    if beside is not None:
        line += f" {rate / beside[0]:.2f} | {p99 / beside[2]:.1f} |"
    print(line, flush=True)


def main():
    parser = ArgumentParser(description=__doc__)
    _data.add_data_option(parser)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--models", nargs="+", help="names of models, by default all")
    parser.add_argument("--generated", action="store_true")
    parser.add_argument("--feedback", action="store_true")
    options = parser.parse_args()
    if which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk, or brew install wrk")
    X = with_ids(_data.generated()) if options.generated else ml_1m(options.data)
    models = {"ItemKNN": ItemKNN(), "ALSRecommender": ALSRecommender(random_state=0)}
    if not options.generated:
        models = {"EASE": EASE(), **models}
    if options.feedback:
        models = {"ItemKNN": ItemKNN()}
    models = {name: models[name] for name in options.models or models}
    print(f"{X.shape[0]} x {X.shape[1]}, {X.nnz} interactions")
    print(
        "| model | clients | endpoint | requests/s | p50 ms | p99 ms | CPU ms | failed | rate | p99 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            path = save(Path(folder) / f"{name}.zip", model.fit(X), X, histories=True)
            script = Path(folder) / "requests.lua"
            with ServerProcess(path, "--feedback", f"{folder}/{name}.db") as server:
                if options.feedback:
                    runs = []
                    for run in range(options.repeats):
                        script.write_text(EVENTS % (run, X.shape[0]))  # new events in every run
                        runs.append(load(server, "/v1/feedback", script, 8, options.seconds))
                    show(name, 8, "feedback", medians(runs))
                    continue
                print(f"| {name} | | ranking alone | | | | {ranking(path, X.shape[0]):.2f} |")
                for clients in options.clients:
                    script.write_text(LISTS % (clients, X.shape[0]))
                    load(server, "/v1/recommend", script, clients, 2)  # first calls
                    runs = [
                        [
                            load(server, "/health/live", None, clients, options.seconds),
                            load(server, "/v1/recommend", script, clients, options.seconds),
                        ]
                        for _ in range(options.repeats)
                    ]
                    nothing, found = map(medians, zip(*runs))
                    show(name, clients, "nothing", nothing)
                    show(name, clients, "recommend", found, nothing)


if __name__ == "__main__":
    main()
