"""Check the JSON that clients send, and describe it in OpenAPI.

Answers are described here too, but built as plain dicts: validating them again would cost more than ranking.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)
from pydantic_core import CoreSchema

_LONGEST_ID = 256


class _Message(NamedTuple):
    """Set the message of a union: pydantic would name the first alternative only."""

    text: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of the union with one error for all alternatives; valid input costs nothing more."""
        return {
            **handler(source),
            "custom_error_type": "union",
            "custom_error_message": self.text,
        }


_Number = Annotated[StrictInt, Field(ge=-(2**63), le=2**64 - 1)]

#: Ids are compared as JSON gives them: the number 7 and the text "7" are two ids.
Id = Annotated[
    _Number | Annotated[StrictStr, Field(max_length=_LONGEST_ID)],
    _Message(f"An id is a whole number of 64 bits or a text of at most {_LONGEST_ID} characters."),
    Field(description="An id as it was in the log: a whole number or a text."),
]
#: Ids that may become rows and columns of the next bundle.
RecordedId = Annotated[
    _Number | Annotated[StrictStr, Field(min_length=1, max_length=_LONGEST_ID)],
    _Message(f"An id is a whole number of 64 bits or a text of 1 to {_LONGEST_ID} characters."),
    Field(description="An id as it was in the log: a whole number or a text, not an empty one."),
]
Time = Annotated[
    StrictInt | StrictFloat,
    _Message("A time is a number: unix seconds, or the unit of the log if it has another one."),
    Field(ge=-(2**63), le=2**63, allow_inf_nan=False),
]
ShortText = Annotated[StrictStr, Field(min_length=1, max_length=_LONGEST_ID)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recommendation(_Request):
    """One request for a list: of a known user, or for a history."""

    user: Id | None = Field(
        None, description="A known user: the history is that of the bundle and later feedback."
    )
    history: list[Id] | None = Field(None, description="Item ids, in the order of the events.")
    times: list[Time] | None = Field(
        None,
        description="One time per id of `history`: unix seconds, or the unit of the log if it has another one.",
    )
    k: int = Field(10, ge=1, strict=True, description="Length of the list, at most.")
    exclude_seen: StrictBool = Field(True, description="Leave out the items of the history.")
    candidates: list[Id] | None = Field(None, description="The only items that may be listed.")
    exclude: list[Id] | None = Field(None, description="Items that may not be listed.")
    columns: list[ShortText] | None = Field(
        None, max_length=32, description="Columns of the item table to return beside the ids."
    )
    request_id: ShortText | None = Field(
        None, description="Returned as given; feedback may name it. By default a random one."
    )


class RecommendBody(Recommendation):
    """A request for a list, or a batch of them."""

    requests: list[Recommendation] | None = Field(
        None, min_length=1, description="Several requests at once; the other fields are left out."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": ["s01", "s02"], "k": 5},
                {"user": "c017", "k": 10, "columns": ["title"]},
                {"requests": [{"user": "c003"}, {"history": ["s07"], "exclude": ["s08"]}]},
            ]
        }
    )


class SimilarBody(_Request):
    """A request for the items that are most similar to some."""

    items: list[Id] = Field(min_length=1, description="Item ids of the catalogue.")
    k: int = Field(10, ge=1, strict=True, description="Length of the lists, at most.")
    columns: list[ShortText] | None = Field(None, max_length=32)

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": ["s01"], "k": 5}]})


class ExplainBody(_Request):
    """A request for an explanation: the contribution of each item of the history to an item's score."""

    user: Id | None = None
    history: list[Id] | None = None
    times: list[Time] | None = None
    item: Id = Field(description="The item to explain.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"history": ["s01", "s02"], "item": "s05"}]}
    )


class FeedbackEvent(_Request):
    """Something that a user did with an item."""

    event_id: ShortText = Field(description="Unique; sending an event twice records it once.")
    user: RecordedId
    item: RecordedId
    type: ShortText = Field("interaction", description="Kind of event, such as view or purchase.")
    value: Annotated[StrictInt | StrictFloat, Field(ge=-1e12, le=1e12)] = Field(
        1.0, description="What it is worth: a rating, a quantity."
    )
    time: Time | None = Field(
        None,
        description="Unix seconds, or the unit of the log if it has another one; by default now, in unix seconds.",
    )
    request_id: ShortText | None = Field(
        None, description="`request_id` of the answer that showed the item."
    )


class FeedbackBody(_Request):
    """Events to record."""

    events: list[FeedbackEvent] = Field(min_length=1)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"events": [{"event_id": "e-1", "user": "c017", "item": "s05", "type": "purchase"}]}
            ]
        }
    )


# -- answers, for OpenAPI ----------------------------------------------------------------------------


class _Answer(BaseModel):
    version: str = Field(description="Version of the model that answered.")


class RankedList(BaseModel):
    """A ranking list, best first."""

    request_id: str
    items: list[Any]
    scores: list[float]
    known_user: bool | None = Field(None, description="Whether `user` has a history.")
    unknown_items: int | None = Field(None, description="Ids of the history outside the catalogue.")
    columns: dict[str, list[Any]] | None = None


class RecommendAnswer(_Answer):
    """The list of a request, or those of a batch."""

    request_id: str | None = None
    items: list[Any] | None = None
    scores: list[float] | None = None
    known_user: bool | None = None
    unknown_items: int | None = None
    columns: dict[str, list[Any]] | None = None
    results: list[RankedList] | None = None


class SimilarList(BaseModel):
    """The items most similar to one."""

    item: Any
    items: list[Any]
    similarities: list[float]
    columns: dict[str, list[Any]] | None = None


class SimilarAnswer(_Answer):
    """One list for each requested item."""

    results: list[SimilarList]


class ExplainAnswer(_Answer):
    """The contributions of the items of the history, largest first."""

    item: Any
    items: list[Any]
    contributions: list[float]


class FeedbackAnswer(_Answer):
    """The number of events that are now durable, and of those that already were."""

    accepted: int
    duplicates: int


class ModelAnswer(_Answer):
    """The model that answers."""

    model: str
    n_items: int
    n_known_users: int | None
    item_columns: list[str]
    metrics: dict[str, Any] | None
    created: Any = None


class ReloadAnswer(_Answer):
    """The result of a reload: whether another model answers now."""

    swapped: bool


class ErrorDetail(BaseModel):
    """The reason for a refusal."""

    code: str
    message: str
    where: str | None = None


class ErrorAnswer(BaseModel):
    """A refusal."""

    error: ErrorDetail
    version: str | None = None

    example: ClassVar[dict[str, Any]] = {
        "error": {"code": "invalid", "message": "Input should be a valid list", "where": "history"}
    }
