"""Engines that run one task per shard: processes of joblib on this machine, or the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.utils.parallel import delayed

from sklearn_llmrec.utils import require, results_in_order, warn

_Result = TypeVar("_Result")
# How often tasks are started again after a process of joblib ended early, without one result in between.
_RESTARTS = 2


def check_client(client: Any) -> None:
    """Refuse a client that is no `distributed.Client`.

    Raises
    ------
    ImportError
        If a client is given and the extra ``distributed`` is not installed.
    TypeError
        If it is something else.
    """
    if client is None:
        return
    distributed = require("distributed", "distributed")
    if not isinstance(client, distributed.Client):
        raise TypeError(
            f"client must be a distributed.Client, got {type(client).__name__}: "
            "distributed.Client(address) connects to a cluster, distributed.Client(n_workers=2) starts a local one."
        )


def run_tasks(
    function: Callable[..., _Result], tasks: Sequence[Any], *, client: Any, n_jobs: int | None
) -> Iterator[_Result]:
    """Yield ``function(task)`` of every task, in the order of the tasks, as soon as they are there.

    Where a process ends early (killed, or out of memory), its tasks are run again in another one.

    Parameters
    ----------
    function : callable
        Picklable; must give the same result if it is called again.
    tasks : sequence
    client : distributed.Client or None
        None runs processes of joblib.
    n_jobs : int or None
        Processes of joblib; one runs the tasks in this process.

    Raises
    ------
    TerminatedWorkerError
        If processes of joblib end early three times without a result.
    """
    if client is not None:
        # Not pure: equal tasks of two fits are not one, since files of the first may be gone.
        futures = [client.submit(function, task, pure=False) for task in tasks]
        futures.reverse()
        while futures:
            result = futures[-1].result()
            futures.pop()  # frees the memory of the worker
            yield result
        return
    n_done = n_restarts = 0
    while n_done < len(tasks):
        try:
            left = (delayed(function)(task) for task in tasks[n_done:])
            for result in results_in_order(left, n_jobs):
                n_done, n_restarts = n_done + 1, 0
                yield result
        except TerminatedWorkerError as error:
            if n_restarts == _RESTARTS:
                raise
            n_restarts += 1
            get_reusable_executor().shutdown(wait=True)
            warn(
                f"A process ended early ({error}); {len(tasks) - n_done} of {len(tasks)} shards are started again.",
                RuntimeWarning,
            )
