"""Recurrent networks over item sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec.sequence._neural import SequenceNetworkRecommender


class RecurrentRecommender(SequenceNetworkRecommender):
    """Base of the recurrent networks, which differ in the cell."""

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
        accelerator: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self._assign(locals())

    def _tied(self) -> bool:
        return self.tie_weights

    def _encoder(self) -> Any:
        from sklearn_llmrec.sequence._layers import Recurrent

        return Recurrent(self._cell, self.n_components, self.n_layers, self.dropout, self.attention)


class SequenceLSTMRecommender(RecurrentRecommender):
    """LSTM over the latest events, trained to predict the next one.

    The state after the last event is the user; items score by its product with their vectors. So a history never seen
    is scored like any other, by running over it.

    Parameters
    ----------
    n_components : int, default=128
        Width of item vectors and states.
    n_layers : int, default=1
        Recurrent layers.
    attention : bool, default=False
        Whether the state attends to all earlier states.
    tie_weights : bool, default=True
        Whether items are scored by the vectors that enter the network; otherwise by vectors of their own and an
        intercept.
    dropout : float, default=0.2
        Share of the item vectors' entries, and of those between layers, that is dropped in training.
    max_length : int, default=200
        How many of the latest events are read, and the longest piece of a history in training.
    loss : {"auto", "softmax", "sampled_softmax", "bce", "gbce"}, default="auto"
        What is minimised: cross-entropy over the whole catalogue, over the positive and sampled negatives with the
        correction for how they are sampled, or binary cross-entropy, plain or calibrated. "auto" is "softmax" up to
        5,000 items and "sampled_softmax" above.
    n_negatives : int, default=512
        Negatives of a batch, shared by all its positions; "softmax" has none.
    batch_size : int, default=128
        Most histories of a batch. Batches get smaller, down to 16, where an epoch would have fewer than 100.
    learning_rate : float, default=0.001
        Step size of Adam.
    regularization : float, default=0.0
        The L2 penalty on all weights.
    max_iter : int, default=100
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide the last event of some users, stop when its ranking gets no better, and keep the best epoch.
    validation_fraction : float, default=0.1
        The share of users (of at least three events) whose last event is hidden for that.
    n_iter_no_change : int, default=10
        How many epochs the validation score may go without a new best.
    item_embeddings : array-like of shape (n_items, n_values), default=None
        Vectors to start the items from (of texts, of another model), brought to `n_components` by PCA, their scale
        kept.
    embedding_training : {"tuned", "delta", "frozen"}, default="tuned"
        What training does with the given vectors: "tuned" changes them, "delta" keeps them and adds a learned
        difference, "frozen" keeps them. With "delta" and "frozen", items that never occurred are ranked too.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit.
    checkpoint : str or path, default=None
        A folder in which the state after every epoch is kept, one file per data and parameters. A fit that finds its
        file continues from there, and gives the model that it would have given without a stop; so does one with a
        larger `max_iter`. A fit with a smaller `max_iter` or less patience than the file has seen does not use it.
        With ``random_state=None`` the file keeps the seed it began with. A damaged file is replaced, with a warning.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    device : str, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one.
    accelerator : "auto", accelerate.Accelerator or None, default=None
        Trains on several devices, with mixed precision or accumulated gradients (extra ``accelerate``). "auto" takes
        the settings of ``accelerate launch``. Every process calls `fit` with the same X and ends with the same model.
        A batch is divided between the processes. `device` is then the device that scores. None trains on `device`.
    random_state : int, RandomState instance or None, default=None
        Start and all draws. Equal seeds give equal models on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        All weights of the network.
    item_vectors_ : ndarray of shape (n_items, n_components)
        Vectors of the items.
    loss_curve_ : list of float
        Mean training loss of every epoch.
    validation_scores_ : list of float
        nDCG@10 of the hidden events after every epoch; empty without early stopping.
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    n_iter_ : int
        Epochs trained.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SequenceGRURecommender : A simpler cell, often as good.
    SASRec : Attention instead of recurrence.
    SequenceKNN : Trains nothing: the baseline that a network must exceed.

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


