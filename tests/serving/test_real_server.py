"""A real server in a process of its own: crashes, full disks, lost databases, swaps under load, rude clients."""

import http.client
import itertools
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from _server import ROOT, Client, ServerProcess, free_port, save_bundle, small_data

from sklearn_llmrec import ItemKNN, load, save
from sklearn_llmrec.serving._commands import SERVER_VARIABLE
from sklearn_llmrec.serving._settings import Settings
from sklearn_llmrec.serving._store import FeedbackStore


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.zip"
    save_bundle(path)
    return path


def send_events(port, worker, numbers, acknowledged, stop):
    """Send events until `stop`, each again until it is acknowledged, through crashes of the server."""
    client = Client(port, timeout=30)
    for first in numbers:
        ids = [f"w{worker}-{first + n}" for n in range(5)]
        events = [{"event_id": one, "user": f"u{worker}", "item": "i01", "time": 1} for one in ids]
        while not stop.is_set():
            try:
                status, answer = client.post("/v1/feedback", {"events": events})
            except (OSError, http.client.HTTPException):
                client.close()
                time.sleep(0.05)
                continue
            if status == 200:
                acknowledged[worker].extend(ids)
                break
            assert status == 503, answer
            time.sleep(0.05)
        if stop.is_set():
            break
    client.close()


