"""Self-attention over item sequences."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec.sequence._neural import SequenceNetworkRecommender
from sklearn_llmrec.utils import Interval


class TransformerRecommender(SequenceNetworkRecommender):
    """Base of the Transformers, which differ in attention and in the training targets."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SequenceNetworkRecommender._parameter_constraints,
        "n_heads": [Interval(Integral, 1, None, closed="left")],
    }
    n_heads: int

    def _encoder(self) -> Any:
        from sklearn_llmrec.sequence._layers import Transformer

        if self.n_components % self.n_heads:
            raise ValueError(
                f"n_components={self.n_components} must be a multiple of n_heads={self.n_heads}: every head gets an "
                "equal part of the vector."
            )
        return Transformer(
            self.n_components,
            self.n_layers,
            self.n_heads,
            self.n_components * (4 if self._masks else 1),
            self.max_length,
            self.dropout,
            causal=not self._masks,
        )


class SASRec(TransformerRecommender):
    """Self-attentive sequential recommendation: a Transformer that predicts the next event.

    Every event attends to the events before it. The output at the last event is the vector of the user. The score of an
    item is the product of this vector and the vector of the item. So new histories are scored without training.

    Parameters
    ----------
    n_components : int, default=128
        Width of item vectors and layers.
    n_layers : int, default=2
        Number of blocks; each one is an attention layer and a pointwise network.
    n_heads : int, default=1
        Heads of the attention; `n_components` must be a multiple of it.
    dropout : float, default=0.2
        Share of the values that training sets to zero, in item vectors and in what a block adds.
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
    SequenceGRURecommender : Recurrence instead of attention.
    BERT4Rec : Attention in both directions.
    SequenceKNN : A baseline without training.

    Notes
    -----
    Differs from the paper in five ways. The norm is before each layer, GELU replaces ReLU, and the default loss is not
    "bce", the paper's. Long histories are divided into windows that together cover them. Dropout leaves attention
    weights alone, so that torch's fused attention runs on a CPU. An epoch costs O(n_events * (n_components^2 *
    n_layers + max_length * n_components * n_layers + n_negatives * n_components)).

    References
    ----------
    W.-C. Kang, J. McAuley, "Self-attentive sequential recommendation", ICDM 2018.
    A. Petrov, C. Macdonald, "gSASRec: reducing overconfidence in sequential recommendation trained with negative
    sampling", RecSys 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import SASRec
    >>> walk = (np.arange(6)[:, None] + np.arange(4)) % 6  # who had i had i + 1 next
    >>> X = np.zeros((6, 6))
    >>> np.put_along_axis(X, walk, np.arange(1, 5), axis=1)
    >>> model = SASRec(16, learning_rate=0.02, early_stopping=False, random_state=0).fit(X)
    >>> items, scores = model.recommend([[0, 1, 2, 0, 0, 0]], k=1)
    >>> items
    array([[3]])
    """

    def __init__(
        self,
        n_components: int = 128,
        *,
        n_layers: int = 2,
        n_heads: int = 1,
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
