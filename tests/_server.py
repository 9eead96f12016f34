"""A real server on loopback, made by the command line, and a small client."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sklearn_llmrec import ItemKNN, save
from sklearn_llmrec.datasets import make_interactions

ROOT = Path(__file__).parents[1]


def small_data(seed=0, n_users=120, n_items=40):
    """Interactions of users u000.. and items i00.., with times and a table of titles."""
    import pandas as pd

    X = make_interactions(n_users=n_users, n_items=n_items, random_state=seed).interactions
    X.user_ids = [f"u{row:03}" for row in range(n_users)]
    X.item_ids = [f"i{column:02}" for column in range(n_items)]
    X.item_features = pd.DataFrame({"title": [f"No. {column}" for column in range(n_items)]})
    return X


def save_bundle(path, X=None, model=None, **options):
    """Fit and save a bundle with histories; return the matrix."""
    X = small_data() if X is None else X
    save(path, (model or ItemKNN(n_neighbors=20)).fit(X), X, histories=True, **options)
    return X


class Client:
    """One connection that is kept open."""

    def __init__(self, port, key=None, timeout=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def __call__(self, method, path, body=None, **headers):
        """Return status and body of an answer; JSON is decoded."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, data, {**self.headers, **headers})
        answer = self.connection.getresponse()
        content = answer.read()
        kind = answer.getheader("content-type", "")
        self.last = answer
        return answer.status, json.loads(content) if "json" in kind else content

    def post(self, path, body, **headers):
        """Return status and body of an answer to a POST."""
        return self("POST", path, body, **headers)

    def close(self):
        """Close the connection."""
        self.connection.close()


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class ServerProcess:
    """`sklearn-llmrec serve` in a process of its own, until the block ends."""

    def __init__(self, bundle, *options, env=None, before=None, port=None):
        self.port = port or free_port()
        command = [sys.executable, "-m", "sklearn_llmrec", "serve", str(bundle)]
        self.command = [*command, "--port", str(self.port), *map(str, options)]
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(env or {})}
        self.before, self.clients = before, []
        # A file, not a pipe: a pipe that nobody reads would stop the server.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def __enter__(self):
        self.start()
        return self

    def start(self):
        """Start the process and wait until it answers."""
        self.process = subprocess.Popen(
            self.command, env=self.env, stderr=self.log, preexec_fn=self.before, cwd=ROOT
        )
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            client = Client(self.port, timeout=5)
            try:
                if client("GET", "/health/live")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                if self.process.poll() is not None:
                    break
            finally:
                client.close()
            time.sleep(0.1)
        raise AssertionError(f"the server did not start: {self.logged()}")

    def logged(self):
        """Return what the process wrote to stderr."""
        # Not by seek: the process writes where the place in the shared file is, over earlier lines.
        file = self.log.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def kill(self):
        """Kill the process as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self, **options):
        """Return a client, which is closed with the server."""
        self.clients.append(Client(self.port, **options))
        return self.clients[-1]

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
