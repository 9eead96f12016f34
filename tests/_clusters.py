"""A Dask cluster of two worker processes on this machine, for tests of engines."""

from contextlib import contextmanager

import pytest


@contextmanager
def two_workers():
    """Give a connected client; skip the test where Dask is not installed."""
    distributed = pytest.importorskip("dask.distributed", reason="Dask is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            processes=True,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
