"""Generate interactions whose true tastes, popularity, order and texts are known."""

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from sklearn_llmrec.datasets._frames import frame, table
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import Interval, validate_params

_DESCR = """\
Generated interactions
----------------------
{nnz:,} interactions of {n_users:,} users with {n_items:,} items of {n_topics} topics, {n_cold:,} of the items cold.
A user takes items of the topics of their taste, popular items more often, and often the item that follows the one
taken before. Item texts consist of words of the item's topic.
"""
_EVENTS_PER_CHUNK = 2**20
_FIRST_DAY = 1_704_067_200  # 2024-01-01, unix seconds
_DAY = 86_400
# Real words, so that language models find the topics too; topics beyond these get made-up words.
_WORDS = [
    line.split()
    for line in """\
garden rake spade seeds watering flower lawn pruning soil hedge
kitchen saucepan whisk oven baking spoon recipe apron kettle bowl
guitar piano melody drum concert violin song rhythm chord orchestra
football goalkeeper stadium referee striker league kick jersey penalty training
novel poetry library author chapter paperback bookshelf essay fiction reading
camera lens tripod shutter portrait photograph exposure flash zoom darkroom
puppy kitten leash aquarium hamster veterinary paw whiskers kennel pet
hiking mountain tent compass trail backpack summit campfire glacier boots
rocket planet telescope galaxy astronaut orbit comet satellite moon asteroid
laptop keyboard software processor coding monitor database network server printer
necklace bracelet earring silver diamond pendant brooch ring pearl gemstone
bicycle pedal saddle helmet chain wheel spoke cycling brake handlebar""".splitlines()
]
_COMMON = ["new", "classic", "small", "large", "modern", "simple", "set", "deluxe", "basic", "mini"]
_WORDS_PER_TEXT = 4


