"""The data sets of the benchmarks, and the splits that published figures were made with.

None of these data may be shipped, so they are read from a folder: the option given, else the environment variable
BENCH_DATA, else ``../shared/data`` beside the repository. It holds ``ml-1m``, ``ml-latest-small`` and
``amazon-video-games``.
"""

import csv
import gzip
import html
import json
import os
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec import Interactions
from sklearn_llmrec.datasets import fetch_movielens

DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


def add_data_option(parser: ArgumentParser) -> None:
    """Give a script the option --data."""
    parser.add_argument(
        "--data", help="folder with the data sets (default: BENCH_DATA, else ../shared/data)"
    )


def data_root(option=None):
    """The folder that holds the data sets."""
    root = Path(option or os.environ.get("BENCH_DATA") or DEFAULT).resolve()
    if not root.is_dir():
        raise SystemExit(
            f"no folder {root}: name the one with the data sets by --data or BENCH_DATA"
        )
    return root


def movielens_1m(root=None):
    """ML-1M, items with 5 or more ratings, as sequences: 6,040 x 3,416, 999,611 ones; times are positions."""
    folder = data_root(root) / "ml-1m"
    with gzip.open(folder / "ml-1m.txt.gz", "rt") as file:
        pairs = np.loadtxt(file, dtype=np.int64)
    titles = _movies(folder / "movies.dat")
    return _sequences(pairs[:, 0], pairs[:, 1], lambda ids: _film_features(titles, ids))


def movielens_1m_ratings(root=None):
    """The rating values that are there: 487,650 of users 1 to 2,999, with unix times."""
    with gzip.open(data_root(root) / "ml-1m" / "ratings_users_1-2999.dat.gz", "rb") as file:
        table = np.loadtxt(file.read().replace(b"::", b" ").decode().splitlines(), dtype=np.int64)
    users, rows = np.unique(table[:, 0], return_inverse=True)
    items, columns = np.unique(table[:, 1], return_inverse=True)
    return Interactions(
        (table[:, 2].astype(np.float64), (rows, columns)),
        timestamps=table[:, 3],
        user_ids=users,
        item_ids=items,
    )


def latest_small(root=None, min_ratings=5):
    """ML-latest-small, items with `min_ratings` or more: 610 x 3,650 at 5, with title and genres per item."""
    X = fetch_movielens("latest-small", data_home=data_root(root), download_if_missing=False)
    X = X.interactions
    return X[:, np.flatnonzero(np.bincount(X.indices, minlength=X.shape[1]) >= min_ratings)]


def amazon_games(root=None):
    """Video Games 2018, 5-core, as sequences: 50,546 x 16,859, 452,989 ones; times are positions, with titles."""
    folder = data_root(root) / "amazon-video-games"
    with gzip.open(folder / "Games.inter.json.gz", "rt") as file:
        # One object, or one a line: either way every user has a list of items.
        text = file.read()
    baskets = {}
    for part in [text] if text.count("\n{") == 0 else text.splitlines():
        baskets.update(json.loads(part))
    users = np.repeat([int(user) for user in baskets], [len(items) for items in baskets.values()])
    items = np.concatenate([np.asarray(items, dtype=np.int64) for items in baskets.values()])
    with gzip.open(folder / "Games.title.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        titles = {int(row[0]): html.unescape(row[2]) for row in rows}
    return _sequences(
        users,
        items,
        lambda ids: np.array([(titles.get(int(i), ""),) for i in ids], dtype=[("title", "O")]),
    )


def generated(n_users=200_000, n_items=100_000, nnz=4_000_000):
    """Return pairs drawn by skewed popularity, without repeats."""
    rng = np.random.default_rng(0)
    chances = (np.arange(1, n_items + 1) + 50.0) ** -1.1
    rows = np.sort(rng.integers(n_users, size=nnz))
    columns = rng.permutation(n_items)[
        np.searchsorted(np.cumsum(chances / chances.sum()), rng.random(nnz)).clip(max=n_items - 1)
    ]
    X = sp.csr_array((np.ones(nnz, np.float32), (rows, columns)), shape=(n_users, n_items))
    X.data[:] = 1
    return X


def _sequences(users, items, features):
    """Users' items in the order given, as ones whose times are the positions in the user's sequence."""
    user_ids, rows = np.unique(users, return_inverse=True)
    item_ids, columns = np.unique(items, return_inverse=True)
    order = np.argsort(rows, kind="stable")
    rows, columns = rows[order], columns[order]
    counts = np.bincount(rows)
    positions = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Interactions(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)),
        shape=(len(user_ids), len(item_ids)),
        timestamps=positions,
        user_ids=user_ids,
        item_ids=item_ids,
        item_features=features(item_ids),
    )


