"""LightGCN: factors that are averaged over the graph of users and items."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec._networks import RowNetworkRecommender
from sklearn_llmrec.decomposition._factors import FactorRecommender
from sklearn_llmrec.decomposition._propagation import fold_in, item_layers, normalized
from sklearn_llmrec.utils import Interval, StrOptions, canonical


class LightGCN(FactorRecommender, RowNetworkRecommender):
    r"""Graph convolution of user and item vectors.

    Users and items start from vectors :math:`e^{(0)}`, the only weights there are, and take, layer by layer, what their
    neighbours in the graph of interactions have:

    .. math:: e_u^{(k+1)} = \sum_{i \in N(u)} \frac{e_i^{(k)}}{\sqrt{|N(u)| |N(i)|}}, \qquad
       e_i^{(k+1)} = \sum_{u \in N(i)} \frac{e_u^{(k)}}{\sqrt{|N(u)| |N(i)|}}.

    The vectors e that score are the means of layers 0 to `n_layers`. A row, whether or not it was seen at `fit`, gets
    the vector that its items propagate to it: the mean of its layers without layer 0, which a new user has not. So
    users need not be known, and equal rows are scored alike. Stochastic gradients descend one of two losses, with an
    L2 penalty on the first vectors:

    - "softmax": :math:`-\ln \mathrm{softmax}_i(\cos(e_u, e_j) / t)` over users u and their items i, among all items j.
      A share `dropout` of the items of u, drawn anew each time, sends nothing to :math:`e_u`. Users start from
      :math:`e_u^{(0)} = 0`, so training sees what a new user has. Scores are cosines, but for rows without items known
      at `fit`, which get popularity.
    - "bpr": :math:`-\ln \sigma(e_u^\top (e_i - e_j))` over users u, their items i and drawn items j that they have
      not, as in the paper. Scores are inner products.

    Values of X are ignored, only which items a row contains counts. Negative values are refused: a dislike is no
    interaction.

    Facts about items are further nodes of the graph, like users who have the items with the fact: vectors propagate
    along them, and their pairs enter the loss. So an item without interactions gets a vector from its facts.

    Parameters
    ----------
    n_components : int, default=128
        Number of factors.
    n_layers : int, default=3
        How many steps along the graph.
    item_facts : {array-like, sparse} of shape (n_items, n_facts), default=None
        Facts about the columns of X, such as ``KnowledgeGraph.facts(X.item_ids).matrix``; only which entries are not
        zero counts.
    loss : {"softmax", "bpr"}, default="softmax"
        What training minimises. "bpr" compares each interaction with one drawn item, which costs less in a large
        catalogue.
    temperature : float, default=0.15
        Divides the cosines in the softmax, t. The smaller it is, the more training looks at the other items of the
        highest scores. Only for "softmax".
    dropout : float, default=0.7
        Share of a row's items that are left out of its vector in training. Only for "softmax".
    regularization : float, default=1e-4
        The L2 penalty on the first vectors, per interaction.
    batch_size : int, default=65536
        About how many interactions a batch contains; for "softmax" whole rows, fewer where their scores would take
        more than 128 MiB. Every batch propagates over the whole graph, so large ones are cheap.
    learning_rate : float, default=0.03
        Step size of Adam.
    max_iter : int, default=200
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide a fifth of the items of some rows, stop when their ranking gets no better, and keep the best
        epoch.
    validation_fraction : float, default=0.1
        The share of rows whose items are hidden for that.
    n_iter_no_change : int, default=20
        How many epochs the validation score may go without a new best.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one. Scores need no torch.
    random_state : int, RandomState instance or None, default=None
        Start and all draws. Equal seeds give equal models on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), dtype of X
        Item factors, one column per item: their means over the layers, with "softmax" scaled to length 1. Zeros for an
        item that nobody has.
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
    BPRRecommender : The loss of "bpr" without the graph.
    sklearn_llmrec.neighbors.RP3beta : Walks on the same graph, without training.

    Notes
    -----
    An epoch is O(nnz n_components (1 + n_layers nnz / batch_size)), and O(n_users n_items n_components) more for
    "softmax". Needs the extra ``deep`` to fit, not to score. The defaults of "softmax" were chosen on validation parts
    of MovieLens-1M, MovieLens-latest-small and Online Retail.

    References
    ----------
    X. He, K. Deng, X. Wang, Y. Li, Y. Zhang, M. Wang, "LightGCN: simplifying and powering graph convolution network for
    recommendation", SIGIR 2020, arXiv:2002.02126. J. Wu, X. Wang, X. Gao, J. Chen, H. Fu, T. Qiu, X. He, "On the
    effectiveness of sampled softmax loss for item recommendation", ACM Transactions on Information Systems, 2024,
    arXiv:2201.02327 (the softmax of cosines).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import LightGCN
    >>> X = np.kron(np.eye(2), np.ones((8, 4)))
    >>> X[0, 2] = 0
    >>> model = LightGCN(4, max_iter=50, early_stopping=False, random_state=0).fit(X)
    >>> items, scores = model.recommend(X[:1], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RowNetworkRecommender._parameter_constraints,
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "item_facts": ["array-like", "sparse matrix", None],
        "loss": [StrOptions({"softmax", "bpr"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }
    _remembers_rows: ClassVar[bool] = False
    # What models have that were saved before `loss`.
    _scores_cosines_: bool = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A model that was saved before `loss` has neither it nor its parameters.
        super().__setstate__({"loss": "bpr", "temperature": 0.15, "dropout": 0.7, **state})

    def __init__(
        self,
        n_components: int = 128,
        *,
        n_layers: int = 3,
        item_facts: ArrayLike | sp.sparray | None = None,
        loss: str = "softmax",
        temperature: float = 0.15,
        dropout: float = 0.7,
        regularization: float = 1e-4,
        batch_size: int = 65536,
        learning_rate: float = 0.03,
        max_iter: int = 200,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        device: str = "auto",
        random_state: int | RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_components = n_components
        self.n_layers = n_layers
        self.item_facts = item_facts
        self.loss = loss
        self.temperature = temperature
        self.dropout = dropout
        self.regularization = regularization
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X: sp.csr_array) -> None:
        facts = self._rows_of_facts(X)
        seed, learned, holdout = self._split(X)
        joint = X
        if facts is not None:
            # A fact is one more row: after those of users, so that their numbers stay.
            learned, joint = (sp.csr_array(sp.vstack([rows, facts])) for rows in (learned, X))
        from sklearn_llmrec.decomposition import _graph as graph

        is_softmax = self.loss == "softmax"
        kind: Any = graph.PairTraining
        if is_softmax:
            kind = partial(
                graph.SoftmaxTraining, dropout=self.dropout, temperature=self.temperature
            )
        network = graph.new_network(
            normalized(learned), self.n_components, self.n_layers, seed, trains_users=not is_softmax
        )
        weights = self._trained(
            X,
            network,
            kind,
            partial(
                graph.whole_row_batches if is_softmax else graph.triples, learned, self.batch_size
            ),
            seed=seed,
            holdout=holdout,
            regularization=0.0,
            penalty=self.regularization,
            learned=learned,
        )
        senders, vectors = item_layers(joint, weights["users"], weights["items"], self.n_layers)
        if is_softmax:
            vectors = unit_rows(vectors)
        self._scores_cosines_ = is_softmax
        self._senders_ = senders.astype(X.dtype)
        self.components_ = vectors.T.astype(X.dtype)
        self._remember(X)

    def _rows_of_facts(self, X: sp.csr_array) -> sp.csr_array | None:
        """Return facts as rows over the items, with ones in the dtype of X.

        Raises
        ------
        ValueError
            If there is not one row of finite facts per column of X.
        """
        if self.item_facts is None:
            return None
        given = self.item_facts
        facts = sp.csr_array(given if sp.issparse(given) else np.asarray(given, dtype=np.float64))
        if facts.ndim != 2 or facts.shape[0] != X.shape[1]:
            raise ValueError(
                f"item_facts has the shape {facts.shape} and X has {X.shape[1]} columns: one row of facts per item is "
                "needed, in the order of the columns."
            )
        if not np.isfinite(facts.data).all():
            raise ValueError(
                "item_facts contains NaN or infinite values: use 0 where a fact is missing."
            )
        rows = canonical(sp.csr_array((facts != 0).T))
        return rows.astype(X.dtype)

    def _fold_in(self, X: sp.csr_array) -> NDArray[Any]:
        rows = fold_in(X, self._senders_)
        return unit_rows(rows) if self._scores_cosines_ else rows
