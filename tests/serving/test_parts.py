"""Batches, keys, settings and live events, each alone."""

import asyncio
import threading
import time

import pytest

from sklearn_llmrec.serving import new_key
from sklearn_llmrec.serving._batching import Batcher, QueueFull, TooLate
from sklearn_llmrec.serving._keys import Keys
from sklearn_llmrec.serving._live import LiveEvents
from sklearn_llmrec.serving._settings import Settings, event_worth
from sklearn_llmrec.serving._store import Event, FeedbackStore


def run_with(batcher_options, body):
    """Run a coroutine function with a started batcher, and close it."""
    options = {"max_batch": 8, "max_queue": 16, "timeout": 30, "name": "test", **batcher_options}

    async def main():
        batcher = Batcher(**options)
        batcher.start()
        try:
            return await body(batcher)
        finally:
            await batcher.close()

    return asyncio.run(main())


def test_what_waits_is_answered_in_one_call():
    gate, sizes = threading.Event(), []

    def run(jobs):
        gate.wait(30)
        sizes.append(len(jobs))
        return [2 * job for job in jobs]

    async def body(batcher):
        first = batcher.submit([0])
        await asyncio.sleep(0)
        while batcher._queue.qsize():  # until the thread has taken it
            await asyncio.sleep(0.001)
        rest = batcher.submit(list(range(1, 12)))
        gate.set()
        return await asyncio.gather(*first, *rest)

    assert run_with({"run": run}, body) == [2 * n for n in range(12)]
    assert sizes == [1, 8, 3]


def test_a_full_queue_refuses_all_of_a_batch_or_none():
    gate = threading.Event()

    async def body(batcher):
        waiting = batcher.submit(list(range(10)))
        with pytest.raises(QueueFull):
            batcher.submit(list(range(7)))
        more = batcher.submit(list(range(6)))
        with pytest.raises(QueueFull):
            batcher.submit([0])
        gate.set()
        await asyncio.gather(*waiting, *more)
        return batcher.n_waiting

    def run(jobs):
        gate.wait(30)
        return jobs

    assert run_with({"run": run}, body) == 0


def test_late_jobs_are_given_up_and_count_until_their_work_ends():
    gate = threading.Event()

    def run(jobs):
        gate.wait(30)
        return jobs

    async def body(batcher):
        futures = batcher.submit([1, 2])
        found = await asyncio.gather(*futures, return_exceptions=True)
        waiting = batcher.n_waiting
        gate.set()
        while batcher.n_waiting:
            await asyncio.sleep(0.001)
        return found, waiting

    found, waiting = run_with({"run": run, "timeout": 0.2}, body)
    assert [type(one) for one in found] == [TooLate, TooLate]
    assert waiting == 2


def test_errors_go_to_those_who_wait():
    def run(jobs):
        if "all" in jobs:
            raise KeyError("all")
        return [ValueError(job) if job == "one" else job for job in jobs]

    async def body(batcher):
        found = await asyncio.gather(*batcher.submit(["one", "two"]), return_exceptions=True)
        return found + await asyncio.gather(*batcher.submit(["all"]), return_exceptions=True)

    found = run_with({"run": run}, body)
    assert isinstance(found[0], ValueError)
    assert found[1] == "two"
    assert isinstance(found[2], KeyError)


def test_closing_finishes_what_was_accepted():
    async def body(batcher):
        futures = batcher.submit(list(range(16)))
        await batcher.close()
        with pytest.raises(QueueFull):
            batcher.submit([0])
        return [future.result() for future in futures]

    def run(jobs):
        time.sleep(0.01)
        return jobs

    assert run_with({"run": run, "max_batch": 3}, body) == list(range(16))


def test_lone_quick_jobs_run_in_the_event_loop():
    threads = []

    def run(jobs):
        threads.append((threading.current_thread() is threading.main_thread(), len(jobs)))
        time.sleep(max(jobs))
        return jobs

    async def body(batcher):
        for seconds in (0.0, 0.0, 0.5, 0.0):
            await batcher.submit([seconds])[0]
        await asyncio.gather(*batcher.submit([0.0]), *batcher.submit([0.0]))

    run_with({"run": run, "quick": 0.09}, body)
    # The first is measured in the thread; a slow one makes the next go there; two are a batch.
    assert threads == [(False, 1), (True, 1), (True, 1), (False, 1), (False, 2)]


# -- keys --------------------------------------------------------------------------------------------


def test_a_key_opens_what_its_entry_says():
    key, entry = new_key("shop", ["read", "feedback"])
    other, other_entry = new_key("nightly", ["reload"])
    keys = Keys.parse(f"{entry},\n {other_entry}")
    assert keys.holder(key.encode()) == ("shop", {"read", "feedback"})
    assert keys.holder(other.encode()) == ("nightly", {"reload"})
    assert keys.holder(b"") is None
    assert keys.holder(entry.rpartition(":")[2].encode()) is None  # the hash is no key
    assert key not in entry


@pytest.mark.parametrize(
    "entry", ["shop", "shop:read", "shop:write:00", ":read:" + "0" * 64, "shop:read:" + "0" * 63]
)
def test_wrong_entries_are_refused_without_showing_the_hash(entry):
    with pytest.raises(ValueError, match="sklearn-llmrec key NAME") as refused:
        Keys.parse(entry)
    assert "000" not in str(refused.value)


# -- settings and live events ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"max_body": 0}, {"timeout": -1}, {"watch": -1}, {"max_queue": 10}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_settings_travel_to_worker_processes():
    settings = Settings(max_k=7, event_weights={"view": 0.5}, trusted=["a.b"])
    assert Settings.from_json(settings.to_json()) == settings


def test_worth_of_events():
    assert event_worth(None, "anything", 3.0) == 3.0
    assert event_worth({"view": 0.5}, "view", 3.0) == 1.5
    assert event_worth({"view": 0.5}, "buy", 3.0) == 0.0


def test_live_events_are_those_after_the_bundle(tmp_path):
    store = FeedbackStore(f"{tmp_path}/feedback.db")
    worth = {"view": 1.0, "hide": -1.0}
    live = LiveEvents(
        store, worth=lambda kind, v: event_worth(worth, kind, v), max_history=3, after=1
    )
    kinds = ["view", "view", "hide", "view", "other", "view", "view", "view", "view", "view"]
    store.append([Event(f"e{n}", "ann", n, kind, 1.0, float(n)) for n, kind in enumerate(kinds, 1)])
    assert live.of_user("ann", 1) == []  # nothing was read yet
    live.catch_up()
    assert [event.item for event in live.of_user("ann", 1)] == [8, 9, 10]  # the latest
    assert [event.item for event in live.of_user("ann", 9)] == [10]
    assert live.of_user("bob", 0) == []
    live.forget(9)
    assert [event.item for event in live.of_user("ann", 0)] == [10]
    live.forget(10)
    assert live.n_users == 0
    store.close()