def crash_and_count(bundle, url, n_events, n_kills, n_clients=8):
    """Kill the server while clients send events; return acknowledged ids and those in the store."""
    acknowledged = [[] for _ in range(n_clients)]
    stop, each = threading.Event(), n_events // n_clients
    server = ServerProcess(bundle, "--feedback", url)
    with server:
        threads = [
            threading.Thread(
                target=send_events, args=(server.port, w, range(0, each, 5), acknowledged, stop)
            )
            for w in range(n_clients)
        ]
        for thread in threads:
            thread.start()
        try:
            for kill in range(1, n_kills + 1):
                while sum(map(len, acknowledged)) < kill * n_events // (n_kills + 1):
                    assert any(thread.is_alive() for thread in threads)
                    time.sleep(0.01)
                server.kill()
                server.start()
            for thread in threads:
                thread.join(600)
        finally:
            stop.set()
    store = FeedbackStore(url)
    stored = [event.event_id for _, event in store.events_after(0)]
    store.close()
    return list(itertools.chain(*acknowledged)), stored


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("n_events", "n_kills"),
    [(2000, 2), pytest.param(100_000, 10, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_acknowledged_events_survive_kill_9(request, bundle, tmp_path, kind, n_events, n_kills):
    url = str(tmp_path / "f.db") if kind == "sqlite" else request.getfixturevalue("new_database")()
    acknowledged, stored = crash_and_count(bundle, url, n_events, n_kills)
    assert len(acknowledged) == n_events
    assert len(stored) == len(set(stored))
    assert set(acknowledged) == set(stored)


def limit_files():
    """Let no file grow beyond 300 kB: writing more fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_full_disk_is_503_and_loses_nothing(bundle, tmp_path):
    url, written = str(tmp_path / "f.db"), []
    with ServerProcess(bundle, "--feedback", url, before=limit_files) as server:
        client, status = server.client(), 200
        for number in range(200):
            ids = [f"e{number}-{n}" for n in range(50)]
            events = [{"event_id": one, "user": "x" * 100, "item": "i01"} for one in ids]
            status, answer = client.post("/v1/feedback", {"events": events})
            if status != 200:
                break
            written += ids
        assert status == 503, answer
        assert client.last.getheader("retry-after")
        assert "Error" not in answer["error"]["message"].replace("OperationalError", "")
        # Lists are answered all the same.
        assert client.post("/v1/recommend", {"history": ["i01"]})[0] == 200
    store = FeedbackStore(url)
    assert {event.event_id for _, event in store.events_after(0)} == set(written)
    store.close()


def test_a_lost_postgresql_is_503_until_it_is_back(bundle, postgres, new_database):
    url = new_database()
    event = {"event_id": "before", "user": "u001", "item": "i01"}
    with ServerProcess(bundle, "--feedback", url, "--timeout", "20") as server:
        client = server.client()
        assert client.post("/v1/feedback", {"events": [event]})[0] == 200
        postgres.stop()
        try:
            lost = {**event, "event_id": "lost"}
            status, answer = client.post("/v1/feedback", {"events": [lost]})
            assert status == 503, answer
            assert client("GET", "/health/ready")[0] == 503
            assert client("GET", "/health/live")[0] == 200
            assert client.post("/v1/recommend", {"user": "u001"})[0] == 200
        finally:
            postgres.start()
        deadline = time.monotonic() + 240
        while client.post("/v1/feedback", {"events": [lost]})[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert client("GET", "/health/ready")[0] == 200
    store = FeedbackStore(url)
    assert [one.event_id for _, one in store.events_after(0)] == ["before", "lost"]
    store.close()


# -- swaps -------------------------------------------------------------------------------------------


def test_20_swaps_under_load(tmp_path):
    """No request fails, and every answer is that of the version it names."""
    X, path = small_data(), tmp_path / "model.zip"
    history = ["i03", "i17", "i21"]
    answers, bundles = {}, []
    for number in range(4):
        # Each version knows other users, so that its scores are its own.
        part = X[np.arange(120) % 4 != number]
        bundles.append(save(tmp_path / f"{number}.zip", ItemKNN().fit(part), part, histories=True))
        loaded = load(bundles[-1])
        row = np.zeros((1, 40))
        row[0, [3, 17, 21]] = 1
        items, scores = loaded.estimator.recommend(row)
        answers[loaded.version] = (loaded.item_ids[items[0]].tolist(), scores[0])
    assert len({tuple(scores) for _, scores in answers.values()}) == 4

    def replace(number):
        shutil.copy(bundles[number % 4], tmp_path / "next.zip")
        os.replace(tmp_path / "next.zip", path)

    replace(0)
    failed, seen, stop = [], set(), threading.Event()

    def ask(port):
        client = Client(port)
        while not stop.is_set():
            status, answer = client.post("/v1/recommend", {"history": history})
            if status != 200:
                failed.append(answer)
                continue
            items, scores = answers[answer["version"]]
            seen.add(answer["version"])
            if answer["items"] != items or not np.allclose(answer["scores"], scores, rtol=1e-5):
                failed.append(answer)
        client.close()

    with ServerProcess(path, "--watch", "0.05") as server:
        threads = [threading.Thread(target=ask, args=(server.port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        client = server.client()
        try:
            for number in range(1, 21):
                replace(number)
                wanted = load(path).version
                if number % 2:
                    status, answer = client("POST", "/v1/reload")
                    assert (status, answer["version"]) == (200, wanted)
                deadline = time.monotonic() + 60
                while client("GET", "/v1/model")[1]["version"] != wanted:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        # A file that is no bundle changes nothing.
        path.write_bytes(b"no bundle")
        assert client("POST", "/v1/reload")[0] == 409
        assert client("GET", "/v1/model")[1]["version"] == wanted
    assert not failed
    assert seen == set(answers)


def test_the_old_model_is_freed(bundle, tmp_path):
    import asyncio
    import gc
    import weakref

    from sklearn_llmrec.serving._metrics import Metrics
    from sklearn_llmrec.serving._swap import CurrentModel

    path = tmp_path / "model.zip"
    shutil.copy(bundle, path)
    current = CurrentModel(path, Settings(), Metrics())
    old = weakref.ref(current.served)
    save_bundle(path, small_data(seed=1))
    gc.collect()
    gc.disable()  # the server keeps its first model out of collections
    try:
        assert asyncio.run(current.reload()) is True
        assert old() is None
    finally:
        gc.enable()


def test_full_collections_skip_what_was_loaded_before_the_first_request(bundle):
    # Else every request waits while the collector visits the objects of all imported libraries.
    script = (
        "import gc\n"
        "from sklearn_llmrec.serving._commands import app_of_environment\n"
        "app = app_of_environment()\n"
        "print(len(gc.get_objects()), gc.get_freeze_count())\n"
    )
    facts = {"bundle": str(bundle), "feedback": None, "settings": Settings().to_json()}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, SERVER_VARIABLE: json.dumps(facts), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    visited, skipped = map(int, done.stdout.split())
    assert visited < skipped / 20


# -- rude clients ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory):
    url = str(tmp_path_factory.mktemp("feedback") / "f.db")
    with ServerProcess(
        bundle, "--feedback", url, "--body-timeout", "0.5", "--max-body", "20000"
    ) as server:
        yield server


def raw(server, data, seconds=20):
    """Send bytes and return what comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(data)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
                if b"\r\n\r\n" in found and b"}" in found:
                    break
        except TimeoutError:
            pass
    return found


HEAD = b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b'Content-Length: 100\r\n\r\n{"events"', b"408"),
        (HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"eve\r\n', b"408"),
        (HEAD + b"Content-Length: 999999999\r\n\r\n", b"413"),
        (
            HEAD
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 6,
            b"413",
        ),
        (b"nonsense\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: x\r\n\r\n", b"400"),
        (HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", b"4"),
    ],
    ids=["slow", "slow chunks", "announced", "chunks", "no http", "length", "headers"],
)
def test_rude_requests_are_refused(server, data, status):
    assert raw(server, data).startswith(b"HTTP/1.1 " + status)
    assert server.client()("GET", "/health/live")[0] == 200


def test_headers_must_arrive_in_time(server):
    start = time.monotonic()
    found = raw(server, b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\nX: ", seconds=30)
    assert time.monotonic() - start < 25
    assert found == b"" or b"408" in found.splitlines()[0]


def test_a_client_that_goes_away_harms_nobody(server):
    body = b'{"requests": [' + b",".join([b'{"history": ["i01"]}'] * 50) + b"]}"
    head = b"POST /v1/recommend HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body)
    assert server.client().post("/v1/recommend", {"history": []})[0] == 200
    assert "failed" not in server.logged()


def test_logs_hold_no_data_of_users(server):
    client = server.client()
    secret = {"event_id": "e-secret", "user": "user-secret", "item": "item-secret"}
    client.post("/v1/feedback", {"events": [secret]})
    client.post("/v1/recommend", {"user": "user-secret", "k": -1})
    client.post("/v1/recommend", b'{"user": "user-secret"', Authorization="Bearer key-secret")
    lines = server.logged().splitlines()
    assert any('"status": 422' in line for line in lines)
    assert all(json.loads(line)["event"] for line in lines)
    assert not any("secret" in line for line in lines)


def test_too_many_requests_are_503_and_the_rest_is_answered(bundle):
    options = ("--max-queue", "16", "--max-requests", "16", "--max-batch", "1")
    with ServerProcess(bundle, *options) as server:
        found = []

        def ask():
            client = server.client()
            for _ in range(20):
                body = {"requests": [{"history": ["i01"]}] * 8}
                status, _ = client.post("/v1/recommend", body)
                found.append((status, client.last.getheader("retry-after")))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {status for status, _ in found} == {200, 503}
        assert all(retry for status, retry in found if status == 503)
        assert server.client().post("/v1/recommend", {"history": []})[0] == 200


def test_several_processes_share_feedback_and_metrics(bundle, tmp_path):
    options = ("--workers", "2", "--feedback", tmp_path / "f.db", "--watch", "0.2")
    with ServerProcess(bundle, *options) as server:
        clients = [server.client() for _ in range(8)]  # connections spread over the processes
        event = {"event_id": "e", "user": "somebody new", "item": "i05"}
        assert clients[0].post("/v1/feedback", {"events": [event]})[0] == 200
        assert clients[1].post("/v1/feedback", {"events": [event]})[1]["duplicates"] == 1
        deadline = time.monotonic() + 30
        while not all(
            c.post("/v1/recommend", {"user": "somebody new"})[1]["known_user"] for c in clients
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        text = clients[0]("GET", "/metrics")[1].decode()
        assert 'sklearn_llmrec_feedback_events_total{result="accepted"} 1.0' in text


def test_other_machines_need_keys(bundle):
    from sklearn_llmrec.serving import main

    assert main(["serve", str(bundle), "--host", "0.0.0.0", "--port", str(free_port())]) == 1
