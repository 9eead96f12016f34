"""What the docstrings of all sequence networks share."""

_PARAMETERS = """loss : {"auto", "softmax", "sampled_softmax", "bce", "gbce"}, default="auto"
        What is minimised: cross-entropy over the whole catalogue, over the positive and sampled negatives with the
        correction for how they are sampled, or binary cross-entropy, plain or calibrated. "auto" is "softmax" up to
        5,000 items and "sampled_softmax" above.
    n_negatives : int, default=512
        Negatives of a batch, shared by all its positions; "softmax" has none.
    batch_size : int, default=128
        Histories of a batch.
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
        Whether the given vectors are only a start, are kept with a learned difference added, or are kept. Kept ones
        let items be ranked that never occurred.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit.
    checkpoint : str or path, default=None
        A folder in which the state after every epoch is kept, one file per data and parameters. A fit that finds its
        file goes on from there, and gives the model that it would have given without a stop; so does one with a
        larger `max_iter`.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them. Ratings and weights are no times.
    device : str, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Start and sampling. Equal seeds give equal models on a CPU with equally many threads.
    verbose : bool, default=False
        Whether to print a line per epoch."""

_ATTRIBUTES = """weights_ : dict of str to ndarray
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
        Number of items."""


def documented(kind: type) -> type:
    """Fill what all sequence networks share into the docstring of one."""
    doc = kind.__doc__ or ""
    kind.__doc__ = doc.replace("{parameters}", _PARAMETERS).replace("{attributes}", _ATTRIBUTES)
    return kind
