"""What all sequence networks share as estimators: parameters, fit, warm start, checkpoints, scores, pickling."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.sequence._batches import Batch, next_item_batches
from sklearn_llmrec.utils._atomic import restored_on_error
from sklearn_llmrec.utils._blocks import best_of_block, row_chunks
from sklearn_llmrec.utils._callbacks import iterations
from sklearn_llmrec.utils._optional import require
from sklearn_llmrec.utils._order import ORDERS, Sequences, event_sequences, fit_sequences
from sklearn_llmrec.utils._validation import canonical

# Up to this many items a softmax over all of them is worth its cost.
_FULL_SOFTMAX_ITEMS = 5000


class SequenceNetworkRecommender(BaseRecommender):
    """Base of recommenders that are a network over the latest events.

    A subclass lists its parameters and builds its encoder.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_length": [Interval(Integral, 2, None, closed="left")],
        "loss": [StrOptions({"auto", "softmax", "sampled_softmax", "bce", "gbce"})],
        "n_negatives": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "item_embeddings": ["array-like", None],
        "embedding_training": [StrOptions({"tuned", "delta", "frozen"})],
        "warm_start": ["boolean"],
        "checkpoint": [str, Path, None],
        "order": [StrOptions(set(ORDERS))],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _needs_order: ClassVar[bool] = True
    # Whether inputs hide events and outputs tell them, instead of telling the next.
    _masks: ClassVar[bool] = False
    # Parameters that a checkpoint may be continued under other values of.
    weights_: dict[str, NDArray[Any]]
    loss_curve_: list[float]
    validation_scores_: list[float]
    _free: ClassVar[tuple[str, ...]] = (
        *("max_iter", "n_iter_no_change", "checkpoint", "device", "verbose", "random_state"),
        *("item_embeddings", "warm_start", "order"),
    )

    def __init__(
        self,
        *,
        n_components: int,
        n_layers: int,
        dropout: float,
        max_length: int,
        loss: str,
        n_negatives: int,
        batch_size: int,
        learning_rate: float,
        regularization: float,
        max_iter: int,
        early_stopping: bool,
        validation_fraction: float,
        n_iter_no_change: int,
        item_embeddings: ArrayLike | None,
        embedding_training: str,
        warm_start: bool,
        checkpoint: str | Path | None,
        order: str,
        device: str,
        random_state: int | np.random.RandomState | None,
        verbose: bool | int,
    ) -> None:
        self.n_components = n_components
        self.n_layers = n_layers
        self.dropout = dropout
        self.max_length = max_length
        self.loss = loss
        self.n_negatives = n_negatives
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.item_embeddings = item_embeddings
        self.embedding_training = embedding_training
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.order = order
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # -- what a subclass writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _encoder(self) -> Any:
        """The torch module that reads sequences."""

    def _batches(self, sequences: Sequences) -> Callable[[np.random.Generator], Iterator[Batch]]:
        """One epoch of batches, given a generator."""
        return partial(next_item_batches, sequences, self.max_length, self.batch_size)

    def _tied(self) -> bool:
        return True

    # -- fit ----------------------------------------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one epoch on new histories, from the weights there are.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New histories of old or new users; the catalogue stays the same.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object
        """
        with restored_on_error(self):
            self._validate_params()
            first = not hasattr(self, "weights_")
            X = self._check_X(X, reset=first)
            seen = canonical(X)
            counts = np.bincount(seen.indices, minlength=X.shape[1]).astype(np.float64)
            self.item_popularity_ = counts if first else self.item_popularity_ + counts
            self.n_users_fit_ = X.shape[0] + (0 if first else self.n_users_fit_)
            self._train(X, 1, go_on=not first, validate=False)
        return self

    def _fit(self, X: sp.csr_array) -> None:
        go_on = self.warm_start and hasattr(self, "weights_")
        if go_on and self._n_items() != X.shape[1]:
            raise ValueError(
                f"warm_start goes on with {self._n_items()} items and X has {X.shape[1]} columns: fit a new "
                "estimator for another catalogue."
            )
        self._train(X, self.max_iter, go_on=go_on, validate=self.early_stopping)

    def _train(self, X: sp.csr_array, max_iter: int, *, go_on: bool, validate: bool) -> None:
        torch = require("torch", extra="deep")
        from sklearn_llmrec.sequence import _training as training
        from sklearn_llmrec.sequence._losses import Loss

        name = type(self).__name__
        sequences = fit_sequences(X, self.order, name)
        start = self._start_vectors(X.shape[1])
        file = self._checkpoint_file(sequences, self.weights_ if go_on else None, validate)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        progress = training.Progress.load(file, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(progress.seed)
            network = self._network(X.shape[1])
        if go_on:
            training.from_numpy(network, self.weights_, copy=True)
        elif start is not None:
            with torch.no_grad():
                network.items[:, : start.shape[1]] = torch.from_numpy(start)
        learned, holdout = (sequences, None)
        if validate:
            learned, holdout = self._held_out(sequences, progress.seed)
        if not (learned.lengths > 1).any():
            raise ValueError(
                f"No row of X has two events to learn an order from: {name} needs histories."
            )
        counts = np.bincount(learned.items, minlength=X.shape[1])
        device = training.choose_device(self.device)
        trainer = training.Trainer(
            network=network.to(device),
            batches=self._batches(learned),
            loss=Loss(self._loss_name(X.shape[1]), counts, self.n_negatives, device),
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            max_length=self.max_length,
            mask=self._masks,
            holdout=holdout,
            patience=self.n_iter_no_change,
            checkpoint=file,
            report=self._report,
            epochs=partial(iterations, self, X=X),
        )
        progress = trainer.run(progress, max_iter)
        self.weights_ = training.to_numpy(network)
        training.keep_curves(self, progress, go_on)

    def _held_out(self, sequences: Sequences, seed: int) -> tuple[Sequences, Any]:
        """Sequences without the last event of some users, and these events."""
        from sklearn_llmrec.sequence._training import Holdout

        able = np.flatnonzero(sequences.lengths >= 3)
        chosen = np.random.default_rng(seed).permutation(able)
        chosen = np.sort(chosen[: int(self.validation_fraction * len(able))])
        if not len(chosen):
            return sequences, None
        rows = np.zeros(len(sequences), dtype=bool)
        rows[chosen] = True
        learned, targets = sequences.without_last(rows)
        return learned, Holdout(learned.take(chosen), targets, not sequences.has_repeats)

    def _start_vectors(self, n_items: int) -> NDArray[np.float32] | None:
        """The given item vectors at the width of the network."""
        if self.item_embeddings is None:
            if self.embedding_training != "tuned":
                raise ValueError(
                    f"embedding_training={self.embedding_training!r} keeps given vectors, and item_embeddings is None."
                )
            return None
        given = check_array(self.item_embeddings, dtype=np.float32, ensure_min_features=1)
        if len(given) != n_items:
            raise ValueError(
                f"item_embeddings has {len(given)} rows and X has {n_items} columns: one per item."
            )
        if given.shape[1] <= self.n_components:
            return given
        centred = given - given.mean(axis=0)
        # The directions of most variance; their relative scale stays, and the mean length is put back.
        _, directions = np.linalg.eigh(centred.T @ centred)
        found = centred @ directions[:, : -self.n_components - 1 : -1]
        lost = np.sqrt((given**2).sum() / max(float((found**2).sum()), 1e-12))
        return (found * lost).astype(np.float32)

    def _loss_name(self, n_items: int) -> str:
        if self.loss != "auto":
            return self.loss
        return "softmax" if n_items <= _FULL_SOFTMAX_ITEMS else "sampled_softmax"

    def _checkpoint_file(
        self, sequences: Sequences, start: dict[str, NDArray[Any]] | None, validate: bool
    ) -> Path | None:
        """The file of this training: named after all that its outcome depends on but how long it goes on."""
        if self.checkpoint is None:
            return None
        from sklearn_llmrec.sequence._training import fingerprint

        name = type(self).__name__
        fixed = {k: v for k, v in self.get_params().items() if k not in self._free}
        # Without a fixed seed the file says with which seed the training began.
        seed = self.random_state if isinstance(self.random_state, Integral) else None
        given = [] if self.item_embeddings is None else [np.asarray(self.item_embeddings)]
        given += [] if start is None else list(start.values())
        key = fingerprint(name, fixed, seed, validate, sequences.items, sequences.bounds, *given)
        return Path(self.checkpoint) / f"{name}-{key}.npz"

    def _report(self, progress: Any) -> None:
        from sklearn_llmrec.utils._training import print_epoch

        print_epoch(self, progress)

    # -- scores -------------------------------------------------------------------------------------------------------

    def _network(self, n_items: int) -> Any:
        from sklearn_llmrec.sequence._layers import SequenceNetwork

        return SequenceNetwork(
            self._encoder(),
            n_items,
            self.n_components,
            dropout=self.dropout,
            tied=self._tied(),
            training=self.embedding_training,
            n_special=int(self._masks),
        )

    def _n_items(self) -> int:
        return len(self.weights_["items"])

    @property
    def item_vectors_(self) -> NDArray[np.float32]:
        """Vectors of the items."""
        check_is_fitted(self, "weights_")
        items, delta = self.weights_["items"], self.weights_.get("delta")
        return items if delta is None else items + delta

    def _scoring(self, dtype: Any) -> tuple[NDArray[Any], NDArray[Any] | float]:
        """Vectors and intercepts that score outputs of the encoder."""
        if "output.weight" not in self.weights_:
            return self.item_vectors_.astype(dtype, copy=False), 0.0
        vectors, intercepts = self.weights_["output.weight"], self.weights_["output.bias"]
        return vectors.astype(dtype, copy=False), intercepts.astype(dtype, copy=False)

    def _encoded(self, X: sp.csr_array) -> NDArray[Any]:
        """Output of the network for the history of every row."""
        torch = require("torch", extra="deep")
        from sklearn_llmrec.sequence import _training as training

        with torch.device("meta"):
            network = self._network(self._n_items())
        training.from_numpy(network, self.weights_, copy=False)
        if X.dtype == np.float64:
            network.encoder.double()
        network.to(training.choose_device(self.device))
        sequences = event_sequences(X, self.order)
        return training.encode(network, sequences, self.max_length, mask=self._masks, dtype=X.dtype)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        vectors, intercepts = self._scoring(X.dtype)
        return self._encoded(X) @ vectors.T + intercepts

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """Histories of many rows are read together, and scored a block at a time."""
        if not np.diff(X.indptr).all() or not X.data.all():
            return None  # the base knows what a row without events gets
        hidden = self._encoded(X)
        vectors, intercepts = self._scoring(X.dtype)
        parts = [
            best_of_block(
                hidden[rows] @ vectors.T + intercepts, k, None if seen is None else seen[rows], None
            )
            for rows in row_chunks(X.shape[0], X.shape[1] * X.dtype.itemsize)
        ]
        return np.vstack([items for items, _ in parts]), np.vstack([best for _, best in parts])
