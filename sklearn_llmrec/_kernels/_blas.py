"""Limit the threads of BLAS without a search for its libraries at every call."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes milliseconds, more than many a recommendation; those of
    # numpy and scipy are loaded when this is first called.
    return ThreadpoolController()


@contextmanager
def blas_threads(limit: int | None) -> Iterator[None]:
    """Limit the threads of the products and solvers of numpy and scipy to `limit`; None sets no limit."""
    if limit is None:
        yield
        return
    with _controller().limit(limits=limit, user_api="blas"):
        yield
