"""Vectors of a knowledge graph by TransE, RotatE or ComplEx: a transformer from item ids to dense rows."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec.graph._encoder import column_of_ids, ids_as_input
from sklearn_llmrec.graph._knowledge_graph import KnowledgeGraph
from sklearn_llmrec.graph._link_prediction import link_prediction
from sklearn_llmrec.utils import Interval, StrOptions, iterations, require


class KnowledgeGraphEmbedding(TransformerMixin, BaseEstimator):
    r"""Encode items by vectors that predict their facts.

    Every entity gets a vector e and every relation a vector r, so that true triples (h, r, t) score high:

    - "transe": :math:`-\lVert e_h + r - e_t \rVert`, a relation is a translation.
    - "rotate": :math:`-\lVert e_h \circ e^{i r} - e_t \rVert`, a rotation of complex numbers by the phases r.
    - "complex": :math:`\operatorname{Re} \langle e_h, r, \bar e_t \rangle`, a product of complex numbers.

    Training maximises the log-likelihood of the true tail, and of the true head, in a softmax over drawn entities. For
    "transe" and "rotate" the softmax takes squared distances, which rank alike.

    One column per fact (`KnowledgeGraphEncoder`) was better as a feature of items in all our measurements. Use vectors
    where a model needs few dense dimensions, and to predict missing facts.

    Parameters
    ----------
    graph : KnowledgeGraph
        The triples, and the links from item ids to entities.
    model : {"transe", "rotate", "complex"}, default="complex"
        The score of a triple.
    n_components : int, default=64
        Length of the vectors of entities. "rotate" and "complex" need an even number: half are real parts.
    n_negatives : int, default=256
        Entities drawn for every batch, which all its triples share.
    regularization : float, default=1e-5
        Weight of an L2 penalty on all vectors.
    batch_size : int, default=1024
        Triples of a batch.
    learning_rate : float, default=0.01
        Step size of Adam.
    max_iter : int, default=50
        Number of epochs.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one. Vectors need no torch.
    random_state : int, RandomState instance or None, default=None
        Start and all draws. Equal seeds give equal vectors on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch.

    Attributes
    ----------
    entity_vectors_ : ndarray of shape (n_entities, n_components), float32
        One row per entity of ``graph.entities_``. Complex vectors have their real parts first.
    relation_vectors_ : ndarray of shape (n_relations, n_components), float32
        One row per relation of ``graph.relations_``; with "rotate" its n_components / 2 phases.
    loss_curve_ : list of float
        Mean training loss of every epoch.
    n_iter_ : int
        Epochs trained.

    See Also
    --------
    KnowledgeGraphEncoder : One column per fact, without training.
    link_prediction : Filtered ranks of held-out triples.

    Notes
    -----
    An epoch costs O(n_triples (n_negatives + n_entities / batch_size) n_components). Needs the extra ``deep`` to fit,
    not to transform.

    References
    ----------
    A. Bordes et al., "Translating embeddings for modeling multi-relational data", NIPS 2013 (TransE);
    Z. Sun et al., "RotatE: knowledge graph embedding by relational rotation in complex space", ICLR 2019,
    arXiv:1902.10197; T. Trouillon et al., "Complex embeddings for simple link prediction", ICML 2016, arXiv:1606.06357.

    Examples
    --------
    >>> from sklearn_llmrec.graph import KnowledgeGraph, KnowledgeGraphEmbedding
    >>> graph = KnowledgeGraph(
    ...     [("a", "by", "Ann"), ("b", "by", "Ann"), ("c", "by", "Bob"), ("d", "by", "Bob")]
    ... )
    >>> model = KnowledgeGraphEmbedding(graph, n_components=4, random_state=0)
    >>> vectors = model.fit_transform(["a", "b", "c", "d"])
    >>> vectors.shape
    (4, 4)
    >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    True
    """

    # Recommenders pass the ids of items instead of their texts.
    _reads_item_ids = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "graph": [KnowledgeGraph],
        "model": [StrOptions({"transe", "rotate", "complex"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_negatives": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        graph: KnowledgeGraph,
        *,
        model: str = "complex",
        n_components: int = 64,
        n_negatives: int = 256,
        regularization: float = 1e-5,
        batch_size: int = 1024,
        learning_rate: float = 0.01,
        max_iter: int = 50,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.graph = graph
        self.model = model
        self.n_components = n_components
        self.n_negatives = n_negatives
        self.regularization = regularization
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit vectors of all entities and relations of the graph.

        Parameters
        ----------
        X : array-like of shape (n_items,) or (n_items, 1)
            Item ids. They are only checked: training reads the triples of the graph.
        y : None
            Ignored.

        Returns
        -------
        self : KnowledgeGraphEmbedding

        Raises
        ------
        ImportError
            If torch is not installed (extra `deep`).
        ValueError
            If the graph has no triple, the ids are of another kind than those of the links, or `n_components` is odd
            for complex vectors.
        """
        self._validate_params()
        require("torch", extra="deep")
        if self.model != "transe" and self.n_components % 2:
            raise ValueError(
                f"model={self.model!r} has complex vectors, so n_components must be even; got {self.n_components}."
            )
        graph = self.graph
        triples = np.column_stack([graph._head, graph._relation, graph._tail])
        if not len(triples):
            raise ValueError("The graph has no triple to learn from: look at its report_.")
        graph._entities_of(column_of_ids(X))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        from sklearn_llmrec._networks import Progress, choose_device, print_epoch, to_numpy
        from sklearn_llmrec.graph import _embedding_training as training

        network = training.new_network(
            self.model, len(graph.entities_), len(graph.relations_), self.n_components, seed
        )
        progress = training.TripleTraining(
            network=network.to(choose_device(self.device)),
            batches=partial(training.batches, triples, self.batch_size),
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            patience=self.max_iter,
            report=partial(print_epoch, self),
            epochs=partial(iterations, self),
            n_negatives=self.n_negatives,
        ).run(Progress(seed=seed), self.max_iter)
        weights = to_numpy(network)
        self.entity_vectors_, self.relation_vectors_ = weights["entities"], weights["relations"]
        self.loss_curve_, self.n_iter_ = progress.losses, progress.epoch
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of items.

        Parameters
        ----------
        X : array-like of shape (n_items,) or (n_items, 1)
            Item ids.

        Returns
        -------
        vectors : ndarray of shape (n_items, n_components), float32
            Rows of unit length; zeros for an item without an entity.
        """
        check_is_fitted(self)
        codes = self.graph._entities_of(column_of_ids(X))
        vectors = np.where((codes >= 0)[:, None], self.entity_vectors_[codes], np.float32(0))
        return np.asarray(unit_rows(vectors))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the filtered mean reciprocal rank of held-out triples.

        Parameters
        ----------
        X : dataframe, ndarray of shape (n, 3), or iterable of triples
            Triples that the graph has not; see `link_prediction`.
        y : None
            Ignored.

        Returns
        -------
        mrr : float
        """
        return link_prediction(self, X).mrr

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the name of each output column.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of shape (n_components,), object
        """
        check_is_fitted(self)
        n = self.entity_vectors_.shape[1]
        return np.array([f"knowledgegraphembedding{place}" for place in range(n)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        return ids_as_input(super().__sklearn_tags__())
