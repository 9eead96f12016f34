"""Mult-VAE: a variational autoencoder of histories with a multinomial likelihood."""

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray

from sklearn_llmrec._networks import RowNetworkRecommender
from sklearn_llmrec.base import InnerProductMixin
from sklearn_llmrec.decomposition._vae_scores import output_vectors
from sklearn_llmrec.utils import Interval


class MultVAERecommender(InnerProductMixin, RowNetworkRecommender):
    r"""Variational autoencoder of histories with a multinomial likelihood.

    A row x of unit length, with entries dropped at random in training, is encoded to a normal distribution of latent
    factors. A draw z of it is decoded to one probability :math:`\pi_i(z)` per item. Training minimises, over the
    rows,

    .. math:: -\sum_i x_i \log \pi_i(z) + \beta \, \mathrm{KL}\bigl(q(z \mid x) \,\|\, N(0, I)\bigr),

    with :math:`\beta` rising from 0 to `kl_weight` over the first `annealing` epochs. Encoder and decoder have one
    hidden layer each. Items score by the logits of the mean of z, so a row never seen at `fit` is scored like any
    other, and values of X are the counts of the multinomial. Negative values are refused.

    Parameters
    ----------
    n_components : int, default=200
        Latent factors.
    n_hidden : int, default=600
        Width of the hidden layers.
    dropout : float, default=0.5
        Share of a row's entries that is dropped in training.
    kl_weight : float, default=0.5
        The largest weight of the divergence, :math:`\beta`.
    annealing : int, default=20
        Epochs until it is reached.
    batch_size : int, default=100
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
        Whether `fit` continues from the weights of the last fit, with the full `kl_weight`.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one. Scores need no torch.
    random_state : int, RandomState instance or None, default=None
        Start and all draws. Equal seeds give equal models on a CPU with equally many threads.
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
    Batch, annealing and the weight of the divergence were chosen on validation parts of MovieLens-1M and Online Retail.

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
        **RowNetworkRecommender._parameter_constraints,
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "annealing": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
    }
    weights_: dict[str, NDArray[Any]]

    def __init__(
        self,
        n_components: int = 200,
        *,
        n_hidden: int = 600,
        dropout: float = 0.5,
        kl_weight: float = 0.5,
        annealing: int = 20,
        batch_size: int = 100,
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
        continued = self.warm_start and hasattr(self, "weights_")
        if continued and len(self.weights_["item_vectors"]) != X.shape[1]:
            raise ValueError(
                f"warm_start continues with {len(self.weights_['item_vectors'])} items and X has {X.shape[1]} columns: "
                "fit a new estimator for another catalogue."
            )
        seed, learned, holdout = self._split(X)
        from sklearn_llmrec._networks import from_numpy
        from sklearn_llmrec.decomposition import _autoencoder as autoencoder

        network = autoencoder.new_network(
            X.shape[1], self.n_hidden, self.n_components, self.dropout, seed
        )
        if continued:
            from_numpy(network, self.weights_, copy=True)
        self.weights_ = self._trained(
            X,
            network,
            autoencoder.BoundTraining,
            partial(autoencoder.row_batches, learned, self.batch_size),
            seed=seed,
            continued=continued,
            holdout=holdout,
            regularization=self.regularization,
            kl_weight=self.kl_weight,
            n_annealing=0 if continued else self.annealing * -(-X.shape[0] // self.batch_size),
        )

    def _retrieval_vectors(
        self, X: sp.csr_array
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return output_vectors(self.weights_, X)
