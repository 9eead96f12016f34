"""Speed of sequence models: sequences per second in training, and seconds to rank new histories.

    python benchmarks/sequence_speed.py            (ML-1M; length 50, width 64, 2 blocks, batch 128)

Every user's last 51 events are one sequence of 50 steps, an epoch is 6,040 sequences, and the seconds are those of
`fit`: building the batches is in them. With --rectools PYTHON, an interpreter that has RecTools 0.19 with torch fits
its SASRec on the same sequences (its defaults, BCE with one negative), alternating with ours.
"""

import json
import subprocess
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import _data
import numpy as np
import scipy.sparse as sp
import torch

from sklearn_llmrec.interactions._sequences import event_sequences
from sklearn_llmrec.sequence import SASRec, SequenceGRURecommender, SequenceLSTMRecommender

RECTOOLS = """
import json, logging, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd, torch
torch.set_num_threads(int(sys.argv[2]))
from rectools.dataset import Dataset
from rectools.models import SASRecModel
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
d = np.load(sys.argv[1])
t = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(d)), unit="s")
ds = Dataset.construct(pd.DataFrame({"user_id": d[:, 0], "item_id": d[:, 1], "weight": 1.0, "datetime": t}))
for warm in (True, False):
    m = SASRecModel(n_blocks=2, n_heads=1, n_factors=64, session_max_len=50, loss="BCE", n_negatives=1, epochs=1,
                    batch_size=128)
    a, c = time.perf_counter(), time.process_time()
    m.fit(ds)
    a, c = time.perf_counter() - a, time.process_time() - c
print(json.dumps([a, c]))
"""


def fit_seconds(model, X):
    begin, cpu = time.perf_counter(), time.process_time()
    model.fit(X)
    return time.perf_counter() - begin, time.process_time() - cpu


def training(options):
    X = _data.movielens_1m(options.data)[: options.users]
    recent = event_sequences(X).tail(51)
    matrix = sp.csr_array(
        (1.0 + np.arange(len(recent.items)), recent.items, recent.bounds), X.shape
    )
    fixed = {"max_length": 50, "max_iter": 1, "early_stopping": False, "random_state": 0}
    models = {
        "SASRec, bce, 1 negative": SASRec(64, loss="bce", n_negatives=1, **fixed),
        "SASRec, sampled softmax, 512 negatives": SASRec(64, loss="sampled_softmax", **fixed),
        "SASRec, softmax over all 3,416 items (default)": SASRec(64, **fixed),
        "GRU, width 64, softmax (default)": SequenceGRURecommender(64, **fixed),
        "LSTM, width 64, softmax (default)": SequenceLSTMRecommender(64, **fixed),
    }
    seconds = {name: [] for name in models}
    if options.rectools:
        seconds["RecTools SASRec, bce, 1 negative"] = []
        path = str(Path(tempfile.mkdtemp()) / "events.npy")
        np.save(path, np.column_stack([recent.rows, recent.items]))
    SASRec(64, **fixed).fit(matrix[:200])  # the first call of a process prepares torch
    for _ in range(options.repeat):
        for name, model in models.items():
            seconds[name].append(fit_seconds(model, matrix))
        if options.rectools:
            command = [options.rectools, "-c", RECTOOLS, path, str(torch.get_num_threads())]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds["RecTools SASRec, bce, 1 negative"].append(json.loads(out.splitlines()[-1]))
    print("| training | sequences/s (median of fits) | fit s | CPU s |\n|---|---|---|---|")
    for name, found in seconds.items():
        wall, cpu = np.median(found, axis=0)
        print(f"| {name} | {X.shape[0] / wall:,.0f} | {wall:.2f} | {cpu:.2f} |", flush=True)


def ranking(options):
    """1,000 new histories of length 50 over 100,000 items, width 64."""
    rng = np.random.default_rng(0)
    n_users, n_items, length = 1000, 100_000, 50
    items = np.vstack([rng.choice(n_items, length, replace=False) for _ in range(n_users)])
    times = np.tile(1.0 + np.arange(length), n_users)
    bounds = np.arange(0, items.size + 1, length)
    X = sp.csr_array((times, items.ravel(), bounds), shape=(n_users, n_items))
    print("| ranking | dtype | top-10 of 1,000 histories, s | CPU s |\n|---|---|---|---|")
    for kind in (SASRec, SequenceGRURecommender):
        model = kind(64, max_length=50, max_iter=1, early_stopping=False, random_state=0)
        model.fit(X[:200])
        for dtype in (np.float32, np.float64):
            given, found = X.astype(dtype), []
            for _ in range(options.repeat):
                begin, cpu = time.perf_counter(), time.process_time()
                model.recommend(given, k=10)
                found.append((time.perf_counter() - begin, time.process_time() - cpu))
            wall, cpu = np.median(found, axis=0)
            print(f"| {kind.__name__} | {dtype.__name__} | {wall:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--users", type=int, default=6040, help="only the first so many")
    parser.add_argument("--rectools", help="a Python interpreter that has RecTools")
    _data.add_data_option(parser)
    options = parser.parse_args()
    training(options)
    ranking(options)