def _movies(path):
    lines = path.read_text(encoding="latin-1").splitlines()
    return {
        int(item): (title, genres) for item, title, genres in (line.split("::") for line in lines)
    }


def _film_features(films, ids):
    return np.array([films[int(item)] for item in ids], dtype=[("title", "O"), ("genres", "O")])


def popularity_matrix(n_users, n_items, nnz, *, spread, least, most, exponent, shift, seed=0):
    """Ones drawn by popularity alone, for costs and not for quality.

    A user's number of items is lognormal with sigma `spread`, scaled to `nnz` in total and kept between `least` and
    `most`; an item of rank r is drawn with probability ``(r + shift) ** -exponent``; columns are shuffled.
    """
    rng = np.random.default_rng(seed)
    weights = (np.arange(1, n_items + 1) + shift) ** -float(exponent)
    bounds = np.cumsum(weights / weights.sum())
    column = rng.permutation(n_items)
    activity = rng.lognormal(0.0, spread, n_users)
    pairs, aim = np.empty(0, dtype=np.int64), float(nnz)
    while len(pairs) < nnz:
        counts = np.clip(activity * (aim / activity.sum()), least, most).astype(np.int64)
        rows = np.repeat(np.arange(n_users), counts)
        drawn = np.minimum(np.searchsorted(bounds, rng.random(len(rows))), n_items - 1)
        pairs = np.unique(rows * n_items + column[drawn])  # what was drawn twice counts once
        aim *= 1.05 * max(1.0, nnz / len(pairs))
    pairs = np.sort(rng.choice(pairs, nnz, replace=False))
    rows, columns = np.divmod(pairs, n_items)
    values = np.ones(nnz, dtype=np.float32)
    return sp.csr_array((values, (rows, columns)), shape=(n_users, n_items))


# Shapes of known size: 20 million interactions as of MovieLens-20M, and a million users.
LARGE = {
    "138k-users": lambda: popularity_matrix(
        138_493, 26_744, 20_000_000, spread=1.1, least=20, most=9000, exponent=1.3, shift=100
    ),
    "1m-users": lambda: popularity_matrix(
        1_000_000, 200_000, 20_000_000, spread=1.0, least=2, most=3000, exponent=1.1, shift=50
    ),
}


def random_split(X, seed=0, test=0.2):
    """Per user, floor(test * n) entries drawn at random are held out: (train, held out), both of X's shape.

    The draw is that of the published tables: one uniform number per entry in row and column order, and the smallest
    of each row are held out.
    """
    counts = np.diff(X.indptr)
    rows = np.repeat(np.arange(X.shape[0]), counts)
    drawn = np.random.default_rng(seed).random(X.nnz)
    by_draw = np.lexsort((drawn, rows))
    place = np.arange(X.nnz) - X.indptr[rows]
    held = np.zeros(X.nnz, dtype=bool)
    held[by_draw[place < np.floor(counts * test)[rows]]] = True
    return _select(X, ~held), _select(X, held)


@dataclass
class LeaveOneOut:
    """Histories without the last two items of every user, and those two."""

    train: Interactions
    train_and_valid: Interactions
    valid: np.ndarray
    test: np.ndarray


def leave_one_out(X):
    """The last item of every user is for the test, the one before it for validation."""
    counts = np.diff(X.indptr)
    if counts.min() < 3:
        raise ValueError("leave-one-out needs three items of every user")
    ends = np.cumsum(counts)
    order = X.event_order()
    test, valid = order[ends - 1], order[ends - 2]
    before_test = np.ones(X.nnz, dtype=bool)
    before_test[test] = False
    before_valid = before_test.copy()
    before_valid[valid] = False
    return LeaveOneOut(
        _select(X, before_valid), _select(X, before_test), X.indices[valid], X.indices[test]
    )


def _select(X, mask):
    """The chosen entries of X, with all that X knows."""
    indptr = np.append(0, np.cumsum(mask))[X.indptr]
    return Interactions(
        (X.data[mask], X.indices[mask], indptr),
        shape=X.shape,
        timestamps=X.timestamps[mask],
        user_ids=X.user_ids,
        item_ids=X.item_ids,
        item_features=X.item_features,
    )
