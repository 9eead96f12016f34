"""Store feedback while the server runs: one durable commit for all waiting events, and lists that a bandit chose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from sklearn_llmrec.serving._answers import ListJob
from sklearn_llmrec.serving._batching import Batcher, QueueFull
from sklearn_llmrec.serving._errors import Refused, StoreUnavailable
from sklearn_llmrec.serving._events import id_kind
from sklearn_llmrec.serving._live import LiveEvents
from sklearn_llmrec.serving._logs import log
from sklearn_llmrec.serving._metrics import Metrics
from sklearn_llmrec.serving._schemas import FeedbackEvent
from sklearn_llmrec.serving._served import Lists, ServedModel
from sklearn_llmrec.serving._settings import Settings, event_worth
from sklearn_llmrec.serving._store import Event, FeedbackStore, Shown, now

# Events of one commit: enough that the flush to disk is shared, few enough that nobody waits long.
_EVENT_JOBS = 512
# Seconds by which the clock of a client may be ahead.
_AHEAD = 86_400.0


def check_events(events: Sequence[FeedbackEvent], served: ServedModel) -> None:
    """Refuse events that no update could add to the histories of a model.

    Raises
    ------
    Refused
        If an id is of another kind than those of the model, or a time is far in the future, as milliseconds are.
    """
    latest = now() + _AHEAD
    for number, event in enumerate(events):
        for name, kind in (("user", served.user_kind), ("item", served.item_kind)):
            found = id_kind(getattr(event, name))
            if kind is not None and found != kind:
                message = f"{name.capitalize()} ids of this model are {kind}, got a {found[:-1]}."
                raise Refused(422, "invalid", message, where=f"events.{number}.{name}")
        if served.takes_unix_seconds and event.time is not None and event.time > latest:
            message = (
                "The time is more than a day after the clock of the server: times are unix seconds. "
                "Divide milliseconds by 1000."
            )
            raise Refused(422, "invalid", message, where=f"events.{number}.time")


class Feedback:
    """Write events and shown lists, and track the events of known users since the bundle was made.

    Parameters
    ----------
    store : FeedbackStore
    settings : Settings
    metrics : Metrics
    after : int
        The last event that the histories of the first model contain.
    """

    def __init__(
        self, store: FeedbackStore, settings: Settings, metrics: Metrics, *, after: int
    ) -> None:
        self.store, self._metrics = store, metrics
        self.live = LiveEvents(
            store,
            worth=lambda kind, value: event_worth(settings.event_weights, kind, value),
            max_history=settings.max_history,
            after=after,
        )
        self._batcher: Batcher[list[Event]] = Batcher(
            self._write,
            max_batch=_EVENT_JOBS,
            max_queue=settings.max_queue,
            timeout=settings.timeout,
            name="feedback",
            on_batch=metrics.batch.labels("feedback").observe,
        )
        self._shown: Batcher[tuple[list[ListJob], Lists]] = Batcher(
            self._write_shown,
            max_batch=16,
            max_queue=settings.max_queue,
            timeout=settings.timeout,
            name="shown",
        )
        metrics.waiting.labels("feedback").set_function(lambda: self._batcher.n_waiting)
        self.available = True

    def after(self, served: ServedModel) -> int:
        """Return the number of the last event that the histories of a model contain."""
        store_id, position = served.position
        return position if store_id == self.store.store_id else 0

    def start(self) -> None:
        """Start both threads."""
        self._loop = asyncio.get_running_loop()
        self._batcher.start()
        self._shown.start()

    async def close(self) -> None:
        """Write what is waiting, and close the store."""
        await self._batcher.close()
        await self._shown.close()
        self.store.close()

    # -- events --------------------------------------------------------------------------------------

    async def record(self, events: Sequence[FeedbackEvent]) -> tuple[int, int]:
        """Write events; return how many are durable now, and how many of them already were.

        Raises
        ------
        StoreUnavailable
            If they could not be written.
        QueueFull, TooLate
            If too many wait, or the store takes too long; the events may be written all the same.
        """
        current = now()
        rows = [
            Event(
                event.event_id,
                event.user,
                event.item,
                event.type,
                float(event.value),
                current if event.time is None else float(event.time),
                event.request_id,
            )
            for event in events
        ]
        [future] = self._batcher.submit([rows])
        n_new: int = await future
        self._metrics.events.labels("accepted").inc(n_new)
        self._metrics.events.labels("duplicate").inc(len(rows) - n_new)
        return len(rows), len(rows) - n_new

    def _write(self, jobs: list[list[Event]]) -> list[int]:
        try:
            new = self.store.append([event for job in jobs for event in job])
        except StoreUnavailable:
            self.available = False
            raise
        self.available = True
        self.catch_up()
        counts = []
        for job in jobs:
            mine = {event.event_id for event in job} & new
            new -= mine
            counts.append(len(mine))
        return counts

    def catch_up(self) -> None:
        """Read new events from the store, also those of other processes; try again later if it does not answer."""
        try:
            self.live.catch_up()
            self.available = True
        except StoreUnavailable as error:
            self.available = False
            log(logging.WARNING, "feedback not read", reason=str(error))

    # -- what was shown ------------------------------------------------------------------------------

    def on_lists(self, jobs: list[ListJob], lists: Lists) -> None:
        """Queue lists that a bandit chose, from the thread that ranked them; answers do not wait for this."""
        self._loop.call_soon_threadsafe(self._queue_shown, (jobs, lists))

    def _queue_shown(self, entry: tuple[list[ListJob], Lists]) -> None:
        n_shown = int((entry[1].items >= 0).sum())
        try:
            [future] = self._shown.submit([entry])
        except QueueFull:
            self._metrics.shown_lost.inc(n_shown)
            return
        future.add_done_callback(lambda done: self._count_lost(done, n_shown))

    def _count_lost(self, done: asyncio.Future[Any], n_shown: int) -> None:
        if done.cancelled() or done.exception() is not None:
            self._metrics.shown_lost.inc(n_shown)

    def _write_shown(self, entries: list[tuple[list[ListJob], Lists]]) -> list[None]:
        rows: list[Shown] = []
        current = now()
        for jobs, lists in entries:
            served = jobs[0].served
            chances = served.propensities(lists)
            for job, columns, probabilities in zip(jobs, lists.items.tolist(), chances.tolist()):
                rows += [
                    Shown(
                        job.request_id,
                        rank,
                        job.request.user,
                        served.item_ids[column],
                        probability,
                        served.version,
                        current,
                    )
                    for rank, (column, probability) in enumerate(zip(columns, probabilities), 1)
                    if column >= 0
                ]
        self.store.append_shown(rows)
        return [None] * len(entries)
