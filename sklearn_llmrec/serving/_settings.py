"""Settings of a server: limits, times and the weights of events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Settings of a server, each with a default that suits a small machine.

    Parameters
    ----------
    max_body : int, default=1_000_000
        Largest request body in bytes.
    max_history : int, default=1000
        Longest history of a request. Of a known user the latest interactions are taken.
    max_k : int, default=1000
        Longest list.
    max_requests : int, default=256
        Most requests of one batch, and most events of one call.
    max_items : int, default=10_000
        Most item ids in `candidates`, `exclude` or a question about items.
    max_queue : int, default=1024
        Most requests that wait or are answered; further ones are refused with status 503.
    max_batch : int, default=64
        Most requests that the model answers in one call.
    body_timeout : float, default=5.0
        Seconds in which a request must arrive.
    timeout : float, default=10.0
        Seconds after which a request that was not answered is refused with status 503.
    watch : float, default=1.0
        Seconds between looks at the bundle's file and at feedback of other processes; 0 does not look.
    event_weights : mapping of str to float, default=None
        What an event of a type is worth, multiplied with its value; events of other types count nothing. By default
        every event counts its value.
    log_requests : bool, default=False
        Whether every request is logged; by default only those that fail.
    mmap : bool, default=False
        Whether arrays of the bundle are memory-mapped.
    trusted : bool or tuple of str, default=False
        What `sklearn_llmrec.persistence.load` may trust.

    Raises
    ------
    ValueError
        If a limit is not positive.
    """

    max_body: int = 1_000_000
    max_history: int = 1000
    max_k: int = 1000
    max_requests: int = 256
    max_items: int = 10_000
    max_queue: int = 1024
    max_batch: int = 64
    body_timeout: float = 5.0
    timeout: float = 10.0
    watch: float = 1.0
    event_weights: Mapping[str, float] | None = None
    log_requests: bool = False
    mmap: bool = False
    trusted: Any = field(default=False)

    def __post_init__(self) -> None:
        limits = [name for name in vars(self) if name.startswith("max_") or "timeout" in name]
        wrong = {name: getattr(self, name) for name in limits if not getattr(self, name) > 0}
        if wrong or self.watch < 0:
            raise ValueError(
                f"Limits must be above 0, got {wrong or {'watch': self.watch}}; watch=0 turns watching off."
            )
        if self.max_queue < self.max_requests:
            raise ValueError(
                f"max_queue is {self.max_queue} and max_requests {self.max_requests}: a batch that fills the queue "
                "would never be answered. Raise max_queue or lower max_requests."
            )

    def to_json(self) -> str:
        """Return the settings as JSON, for the environment of worker processes."""
        values = asdict(self)
        if not isinstance(self.trusted, bool):
            values["trusted"] = list(self.trusted)
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the settings that `to_json` wrote."""
        return cls(**json.loads(text))


def event_worth(weights: Mapping[str, float] | None, kind: str, value: float) -> float:
    """Return the value of an event times the weight of its type; 0 for a type without a weight."""
    if weights is None:
        return value
    return weights.get(kind, 0.0) * value
