"""`create_app`: the HTTP server of a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sklearn_llmrec.serving._keys import Keys
from sklearn_llmrec.serving._settings import Settings
from sklearn_llmrec.utils import require

if TYPE_CHECKING:
    from fastapi import FastAPI

_PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "prometheus_client")


def create_app(
    bundle: str | os.PathLike[str],
    *,
    feedback: str | None = None,
    keys: Iterable[str] | None = None,
    **settings: Any,
) -> FastAPI:
    """Return an ASGI app that answers from a bundle.

    Any ASGI server runs it; ``sklearn-llmrec serve`` runs it with uvicorn. Requests that wait are answered by one
    call of the model. When another bundle takes the place of the file, the app loads it and uses it; requests
    in flight are answered by the old one.

    Parameters
    ----------
    bundle : path-like
        A bundle that `sklearn_llmrec.save` wrote, or a link to one, with item ids. With histories, requests may name
        users.
    feedback : str, default=None
        URL of a database for feedback, ``sqlite:///feedback.db`` or ``postgresql://...``; a path is a file of SQLite.
        Without it the server takes no feedback.
    keys : iterable of str, default=None
        Keys as ``name:rights:hash``, with rights among "read", "feedback" and "reload" joined by "+". By default
        those of the environment variable SKLEARN_LLMREC_API_KEYS. Without any, everybody may do everything.
    **settings : dict
        Limits of a request: ``max_body=1_000_000`` bytes, ``max_history=1000``, ``max_k=1000``, ``max_requests=256``
        per call, and ``max_items=10_000`` in `candidates` and `exclude`. Limits of the server: ``max_queue=1024``
        waiting requests and ``max_batch=64`` per call of the model. Times in seconds: ``body_timeout=5.0``,
        ``timeout=10.0``, and ``watch=1.0`` between checks of the file. Further: ``event_weights=None`` (the weight of
        an event by its type), ``log_requests=False``, ``mmap=False``, ``trusted=False``.

    Returns
    -------
    app : fastapi.FastAPI

    Raises
    ------
    ImportError
        If the extra `serve` is not installed.
    ValueError
        If the bundle is damaged or has no item ids, or a setting or key is wrong.

    Notes
    -----
    A request costs the model's `recommend` for one row, shared by the requests of a batch, and about 0.2 ms of HTTP.
    The app has one model in memory, during a swap two.

    A full garbage collection visits the objects of all imported libraries, and requests wait about 0.3 s for it. In a
    process that only serves, call ``gc.collect()`` and ``gc.freeze()`` once the app is made, as ``sklearn-llmrec
    serve`` does.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from sklearn_llmrec import Interactions, ItemKNN, save
    >>> from sklearn_llmrec.serving import create_app
    >>> X = Interactions(
    ...     np.eye(3) + 1, user_ids=["ann", "bob", "eve"], item_ids=["mug", "tea", "jam"]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(f"{folder}/bundle", ItemKNN().fit(X), X, histories=True)
    ...     app = create_app(path, keys=[])
    >>> sorted(path for path in app.openapi()["paths"] if path.startswith("/v1"))
    ['/v1/explain', '/v1/model', '/v1/recommend', '/v1/reload', '/v1/similar']
    """
    for package in _PACKAGES:
        require(package, "serve")
    from sklearn_llmrec.serving._app import build

    known = Keys.from_environment() if keys is None else Keys.parse(" ".join(keys))
    return build(bundle, feedback, Settings(**settings), known)
