"""A Transformer that reads in both directions and tells masked events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec._networks import SEQUENCE_TEXTS, Batch, masked_batches
from sklearn_llmrec.interactions import Sequences
from sklearn_llmrec.sequence._sasrec import TransformerRecommender
from sklearn_llmrec.utils import Interval, documented


@documented(SEQUENCE_TEXTS)
class BERT4Rec(TransformerRecommender):
    """Bidirectional Transformer trained to tell masked events from those before and after.

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
    {loss, n_negatives, batch_size, learning_rate, regularization, max_iter, early_stopping, validation_fraction,
    n_iter_no_change, item_embeddings, embedding_training, warm_start, checkpoint, order, device, random_state,
    verbose}

    Attributes
    ----------
    {weights_, item_vectors_, loss_curve_, validation_scores_, best_epoch_, n_iter_, item_popularity_,
    n_features_in_}

    See Also
    --------
    SASRec : Tells the next event instead, and learns from every event in every epoch: far fewer epochs.

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
