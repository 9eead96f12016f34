"""Histories drawn from a known Markov chain, and how close a model's lists come to the best ones."""

import numpy as np

from sklearn_llmrec import Interactions


def planted_chain(n_users, order, *, n_items=30, length=15, n_asked=1000, seed=0):
    """Draw histories from a random sparse chain.

    Returns
    -------
    X, asked : Interactions
        Histories to fit on, and other ones to rank for; items repeat.
    chances : ndarray of shape (n_asked, n_items)
        The true distribution of the next item of every history of `asked`.
    """
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(n_items, 0.1), size=n_items**order)
    walks = rng.integers(n_items, size=(n_users + n_asked, length))
    digits = n_items ** np.arange(order)[::-1]  # number of a context of `order` items
    for step in range(order, length):
        reached = table.cumsum(axis=1)[walks[:, step - order : step] @ digits]
        drawn = (rng.random((len(walks), 1)) > reached).sum(axis=1)
        walks[:, step] = np.minimum(drawn, n_items - 1)
    X = Interactions(
        (np.ones(walks.size), walks.ravel(), np.arange(0, walks.size + 1, length)),
        shape=(len(walks), n_items),
        timestamps=np.tile(np.arange(length), len(walks)),
    )
    return X[:n_users], X[n_users:], table[walks[n_users:, -order:] @ digits]


def share_of_best_hits(model, n_users, order, **options):
    """Return the expected hit@5 of a model fitted on a planted chain, divided by the highest possible one."""
    X, asked, chances = planted_chain(n_users, order, **options)
    items, _ = model.fit(X).recommend(asked, k=5, exclude_seen=False)
    found = np.take_along_axis(chances, items, axis=1).sum(axis=1).mean()
    return found / np.sort(chances, axis=1)[:, -5:].sum(axis=1).mean()
