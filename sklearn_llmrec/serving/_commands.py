"""Run the commands, each by a few calls of the Python API."""

from __future__ import annotations

import gc
import json
import os
import runpy
import sys
import tempfile
from argparse import Namespace
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec.base import recommend
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.metrics import ranking_metrics
from sklearn_llmrec.model_selection import holdout_split, time_split
from sklearn_llmrec.persistence import Bundle, load, save
from sklearn_llmrec.serving._keys import KEYS_VARIABLE, Keys, new_key
from sklearn_llmrec.serving._log_files import read_log, write_table
from sklearn_llmrec.serving._settings import Settings
from sklearn_llmrec.serving._update import ids_of, update
from sklearn_llmrec.utils import id_positions, require

#: Contains the settings of a server for its worker processes.
SERVER_VARIABLE = "SKLEARN_LLMREC_SERVER"
_PROTOCOL = "sklearn_llmrec.serving._protocol:PatientProtocol"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_USERS_AT_ONCE = 8192


def _pipeline(path: str) -> Any:
    """Return the object called `pipeline` that a Python file defines."""
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        found = runpy.run_path(path)
    finally:
        del sys.path[0]
    if "pipeline" not in found:
        raise ValueError(f"{path} must define `pipeline`, an estimator or a Pipeline.")
    return found["pipeline"]


def _tell(facts: dict[str, Any]) -> None:
    print(json.dumps(facts, indent=1, default=str))


def fit(options: Namespace) -> int:
    """Fit a pipeline on a log and save the bundle; with --measure, measure it first on a part of the log."""
    X, pipeline = read_log(options.log, options), _pipeline(options.pipeline)
    metrics = _held_out_figures(pipeline, X, options) if options.measure else {}
    model = clone(pipeline).fit(X)
    path = save(options.out, model, X, histories=not options.no_histories, metrics=metrics)
    _tell({"bundle": path, "users": X.shape[0], "items": X.shape[1], "metrics": metrics})
    return 0


def _held_out_figures(pipeline: Any, X: Interactions, options: Namespace) -> dict[str, float]:
    if options.holdout == "time":
        visible, y = time_split(X, test_size=options.test_size)
    else:
        visible, y = holdout_split(
            X, test_size=options.test_size, holdout=options.holdout, random_state=0
        )
    return _figures(clone(pipeline).fit(visible), visible, y, options.metrics)


def _figures(model: Any, visible: Any, y: Any, names: list[str]) -> dict[str, float]:
    """Return metrics over the users that have targets."""
    rows = np.flatnonzero(np.diff(sp.csr_array(y).indptr))
    if not len(rows):
        raise ValueError("No user has a target: the log has nothing to measure on.")
    k = max([10, *(int(name.partition("@")[2] or 0) for name in names)])
    lists, _ = recommend(model, visible[rows], min(k, visible.shape[1]))
    found = ranking_metrics(y[rows], lists, names, seen=visible[rows])
    return {name: round(float(value), 6) for name, value in found.items()} | {"n_users": len(rows)}


def evaluate(options: Namespace) -> int:
    """Print metrics: of a pipeline on a part of the log that it does not see, or of a bundle on later events."""
    if options.model.endswith(".py"):
        pipeline = _pipeline(options.model)
        _tell(_held_out_figures(pipeline, read_log(options.log, options), options))
        return 0
    bundle = load(options.model, trusted=options.trusted)
    later = read_log(options.log, options, items=bundle.item_ids)
    visible = _histories_of(bundle, later)
    y = sp.csr_array(later) - sp.csr_array(later).multiply(sp.csr_array(visible).astype(bool))
    y = sp.csr_array(y)
    y.eliminate_zeros()
    _tell(_figures(bundle.estimator, visible, y, options.metrics))
    return 0


def _histories_of(bundle: Bundle, later: Interactions) -> Interactions:
    """Return the bundle's histories of the users of a log, empty ones for new users."""
    if bundle.histories is None:
        raise ValueError("The bundle has no histories: what its users had is unknown.")
    known = bundle.histories
    rows = id_positions(ids_of(known, 0), ids_of(later, 0), "the bundle has", "the log has")
    found = known[np.maximum(rows, 0)]
    kept = np.repeat(rows >= 0, np.diff(found.indptr))
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(np.where(rows >= 0, np.diff(found.indptr), 0), out=indptr[1:])
    return Interactions(
        (found.data[kept], found.indices[kept], indptr),
        shape=(len(rows), known.shape[1]),
        timestamps=None if found.timestamps is None else found.timestamps[kept],
        user_ids=later.user_ids,
        item_ids=known.item_ids,
    )


