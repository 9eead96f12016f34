"""The base class of networks that read the latest events: parameters, fit, warm start, scores, pickling."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._networks import (
    Batch,
    TrainedOnSequences,
    next_item_batches,
)
from sklearn_llmrec.base import InnerProductMixin
from sklearn_llmrec.interactions import Sequences, event_sequences, fit_sequences
from sklearn_llmrec.utils import (
    Interval,
    StrOptions,
    canonical,
    require,
    restored_on_error,
)

# Up to this many items a softmax over all of them is worth its cost.
_FULL_SOFTMAX_ITEMS = 5000


class SequenceNetworkRecommender(InnerProductMixin, TrainedOnSequences):
    """Base of recommenders that are a network over the latest events.

    A subclass lists its parameters and builds its encoder.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TrainedOnSequences._parameter_constraints,
        "loss": [StrOptions({"auto", "softmax", "sampled_softmax", "bce", "gbce"})],
        "n_negatives": [Interval(Integral, 1, None, closed="left")],
        "item_embeddings": ["array-like", None],
        "embedding_training": [StrOptions({"tuned", "delta", "frozen"})],
        "warm_start": ["boolean"],
    }
    # Whether inputs contain mask tokens and the targets are the masked items, as in BERT4Rec.
    _masks: ClassVar[bool] = False
    loss: str
    n_negatives: int
    item_embeddings: ArrayLike | None
    embedding_training: str
    warm_start: bool

    def _assign(self, parameters: dict[str, Any]) -> None:
        """Set all parameters of an `__init__` from its `locals()`; three classes share some two dozen of them."""
        self.__dict__.update({k: v for k, v in parameters.items() if k != "self"})

    # -- what a subclass writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _encoder(self) -> Any:
        """Return the torch module that reads sequences."""

    def _batches(self, sequences: Sequences) -> Callable[[np.random.Generator], Iterator[Batch]]:
        """Yield one epoch of batches, given a generator."""
        return partial(next_item_batches, sequences, self.max_length, self.batch_size)

    def _tied(self) -> bool:
        return True

    # -- fit ----------------------------------------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one epoch on new histories, from the current weights; the first call starts new ones.

        A row of a user seen before is one more sequence to train on: it replaces nothing, and popularity counts the
        user again. Rows of fewer than two events have no order to learn from; they count in the popularity only, also
        where the whole part has no others.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New histories of old or new users; the catalogue stays the same.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the first part has no row of two events, the events of a part carry no order, or X has another number of
            columns than at the first call. The estimator then is as it was before.
        """
        with restored_on_error(self):
            self._validate_params()
            first = not hasattr(self, "weights_")
            X = self._check_X(X, reset=first)
            seen = canonical(X)
            counts = np.bincount(seen.indices, minlength=X.shape[1]).astype(np.float64)
            self.item_popularity_ = counts if first else self.item_popularity_ + counts
            self.n_users_fit_ = X.shape[0] + (0 if first else self.n_users_fit_)
            if first or (event_sequences(X, self.order).lengths > 1).any():
                self._train(X, 1, continued=not first, validate=False, later_part=not first)
        return self

    def _fit(self, X: sp.csr_array) -> None:
        continued = self.warm_start and hasattr(self, "weights_")
        if continued and self._n_items() != X.shape[1]:
            raise ValueError(
                f"warm_start continues with {self._n_items()} items and X has {X.shape[1]} columns: fit a new "
                "estimator for another catalogue."
            )
        self._train(X, self.max_iter, continued=continued, validate=self.early_stopping)

    def _train(
        self,
        X: sp.csr_array,
        max_iter: int,
        *,
        continued: bool,
        validate: bool,
        later_part: bool = False,
    ) -> None:
        torch = require("torch", extra="deep")
        from sklearn_llmrec._networks import Holdout, from_numpy, seeded

        sequences = fit_sequences(X, self.order, type(self).__name__, later_part=later_part)
        start = self._start_vectors(X.shape[1])
        given = [] if start is None else [np.asarray(self.item_embeddings)]
        given += list(self.weights_.values()) if continued else []
        depends = validate, sequences.items, sequences.bounds, *given
        file, progress = self._progress(X, self._seed(), *depends, max_iter=max_iter)
        with seeded(progress.seed):
            network = self._network(X.shape[1])
        if continued:
            from_numpy(network, self.weights_, copy=True)
        elif start is not None:
            with torch.no_grad():
                network.items[:, : start.shape[1]] = torch.from_numpy(start)
        self._require_order(sequences)
        learned, holdout = sequences, None
        if validate:
            learned, hidden = self._held_out(sequences, progress.seed)
            holdout = None if hidden is None else Holdout(*hidden, not sequences.has_repeats)
        counts = np.bincount(learned.items, minlength=X.shape[1])
        self._train_network(
            X,
            network,
            self._batches(learned),
            (self._loss_name(X.shape[1]), counts, self.n_negatives),
            (file, progress),
            max_iter=max_iter,
            mask=self._masks,
            holdout=holdout,
            continued=continued,
        )

    def _start_vectors(self, n_items: int) -> NDArray[np.float32] | None:
        """Return the given item vectors at the width of the network."""
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

    def _retrieval_vectors(
        self, X: sp.csr_array
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        network, vectors, bias = self._kept(X.dtype)
        from sklearn_llmrec._networks import encode

        sequences = event_sequences(X, self.order)
        return (
            encode(network, sequences, self.max_length, mask=self._masks, dtype=X.dtype),
            vectors,
            bias,
        )

    def _kept(self, dtype: Any) -> tuple[Any, NDArray[Any], NDArray[Any] | None]:
        """Return the network, and the vectors and the bias of all items in a dtype, made once for all calls."""
        torch = require("torch", extra="deep")
        from sklearn_llmrec._networks import choose_device, from_numpy, kept_network

        device = choose_device(self.device)

        def build() -> Any:
            with torch.device("meta"):
                network = self._network(self._n_items())
            from_numpy(network, self.weights_, copy=False)
            if dtype == np.float64:
                network.encoder.double()
            network.of_items = self._scoring_vectors(dtype)
            return network.to(device).eval()

        network = kept_network(self, (dtype, device, self.max_length), build)
        return network, *network.of_items

    def _scoring_vectors(self, dtype: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the vectors and the bias of all items in a dtype: the arrays of the model where they have it."""
        if "output.weight" not in self.weights_:
            return self.item_vectors_.astype(dtype, copy=False), None
        vectors, bias = self.weights_["output.weight"], self.weights_["output.bias"]
        return vectors.astype(dtype, copy=False), bias.astype(dtype, copy=False)
