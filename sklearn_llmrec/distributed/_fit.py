"""`fit_shards`: fit a recommender from blocks of users that are never in one matrix."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec._kernels import blas_threads
from sklearn_llmrec.base import (
    BlockPlace,
    BlockSumsMixin,
    ItemBlocksMixin,
    Phase,
    Statistics,
    Totals,
    added_in_a_tree,
    all_recommenders,
    columns_of_factors,
    item_blocks,
    join_rows,
    read_factor,
    write_factors,
)
from sklearn_llmrec.distributed._engines import check_client, run_tasks
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import as_csr, canonical

_E = TypeVar("_E")


@dataclass(frozen=True)
class _Task:
    """What a process needs for a phase of one shard."""

    model: BlockSumsMixin
    shard: Any
    number: int
    phase: Phase | None = None
    place: BlockPlace | None = None

    def rows(self) -> sp.csr_array:
        """Return the shard as the model reads it; validated in the first pass, or where that changes it."""
        X = self.shard() if callable(self.shard) else self.shard
        dtype = getattr(self.model, "_dtype_", None)
        ready = isinstance(X, sp.csr_array) and X.dtype in (np.float32, np.float64)
        if self.phase is None and ready and not X.shape[0]:
            # Validation demands a row; this one is left out again.
            one = Interactions((1, X.shape[1]), item_ids=getattr(X, "item_ids", None))
            return self.model._check_X(
                one.astype(X.dtype if dtype is None else dtype), reset=False
            )[:0]
        if self.phase is None or not ready:
            X = self.model._check_X(X, reset=False)
        if dtype is not None and X.dtype != dtype:
            raise ValueError(
                f"Shard {self.number} has values of {X.dtype}, and shard 0 of {dtype}: make all of one dtype, "
                "shard.astype(dtype)."
            )
        return self.model._prepared(X)


def _totals(task: _Task) -> Totals:
    with blas_threads(1):
        return Totals.of(task.rows())


def _statistics(task: _Task) -> Statistics:
    assert task.phase is not None
    assert task.place is not None
    # One thread of BLAS: how a sum is rounded must not depend on the cores of a worker.
    with blas_threads(1):
        return task.model._statistics(task.rows(), task.phase, task.place)


def _folder_of(task: _Task) -> Path:
    assert task.place is not None
    assert task.place.folder is not None
    return task.place.folder


def _write_factors(task: _Task) -> None:
    assert task.phase is not None
    write_factors(_folder_of(task), task.model._factors(task.rows(), task.phase))


@dataclass(frozen=True)
class _ItemBlocks:
    """What all blocks of items need, in a file: arrays as long as the catalogue would travel with every task."""

    phase: Phase
    folders: list[Path]
    rows: Path


@dataclass(frozen=True)
class _ItemsTask:
    """What a process needs for a block of items: the file of `_ItemBlocks`, and the items."""

    model: ItemBlocksMixin
    shared: Path
    items: slice


def _best_of_items(task: _ItemsTask) -> sp.csr_array:
    with task.shared.open("rb") as file:
        shared: _ItemBlocks = pickle.load(file)
    A, B = columns_of_factors(shared.folders, task.items), read_factor(shared.rows)
    with blas_threads(1):
        return task.model._best_of_items(A, B, shared.phase, task.items)


def fit_shards(
    estimator: _E,
    shards: Sequence[Any],
    *,
    client: Any = None,
    n_jobs: int | None = None,
    scratch: str | Path | None = None,
) -> _E:
    """Fit a recommender on shards of users, without joining them.

    Every phase of the fit computes sums over the users of each shard, in processes or on a cluster, and adds them up.
    The result is that of ``estimator.fit`` on the shards stacked below each other, but for the rounding of sums, and
    bit-equal for any number of workers.

    Parameters
    ----------
    estimator : recommender
        Stays as it is; a clone is fitted. Which estimators can be fitted so is in Notes.
    shards : EventShards or sequence of {array-like, sparse} of shape (n_users, n_items)
        Blocks of users over the same items, in the same dtype. Every user is in one shard.
    client : distributed.Client, default=None
        Computes on a Dask cluster (extra ``distributed``). A worker that is lost is replaced, and its shards are
        computed again.
    n_jobs : int, default=None
        Processes of joblib where `client` is None. None means 1 unless in a joblib context, -1 all cores.
    scratch : str or Path, default=None
        A folder for what shards keep between phases, on a disk that all workers see; created where it is missing, and
        emptied of it at the end. None takes a temporary folder, which suits workers on this machine.

    Returns
    -------
    estimator : recommender
        A fitted clone. It keeps no rows, so `partial_fit` is refused where that needs them.

    Raises
    ------
    TypeError
        If the fit of the estimator is no sum over users, or `client` is no client.
    ValueError
        If there is no shard, shards share users or have different items or dtypes, no shard has an interaction, or
        the estimator has ``privacy=``. For a sequential model, if the events have no order, or only some of the shards
        have timestamps.
    ImportError
        If `client` is given without the extra ``distributed``.

    See Also
    --------
    sklearn_llmrec.base.BlockSumsMixin : What an estimator implements for it.

    Notes
    -----
    `EASE`, `ItemKNN`, `MarkovRecommender`, `NaiveBayesRecommender`, `P3alpha`, `PopularityRecommender`, `RP3beta`,
    `SequenceKNN`, `SLIM` and `SparseEASE` are sums over users. For `ItemKNN`, `SequenceKNN` and the random walks, every
    shard writes the factors of its products into `scratch`; then a task per block of items multiplies those of all
    users, memory-mapped, and keeps only the best. `SLIM` and `SparseEASE` solve from the Gram matrix of all items.
    `ALSRecommender` solves for the users of each shard, and takes every step of the items' regressions from a sum over
    shards: three passes per sweep. It does not know the users afterwards, but folds in any row.

    `MarkovRecommender` takes a pass per length of context. Sequential models read the order of events from the
    timestamps of all shards, or from their values; all users together decide whether there is an order.

    A worker has one shard in memory at a time, and the sums of it; this process has about ``log2(n_shards)`` sums.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import EASE
    >>> from sklearn_llmrec.distributed import fit_shards
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=float)
    >>> model = fit_shards(EASE(regularization=1.0), [X[:2], X[2:]])
    >>> np.allclose(model.coef_, EASE(regularization=1.0).fit(X).coef_)
    True
    """
    check_estimator(estimator)
    if getattr(estimator, "privacy", None) is not None:
        raise ValueError(
            f"{type(estimator).__name__}(privacy=...) is fitted on one matrix: sums of shards would leave their "
            "processes without noise. Use fit."
        )
    check_client(client)
    blocks = _blocks(shards)
    parent = None if scratch is None else _folder(scratch)
    model, worker = start_fit(estimator, _first_with_interactions(blocks))
    tasks = [_Task(worker, block, number) for number, block in enumerate(blocks)]
    run: dict[str, Any] = {"client": client, "n_jobs": n_jobs}
    totals = list(run_tasks(_totals, tasks, **run))
    # Shards without a user, which EventShards of few users have, are in no sum.
    with_users = [number for number, part in enumerate(totals) if part.n_users]
    tasks, totals = [tasks[number] for number in with_users], [totals[n] for n in with_users]
    before = [0, *accumulate(part.n_users for part in totals)]
    with ExitStack() as stack:
        if parent is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="sklearn-llmrec-")))
        else:
            folder = Path(mkdtemp(prefix="fit-", dir=parent))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        places = []
        for number in range(len(tasks)):
            places.append(BlockPlace(before[number], folder / f"shard-{number}"))
            (folder / f"shard-{number}").mkdir()

        def work(phase: Phase) -> list[_Task]:
            return [
                replace(task, phase=phase, place=place)
                for task, place in zip(tasks, places, strict=True)
            ]

        def sums_of(phase: Phase) -> Iterable[Statistics]:
            return run_tasks(_statistics, work(phase), **run)

        def finish(phase: Phase) -> bool:
            if not isinstance(model, ItemBlocksMixin) or phase.name != "products":
                return False
            model._set_best(_best_of_all_items(worker, work(phase), folder, run), phase)
            return True

        fit_phases(model, totals, sums_of, finish)
    fitted: _E = model
    return fitted


def _folder(scratch: str | Path) -> Path:
    """Return the absolute path of a folder, which is made if it is missing: a worker may run in another one.

    Raises
    ------
    ValueError
        If the path is that of a file.
    """
    folder = Path(scratch).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(
            f"scratch={str(scratch)!r} is a file, or lies below one: pass the path of a folder."
        ) from None
    return folder


def start_fit(estimator: Any, X: Any, dtype: Any = None) -> tuple[Any, Any]:
    """Return an unfitted clone that knows the columns and the dtype of X, and a copy of it for workers.

    Values have the `dtype` given, or by default that of X as the model reads it.
    """
    model = clone(estimator)
    model._validate_params()
    model._check_X(X, reset=True)
    known = getattr(model, "_dtype_", None) if dtype is None else np.dtype(dtype)
    model._dtype_ = model._check_X(X, reset=False).dtype if known is None else known
    worker = clone(model)
    # What a fit reads from X before its sums; nothing of any user.
    for name in (
        "n_features_in_",
        "feature_names_in_",
        "item_ids_",
        "_tags_",
        "_positive_only_",
        "_dtype_",
    ):
        if name in vars(model):
            setattr(worker, name, vars(model)[name])
    return model, worker


def fit_phases(
    model: Any,
    totals: Sequence[Totals],
    sums_of: Callable[[Phase], Iterable[Statistics] | None],
    finish: Callable[[Phase], bool] | None = None,
) -> bool:
    """Fit a model phase by phase on sums over blocks of users.

    `finish` may finish the fit at a phase by another way than sums, and returns whether it did. Returns False where
    `sums_of` returned None for a phase, which ends the fit before its end.
    """
    total = added_in_a_tree(totals, add)
    # A private fit publishes counts with its noise, or not at all.
    if getattr(model, "privacy", None) is None:
        model.n_users_fit_, model.item_popularity_ = total.n_users, total.popularity
    phase = model._plan(total)
    while phase is not None:
        if finish is not None and finish(phase):
            return True
        parts = sums_of(phase)
        if parts is None:
            return False
        phase = model._advance(phase, added_in_a_tree(parts, model._add))
    return True


def _best_of_all_items(
    worker: ItemBlocksMixin, work: list[_Task], folder: Path, run: dict[str, Any]
) -> sp.csr_array:
    """Return the best products of all items: every shard writes its factors, and blocks of items read those of all."""
    for _ in run_tasks(_write_factors, work, **run):
        pass
    folders, rows, phase = [_folder_of(task) for task in work], folder / "rows", work[0].phase
    assert phase is not None
    join_rows(folders, rows)
    shared = folder / "item-blocks.pickle"
    shared.write_bytes(pickle.dumps(_ItemBlocks(phase, folders, rows)))
    model = copy(worker)
    for name in ("item_ids_", "feature_names_in_"):
        model.__dict__.pop(name, None)
    blocks = [_ItemsTask(model, shared, items) for items in item_blocks(phase)]
    return sp.csr_array(sp.vstack(list(run_tasks(_best_of_items, blocks, **run)), format="csr"))


def _is_sum(kind: type) -> bool:
    """Return whether the fit of a class is that of its sums: a subclass with another fit of its own is none."""
    first = next((k for k in kind.__mro__ if {"_statistics", "_fit"} & vars(k).keys()), object)
    return issubclass(kind, BlockSumsMixin) and "_statistics" in vars(first)


def check_estimator(estimator: Any) -> None:
    """Refuse an estimator whose fit is no sum over users."""
    if not _is_sum(type(estimator)):
        able = ", ".join(name for name, kind in all_recommenders() if _is_sum(kind))
        raise TypeError(
            f"{type(estimator).__name__} cannot be fitted from shards: its fit is no sum over users. Those that can "
            f"are {able}; fit others on one matrix."
        )


def _blocks(shards: Sequence[Any]) -> list[Any]:
    """Return the blocks of users in memory, or a function for each that loads it."""
    if not len(shards):
        raise ValueError("shards is empty: give at least one block of users.")
    load = getattr(shards, "loader", None)
    blocks = [shards[n] if load is None else load(n) for n in range(len(shards))]
    _check_users(blocks)
    return blocks


def _first_with_interactions(blocks: list[Any]) -> Any:
    """Return the first block with interactions, or the last one."""
    for number, block in enumerate(blocks, 1):
        X = block() if callable(block) else block
        # `count_nonzero` of scipy would sum repeated events in the shard itself.
        if number == len(blocks) or canonical(as_csr(X)).nnz:
            break
    return X


def _check_users(shards: list[Any]) -> None:
    """Refuse blocks in memory that share a user, whose events would count as those of two."""
    ids = [shard.user_ids for shard in shards if getattr(shard, "user_ids", None) is not None]
    if len({block.dtype.kind for block in ids}) != 1:
        return
    found, counts = np.unique(np.concatenate(ids), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"User {found[counts > 1].tolist()[0]!r} is in several shards ({np.count_nonzero(counts > 1)} users are): "
            "put all rows of a user into one shard, as partition_events does."
        )