def recommend_to_file(options: Namespace) -> int:
    """Write lists for all known users, or for the users of a log, as CSV or Parquet."""
    bundle = load(options.bundle, trusted=options.trusted)
    if options.log is not None:
        X = read_log(options.log, options, items=bundle.item_ids)
    elif bundle.histories is not None:
        X = bundle.histories
    else:
        raise ValueError("The bundle has no histories: name a log with them by --log.")
    X.item_features = bundle.item_features
    parts = []
    for start in range(0, X.shape[0], _USERS_AT_ONCE):
        rows = X[start : start + _USERS_AT_ONCE]
        items, scores = recommend(
            bundle.estimator,
            rows,
            min(options.k, X.shape[1]),
            exclude_seen=not options.include_seen,
        )
        frame = rows.to_frame(items, scores, item_columns=options.columns)
        parts.append(nw.from_native(frame, eager_only=True))
    table = nw.concat(parts)
    write_table(table.to_native(), options.out)
    _tell({"file": options.out, "users": X.shape[0], "rows": len(table)})
    return 0


def update_bundle(options: Namespace) -> int:
    """Make the next bundle from feedback; return 3 where nothing was published because it is worse."""
    done = update(
        options.bundle,
        options.feedback,
        out=options.out,
        method=options.method,
        measure=not options.no_measure,
        tolerance=options.refuse_worse,
        event_weights=options.event_weights,
        trusted=options.trusted,
    )
    _tell(asdict(done))
    return 3 if done.path is None and done.method != "none" else 0


def key(options: Namespace) -> int:
    """Print a new key, and the entry that allows it."""
    secret, entry = new_key(options.name, options.rights)
    print(f"key for the client: {secret}\nentry for {KEYS_VARIABLE}: {entry}")
    return 0


# -- serving -----------------------------------------------------------------------------------------


def serve(options: Namespace) -> int:
    """Run the server until it is stopped."""
    uvicorn = require("uvicorn", "serve")
    if options.host not in _LOOPBACK and not len(Keys.from_environment()) and not options.no_keys:
        raise ValueError(
            f"{options.host} can be reached from other machines, and no key protects the server. Make one by "
            f"`sklearn-llmrec key NAME` and set {KEYS_VARIABLE}, or say --no-keys."
        )
    names = set(Settings.__dataclass_fields__)
    given = {name: value for name, value in vars(options).items() if name in names}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    facts = {"bundle": options.bundle, "feedback": options.feedback, "settings": settings.to_json()}
    os.environ[SERVER_VARIABLE] = json.dumps(facts)
    with tempfile.TemporaryDirectory(prefix="sklearn-llmrec-") as folder:
        if options.workers > 1:
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        uvicorn.run(
            "sklearn_llmrec.serving._commands:app_of_environment",
            factory=True,
            # By name, so that worker processes import it once they answer their supervisor.
            http=_PROTOCOL if find_spec("httptools") else "auto",
            host=options.host,
            port=options.port,
            workers=options.workers,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=30,
            timeout_worker_healthcheck=60,
        )
    return 0


def app_of_environment() -> Any:
    """Return the app of a worker process, with the fast endpoints before all of FastAPI."""
    from sklearn_llmrec.serving._app import build
    from sklearn_llmrec.serving._http import Endpoints
    from sklearn_llmrec.serving._logs import write_to_stderr

    facts = json.loads(os.environ[SERVER_VARIABLE])
    write_to_stderr()
    settings = Settings.from_json(facts["settings"])
    app = build(facts["bundle"], facts["feedback"], settings, Keys.from_environment())
    # Imported libraries are hundreds of thousands of objects that stay. A full collection would visit them
    # all, and every request would wait for it: 300 ms with ItemKNN. Frozen objects are not visited.
    gc.collect()
    gc.freeze()
    # Inside the app they come after FastAPI's own middleware, which costs a third of what they do for a request.
    return Endpoints(app, app.state.server.endpoints())
