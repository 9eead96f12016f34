"""The base class of networks trained on sequences: constraints, checkpoints, the training itself."""

from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec._networks._parameters import (
    NETWORK_CONSTRAINTS,
    STOPPING_CONSTRAINTS,
    warn_without_validation,
)
from sklearn_llmrec.base import BaseRecommender, Tags
from sklearn_llmrec.interactions import ORDER_CONSTRAINTS, Sequences
from sklearn_llmrec.utils import (
    HasMethods,
    Interval,
    StrOptions,
    UnstableContentError,
    content_hash,
    iterations,
    package_version,
    warn,
)

# Parameters that do not enter the checkpoint's file name: they may differ when training resumes, or their content is
# hashed separately.
_FREE = {
    *("max_iter", "n_iter_no_change", "beam_size", "checkpoint", "device", "verbose", "order"),
    *("random_state", "warm_start", "item_embeddings", "item_texts", "encoder", "architecture"),
    "accelerator",
}


class TrainedOnSequences(BaseRecommender):
    """Base of recommenders that are a network trained on the sequences in X."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NETWORK_CONSTRAINTS,
        **STOPPING_CONSTRAINTS,
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_length": [Interval(Integral, 2, None, closed="left")],
        "checkpoint": [str, Path, None],
        "accelerator": [StrOptions({"auto"}), HasMethods(["prepare", "backward"]), None],
        **ORDER_CONSTRAINTS,
    }
    n_components: int
    n_layers: int
    dropout: float
    max_length: int
    batch_size: int
    learning_rate: float
    regularization: float
    max_iter: int
    checkpoint: str | Path | None
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    order: str
    device: str
    accelerator: Any
    random_state: int | np.random.RandomState | None
    verbose: bool | int
    weights_: dict[str, NDArray[Any]]
    loss_curve_: list[float]
    validation_scores_: list[float]

    def _processes(self) -> Any:
        """Return the processes that train the network: this one, or those of the accelerator."""
        from sklearn_llmrec._networks._processes import OneProcess, SeveralProcesses

        return OneProcess() if self.accelerator is None else SeveralProcesses(self.accelerator)

    def _seed(self) -> int:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return int(self._processes().from_main(seed))

    def _progress(
        self, X: sp.csr_array, seed: int, *depends: Any, max_iter: int
    ) -> tuple[Path | None, Any]:
        """Return the checkpoint file and the stored state that the main process finds."""
        processes = self._processes()
        found = (
            self._stored_progress(X, seed, *depends, max_iter=max_iter)
            if processes.is_main
            else None
        )
        return processes.from_main(found)

    def _stored_progress(
        self, X: sp.csr_array, seed: int, *depends: Any, max_iter: int
    ) -> tuple[Path | None, Any]:
        """Return the checkpoint file of a training, if checkpoints are used, and the state stored in it.

        The file is named after all that the outcome depends on except the length of the training. A checkpoint that has
        gone beyond the limits of this fit is neither used nor replaced.
        """
        from sklearn_llmrec._networks._loop import Progress

        if self.checkpoint is None:
            return None, Progress(seed=seed)
        fixed = {k: v for k, v in self.get_params(deep=False).items() if k not in _FREE}
        # Unseeded, the file says with which seed the training began.
        fixed_seed = None if self.random_state is None else seed
        try:
            key = content_hash(type(self), package_version(), fixed, fixed_seed, X.shape, *depends)
        except UnstableContentError as error:
            warn(
                f"{type(self).__name__} keeps no checkpoint, because its parameters have no stable description: "
                f"{error}.",
            )
            return None, Progress(seed=seed)
        file = Path(self.checkpoint) / f"{type(self).__name__}-{key}.npz"
        progress = Progress.load(file, seed)
        if progress.goes_beyond(max_iter, self.n_iter_no_change):
            return None, Progress(seed=seed)
        return file, progress

    def _held_out(
        self, sequences: Sequences, seed: int
    ) -> tuple[Sequences, tuple[Sequences, NDArray[np.int64]] | None]:
        """Return sequences without the last event of some users, and these users' histories and events.

        Warns if there is no such user.
        """
        able = np.flatnonzero(sequences.lengths >= 3)
        chosen = np.random.default_rng(seed).permutation(able)
        chosen = np.sort(chosen[: int(self.validation_fraction * len(able))])
        if not len(chosen):
            warn_without_validation(self, len(able), 3)
            return sequences, None
        rows = np.zeros(len(sequences), dtype=bool)
        rows[chosen] = True
        learned, targets = sequences.without_last(rows)
        return learned, (learned.take(chosen), targets)

    def _require_order(self, sequences: Sequences) -> None:
        if not (sequences.lengths > 1).any():
            raise ValueError(
                f"No row of X has two events to learn an order from: {type(self).__name__} needs histories."
            )

    def _train_network(
        self,
        X: sp.csr_array,
        network: Any,
        batches: Callable[[np.random.Generator], Iterator[Any]],
        loss: tuple[str, NDArray[Any], int],
        progress: tuple[Path | None, Any],
        *,
        max_iter: int,
        mask: bool = False,
        holdout: Any = None,
        continued: bool = False,
    ) -> None:
        """Train with a loss (its name, counts of items, negatives of a batch); set `weights_` and the curves."""
        from sklearn_llmrec._networks import _loop
        from sklearn_llmrec._networks._losses import Loss
        from sklearn_llmrec._networks._sequence_training import Trainer

        processes = self._processes()
        processes.require_same(batches, _loop.to_numpy(network))
        device = processes.device or _loop.choose_device(self.device)
        trainer = Trainer(
            network=network.to(device),
            batches=batches,
            loss=Loss(*loss, device),
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            max_length=self.max_length,
            mask=mask,
            holdout=holdout,
            patience=self.n_iter_no_change,
            checkpoint=progress[0],
            report=self._report,
            epochs=partial(iterations, self, X=X),
            processes=processes,
        )
        done = trainer.run(progress[1], max_iter)
        self.weights_ = _loop.to_numpy(network)
        _loop.keep_curves(self, done, continued)

    def _report(self, progress: Any) -> None:
        from sklearn_llmrec._networks._loop import print_epoch

        print_epoch(self, progress)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        return tags
