"""A small language model over items, whose output is restricted to items of the catalogue."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec._networks import TrainedOnSequences
from sklearn_llmrec.base import Tags
from sklearn_llmrec.interactions import Sequences, event_sequences, fit_sequences
from sklearn_llmrec.sequence._item_tokens import numbered, of_codes, of_titles, prefixes
from sklearn_llmrec.sequence._semantic_ids import residual_codes
from sklearn_llmrec.sequence._trie import Trie
from sklearn_llmrec.text import CONTENT_CONSTRAINTS, as_vectors, embedded, texts_of_items, unfitted
from sklearn_llmrec.utils import HasMethods, Interval, StrOptions, canonical, require


class LMRecommender(TrainedOnSequences):
    r"""A causal language model whose words are items, trained on the histories in X.

    Every item is a short sequence of tokens: one of its own, the words of its title, or codes of what its text says,
    from coarse to fine (semantic ids). A history is the
    sequence of its items' tokens, and a small transformer learns to predict every token from those before it.
    Its output is restricted to the tree of all items: at every step only tokens are allowed that lead to an item, so
    with :math:`C_t` the tokens that may follow there,

    .. math:: p(i \mid h) = \prod_t \frac{\exp z_{t}(w_{it})}{\sum_{w \in C_t} \exp z_{t}(w)},

    which sums to one over the catalogue. Scores are :math:`\log p`. With titles and codes, items that nobody chose
    yet share tokens with others, and can be recommended.

    Parameters
    ----------
    n_components : int, default=64
        Width of the network.
    n_layers : int, default=2
        Number of blocks.
    n_heads : int, default=2
        Attention heads of a block.
    architecture : {"gpt2", "llama"} or config, default="gpt2"
        The make-up of the network, by name, or a configuration of transformers (of any causal model), which then
        says the sizes.
    tokens : {"auto", "items", "titles", "codes"}, default="auto"
        How an item is written. "items": one token of its own. "titles": the words of its title, rare ones spelled in
        bytes. "codes": the cluster of its text's vector, then the cluster of the residual, and so on.
        "auto" is "titles" where `item_texts` are given.
    item_texts : array-like, str or None, default=None
        The titles, of shape (n_items,), or the name of a column of the item features that X carries at fit, or a
        template over several. None reads the item ids that X carries. Items of one title get numbers.
    encoder : None, str, path, transformer or "passthrough", default=None
        What makes vectors of texts, for "codes": a transformer; the name or folder of a model for `SentenceEncoder`;
        None is tf-idf of words in 256 latent dimensions; "passthrough" takes `item_texts` as the vectors themselves.
    n_codes : int, default=64
        Clusters of every level of codes.
    n_levels : int, default=3
        Levels of codes. Items of the same codes get numbers.
    n_words : int, default=2000
        How many words of the titles, the most frequent, are one token each.
    max_tokens : int, default=16
        Titles are cut to so many tokens.
    dropout : float, default=0.1
        The share of values dropped in training.
    max_length : int, default=50
        The latest events that are read; longer histories are trained on in windows. No more events are read than the
        longest history of the fit has before its last event.
    batch_size : int, default=64
        Most histories of a batch. Batches get smaller, down to 16, where an epoch would have fewer than 100.
    learning_rate : float, default=0.001
        Step size of Adam.
    regularization : float, default=0.0
        The L2 penalty on all weights.
    max_iter : int, default=100
        The most epochs.
    early_stopping : bool, default=True
        Whether to hide the last event of some users, stop when its log-probability gets no better, and keep the best
        epoch.
    validation_fraction : float, default=0.1
        The share of users (of at least three events) whose last event is hidden for that.
    n_iter_no_change : int, default=5
        How many epochs the validation score may go without a new best.
    beam_size : int or None, default=None
        How many paths of the tree `recommend` follows at once. None follows all that can still lead to a better
        item than those found: an exact search, which agrees with `predict`. A number bounds the work, and may
        miss items whose first words are unlikely.
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
    n_tokens_ : int
        Size of the vocabulary.
    loss_curve_ : list of float
        Mean loss of a token of every epoch.
    validation_scores_ : list of float
        Mean log-probability of the hidden events after every epoch; empty without early stopping.
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
    SASRec : A transformer with one vector per item, faster in a large catalogue.
    sklearn_llmrec.text.LikelihoodReranker : A language model trained by others, over candidates.

    Notes
    -----
    With titles, `predict` reads every fork of the tree after every history: O(n_items) short passes a row, of which
    the history is read once. `recommend` opens forks in the order of their probability until no better item can
    come, for many rows at once, and only forks that lead to `candidates` where they are given as columns. With "items"
    a row costs one pass. "llama" normalises in single precision, whatever the type of X.

    References
    ----------
    S. Geng et al., "Recommendation as language processing (RLP): a unified pretrain, personalized prompt & predict
    paradigm (P5)", RecSys 2022. N. De Cao et al., "Autoregressive entity retrieval", ICLR 2021 (the tree).
    S. Rajput et al., "Recommender systems with generative retrieval", NeurIPS 2023 (codes; there by a learned
    quantiser, here by residual k-means).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.sequence import LMRecommender
    >>> titles = ["red tea", "green tea", "garden rake", "garden spade"]
    >>> X = np.array([[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]] * 10)
    >>> model = LMRecommender(
    ...     32, item_texts=titles, batch_size=8, learning_rate=0.01, max_iter=50, random_state=0
    ... )
    >>> items, scores = model.fit(X).recommend([[1, 0, 0, 0]], k=1)
    >>> titles[items[0, 0]]
    'green tea'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TrainedOnSequences._parameter_constraints,
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "architecture": [StrOptions({"gpt2", "llama"}), HasMethods(["to_dict", "update"])],
        "tokens": [StrOptions({"auto", "items", "titles", "codes"})],
        "item_texts": ["array-like", str, None],
        "encoder": CONTENT_CONSTRAINTS["encoder"],
        "n_codes": [Interval(Integral, 2, None, closed="left")],
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "n_words": [Interval(Integral, 0, None, closed="left")],
        "max_tokens": [Interval(Integral, 1, None, closed="left")],
        "beam_size": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components: int = 64,
        *,
        n_layers: int = 2,
        n_heads: int = 2,
        architecture: Any = "gpt2",
        tokens: str = "auto",
        item_texts: ArrayLike | str | None = None,
        encoder: Any = None,
        n_codes: int = 64,
        n_levels: int = 3,
        n_words: int = 2000,
        max_tokens: int = 16,
        dropout: float = 0.1,
        max_length: int = 50,
        batch_size: int = 64,
        learning_rate: float = 0.001,
        regularization: float = 0.0,
        max_iter: int = 100,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        beam_size: int | None = None,
        checkpoint: str | Path | None = None,
        order: str = "auto",
        device: str = "auto",
        accelerator: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_components = n_components
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.architecture = architecture
        self.tokens = tokens
        self.item_texts = item_texts
        self.encoder = encoder
        self.n_codes = n_codes
        self.n_levels = n_levels
        self.n_words = n_words
        self.max_tokens = max_tokens
        self.dropout = dropout
        self.max_length = max_length
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.beam_size = beam_size
        self.checkpoint = checkpoint
        self.order = order
        self.device = device
        self.accelerator = accelerator
        self.random_state = random_state
        self.verbose = verbose

    # -- fit ----------------------------------------------------------------------------------------------------------

    def _fit(self, X: sp.csr_array) -> None:
        require("torch", extra="llm")
        require("transformers", extra="llm")
        from sklearn_llmrec.sequence._token_network import TokenHoldout, token_batches

        if self.n_components % self.n_heads:
            raise ValueError(
                f"n_components must be a multiple of n_heads={self.n_heads}, got {self.n_components}."
            )
        sequences = fit_sequences(X, self.order, type(self).__name__)
        self._require_order(sequences)
        seed = self._seed()
        catalogue = self._catalogue_ = self._item_tokens(X, seed)
        self._trie_ = Trie.of(catalogue)
        self.n_tokens_ = catalogue.n_items
        depends = sequences.items, sequences.bounds, catalogue.items, catalogue.bounds
        architecture = str(self.architecture)
        file, progress = self._progress(X, seed, architecture, *depends, max_iter=self.max_iter)
        learned, holdout = sequences, None
        if self.early_stopping:
            learned, hidden = self._held_out(sequences, progress.seed)
            holdout = None if hidden is None else TokenHoldout(*hidden, catalogue)
        # A place behind the longest history in training has a position that was never trained.
        self._n_read_ = min(self.max_length, int(learned.lengths.max()) - 1)
        self._train_network(
            X,
            self._network(progress.seed),
            partial(token_batches, learned, catalogue, self.max_length, self.batch_size),
            ("softmax", np.ones(self.n_tokens_), 1),
            (file, progress),
            max_iter=self.max_iter,
            holdout=holdout,
        )

    def _item_tokens(self, X: sp.csr_array, seed: int) -> Sequences:
        """Return the tokens of every item."""
        kind = self.tokens
        if kind == "auto":
            kind = "items" if self.item_texts is None else "titles"
        if kind == "items":
            return numbered(X.shape[1])
        if kind == "codes":
            return of_codes(residual_codes(self._vectors(X), self.n_codes, self.n_levels, seed))
        return of_titles(texts_of_items(self.item_texts, X), self.n_words, self.max_tokens)

    def _vectors(self, X: sp.csr_array) -> NDArray[Any]:
        """Return the vectors of the texts of all items."""
        if self.item_texts is None:
            raise ValueError(
                "tokens='codes' needs item_texts: the texts from which codes are computed."
            )
        if isinstance(self.encoder, str) and self.encoder == "passthrough":
            return as_vectors(self.item_texts, X.shape[1])
        texts = texts_of_items(self.item_texts, X)
        return as_vectors(embedded(unfitted(self.encoder), texts, X), X.shape[1])

    def _network(self, seed: int) -> Any:
        """Return a network with the initial weights of a seed."""
        require("torch", extra="llm")
        from sklearn_llmrec._networks import seeded
        from sklearn_llmrec.sequence._token_network import TokenNetwork, make_config

        longest = int(self._catalogue_.lengths.max())
        config = make_config(
            self.architecture,
            self._catalogue_.n_items,
            (self.max_length + 1) * longest + 1,
            (self.n_components, self.n_layers, self.n_heads),
            self.dropout,
        )
        with seeded(seed):
            return TokenNetwork(config)

    # -- scores -------------------------------------------------------------------------------------------------------

    def _reading_network(self, dtype: Any) -> Any:
        """Return the trained network at the precision of X."""
        from sklearn_llmrec._networks import choose_device, from_numpy, kept_network

        device = choose_device(self.device)

        def build() -> Any:
            network = self._network(0)
            from_numpy(network, self.weights_, copy=True)
            if dtype == np.float64:
                network.double()
            return network.to(device).eval()

        return kept_network(self, (dtype, device, self.max_length), build)

    def _prefixes(self, X: sp.csr_array) -> Sequences:
        recent = event_sequences(X, self.order).tail(self._n_read_)
        return prefixes(recent, self._catalogue_)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        torch = require("torch", extra="llm")
        from sklearn_llmrec._networks import encode
        from sklearn_llmrec.sequence import _token_network as reading

        network, histories, trie = self._reading_network(X.dtype), self._prefixes(X), self._trie_
        if len(trie.forks) == 1 and trie.forks[0] == 0:
            # The first token decides between all items: one output scores them.
            width = int(histories.lengths.max())
            outputs = encode(network, histories, width, mask=False, dtype=X.dtype)
            vectors = network.item_vectors().detach().cpu().numpy()
            shares = trie.log_shares(outputs @ vectors[trie.token[trie.choices]].T)
            return shares[:, trie.steps.indices]  # the one choice that leads to each item
        scores = np.zeros(X.shape, dtype=X.dtype)
        with torch.inference_mode():
            for rows, reader in reading.readers(network, histories):
                for place, row in enumerate(rows):
                    scores[row] = reading.all_scores(reader, place, trie)
        return scores

    def _topk_rows(
        self,
        X: sp.csr_array,
        k: int,
        seen: sp.csr_array | None,
        candidates: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """Search the tree for the top-k of rows with events; the base handles rows without any."""
        if len(self._trie_.forks) == 1:
            return None
        torch = require("torch", extra="llm")
        from sklearn_llmrec.sequence import _token_network as reading

        network, histories, trie = self._reading_network(X.dtype), self._prefixes(X), self._trie_
        items = np.full((X.shape[0], k), -1)
        scores = np.full((X.shape[0], k), -np.inf, dtype=X.dtype)
        excluded = sp.csr_array(X.shape, dtype=X.dtype) if seen is None else canonical(seen)
        wanted = None if candidates is None else trie.towards(candidates)
        with torch.inference_mode():
            for rows, reader in reading.readers(network, histories):
                banned = (
                    excluded.indices[excluded.indptr[r] : excluded.indptr[r + 1]] for r in rows
                )
                searches = [reading.Search(trie, k, self.beam_size, b, wanted) for b in banned]
                reading.run_searches(reader, trie, searches)
                for row, search in zip(rows, searches):
                    items[row, : len(search.items)] = search.items
                    scores[row, : len(search.items)] = search.values
        return items, scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.ranks_candidates = True
        return tags
