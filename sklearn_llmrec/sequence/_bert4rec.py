"""A Transformer that reads in both directions and predicts masked events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec._networks import Batch, masked_batches
from sklearn_llmrec.interactions import Sequences
from sklearn_llmrec.sequence._sasrec import TransformerRecommender
from sklearn_llmrec.utils import Interval


class BERT4Rec(TransformerRecommender):
    """Bidirectional Transformer trained to predict masked events from those before and after.

    To rank, a mask is appended to the history; its output is the user, and items score by its product with their
    vectors. So a history never seen is scored like any other.

    Parameters
    ----------
    n_components : int, default=64
        Width of item vectors and layers.
    n_layers : int, default=2
        Blocks of attention and a pointwise network.
    n_heads : int, default=1
        Heads of the attention; `n_components` must be a multiple.
    mask_fraction : float, default=0.2
        Share of the events that is masked in training.
    dropout : float, default=0.2
        Share of the entries that is dropped in training, of item vectors and of what a block adds.
    max_length : int, default=200
        How many events are read, the mask included, and the longest piece of a history in training.
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
    max_iter : int, default=400
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide the last event of some users, stop when its ranking gets no better, and keep the best epoch.
    validation_fraction : float, default=0.1
        The share of users (of at least three events) whose last event is hidden for that.
    n_iter_no_change : int, default=30
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
    SASRec : Predicts the next event instead, and learns from every event in every epoch: far fewer epochs.

    Notes
    -----
    Only masked events teach, so it needs several times the epochs of `SASRec`; published figures are reached only
    after hundreds. In a tenth of the windows the last event alone is masked, as when ranking. Differs from the paper in
    the norm before each layer, in masking without random replacements, and in the loss where the catalogue is large.

    References
    ----------
    F. Sun et al., "BERT4Rec: sequential recommendation with bidirectional encoder representations from Transformer",
    CIKM 2019.
    A. Petrov, C. Macdonald, "A systematic review and replicability study of BERT4Rec for sequential recommendation",
    RecSys 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import BERT4Rec
    >>> walk = (np.arange(6)[:, None] + np.arange(4)) % 6  # who had i had i + 1 next
    >>> X = np.zeros((6, 6))
    >>> np.put_along_axis(X, walk, np.arange(1, 5), axis=1)
    >>> model = BERT4Rec(
    ...     16, learning_rate=0.02, max_iter=150, early_stopping=False, random_state=0
    ... ).fit(X)
    >>> items, scores = model.recommend([[1, 2, 3, 0, 0, 0]], k=1)
    >>> items
    array([[3]])
    """

    _masks: ClassVar[bool] = True
    mask_fraction: float
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TransformerRecommender._parameter_constraints,
        "mask_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        n_components: int = 64,
        *,
        n_layers: int = 2,
        n_heads: int = 1,
        mask_fraction: float = 0.2,
        dropout: float = 0.2,
        max_length: int = 200,
        loss: str = "auto",
        n_negatives: int = 512,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        regularization: float = 0.0,
        max_iter: int = 400,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 30,
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

    def _batches(self, sequences: Sequences) -> Callable[[np.random.Generator], Iterator[Batch]]:
        return partial(
            masked_batches,
            sequences,
            self.max_length,
            self.batch_size,
            share=self.mask_fraction,
        )
