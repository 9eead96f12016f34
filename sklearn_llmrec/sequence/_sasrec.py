"""Self-attention over item sequences."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec._networks import SEQUENCE_TEXTS
from sklearn_llmrec.sequence._neural import SequenceNetworkRecommender
from sklearn_llmrec.utils import Interval, documented


class TransformerRecommender(SequenceNetworkRecommender):
    """Base of the Transformers: they differ in what a position may attend to and in what is told."""

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


@documented(SEQUENCE_TEXTS)
class SASRec(TransformerRecommender):
    """Self-attentive sequential recommendation: a Transformer that tells the next event.

    Every event attends to those before it; the output after the last one is the user, and items score by its product
    with their vectors. So a history never seen is scored like any other.

    Parameters
    ----------
    n_components : int, default=128
        Width of item vectors and layers.
    n_layers : int, default=2
        Blocks of attention and a pointwise network.
    n_heads : int, default=1
        Heads of the attention; `n_components` must be a multiple.
    dropout : float, default=0.2
        Share of the entries that is dropped in training, of item vectors and of what a block adds.
    max_length : int, default=200
        How many of the latest events are read, and the longest piece of a history in training.
    {loss, n_negatives, batch_size, learning_rate, regularization, max_iter, early_stopping, validation_fraction,
    n_iter_no_change, item_embeddings, embedding_training, warm_start, checkpoint, order, device, random_state,
    verbose}

    Attributes
    ----------
    {weights_, item_vectors_, loss_curve_, validation_scores_, best_epoch_, n_iter_, item_popularity_,
    n_features_in_}

    See Also
    --------
    SequenceGRURecommender : Recurrence instead of attention.
    BERT4Rec : Attention in both directions.
    SequenceKNN : No training at all: the floor to clear.

    Notes
    -----
    Differs from the paper in the norm, which stands before each layer and not after it, in GELU for ReLU, in the loss
    ("bce" is the paper's), in cutting long histories into windows that together cover them, and in that no attention
    weights are dropped, which lets torch's fused attention run on a CPU. An epoch costs O(n_events * (n_components^2 *
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
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self._assign(locals())
