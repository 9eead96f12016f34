"""What `Interactions.from_batches` takes: CPU per event and peak memory, each kind of ids in a process of its own.

    python benchmarks/batches.py --events 20000000

The log is Parquet with values in float32 and times in int64: users are uniform, items popular by a power law.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sklearn_llmrec import Interactions

COLUMNS = {"user": "user", "item": "item", "value": "value", "timestamp": "time"}
_ROWS = 10**6


def write(path, n_events, n_users, n_items, texts):
    """Write a log, a group of rows at a time."""
    rng, writer = np.random.default_rng(0), None
    for start in range(0, n_events, _ROWS):
        n = min(_ROWS, n_events - start)
        users = rng.integers(0, n_users, n)
        items = np.minimum((rng.random(n) ** -1.2 - 1) * 100, n_items - 1).astype(np.int64)
        if texts:
            users = np.char.add("user-", users.astype(str))
            items = np.char.add("item-", items.astype(str))
        values, times = rng.integers(1, 5, n).astype(np.float32), rng.integers(0, 10**9, n)
        columns = [pa.array(column) for column in (users, items, values, times)]
        table = pa.Table.from_arrays(columns, list(COLUMNS.values()))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def used():
    """CPU seconds and peak MiB of this process, on Linux."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss, which a process inherits from the one that starts it.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return usage.ru_utime + usage.ru_stime, int(peak[1]) / 1024


def measure(path):
    """Print what reading a log takes above the imports, as JSON."""
    first = next(pq.ParquetFile(path).iter_batches(100))
    Interactions.from_batches(lambda: iter([first]), **COLUMNS)
    cpu, peak = used()
    X = Interactions.from_batches(path, **COLUMNS)
    after, highest = used()
    n_events = X.report_["events_read"]
    distinct = [pa.array(ids).nbytes / 2**20 for ids in (X.user_ids, X.item_ids)]
    found = {"us": (after - cpu) / n_events * 1e6, "peak": highest - peak, "ids": sum(distinct)}
    found["limit"] = 1.1 * 16 * n_events / 2**20 + 350 + 3 * found["ids"]
    print(json.dumps({**found, "entries": X.nnz}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument(
        "--ids", nargs="+", choices=["integers", "texts"], default=["integers", "texts"]
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    print(
        "| ids | entries | CPU us per event | peak MiB above imports | limit |\n|---|---|---|---|---|"
    )
    for kind in options.ids:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.parquet"
            write(path, options.events, options.users, options.items, kind == "texts")
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {kind} | {found['entries']} | {found['us']:.2f} | {found['peak']:.0f} | {found['limit']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
