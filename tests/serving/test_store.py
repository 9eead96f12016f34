"""The feedback store against a dict: each event once, in the order of commits, or an error and nothing."""

import os
import threading

import pytest
import sqlalchemy as sa

from sklearn_llmrec.serving import StoreUnavailable
from sklearn_llmrec.serving._store import Event, FeedbackStore, Shown, database_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/feedback.db"
    return request.getfixturevalue("new_database")()


@pytest.fixture
def store(url):
    store = FeedbackStore(url)
    yield store
    store.close()


def event(number, user="u", item="i", **fields):
    values = {"type": "view", "value": 1.0, "time": 0.0, **fields}
    return Event(f"e{number}", user, item, **values)


def test_events_come_back_as_they_were(store):
    ids = ["7", 7, 2**63, -(2**63), 1.5, "naïve \x00 \U0001f600", "", "a'b\"c;--", "0" * 256]
    events = [event(n, user, item) for n, (user, item) in enumerate(zip(ids, reversed(ids)))]
    assert store.append(events) == {one.event_id for one in events}
    found = [one for _, one in store.events_after(0)]
    assert found == events
    assert [type(one.user) for one in found] == [type(one.user) for one in events]


def test_each_event_id_is_written_once(store):
    first = store.append([event(1, value=1.0), event(2), event(1, value=9.0)])
    again = store.append([event(2, value=5.0), event(3)])
    assert (first, again) == ({"e1", "e2"}, {"e3"})
    assert [(one.event_id, one.value) for _, one in store.events_after(0)] == [
        ("e1", 1.0),
        ("e2", 1.0),
        ("e3", 1.0),
    ]


def test_numbers_grow_in_the_order_of_commits(url):
    """A reader that goes on from the last number it saw misses nothing while others write."""
    n_writers, n_each = 4, 25
    reader, seen, stop = FeedbackStore(url), [], threading.Event()

    def write(writer):
        store = FeedbackStore(url)
        for number in range(n_each):
            store.append([event(f"{writer}-{number}")])
        store.close()

    def read():
        last = 0
        while True:
            finished = stop.is_set()
            for seq, one in reader.events_after(last):
                last = seq
                seen.append(one.event_id)
            if finished:
                return

    threads = [threading.Thread(target=write, args=(n,)) for n in range(n_writers)]
    follower = threading.Thread(target=read)
    follower.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    follower.join()
    assert sorted(seen) == sorted(f"e{w}-{n}" for w in range(n_writers) for n in range(n_each))
    assert reader.last_seq() == max(seq for seq, _ in reader.events_after(0))
    reader.close()


def test_what_was_shown_comes_back(store):
    rows = [Shown("r1", 1, None, "a", 0.25, "v", 1.0), Shown("r1", 2, 7, "b", 1.0, "v", 1.0)]
    store.append_shown(rows)
    assert list(store.shown_rows()) == rows


def test_a_second_process_sees_the_same_store(url):
    one, other = FeedbackStore(url), FeedbackStore(url)
    assert one.store_id == other.store_id
    one.append([event(1)])
    assert [e.event_id for _, e in other.events_after(0)] == ["e1"]
    one.close()
    other.close()


def test_commits_are_flushed_to_disk(tmp_path):
    store = FeedbackStore(f"{tmp_path}/feedback.db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    store.close()


def test_a_full_database_refuses_and_keeps_what_it_has(tmp_path):
    store = FeedbackStore(f"{tmp_path}/feedback.db")

    @sa.event.listens_for(store._engine, "connect")
    def limit(connection, _):
        connection.execute("PRAGMA max_page_count=40").close()

    store.close()  # connections from now on are limited
    written, refused = [], None
    for number in range(10_000):
        batch = [event(10 * number + n, user="x" * 200) for n in range(10)]
        try:
            store.append(batch)
        except StoreUnavailable as error:
            refused = error
            break
        written += batch
    assert "OperationalError" in str(refused)
    assert written
    assert [one for _, one in store.events_after(0)] == written
    store.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone_is_refused(tmp_path, replaced):
    path = tmp_path / "feedback.db"
    store = FeedbackStore(str(path))
    store.append([event(1)])
    os.remove(path)
    if replaced:
        FeedbackStore(str(path)).close()
    with pytest.raises(StoreUnavailable, match=r"gone|replaced"):
        store.append([event(2)])
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


def test_errors_hold_no_data_of_users(tmp_path):
    store = FeedbackStore(f"{tmp_path}/feedback.db")
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE events")
    with pytest.raises(StoreUnavailable) as refused:
        store.append([event(1, user="secret-user")])
    assert "secret" not in str(refused.value)
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_what_does_not_last_is_refused(url):
    with pytest.raises(ValueError, match=r"last|SQLite or PostgreSQL"):
        database_url(url)
