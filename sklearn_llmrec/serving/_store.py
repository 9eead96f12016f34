"""Durable feedback: events and shown lists, in SQLite or PostgreSQL.

Events have numbers, `seq`, that grow in the order of the commits: SQLite has one writer, and on PostgreSQL the writers
take turns by an advisory lock that the commit releases. When event n can be read, all events with lower numbers can be
read too, so a reader that continues after n misses none. Ids are stored as JSON texts, so the number 7 and the text "7"
stay two ids.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sklearn_llmrec.serving._errors import StoreUnavailable

# Any constant: the writers of one database share it.
_WRITER_LOCK = 0x5EED_FEED
_READ_ROWS = 10_000
_BUSY_SECONDS = 5

_metadata = sa.MetaData()
_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_meta = sa.Table(
    "meta",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_events = sa.Table(
    "events",
    _metadata,
    sa.Column("seq", _BIG, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("request_id", sa.Text),
    sqlite_autoincrement=True,  # a number is never used twice
)
_shown = sa.Table(
    "shown",
    _metadata,
    sa.Column("seq", _BIG, primary_key=True, autoincrement=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("user_id", sa.Text),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("propensity", sa.Double, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)


class Event(NamedTuple):
    """One event of feedback; ids are those of the client, numbers or texts."""

    event_id: str
    user: Any
    item: Any
    type: str
    value: float
    time: float
    request_id: str | None = None


class Shown(NamedTuple):
    """One place of a list that a bandit chose, with the probability of that choice."""

    request_id: str
    rank: int
    user: Any
    item: Any
    propensity: float
    version: str
    time: float


def id_text(value: Any) -> str:
    """Return an id as JSON, which distinguishes numbers from texts and contains no NUL."""
    return json.dumps(value, ensure_ascii=False)


class FeedbackStore:
    """Events of feedback in a database. Its methods may be called from several threads.

    Parameters
    ----------
    url : str
        URL of a database as SQLAlchemy takes it: ``sqlite:///feedback.db``, ``postgresql://...``. A path without a
        scheme is a file of SQLite.

    Attributes
    ----------
    store_id : str
        Identifies the database: a bundle names the one whose events it contains.

    Raises
    ------
    StoreUnavailable
        If the database cannot be opened.
    ValueError
        If it is of another kind, or SQLite in memory.
    """

    def __init__(self, url: str) -> None:
        self.url = database_url(url)
        self._file = self.url.database if self.url.get_backend_name() == "sqlite" else None
        self._engine = _engine(self.url)
        self._reader = self._engine.execution_options(writes=False)
        self._identity: tuple[int, int] | None = None
        with self._guarded():
            self._create()
        self._identity = self._file_identity()

    def _create(self) -> None:
        with self._engine.begin() as connection:
            if self._file is None:
                # Two processes that start at once must not both create.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
            _metadata.create_all(connection)
            insert = self._insert(_meta).on_conflict_do_nothing()
            connection.execute(insert, {"key": "store_id", "value": uuid.uuid4().hex})
            query = sa.select(_meta.c.value).where(_meta.c.key == "store_id")
            self.store_id: str = connection.execute(query).scalar_one()

    # -- writing -------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> set[str]:
        """Write events in one transaction and return once they are durable.

        Parameters
        ----------
        events : sequence of Event

        Returns
        -------
        new : set of str
            Event ids that were not there before. The others are left as they were.

        Raises
        ------
        StoreUnavailable
            If the events could not be written. None of them is there then, unless the connection was lost while the
            commit was confirmed. It is safe to write them again.
        """
        rows: dict[str, dict[str, Any]] = {}
        for event in events:  # the first one counts, as it does between calls
            row = {
                "event_id": event.event_id,
                "user_id": id_text(event.user),
                "item_id": id_text(event.item),
                "type": event.type,
                "value": event.value,
                "time": event.time,
                "request_id": event.request_id,
            }
            rows.setdefault(event.event_id, row)
        statement = (
            self._insert(_events)
            .on_conflict_do_nothing(index_elements=["event_id"])
            .returning(_events.c.event_id)
        )
        with self._guarded(), self._writing() as connection:
            written = connection.execute(statement, list(rows.values()))
            new = set(written.scalars())
        return new

    def append_shown(self, shown: Sequence[Shown]) -> None:
        """Write the places of lists that were shown.

        Raises
        ------
        StoreUnavailable
            If it could not be written.
        """
        rows = [
            {
                **row._asdict(),
                "user_id": None if row.user is None else id_text(row.user),
                "item_id": id_text(row.item),
            }
            for row in shown
        ]
        for row in rows:
            del row["user"], row["item"]
        with self._guarded(), self._writing() as connection:
            connection.execute(sa.insert(_shown), rows)

    # -- reading -------------------------------------------------------------------------------------

    def last_seq(self) -> int:
        """Return the number of the latest event; 0 where there is none."""
        with self._guarded(), self._reader.connect() as connection:
            return int(connection.execute(sa.select(sa.func.max(_events.c.seq))).scalar() or 0)

    def events_after(self, seq: int, upto: int | None = None) -> Iterator[tuple[int, Event]]:
        """Yield the events with larger numbers, in order, with their numbers.

        Parameters
        ----------
        seq : int
        upto : int, default=None
            The last number to read; by default all that are there.
        """
        columns = (_events.c[name] for name in ("seq", *_EVENT_COLUMNS))
        query = sa.select(*columns).order_by(_events.c.seq).limit(_READ_ROWS)
        if upto is not None:
            query = query.where(_events.c.seq <= upto)
        while True:
            with self._guarded(), self._reader.connect() as connection:
                rows = connection.execute(query.where(_events.c.seq > seq)).all()
            for row in rows:
                seq, event_id, user, item, *other_values = row
                yield seq, Event(event_id, json.loads(user), json.loads(item), *other_values)
            if len(rows) < _READ_ROWS:
                return

    def shown_rows(self) -> Iterator[Shown]:
        """Yield the shown places, in order."""
        columns = (_shown.c[name] for name in ("seq", *_SHOWN_COLUMNS))
        query, seq = sa.select(*columns).order_by(_shown.c.seq).limit(_READ_ROWS), 0
        while True:
            with self._guarded(), self._reader.connect() as connection:
                rows = connection.execute(query.where(_shown.c.seq > seq)).all()
            for row in rows:
                seq, request_id, rank, user, item, *other_values = row
                user = None if user is None else json.loads(user)
                yield Shown(request_id, rank, user, json.loads(item), *other_values)
            if len(rows) < _READ_ROWS:
                return

    def ping(self) -> None:
        """Do nothing if the database answers.

        Raises
        ------
        StoreUnavailable
            If it does not.
        """
        with self._guarded(), self._reader.connect() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # -- details -------------------------------------------------------------------------------------

    def _insert(self, table: sa.Table) -> Any:
        dialect = postgresql if self._file is None else sqlite
        return dialect.insert(table)

    def _writing(self) -> _Transaction:
        return _Transaction(self)

    def _guarded(self) -> _Guard:
        return _Guard(self)

    def _file_identity(self) -> tuple[int, int] | None:
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)
        except OSError as error:
            raise StoreUnavailable("The file of the feedback database is gone.") from error
        return found.st_dev, found.st_ino

    def check_file(self) -> None:
        """Refuse a SQLite file that was deleted or replaced: new data would be lost.

        Raises
        ------
        StoreUnavailable
            If it was.
        """
        if self._identity is not None and self._file_identity() != self._identity:
            self._engine.dispose()
            raise StoreUnavailable("The file of the feedback database was replaced: restart.")


_EVENT_COLUMNS = ("event_id", "user_id", "item_id", "type", "value", "time", "request_id")
_SHOWN_COLUMNS = ("request_id", "rank", "user_id", "item_id", "propensity", "version", "time")


class _Guard:
    """Convert errors of the database to `StoreUnavailable`."""

    def __init__(self, store: FeedbackStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.check_file()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (sa.exc.SQLAlchemyError, OSError)):
            # The text of SQLAlchemy's errors contains parameters, which are data of users.
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(
                f"The feedback database does not answer ({type(cause).__name__})."
            ) from error


class _Transaction:
    """A transaction without concurrent writers.

    After the commit the SQLite file is checked: rows written to a file that was deleted or replaced are reported as not
    written.
    """

    def __init__(self, store: FeedbackStore) -> None:
        self._store = store

    def __enter__(self) -> sa.Connection:
        self._context = self._store._engine.begin()
        connection = self._context.__enter__()
        if self._store._file is None:
            try:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
            except BaseException as error:
                self._context.__exit__(type(error), error, error.__traceback__)
                raise
        return connection

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._context.__exit__(kind, error, trace)
        if error is None:
            self._store.check_file()


def database_url(url: str) -> sa.URL:
    """Return the URL of a database; PostgreSQL gets its driver, a path becomes a file of SQLite.

    Raises
    ------
    ValueError
        If it is of another kind, or SQLite in memory, which does not last.
    """
    parsed = sa.make_url(url if "://" in url else f"sqlite:///{url}")
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ValueError("SQLite in memory does not last: name a file, sqlite:///feedback.db.")
        return parsed.set(database=str(Path(str(parsed.database)).absolute()))
    if kind == "postgresql":
        return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == kind else parsed
    raise ValueError(f"Feedback is kept in SQLite or PostgreSQL, not in {kind!r}.")


def _engine(url: sa.URL) -> sa.Engine:
    """Return an engine whose commits are durable when they return."""
    if url.get_backend_name() == "postgresql":
        # A lost server must be noticed in seconds, and a connection that it closed replaced.
        options = "-c synchronous_commit=on -c lock_timeout=5s -c statement_timeout=30s"
        arguments = {"connect_timeout": _BUSY_SECONDS, "options": options}
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
        return sa.create_engine(url, pool_pre_ping=True, pool_size=4, connect_args=arguments)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` says so
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # IMMEDIATE takes the write lock now. A SQLite transaction that reads first fails at its first write, instead
        # of waiting, if another one has written since.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")

    return engine


def _writes(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("writes", True))


def now() -> float:
    """Return the time in unix seconds."""
    return time.time()
