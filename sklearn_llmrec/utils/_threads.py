"""Share work among threads of this process, whatever joblib backend is active.

Kernels write into arrays that all threads share. joblib's ``prefer="threads"`` is only a hint: under an active loky,
multiprocessing or Dask backend the tasks run in other processes and their writes are lost. Results of a kernel never
depend on the number of threads.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
# Slices per thread: a thread that is done early takes another one.
_SLICES = 16


def in_threads(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], n_threads: int
) -> list[_Result]:
    """Return ``[function(task) for task in tasks]``, computed by `n_threads` threads."""
    tasks = list(tasks)
    if n_threads <= 1 or len(tasks) <= 1:
        return [function(task) for task in tasks]
    with ThreadPoolExecutor(min(n_threads, len(tasks))) as pool:
        return list(pool.map(function, tasks))


def results_in_order(tasks: Iterable[Any], n_jobs: int | None) -> Iterator[Any]:
    """Return the results of delayed calls of scikit-learn in their order, each as soon as it is there.

    A backend that returns no results one by one, as "multiprocessing" and that of Ray, returns all at the end.
    """
    one_by_one = get_active_backend()[0].supports_return_generator
    results = Parallel(n_jobs=n_jobs, return_as="generator" if one_by_one else "list")(tasks)
    return iter(results)


def threads_for(n_jobs: int | None, n_tasks: int) -> int:
    """Return the number of threads for `n_jobs`; 1 for a single task."""
    return 1 if n_tasks <= 1 else int(effective_n_jobs(n_jobs))


def slices_for_threads(n: int, n_threads: int) -> list[slice]:
    """Split ``range(n)`` into slices of about equal length: one, or several per thread."""
    if n_threads <= 1:
        return [slice(0, n)]
    n_slices = max(1, min(n, _SLICES * n_threads))
    edges: list[Any] = np.linspace(0, n, n_slices + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]
