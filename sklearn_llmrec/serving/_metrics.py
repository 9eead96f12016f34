"""Metrics for Prometheus: requests, times, batches, queues, feedback, swaps."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_PREFIX = "sklearn_llmrec_"


class Metrics:
    """The figures of one server.

    With several worker processes the environment variable PROMETHEUS_MULTIPROC_DIR names a folder that they share, and
    any of them reports the sums.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}requests",
            "Requests by endpoint and status.",
            ("endpoint", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}request_seconds",
            "Time to answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            f"{_PREFIX}batch_size",
            "Requests answered in one call.",
            ("queue",),
            buckets=_SIZES,
            registry=registry,
        )
        self.waiting = Gauge(
            f"{_PREFIX}waiting",
            "Requests that wait or are answered.",
            ("queue",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.events = Counter(
            f"{_PREFIX}feedback_events", "Events by result.", ("result",), registry=registry
        )
        self.shown_lost = Counter(
            f"{_PREFIX}shown_lost",
            "Places of lists whose propensities were not logged.",
            registry=registry,
        )
        self.swaps = Counter(
            f"{_PREFIX}swaps", "Swaps of the model by result.", ("result",), registry=registry
        )
        self.loaded = Gauge(
            f"{_PREFIX}model_loaded_seconds",
            "Unix time of the last swap.",
            registry=registry,
            multiprocess_mode="max",
        )
        # Children are looked up once: labels() takes a lock and builds a tuple at every call.
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}

    def observe(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request and its time."""
        found = self._children.get((endpoint, status))
        if found is None:
            found = (
                self._requests.labels(endpoint, str(status)),
                self._seconds.labels(endpoint),
            )
            self._children[endpoint, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self.registry)