@validate_params(
    {
        "n_users": [Interval(Integral, 1, None, closed="left")],
        "n_items": [Interval(Integral, 2, None, closed="left")],
        "n_interactions": [Interval(Integral, 1, None, closed="left"), None],
        "n_topics": [Interval(Integral, 1, None, closed="left")],
        "n_cold_items": [Interval(Integral, 0, None, closed="left")],
        "concentration": [Interval(Real, 0, None, closed="neither")],
        "popularity_exponent": [Interval(Real, 0, None, closed="left")],
        "order": [Interval(Real, 0, 1, closed="left")],
        "ratings": ["boolean"],
        "as_frame": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_interactions(
    n_users: int = 1000,
    n_items: int = 500,
    *,
    n_interactions: int | None = None,
    n_topics: int = 8,
    n_cold_items: int = 0,
    concentration: float = 0.2,
    popularity_exponent: float = 1.0,
    order: float = 0.4,
    ratings: bool = False,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Generate interactions with tastes, popularity, order and item texts, at any size.

    Every item belongs to a topic, and every user has a taste, a distribution over topics. With probability `order`,
    the next item of a user is the one that follows the previous item in a fixed round of the topic's items. Otherwise
    it is drawn from a topic of the user's taste, popular items first. So collaborative filtering beats popularity,
    the latest item predicts more than an older one, and the text of an item without interactions predicts who will
    take it.

    Parameters
    ----------
    n_users : int, default=1000
        Number of users.
    n_items : int, default=500
        Number of items, cold ones included.
    n_interactions : int, default=None
        About how many distinct pairs of user and item there are; None is 20 a user, and at most a tenth of all pairs.
        Users differ: their activity is lognormal. Narrow tastes give somewhat fewer.
    n_topics : int, default=8
        Number of topics.
    n_cold_items : int, default=0
        How many items, the last ones, nobody interacts with. They have a topic and a text as the others do.
    concentration : float, default=0.2
        Of the Dirichlet distribution of tastes: near 0 a user has one topic, far above 1 all users are alike.
    popularity_exponent : float, default=1.0
        How fast popularity falls with the rank of an item (Zipf-Mandelbrot); 0 makes all items equally popular.
    order : float, default=0.4
        Probability in [0, 1) that an event follows from the one before; 0 leaves no order to learn.
    ratings : bool, default=False
        Whether the values are ratings from 1 to 5, higher where the item's topic is to the user's taste, instead of 1.
    as_frame : bool, default=False
        Whether `items` and `frame` are pandas frames.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data at every call.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following entries, which are attributes too, but for `items`: write
        ``data["items"]``, because a dictionary has a method of that name.

        interactions : Interactions of shape (n_users, n_items)
            Distinct pairs with timestamps (unix seconds, no two events of a user at one time), and `items` as item
            features.
        items : structured array or DataFrame of shape (n_items,)
            Columns `item`, `text` and `topic`.
        user_topics : ndarray of shape (n_users, n_topics)
            The truth: every user's taste.
        item_weights : ndarray of shape (n_items,)
            The truth: every item's weight within its topic; the weights of a topic's items that are not cold sum to 1.
        frame : DataFrame of shape (n_interactions, 4) or None
            The events user by user in the order of time, with ``as_frame=True`` only: columns `user`, `item`, `value`
            and `time`.
        DESCR : str
            The data set in words.

    See Also
    --------
    load_online_retail : Real purchases, shipped with the package.

    Notes
    -----
    Cost is linear in the number of interactions; users are drawn in chunks, so little memory is needed beyond the
    result. Without `order`, the probability of a draw of item i by user u is
    ``user_topics[u, topic[i]] * item_weights[i]``.

    Examples
    --------
    >>> from sklearn_llmrec.datasets import make_interactions
    >>> data = make_interactions(100, 60, n_topics=4, random_state=0)
    >>> data.interactions.shape
    (100, 60)
    >>> data.user_topics.shape
    (100, 4)
    >>> print(data["items"]["text"][0])
    modern orchestra melody drum piano
    """
    if n_items - n_cold_items < n_topics:
        raise ValueError(
            f"{n_items} items, {n_cold_items} of them cold, can't fill {n_topics} topics: every topic needs an item "
            "that is not cold."
        )
    rng = check_random_state(random_state)
    n_warm = n_items - n_cold_items
    topics = np.concatenate([_topics(n_warm, n_topics, rng), _topics(n_cold_items, n_topics, rng)])
    weights = _weights(topics, n_warm, n_topics, popularity_exponent, rng)
    tastes = rng.standard_gamma(concentration, (n_users, n_topics)) + np.finfo(float).tiny
    tastes /= tastes.sum(axis=1, keepdims=True)
    if n_interactions is None:
        n_interactions = min(20 * n_users, n_users * n_items // 10)
    activity = _activity(n_users, n_interactions, max(1, n_warm // 2), rng)
    rounds = _Rounds(topics[:n_warm], weights[:n_warm])
    indptr, indices, times = _draw(tastes, activity, rounds, order, rng)
    values = np.ones(len(indices))
    if ratings:
        values = _ratings(tastes, topics, indptr, indices, rng)
    items = table(
        {"item": np.arange(n_items), "text": _texts(topics, rng), "topic": topics}, as_frame
    )
    X = Interactions(
        (values, indices, indptr), shape=(n_users, n_items), timestamps=times, item_features=items
    )
    return Bunch(
        interactions=X,
        items=items,
        user_topics=tastes,
        item_weights=weights,
        frame=_events(X) if as_frame else None,
        DESCR=_DESCR.format(
            nnz=X.nnz, n_users=n_users, n_items=n_items, n_topics=n_topics, n_cold=n_cold_items
        ),
    )


def _topics(n_items: int, n_topics: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Assign a topic to every item, all topics equally often, in random order."""
    return rng.permutation(np.arange(n_items) % n_topics)


def _weights(
    topics: NDArray[np.int64],
    n_warm: int,
    n_topics: int,
    exponent: float,
    rng: np.random.RandomState,
) -> NDArray[np.float64]:
    """Draw Zipf-Mandelbrot popularity in random order, normalised within each topic over the warm items."""
    n_items = len(topics)
    raw = (1 + rng.permutation(n_items) + n_items / 100) ** -float(exponent)
    total = np.bincount(topics[:n_warm], raw[:n_warm], minlength=n_topics)
    weights: NDArray[np.float64] = raw / total[topics]
    return weights


def _activity(n_users: int, total: int, most: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Draw lognormal numbers of items per user, between 1 and `most`, with a sum of about `total`."""
    raw = rng.lognormal(0.0, 0.8, n_users)
    scale = total / raw.sum()
    for _ in range(20):  # clipping changes the sum, so the scale has to follow
        scale *= total / np.clip(raw * scale, 1, most).sum()
    return np.rint(np.clip(raw * scale, 1, most)).astype(np.int64)


class _Rounds:
    """The items of every topic in a fixed random cycle; an item is drawn, or follows its predecessor."""

    def __init__(self, topics: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        # Items come in random order already, so a stable sort leaves every topic's items in random order.
        self.items = np.argsort(topics, kind="stable")
        self.size = np.bincount(topics)
        self.start = np.cumsum(self.size) - self.size
        within = np.cumsum(weights[self.items])
        self.cdf = topics[self.items] + within - within[self.start][topics[self.items]]
        first = weights[self.items][self.start]
        self.cdf += first[topics[self.items]]
        self.cdf[self.start + self.size - 1] = np.arange(len(self.size)) + 1.0

    def draw(
        self, topics: NDArray[np.int64], uniform: NDArray[np.float64], steps: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the item that is `steps` places after one drawn from the topic by popularity."""
        place = np.searchsorted(self.cdf, topics + uniform, side="right")
        place = np.minimum(place, self.start[topics] + self.size[topics] - 1)
        start, size = self.start[topics], self.size[topics]
        return self.items[start + (place - start + steps) % size]


def _draw(
    tastes: NDArray[np.float64],
    activity: NDArray[np.int64],
    rounds: _Rounds,
    order: float,
    rng: np.random.RandomState,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return index pointers, item indices (sorted within a user) and times of all events."""
    counts, indices, times = [], [], []
    for users in _user_chunks(activity):
        wanted = activity[users]
        row, item = _distinct_events(tastes[users], wanted, rounds, order, rng)
        time = _times(row, len(wanted), rng)
        by_item = np.lexsort((item, row))
        counts.append(np.bincount(row, minlength=len(wanted)))
        indices.append(item[by_item])
        times.append(time[by_item])
    indptr = np.append(0, np.cumsum(np.concatenate(counts)))
    return indptr, np.concatenate(indices), np.concatenate(times)


def _user_chunks(activity: NDArray[np.int64]) -> Iterator[slice]:
    ends = np.cumsum(activity)
    start = 0
    while start < len(activity):
        done = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, done + _EVENTS_PER_CHUNK, side="right"))
        yield slice(start, max(stop, start + 1))
        start = max(stop, start + 1)


def _distinct_events(
    tastes: NDArray[np.float64],
    wanted: NDArray[np.int64],
    rounds: _Rounds,
    order: float,
    rng: np.random.RandomState,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and items of a chunk's events in the order in which they happen, every pair once."""
    n_rows, n_topics = tastes.shape
    # Repeats are dropped, so more events are drawn than wanted, and those after the wanted number are dropped too.
    drawn = 2 * wanted + 5
    row = np.repeat(np.arange(n_rows), drawn)
    first = np.cumsum(drawn) - drawn
    begins = rng.random_sample(len(row)) >= order
    begins[first] = True
    # A run of events shares the draw at its beginning and continues from there, a step per event.
    run_start = np.maximum.accumulate(np.where(begins, np.arange(len(row)), 0))
    heads, head_of_event = np.unique(run_start, return_inverse=True)
    steps = np.arange(len(row)) - run_start
    uniform = rng.random_sample((2, len(heads)))
    # One sorted array contains the distributions of all rows, each shifted by its row.
    cdf = np.cumsum(tastes, axis=1)
    cdf[:, -1] = 1.0
    shifted = (cdf + np.arange(n_rows)[:, None]).ravel()
    topic = np.searchsorted(shifted, row[heads] + uniform[0], side="right") - n_topics * row[heads]
    topic = np.minimum(topic, n_topics - 1)
    item = rounds.draw(topic[head_of_event], uniform[1][head_of_event], steps)
    n_items = len(rounds.items)
    kept = np.sort(np.unique(row * n_items + item, return_index=True)[1])
    row, item = row[kept], item[kept]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return row[rank < wanted[row]], item[rank < wanted[row]]


def _times(row: NDArray[np.int64], n_rows: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Draw strictly rising times within each row.

    The first is within 300 days; the mean gap between two events is a day.
    """
    gaps = 1 + rng.exponential(_DAY, len(row)).astype(np.int64)
    passed = np.cumsum(gaps)
    first = np.searchsorted(row, np.arange(n_rows))
    first = np.minimum(first, len(row) - 1)
    start = _FIRST_DAY + rng.randint(0, 300 * _DAY, n_rows)
    return start[row] + passed - passed[first][row]


def _ratings(
    tastes: NDArray[np.float64],
    topics: NDArray[np.int64],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int64],
    rng: np.random.RandomState,
) -> NDArray[np.float64]:
    """Draw ratings from 1 to 5: the sum of taste, the item's quality, the user's mood and noise."""
    rows = np.repeat(np.arange(len(tastes)), np.diff(indptr))
    quality = rng.normal(0.0, 0.5, len(topics))
    mood = rng.normal(0.0, 0.5, len(tastes))
    liking = 2.2 + 2.0 * tastes[rows, topics[indices]] + quality[indices] + mood[rows]
    ratings: NDArray[np.float64] = np.clip(np.rint(liking + rng.normal(0.0, 0.5, len(rows))), 1, 5)
    return ratings


def _texts(topics: NDArray[np.int64], rng: np.random.RandomState) -> NDArray[Any]:
    """Make a text per item from words of its topic and one word that any item may have."""
    n_topics = int(topics.max()) + 1
    words = np.array([_WORDS[t] if t < len(_WORDS) else _made_up(t) for t in range(n_topics)])
    picked = rng.random_sample((len(topics), words.shape[1])).argsort(axis=1)[:, :_WORDS_PER_TEXT]
    common = np.array(_COMMON)[rng.randint(0, len(_COMMON), len(topics))]
    of_topic = words[topics[:, None], picked]
    return np.array(
        [" ".join((word, *topic_words)) for word, topic_words in zip(common, of_topic, strict=True)]
    )


def _made_up(topic: int) -> list[str]:
    """Make ten words of three syllables; the topic determines the first two."""
    syllables = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
    n = len(syllables)
    return [
        syllables[topic // n % n] + syllables[topic % n] + syllables[(7 * word + topic) % n]
        for word in range(len(_WORDS[0]))
    ]


def _events(X: Interactions) -> Any:
    order = X.event_order()
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    times = np.asarray(X.timestamps)
    return frame(
        {
            "user": rows[order],
            "item": X.indices[order],
            "value": X.data[order],
            "time": times[order].astype("datetime64[s]"),
        }
    )
