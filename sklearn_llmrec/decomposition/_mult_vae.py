"""Mult-VAE: a variational autoencoder of histories with a multinomial likelihood."""

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.decomposition._hidden_part import HiddenPart
from sklearn_llmrec.utils._callbacks import iterations
from sklearn_llmrec.utils._optional import require
from sklearn_llmrec.utils._sparse import normalize_rows


class MultVAERecommender(BaseRecommender):
    r"""Variational autoencoder of histories with a multinomial likelihood.

    A row x of unit length, entries dropped at random in training, is encoded to a normal distribution of latent
    factors; a draw z of it is decoded to one probability :math:`\pi_i(z)` per item. Minimised is, over the rows,

    .. math:: -\sum_i x_i \log \pi_i(z) + \beta \, \mathrm{KL}\bigl(q(z \mid x) \,\|\, N(0, I)\bigr),

    with :math:`\beta` rising from 0 to `kl_weight` over the first `annealing` epochs. Encoder and decoder have one
    hidden layer each. Items score by the logits of the mean of z, so a row never seen at `fit` is scored like any
    other, and values of X are the counts of the multinomial.

    Parameters
    ----------
    n_components : int, default=200
        Latent factors.
    n_hidden : int, default=600
        Width of the hidden layers.
    dropout : float, default=0.5
        Share of a row's entries that is dropped in training.
    kl_weight : float, default=0.2
        The largest weight of the divergence, :math:`\beta`.
    annealing : int, default=50
        Epochs until it is reached.
    batch_size : int, default=500
        Rows of a batch.
    learning_rate : float, default=0.001
        Step size of Adam.
    regularization : float, default=0.0
        The L2 penalty on all weights.
    max_iter : int, default=200
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide a fifth of the items of some rows, stop when their ranking gets no better, and keep the best
        epoch.
    validation_fraction : float, default=0.1
        The share of rows whose items are hidden for that.
    n_iter_no_change : int, default=20
        How many epochs the validation score may go without a new best.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit, with the full `kl_weight`.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one. Scores need no torch.
    random_state : int, RandomState instance or None, default=None
        Start, dropout and draws. Equal seeds give equal models on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        All weights of the network.
    loss_curve_ : list of float
        Mean training loss of every epoch.
    validation_scores_ : list of float
        nDCG@10 of the hidden items after every epoch; empty without early stopping.
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
    sklearn_llmrec.linear_model.EASE : One linear layer, in closed form.
    LightGCN : Learns on the graph of users and items.

    Notes
    -----
    An epoch is O(n_users n_items n_hidden), that of the output layer. Needs the extra ``deep`` to fit, not to score.

    References
    ----------
    D. Liang, R. G. Krishnan, M. D. Hoffman, T. Jebara, "Variational autoencoders for collaborative filtering", WWW
    2018, arXiv:1802.05814.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import MultVAERecommender
    >>> X = np.kron(np.eye(2), np.ones((8, 4)))
    >>> X[0, 2] = 0
    >>> model = MultVAERecommender(
    ...     4, n_hidden=8, learning_rate=0.02, max_iter=60, early_stopping=False, random_state=0
    ... ).fit(X)
    >>> items, scores = model.recommend(X[:1], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "annealing": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _nonnegative: ClassVar[bool] = True
    weights_: dict[str, NDArray[Any]]

    def __init__(
        self,
        n_components: int = 200,
        *,
        n_hidden: int = 600,
        dropout: float = 0.5,
        kl_weight: float = 0.2,
        annealing: int = 50,
        batch_size: int = 500,
        learning_rate: float = 1e-3,
        regularization: float = 0.0,
        max_iter: int = 200,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        warm_start: bool = False,
        device: str = "auto",
        random_state: int | RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_components = n_components
        self.n_hidden = n_hidden
        self.dropout = dropout
        self.kl_weight = kl_weight
        self.annealing = annealing
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X: sp.csr_array) -> None:
        require("torch", extra="deep")
        from sklearn_llmrec.decomposition import _autoencoder as autoencoder
        from sklearn_llmrec.utils import _training as training

        go_on = self.warm_start and hasattr(self, "weights_")
        if go_on and len(self.weights_["item_vectors"]) != X.shape[1]:
            raise ValueError(
                f"warm_start goes on with {len(self.weights_['item_vectors'])} items and X has {X.shape[1]} columns: "
                "fit a new estimator for another catalogue."
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        fraction = self.validation_fraction if self.early_stopping else 0.0
        learned, part = HiddenPart.of(X, fraction, seed)
        network = autoencoder.new_network(
            X.shape[1], self.n_hidden, self.n_components, self.dropout, seed
        )
        if go_on:
            training.from_numpy(network, self.weights_, copy=True)
        network.to(training.choose_device(self.device))
        n_annealing = 0 if go_on else self.annealing * -(-X.shape[0] // self.batch_size)
        progress = autoencoder.BoundTraining(
            network=network,
            batches=partial(autoencoder.row_batches, learned, self.batch_size),
            kl_weight=self.kl_weight,
            n_annealing=n_annealing,
            part=part,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            patience=self.n_iter_no_change,
            report=partial(training.print_epoch, self),
            epochs=partial(iterations, self, X=X),
        ).run(training.Progress(seed=seed), self.max_iter)
        self.weights_ = training.to_numpy(network)
        training.keep_curves(self, progress, go_on)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        return logits_of(self.weights_, X)


def logits_of(weights: dict[str, NDArray[Any]], X: sp.csr_array) -> NDArray[Any]:
    """Logits of all items for every row, at the mean of its latent factors."""
    w = {name: array.astype(X.dtype, copy=False) for name, array in weights.items()}
    hidden = np.tanh(normalize_rows(X) @ w["item_vectors"] + w["item_bias"])
    latent = hidden @ w["mean.weight"].T + w["mean.bias"]
    hidden = np.tanh(latent @ w["decoder.weight"].T + w["decoder.bias"])
    logits: NDArray[Any] = hidden @ w["output.weight"].T + w["output.bias"]
    return logits
