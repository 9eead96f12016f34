"""Recurrent networks over item sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec._networks import SEQUENCE_TEXTS
from sklearn_llmrec.sequence._neural import SequenceNetworkRecommender
from sklearn_llmrec.utils import documented


class RecurrentRecommender(SequenceNetworkRecommender):
    """Base of the recurrent networks: they differ in the cell."""

    _cell: ClassVar[str]
    attention: bool
    tie_weights: bool
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SequenceNetworkRecommender._parameter_constraints,
        "attention": ["boolean"],
        "tie_weights": ["boolean"],
    }

    def __init__(
        self,
        n_components: int = 128,
        *,
        n_layers: int = 1,
        attention: bool = False,
        tie_weights: bool = True,
        dropout: float = 0.2,
        max_length: int = 200,
        loss: str = "auto",
        n_negatives: int = 512,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        regularization: float = 0.0,
        max_iter: int = 100,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        item_embeddings: ArrayLike | None = None,
        embedding_training: str = "tuned",
        warm_start: bool = False,
        checkpoint: str | Path | None = None,
        order: str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self._assign(locals())

    def _tied(self) -> bool:
        return self.tie_weights

    def _encoder(self) -> Any:
        from sklearn_llmrec.sequence._layers import Recurrent

        return Recurrent(self._cell, self.n_components, self.n_layers, self.dropout, self.attention)


_TEXTS = {
    **SEQUENCE_TEXTS,
    "n_components": "int\nWidth of item vectors and states.",
    "n_layers": "int\nRecurrent layers.",
    "attention": "bool\nWhether the state attends to all earlier states.",
    "tie_weights": """bool
Whether items are scored by the vectors that enter the network; otherwise by vectors of their own and an
intercept.""",
    "dropout": """float
Share of the item vectors' entries, and of those between layers, that is dropped in training.""",
    "max_length": """int
How many of the latest events are read, and the longest piece of a history in training.""",
}


@documented(_TEXTS)
class SequenceLSTMRecommender(RecurrentRecommender):
    """LSTM over the latest events, trained to tell the next one.

    The state after the last event is the user; items score by its product with their vectors. So a history never seen
    is scored like any other, by running over it.

    Parameters
    ----------
    {n_components, n_layers, attention, tie_weights, dropout, max_length}
    {loss, n_negatives, batch_size, learning_rate, regularization, max_iter, early_stopping, validation_fraction,
    n_iter_no_change, item_embeddings, embedding_training, warm_start, checkpoint, order, device, random_state,
    verbose}

    Attributes
    ----------
    {weights_, item_vectors_, loss_curve_, validation_scores_, best_epoch_, n_iter_, item_popularity_,
    n_features_in_}

    See Also
    --------
    SequenceGRURecommender : A simpler cell, often as good.
    SASRec : Attention instead of recurrence.
    SequenceKNN : No training at all: the floor to clear.

    Notes
    -----
    An epoch costs O(n_events * (n_components^2 * n_layers + n_negatives * n_components)).

    References
    ----------
    S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    B. Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import SequenceLSTMRecommender
    >>> walk = (np.arange(6)[:, None] + np.arange(4)) % 6  # who had i had i + 1 next
    >>> X = np.zeros((6, 6))
    >>> np.put_along_axis(X, walk, np.arange(1, 5), axis=1)
    >>> model = SequenceLSTMRecommender(
    ...     16, learning_rate=0.02, early_stopping=False, random_state=0
    ... ).fit(X)
    >>> items, scores = model.recommend([[0, 1, 2, 0, 0, 0]], k=1)
    >>> items
    array([[3]])
    """

    _cell = "lstm"


@documented(_TEXTS)
class SequenceGRURecommender(RecurrentRecommender):
    """GRU over the latest events, trained to tell the next one.

    The state after the last event is the user; items score by its product with their vectors. So a history never seen
    is scored like any other, by running over it.

    Parameters
    ----------
    {n_components, n_layers, attention, tie_weights, dropout, max_length}
    {loss, n_negatives, batch_size, learning_rate, regularization, max_iter, early_stopping, validation_fraction,
    n_iter_no_change, item_embeddings, embedding_training, warm_start, checkpoint, order, device, random_state,
    verbose}

    Attributes
    ----------
    {weights_, item_vectors_, loss_curve_, validation_scores_, best_epoch_, n_iter_, item_popularity_,
    n_features_in_}

    See Also
    --------
    SequenceLSTMRecommender : Another cell.
    SASRec : Attention instead of recurrence.
    SequenceKNN : No training at all: the floor to clear.

    Notes
    -----
    An epoch costs O(n_events * (n_components^2 * n_layers + n_negatives * n_components)).

    References
    ----------
    B. Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import SequenceGRURecommender
    >>> walk = (np.arange(6)[:, None] + np.arange(4)) % 6  # who had i had i + 1 next
    >>> X = np.zeros((6, 6))
    >>> np.put_along_axis(X, walk, np.arange(1, 5), axis=1)
    >>> model = SequenceGRURecommender(
    ...     16, learning_rate=0.02, early_stopping=False, random_state=0
    ... ).fit(X)
    >>> items, scores = model.recommend([[0, 1, 2, 0, 0, 0]], k=1)
    >>> items
    array([[3]])
    """

    _cell = "gru"


@documented(_TEXTS)
class SequenceRNNRecommender(RecurrentRecommender):
    """Plain recurrent network (tanh) over the latest events, trained to tell the next one.

    It forgets sooner than the gated cells, and is here to be compared with them.

    Parameters
    ----------
    {n_components, n_layers, attention, tie_weights, dropout, max_length}
    {loss, n_negatives, batch_size, learning_rate, regularization, max_iter, early_stopping, validation_fraction,
    n_iter_no_change, item_embeddings, embedding_training, warm_start, checkpoint, order, device, random_state,
    verbose}

    Attributes
    ----------
    {weights_, item_vectors_, loss_curve_, validation_scores_, best_epoch_, n_iter_, item_popularity_,
    n_features_in_}

    See Also
    --------
    SequenceGRURecommender : A cell with gates, which remembers longer.

    References
    ----------
    J. Elman, "Finding structure in time", Cognitive Science, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import SequenceRNNRecommender
    >>> walk = (np.arange(6)[:, None] + np.arange(4)) % 6  # who had i had i + 1 next
    >>> X = np.zeros((6, 6))
    >>> np.put_along_axis(X, walk, np.arange(1, 5), axis=1)
    >>> model = SequenceRNNRecommender(
    ...     16, learning_rate=0.02, early_stopping=False, random_state=0
    ... ).fit(X)
    >>> items, scores = model.recommend([[0, 1, 2, 0, 0, 0]], k=1)
    >>> items
    array([[3]])
    """

    _cell = "rnn"
