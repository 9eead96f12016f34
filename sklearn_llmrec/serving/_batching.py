"""Micro-batches: a thread answers all waiting jobs in one call, and refuses jobs that would wait too long.

The event loop puts jobs into a queue. One thread takes all that wait, up to a limit, runs them in one call and hands
the results back to the loop in one step. While it works, the next batch gathers: batches grow with the load and
a lone job never waits for others. A lone job that takes a moment only may run in the event loop itself, since handing
it to the thread and back costs as much as the job.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")


class QueueFull(Exception):
    """Raised if the queue is full."""


class TooLate(Exception):
    """Raised if a job was not finished in time."""


class Batcher(Generic[Job]):
    """Run jobs of an event loop in batches in a separate thread.

    Parameters
    ----------
    run : callable
        Takes a list of jobs and returns one result per job; an exception as a result is raised to the one that waits.
        An exception raised by `run` goes to all jobs of the batch.
    max_batch : int
        Most jobs of a call of `run`.
    max_queue : int
        Most jobs that wait or run.
    timeout : float
        Seconds after which a job is given up.
    name : str
        Name of the thread.
    on_batch : callable, default=None
        Called with the number of jobs of every batch.
    quick : float, default=0.0
        A lone job runs in the event loop if such jobs took less than this, in seconds, on average; 0 for never.
    """

    def __init__(
        self,
        run: Callable[[list[Job]], Sequence[Any]],
        *,
        max_batch: int,
        max_queue: int,
        timeout: float,
        name: str,
        on_batch: Callable[[int], None] | None = None,
        quick: float = 0.0,
    ) -> None:
        self._run, self._on_batch, self._quick = run, on_batch, quick
        # Mean seconds of lone jobs, weighted towards the latest; the first ones run in the thread.
        self._lone_seconds = float("inf")
        self._gathered: list[tuple[Job, asyncio.Future[Any], float]] = []
        self._max_batch, self._max_queue, self._timeout = max_batch, max_queue, timeout
        self._queue: SimpleQueue[tuple[Job, asyncio.Future[Any], float] | None] = SimpleQueue()
        # Every future that waits, oldest first, with its deadline.
        self._waiting: dict[asyncio.Future[Any], float] = {}
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def n_waiting(self) -> int:
        """Number of jobs that wait or run."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the thread; the caller's event loop gets the results."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._sweep = self._loop.call_later(self._timeout / 10, self._give_up)

    async def close(self) -> None:
        """Finish the waiting jobs, and stop the thread."""
        self._closed = True
        self._flush()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._sweep is not None:
            self._sweep.cancel()

    def submit(self, jobs: Sequence[Job]) -> list[asyncio.Future[Any]]:
        """Submit jobs to the queue, all or none, and return their futures.

        Raises
        ------
        QueueFull
            If they would make more jobs than may wait, or the server stops.
        """
        if self._closed or len(self._waiting) + len(jobs) > self._max_queue or self._loop is None:
            raise QueueFull("The queue is full, or the server stops: try again later.")
        deadline, futures = monotonic() + self._timeout, []
        if not self._gathered:
            # After the other requests that arrived at the same time.
            self._loop.call_soon(self._flush)
        for job in jobs:
            future = self._loop.create_future()
            self._waiting[future] = deadline
            self._gathered.append((job, future, deadline))
            futures.append(future)
        return futures

    def _flush(self) -> None:
        """Run a lone quick job here, or pass all waiting jobs to the thread."""
        gathered, self._gathered = self._gathered, []
        if len(gathered) == 1 == len(self._waiting) and self._lone_seconds < self._quick:
            self._deliver(self._answered(gathered))
            return
        for entry in gathered:
            self._queue.put(entry)

    # -- in the event loop ---------------------------------------------------------------------------

    def _deliver(self, done: list[tuple[asyncio.Future[Any], Any]]) -> None:
        for future, result in done:
            self._waiting.pop(future, None)
            if future.done():  # given up, or its client has gone
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _give_up(self) -> None:
        now = monotonic()
        late = []
        for future, deadline in self._waiting.items():
            if deadline > now:
                break
            late.append(future)
        # They stay among those that wait until the thread returns them: its work continues.
        for future in late:
            if not future.done():
                future.set_exception(TooLate())
        if self._loop is not None:
            self._sweep = self._loop.call_later(self._timeout / 10, self._give_up)

    # -- in the thread -------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch = [first]
            stop = False
            while len(batch) < self._max_batch:
                try:
                    entry = self._queue.get_nowait()
                except Empty:
                    break
                if entry is None:
                    stop = True
                    break
                batch.append(entry)
            self._answer(batch)
            del batch, first  # a job may refer to a model that was replaced
            if stop:
                return

    def _answer(self, batch: list[tuple[Job, asyncio.Future[Any], float]]) -> None:
        done, loop = self._answered(batch), self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, done)

    # -- in either -----------------------------------------------------------------------------------

    def _answered(
        self, batch: list[tuple[Job, asyncio.Future[Any], float]]
    ) -> list[tuple[asyncio.Future[Any], Any]]:
        start = monotonic()
        alive = [entry for entry in batch if entry[2] > start and not entry[1].cancelled()]
        results: Sequence[Any]
        try:
            results = self._run([job for job, _, _ in alive]) if alive else []
        except Exception as error:
            results = [error] * len(alive)
        if self._on_batch is not None and alive:
            self._on_batch(len(alive))
        if len(alive) == 1:
            seconds, mean = monotonic() - start, self._lone_seconds
            self._lone_seconds = seconds if mean == float("inf") else 0.8 * mean + 0.2 * seconds
        done: list[tuple[asyncio.Future[Any], Any]] = [
            (future, result) for (_, future, _), result in zip(alive, results)
        ]
        answered = {future for future, _ in done}
        return done + [(future, TooLate()) for _, future, _ in batch if future not in answered]
