"""What every worker shares: loading, timing, peak memory, one marked JSON line on standard output."""

import json
import os
import resource
import statistics
import sys
import time

import numpy as np
import scipy.sparse as sp

THREADS = int(os.environ.get("BENCH_THREADS", "2"))


def arguments():
    """Job name, train matrix (csr_matrix of float32 with 32-bit indices), where the lists go, repeats."""
    job, path, out, repeats = sys.argv[1:5]
    X = sp.load_npz(path)
    X = sp.csr_matrix(
        (X.data.astype(np.float32), X.indices.astype(np.int32), X.indptr.astype(np.int32)),
        shape=X.shape,
    )
    return job, X, out, int(repeats)


def peak_mb():
    """Highest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb():
    """Resident size now; the peak where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return peak_mb()


def timed(call, repeats):
    """Medians of wall and CPU seconds over the repeats, and the last result."""
    wall, cpu = [], []
    for _ in range(repeats):
        w, c = time.perf_counter(), time.process_time()
        result = call()
        wall.append(time.perf_counter() - w)
        cpu.append(time.process_time() - c)
    return statistics.median(wall), statistics.median(cpu), result


def in_blocks(n_rows, size, call):
    """Lists of all rows, `size` rows at a time."""
    return np.vstack([call(b, min(b + size, n_rows)) for b in range(0, n_rows, size)])


def run(library, version, fit, recommend):
    """Time a fit and the top 10 of all users (None: the library has none); save the lists, print what was measured."""
    job, X, out, repeats = arguments()
    loaded = resident_mb()
    fit_s, fit_cpu, model = timed(lambda: fit(job, X), repeats)
    rank_s = rank_cpu = None
    if recommend is not None:
        rank_s, rank_cpu, items = timed(lambda: recommend(job, model, X), repeats)
        np.save(out, np.asarray(items)[:, :10])
    row = {
        "library": library,
        "version": version,
        "job": job,
        "fit_s": round(fit_s, 3),
        "fit_cpu_s": round(fit_cpu, 3),
        "rank_s": rank_s and round(rank_s, 3),
        "rank_cpu_s": rank_cpu and round(rank_cpu, 3),
        "peak_mb_above_data": round(peak_mb() - loaded),
    }
    print(f"\nROW {json.dumps(row)}")
