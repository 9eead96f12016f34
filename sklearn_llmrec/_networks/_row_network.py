"""The base class of networks that learn from rows and stop early by hidden items of some of them."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from sklearn_llmrec._networks._parameters import (
    NETWORK_CONSTRAINTS,
    STOPPING_CONSTRAINTS,
    warn_without_validation,
)
from sklearn_llmrec._networks._row_holdout import RowHoldout
from sklearn_llmrec.base import BaseRecommender, Tags
from sklearn_llmrec.utils import iterations, require


class RowNetworkRecommender(BaseRecommender):
    """Base of networks over rows; a subclass makes the network and its kind of training."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NETWORK_CONSTRAINTS,
        **STOPPING_CONSTRAINTS,
    }
    learning_rate: float
    max_iter: int
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    device: str
    random_state: int | np.random.RandomState | None
    verbose: bool | int

    def _split(self, X: sp.csr_array) -> tuple[int, sp.csr_array, RowHoldout | None]:
        """Return the seed of a training, the rows that it learns from, and the rows that decide when it stops.

        The last is None without early stopping, or where too few rows have two items.
        """
        require("torch", extra="deep")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        fraction = self.validation_fraction if self.early_stopping else 0.0
        learned, holdout = RowHoldout.of(X, fraction, seed)
        if self.early_stopping and holdout is None:
            warn_without_validation(self, int((np.diff(X.indptr) >= 2).sum()), 2)
        return seed, learned, holdout

    def _trained(
        self,
        X: sp.csr_array,
        network: Any,
        kind: Callable[..., Any],
        batches: Callable[[np.random.Generator], Iterator[Any]],
        *,
        seed: int,
        continued: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Train the network, set its training curves on self, and return its weights.

        Parameters
        ----------
        kind : callable
            The class of the training, whose `run` trains the network.
        batches : callable
            Returns the batches of an epoch, drawn by a random generator.
        continued : bool, default=False
            Whether the curves are appended to those of the training before.
        """
        from sklearn_llmrec._networks import _loop

        progress = kind(
            network=network.to(_loop.choose_device(self.device)),
            batches=batches,
            learning_rate=self.learning_rate,
            patience=self.n_iter_no_change,
            report=partial(_loop.print_epoch, self),
            epochs=partial(iterations, self, X=X),
            **options,
        ).run(_loop.Progress(seed=seed), self.max_iter)
        _loop.keep_curves(self, progress, continued)
        return _loop.to_numpy(network)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
