"""The app: endpoints over one model, with feedback where a store is given."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from sklearn_llmrec.serving import _schemas
from sklearn_llmrec.serving._answers import (
    ListJob,
    QuestionJob,
    answer_jobs,
    explain_answer,
    similar_answer,
)
from sklearn_llmrec.serving._batching import Batcher
from sklearn_llmrec.serving._errors import Refused
from sklearn_llmrec.serving._feedback import Feedback, check_events
from sklearn_llmrec.serving._http import Answer, Door, Endpoint, Endpoints
from sklearn_llmrec.serving._keys import Keys
from sklearn_llmrec.serving._logs import log
from sklearn_llmrec.serving._metrics import Metrics
from sklearn_llmrec.serving._openapi import POSTS, describe, refusals
from sklearn_llmrec.serving._served import ServedModel
from sklearn_llmrec.serving._settings import Settings
from sklearn_llmrec.serving._store import FeedbackStore
from sklearn_llmrec.serving._swap import CurrentModel
from sklearn_llmrec.utils import package_version

# Seconds for which a lone request may keep the event loop from others.
_QUICK = 0.004


class Server:
    """State and endpoints of one process.

    Parameters
    ----------
    path : path-like
        The bundle.
    feedback : str or None
        URL of the feedback database.
    settings : Settings
    keys : Keys
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        feedback: str | None,
        settings: Settings,
        keys: Keys,
    ) -> None:
        self._settings = settings
        self.metrics = Metrics()
        self.current = CurrentModel(path, settings, self.metrics)
        self.door = Door(settings, keys, self.metrics, lambda: self.current.served.version)
        self._feedback: Feedback | None = None
        if feedback is not None:
            store = FeedbackStore(feedback)
            stored, position = self.current.served.position
            after = position if stored == store.store_id else 0
            self._feedback = Feedback(store, settings, self.metrics, after=after)
        self._batcher: Batcher[ListJob | QuestionJob] = Batcher(
            self._answer_jobs,
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            timeout=settings.timeout,
            name="model",
            on_batch=self.metrics.batch.labels("model").observe,
            quick=_QUICK,
        )
        self.metrics.waiting.labels("model").set_function(lambda: self._batcher.n_waiting)

    # -- life ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Start the threads with the app; when it stops, finish what was accepted."""
        self._batcher.start()
        if self._feedback is not None:
            self._feedback.start()
            await asyncio.to_thread(self._feedback.catch_up)
        watch = self._settings.watch and asyncio.create_task(self.current.watch(self._looked))
        log(logging.INFO, "serving", version=self.current.served.version)
        yield
        if watch:
            watch.cancel()
        await self._batcher.close()
        if self._feedback is not None:
            await self._feedback.close()

    async def _looked(self, swapped: bool) -> None:
        if self._feedback is None:
            return
        await asyncio.to_thread(self._feedback.catch_up)
        if swapped:
            # Requests that came in before the swap still read what the new histories contain.
            upto, forget = self._feedback.after(self.current.served), self._feedback.live.forget
            asyncio.get_running_loop().call_later(2 * self._settings.timeout, forget, upto)

    def _answer_jobs(self, jobs: list[ListJob | QuestionJob]) -> Sequence[Any]:
        return answer_jobs(jobs, None if self._feedback is None else self._feedback.on_lists)

    def _since(self, served: ServedModel) -> tuple[Any, int]:
        if self._feedback is None:
            return None, 0
        return self._feedback.live, self._feedback.after(served)

    # -- endpoints -----------------------------------------------------------------------------------

    def endpoints(self) -> dict[str, Endpoint]:
        """Return the endpoints that take JSON, by path."""
        answers: dict[str, tuple[str, Answer]] = {
            "/v1/recommend": ("read", self.recommend),
            "/v1/similar": ("read", self.similar),
            "/v1/explain": ("read", self.explain),
            "/v1/feedback": ("feedback", self.feedback),
        }
        schemas = {path: body for path, _, body, _, _ in POSTS}
        return {
            path: Endpoint(path.rpartition("/")[2], self.door, right, schemas[path], answer)
            for path, (right, answer) in answers.items()
            if self._feedback is not None or right != "feedback"
        }

    async def recommend(self, asked: _schemas.RecommendBody) -> dict[str, Any]:
        """Return one list, or those of a batch."""
        served = self.current.served
        live, after = self._since(served)
        if asked.requests is None:
            self._check(asked, served)
            job = ListJob(served, asked, asked.request_id or token_hex(16), live, after)
            [future] = self._batcher.submit([job])
            return {"version": served.version, **await future}
        if asked.model_fields_set != {"requests"}:
            raise Refused(422, "invalid", "Beside `requests` no other field is allowed.")
        _at_most(len(asked.requests), self._settings.max_requests, "requests")
        for request in asked.requests:
            self._check(request, served)
        futures = self._batcher.submit(
            [
                ListJob(served, request, request.request_id or token_hex(16), live, after)
                for request in asked.requests
            ]
        )
        return {"version": served.version, "results": await asyncio.gather(*futures)}

    async def similar(self, asked: _schemas.SimilarBody) -> dict[str, Any]:
        """Return the items most similar to some."""
        served = self.current.served
        _at_most(len(asked.items), self._settings.max_requests, "items")
        _at_most(asked.k, self._settings.max_k, "k")
        _check_columns(asked.columns, served)
        [future] = self._batcher.submit([QuestionJob(lambda: similar_answer(served, asked))])
        return {"version": served.version, **await future}

    async def explain(self, asked: _schemas.ExplainBody) -> dict[str, Any]:
        """Return the contribution of each item of a history to the score of an item."""
        served = self.current.served
        live, after = self._since(served)
        self._check_history(asked)
        question = QuestionJob(lambda: explain_answer(served, asked, live, after))
        [future] = self._batcher.submit([question])
        return {"version": served.version, **await future}

    async def feedback(self, asked: _schemas.FeedbackBody) -> dict[str, Any]:
        """Record events, and answer when they are durable."""
        if self._feedback is None:
            raise Refused(404, "not_offered", "The server keeps no feedback.")
        _at_most(len(asked.events), self._settings.max_requests, "events")
        served = self.current.served
        check_events(asked.events, served)
        accepted, duplicates = await self._feedback.record(asked.events)
        return {"version": served.version, "accepted": accepted, "duplicates": duplicates}

    def model(self) -> dict[str, Any]:
        """Return information about the current model."""
        served = self.current.served
        return {
            "version": served.version,
            "model": type(served.model).__name__,
            "n_items": served.n_items,
            "n_known_users": served.n_users,
            "item_columns": served.feature_columns,
            "metrics": served.manifest.get("metrics"),
            "created": served.manifest.get("created"),
        }

    async def reload(self) -> dict[str, Any]:
        """Load the bundle again.

        Raises
        ------
        Refused
            If it cannot be loaded; the old model continues to answer.
        """
        try:
            swapped = await self.current.reload()
        except Exception as error:
            self.metrics.swaps.labels("failed").inc()
            log(logging.ERROR, "model not loaded", error=f"{type(error).__name__}: {error}")
            message = f"The bundle was not loaded ({type(error).__name__}); the old model answers."
            raise Refused(409, "not_loaded", message) from error
        await self._looked(swapped)
        return {"version": self.current.served.version, "swapped": swapped}

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether requests can be answered, and the parts that this depends on."""
        state: dict[str, Any] = {"version": self.current.served.version}
        if self._feedback is None:
            return True, state
        await asyncio.to_thread(self._feedback.catch_up)
        state["feedback"] = "available" if self._feedback.available else "unavailable"
        return self._feedback.available, state

    # -- limits --------------------------------------------------------------------------------------

    def _check(self, asked: _schemas.Recommendation, served: ServedModel) -> None:
        self._check_history(asked)
        _at_most(asked.k, self._settings.max_k, "k")
        _at_most(len(asked.candidates or ()), self._settings.max_items, "candidates")
        _at_most(len(asked.exclude or ()), self._settings.max_items, "exclude")
        _check_columns(asked.columns, served)

    def _check_history(self, asked: _schemas.Recommendation | _schemas.ExplainBody) -> None:
        if (asked.user is None) == (asked.history is None):
            raise Refused(422, "invalid", "Give either `user` or `history`.")
        _at_most(len(asked.history or ()), self._settings.max_history, "history")
        if asked.times is not None and len(asked.times) != len(asked.history or ()):
            raise Refused(422, "invalid", "`times` must contain one time per id of `history`.")


def _at_most(found: int, limit: int, name: str) -> None:
    if found > limit:
        raise Refused(422, "limit", f"`{name}` may be {limit} at most.")


def _check_columns(columns: Sequence[str] | None, served: ServedModel) -> None:
    unknown = [name for name in columns or () if name not in served.feature_columns]
    if unknown and not served.feature_columns:
        message = (
            "The bundle was saved without item features, so `columns` has nothing to return. "
            "Give the table of items to `sklearn-llmrec fit --items`."
        )
        raise Refused(422, "invalid", message, where="columns")
    if unknown:
        raise Refused(422, "invalid", f"The item table has the columns {served.feature_columns}.")


def build(
    path: str | os.PathLike[str],
    feedback: str | None,
    settings: Settings,
    keys: Keys,
) -> FastAPI:
    """Return the app; `create_app` documents it."""
    server = Server(path, feedback, settings, keys)
    app = FastAPI(
        title="sklearn-llmrec",
        version=package_version(),
        summary="Recommendations, similar items, explanations and feedback over one fitted model.",
        lifespan=server.lifespan,
    )
    app.state.server = server
    app.add_middleware(Endpoints, endpoints=server.endpoints())
    _add_routes(app, server)
    describe(app, with_feedback=feedback is not None)
    return app


def _add_routes(app: FastAPI, server: Server) -> None:
    """Add the rarely used endpoints: the model, reloading, health and metrics."""
    answers: dict[int | str, dict[str, Any]] = {
        status: found for status, found in refusals().items() if status in ("401", "403")
    }
    refused = {**answers, "409": {**refusals()["422"], "description": "The bundle is unusable."}}

    @app.exception_handler(Refused)
    async def refuse(_: Request, error: Refused) -> Response:
        headers = {name.decode(): value.decode() for name, value in error.headers}
        body = server.door.refusal_body(error)
        return Response(body, error.status, headers, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def refuse_path(_: Request, error: HTTPException) -> Response:
        body = server.door.refusal_body(Refused(error.status_code, "http", str(error.detail)))
        headers = dict(error.headers or {})
        return Response(body, error.status_code, headers, media_type="application/json")

    @app.get("/v1/model", response_model=_schemas.ModelAnswer, responses=answers)
    async def model(request: Request) -> JSONResponse:
        """Return which model answers, what it knows and how it was measured."""
        server.door.check_key(request.scope, "read")
        return JSONResponse(server.model())

    @app.post("/v1/reload", response_model=_schemas.ReloadAnswer, responses=refused)
    async def reload(request: Request) -> JSONResponse:
        """Load the bundle again; requests in flight are answered by the old model."""
        server.door.check_key(request.scope, "reload")
        return JSONResponse(await server.reload())

    @app.get("/metrics", response_class=Response, responses=answers)
    async def metrics(request: Request) -> Response:
        """Return figures in Prometheus' format."""
        server.door.check_key(request.scope, "read")
        return Response(server.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health/live")
    async def live() -> dict[str, bool]:
        """Return that the process answers."""
        return {"live": True}

    @app.get("/health/ready", responses={503: {"description": "The database does not answer."}})
    async def ready() -> JSONResponse:
        """Return whether requests can be answered."""
        able, state = await server.ready()
        return JSONResponse({"ready": able, **state}, 200 if able else 503)