class SequenceGRURecommender(RecurrentRecommender):
    """GRU over the latest events, trained to predict the next one.

    The state after the last event is the user; items score by its product with their vectors. So a history never seen
    is scored like any other, by running over it.

    Parameters
    ----------
    n_components : int, default=128
        Width of item vectors and states.
    n_layers : int, default=1
        Recurrent layers.
    attention : bool, default=False
        Whether the state attends to all earlier states.
    tie_weights : bool, default=True
        Whether items are scored by the vectors that enter the network; otherwise by vectors of their own and an
        intercept.
    dropout : float, default=0.2
        Share of the item vectors' entries, and of those between layers, that is dropped in training.
    max_length : int, default=200
        How many of the latest events are read, and the longest piece of a history in training.
    loss : {"auto", "softmax", "sampled_softmax", "bce", "gbce"}, default="auto"
        What is minimised: cross-entropy over the whole catalogue, over the positive and sampled negatives with the
        correction for how they are sampled, or binary cross-entropy, plain or calibrated. "auto" is "softmax" up to
        5,000 items and "sampled_softmax" above.
    n_negatives : int, default=512
        Negatives of a batch, shared by all its positions; "softmax" has none.
    batch_size : int, default=128
        Most histories of a batch. Batches get smaller, down to 16, where an epoch would have fewer than 100.
    learning_rate : float, default=0.001
        Step size of Adam.
    regularization : float, default=0.0
        The L2 penalty on all weights.
    max_iter : int, default=100
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide the last event of some users, stop when its ranking gets no better, and keep the best epoch.
    validation_fraction : float, default=0.1
        The share of users (of at least three events) whose last event is hidden for that.
    n_iter_no_change : int, default=10
        How many epochs the validation score may go without a new best.
    item_embeddings : array-like of shape (n_items, n_values), default=None
        Vectors to start the items from (of texts, of another model), brought to `n_components` by PCA, their scale
        kept.
    embedding_training : {"tuned", "delta", "frozen"}, default="tuned"
        What training does with the given vectors: "tuned" changes them, "delta" keeps them and adds a learned
        difference, "frozen" keeps them. With "delta" and "frozen", items that never occurred are ranked too.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit.
    checkpoint : str or path, default=None
        A folder in which the state after every epoch is kept, one file per data and parameters. A fit that finds its
        file continues from there, and gives the model that it would have given without a stop; so does one with a
        larger `max_iter`. A fit with a smaller `max_iter` or less patience than the file has seen does not use it.
        With ``random_state=None`` the file keeps the seed it began with. A damaged file is replaced, with a warning.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    device : str, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one.
    accelerator : "auto", accelerate.Accelerator or None, default=None
        Trains on several devices, with mixed precision or accumulated gradients (extra ``accelerate``). "auto" takes
        the settings of ``accelerate launch``. Every process calls `fit` with the same X and ends with the same model.
        A batch is divided between the processes. `device` is then the device that scores. None trains on `device`.
    random_state : int, RandomState instance or None, default=None
        Start and all draws. Equal seeds give equal models on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        All weights of the network.
    item_vectors_ : ndarray of shape (n_items, n_components)
        Vectors of the items.
    loss_curve_ : list of float
        Mean training loss of every epoch.
    validation_scores_ : list of float
        nDCG@10 of the hidden events after every epoch; empty without early stopping.
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    n_iter_ : int
        Epochs trained.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SequenceLSTMRecommender : Another cell.
    SASRec : Attention instead of recurrence.
    SequenceKNN : Trains nothing: the baseline that a network must exceed.

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


class SequenceRNNRecommender(RecurrentRecommender):
    """Plain recurrent network (tanh) over the latest events, trained to predict the next one.

    It forgets sooner than the gated cells, and is here to be compared with them.

    Parameters
    ----------
    n_components : int, default=128
        Width of item vectors and states.
    n_layers : int, default=1
        Recurrent layers.
    attention : bool, default=False
        Whether the state attends to all earlier states.
    tie_weights : bool, default=True
        Whether items are scored by the vectors that enter the network; otherwise by vectors of their own and an
        intercept.
    dropout : float, default=0.2
        Share of the item vectors' entries, and of those between layers, that is dropped in training.
    max_length : int, default=200
        How many of the latest events are read, and the longest piece of a history in training.
    loss : {"auto", "softmax", "sampled_softmax", "bce", "gbce"}, default="auto"
        What is minimised: cross-entropy over the whole catalogue, over the positive and sampled negatives with the
        correction for how they are sampled, or binary cross-entropy, plain or calibrated. "auto" is "softmax" up to
        5,000 items and "sampled_softmax" above.
    n_negatives : int, default=512
        Negatives of a batch, shared by all its positions; "softmax" has none.
    batch_size : int, default=128
        Most histories of a batch. Batches get smaller, down to 16, where an epoch would have fewer than 100.
    learning_rate : float, default=0.001
        Step size of Adam.
    regularization : float, default=0.0
        The L2 penalty on all weights.
    max_iter : int, default=100
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide the last event of some users, stop when its ranking gets no better, and keep the best epoch.
    validation_fraction : float, default=0.1
        The share of users (of at least three events) whose last event is hidden for that.
    n_iter_no_change : int, default=10
        How many epochs the validation score may go without a new best.
    item_embeddings : array-like of shape (n_items, n_values), default=None
        Vectors to start the items from (of texts, of another model), brought to `n_components` by PCA, their scale
        kept.
    embedding_training : {"tuned", "delta", "frozen"}, default="tuned"
        What training does with the given vectors: "tuned" changes them, "delta" keeps them and adds a learned
        difference, "frozen" keeps them. With "delta" and "frozen", items that never occurred are ranked too.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit.
    checkpoint : str or path, default=None
        A folder in which the state after every epoch is kept, one file per data and parameters. A fit that finds its
        file continues from there, and gives the model that it would have given without a stop; so does one with a
        larger `max_iter`. A fit with a smaller `max_iter` or less patience than the file has seen does not use it.
        With ``random_state=None`` the file keeps the seed it began with. A damaged file is replaced, with a warning.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    device : str, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one.
    accelerator : "auto", accelerate.Accelerator or None, default=None
        Trains on several devices, with mixed precision or accumulated gradients (extra ``accelerate``). "auto" takes
        the settings of ``accelerate launch``. Every process calls `fit` with the same X and ends with the same model.
        A batch is divided between the processes. `device` is then the device that scores. None trains on `device`.
    random_state : int, RandomState instance or None, default=None
        Start and all draws. Equal seeds give equal models on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        All weights of the network.
    item_vectors_ : ndarray of shape (n_items, n_components)
        Vectors of the items.
    loss_curve_ : list of float
        Mean training loss of every epoch.
    validation_scores_ : list of float
        nDCG@10 of the hidden events after every epoch; empty without early stopping.
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    n_iter_ : int
        Epochs trained.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

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
