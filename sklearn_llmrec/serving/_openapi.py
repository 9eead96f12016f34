"""OpenAPI of the endpoints that answer ASGI directly, added to FastAPI's own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sklearn_llmrec.serving import _schemas

_REFUSALS = {
    "400": "The body is no JSON, or the connection was closed.",
    "401": "The API key is missing or unknown.",
    "403": "The API key lacks the right.",
    "404": "An item is unknown, or the model cannot answer such questions.",
    "405": "The method is not POST.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "422": "The body has another form, or a limit is exceeded.",
    "503": "Too many requests wait, or the database does not answer: try again after Retry-After seconds.",
}

#: Path, summary, body, answer and example of an answer.
POSTS: tuple[tuple[str, str, type[BaseModel], type[BaseModel], dict[str, Any]], ...] = (
    (
        "/v1/recommend",
        "The best items for a user or a history",
        _schemas.RecommendBody,
        _schemas.RecommendAnswer,
        {"version": "3f0c", "request_id": "r-1", "items": ["s05", "s09"], "scores": [1.2, 0.7]},
    ),
    (
        "/v1/similar",
        "The items most similar to some",
        _schemas.SimilarBody,
        _schemas.SimilarAnswer,
        {
            "version": "3f0c",
            "results": [{"item": "s01", "items": ["s02"], "similarities": [0.4]}],
        },
    ),
    (
        "/v1/explain",
        "What each item of a history adds to the score of an item",
        _schemas.ExplainBody,
        _schemas.ExplainAnswer,
        {"version": "3f0c", "item": "s05", "items": ["s01", "s02"], "contributions": [0.9, 0.3]},
    ),
    (
        "/v1/feedback",
        "Record events; answered when they are durable",
        _schemas.FeedbackBody,
        _schemas.FeedbackAnswer,
        {"version": "3f0c", "accepted": 1, "duplicates": 0},
    ),
)

_REFERENCE = "#/components/schemas/{model}"


def describe(app: FastAPI, *, with_feedback: bool) -> None:
    """Make the app's OpenAPI list the endpoints of `POSTS` too."""
    schema_of_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = schema_of_routes()
            listed = [post for post in POSTS if with_feedback or post[0] != "/v1/feedback"]
            _add(schema, listed)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add(schema: dict[str, Any], posts: list[Any]) -> None:
    models = {model for _, _, body, answer, _ in posts for model in (body, answer)}
    wanted = [(model, "validation") for model in (*models, _schemas.ErrorAnswer)]
    _, found = models_json_schema(wanted, ref_template=_REFERENCE)  # type: ignore[arg-type]
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(found["$defs"])
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    schema["security"] = [{}, {"bearer": []}, {"header": []}]
    for path, summary, body, answer, example in posts:
        schema.setdefault("paths", {})[path] = {
            "post": {
                "summary": summary,
                "operationId": path.rpartition("/")[2],
                "requestBody": {"required": True, "content": _content(body)},
                "responses": {
                    "200": {"description": "The answer.", "content": _content(answer, example)},
                    **refusals(),
                },
            }
        }


def _content(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    reference = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}
    return {"application/json": reference | ({} if example is None else {"example": example})}


def refusals() -> dict[str, Any]:
    """Return the refusals that every endpoint may give."""
    content = _content(_schemas.ErrorAnswer, _schemas.ErrorAnswer.example)
    return {status: {"description": text, "content": content} for status, text in _REFUSALS.items()}
