"""What every worker of metrics_peers.py shares: the same lists, timing, one marked JSON line, the values in a file.

A worker names its library's metrics by ours: a value for the mean, or an array of one value per user with targets.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _run import peak_mb, timed

FOLDER, REPEATS = Path(sys.argv[1]), int(sys.argv[2])
K = 10


def _matrix(name):
    return sp.csr_matrix(sp.load_npz(FOLDER / name))


train, test = _matrix("train.npz"), _matrix("test.npz")
#: Ten items for every user, all users.
lists = np.load(FOLDER / "lists.npy")
#: Lists as long as the most targets, of the first users only, for R-precision.
long_lists = np.load(FOLDER / "long_lists.npy")
users = np.flatnonzero(np.diff(test.indptr))
few = users[users < len(long_lists)]
popularity = np.bincount(train.indices, minlength=train.shape[1])


def targets(user):
    """The held-out items of a user."""
    return test.indices[test.indptr[user] : test.indptr[user + 1]]


def pairs(rows, found):
    """Columns user, item and rank (from 1) of lists as long tables hold them."""
    length = found.shape[1]
    return {
        "user_id": np.repeat(rows, length),
        "item_id": found[rows].ravel(),
        "rank": np.tile(np.arange(1, length + 1), len(rows)),
    }


def run(library, version, convert, three, others):
    """Time nDCG, recall and MAP at 10 from what `convert` makes of the lists; save all values that are given.

    Parameters
    ----------
    library, version : str
    convert : callable
        Makes the library's own structures; timed apart.
    three : callable
        Of those, the three metrics; validation included, as a caller would write it.
    others : callable
        Of those, by our name of a metric the values; a key ``"name | words"`` is a value of another definition.
    """
    loaded = peak_mb()
    convert_s, _, ready = timed(convert, 1)
    start = time.perf_counter()
    three(ready)
    first = time.perf_counter() - start
    wall, cpu, _ = timed(lambda: three(ready), REPEATS)
    peak = peak_mb() - loaded
    np.savez(
        FOLDER / f"{library}.npz", **{name: np.asarray(v) for name, v in others(ready).items()}
    )
    row = {
        "library": library,
        "version": version,
        "wall_ms": round(1000 * wall, 2),
        "cpu_ms": round(1000 * cpu, 2),
        "first_call_ms": round(1000 * first, 1),
        "conversion_s": round(convert_s, 3),
        "peak_mb_above_data": round(peak),
    }
    print(f"\nROW {json.dumps(row)}")
