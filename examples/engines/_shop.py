"""Shards of the purchases of a shop, and a model that is fitted on them and saved."""

import tempfile
from pathlib import Path

import pyarrow as pa

from sklearn_llmrec import EASE, load, save
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.distributed import RecommendTask, fit_shards, partition_events


def shards_and_task(n_shards=8, k=5):
    """Divide the log of a shop into shards, fit on them; return a folder, its shards and the task of an engine."""
    folder = Path(tempfile.mkdtemp())
    log = load_online_retail(as_frame=True).frame.astype({"stock_code": str})
    shards = partition_events(
        pa.Table.from_pandas(log[["customer", "stock_code", "time"]], preserve_index=False),
        folder / "shards",
        n_shards=n_shards,
        user="customer",
        item="stock_code",
        timestamp="time",
    )
    path = save(folder / "model", fit_shards(EASE(), shards))
    return folder, shards, RecommendTask(str(path), load(path).version, k)
