"""Run every recommender, and the reading of logs, on generated input; print what crashes or differs from its oracle.

    python tools/fuzz.py --n 10000 --n-networks 500 --jobs 2

A line per estimator says how many cases fitted, were refused in words, and failed; the first failures follow with
their case numbers. One case runs again with ``--only NAME --case NUMBER``. Then every recommender answers
``--n-backends`` cases under each joblib backend as in one process; networks under threads only, because every worker
would import torch (tests/base/test_backends.py runs them in processes).
"""

import argparse
import sys
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path

from joblib import Parallel, delayed

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from _fuzz import run_backend_cases, run_case, run_log_case  # noqa: E402
from _instances import TRAINED_BY_TORCH, instances  # noqa: E402

from sklearn_llmrec.base import BaseRecommender  # noqa: E402
from sklearn_llmrec.sequence import HMMRecommender, LMRecommender  # noqa: E402

TORCH = (*TRAINED_BY_TORCH, LMRecommender)
SLOW = (*TORCH, HMMRecommender)
LOGS = "Interactions.from_frame"
BACKENDS = ("loky", "multiprocessing", "threading")


def seed_of(seed, name, case):
    """Return the seed of a case, the same in every process."""
    return [seed, zlib.crc32(name.encode()), case]


def targets():
    """Return what is run, by name: recommenders for tiny data, and None for logs."""
    found = {
        type(model).__name__: model for model in instances() if isinstance(model, BaseRecommender)
    }
    for model in found.values():
        if isinstance(model, SLOW) and "max_iter" in model.get_params(deep=False):
            model.set_params(max_iter=1)
    return {LOGS: None, **found}


def run(name, model, cases, seed):
    """Run cases of one target; return the counts, the first failures and the seconds."""
    counts, failures, start = Counter(), [], time.perf_counter()
    for case in cases:
        try:
            counts[
                run_log_case(seed_of(seed, name, case))
                if model is None
                else run_case(model, seed_of(seed, name, case))
            ] += 1
        except Exception as error:  # every kind of failure is what this looks for, and is reported
            counts["failed"] += 1
            if len(failures) < 5:
                where = traceback.extract_tb(error.__traceback__)[-1]
                failures.append(
                    f"case {case}: {type(error).__name__} {error} ({where.name}:{where.lineno})"
                )
    return name, counts, failures, time.perf_counter() - start


def run_backend(name, model, backend, n_cases, seed):
    """Run the cases of one recommender under one backend, as `run`; the cases share their workers."""
    seeds = [seed_of(seed, f"{name} {backend}", case) for case in range(n_cases)]
    start = time.perf_counter()
    try:
        counts, failures = run_backend_cases(model, seeds, backend), []
    except Exception as error:  # as in `run`
        counts, failures = Counter(failed=1), [f"{type(error).__name__} {error}"]
    return f"{name} under {backend}", counts, failures, time.perf_counter() - start


def backend_tasks(chosen, backends):
    """Return the pairs of recommender and backend that are run, the backends in turn."""
    return [
        (name, model, backend)
        for backend in backends
        for name, model in chosen.items()
        if model is not None and (backend == "threading" or not isinstance(model, TORCH))
    ]


def report(name, counts, failures, seconds):
    """Print the line of one target and its first failures; return how many cases failed."""
    print(
        f"{name}: {counts['fitted']} fitted, {counts['refused']} refused, {counts['failed']} failed, "
        f"{seconds:.0f} s",
        *failures,
        sep="\n    ",
        flush=True,
    )
    return counts["failed"]


def parse_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="cases per target")
    parser.add_argument("--n-networks", type=int, default=500, help="cases per neural network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default=None, help="one target by name")
    parser.add_argument("--case", type=int, default=None, help="one case, with its traceback")
    parser.add_argument(
        "--n-backends", type=int, default=20, help="cases per recommender and backend; 0 for none"
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    return parser.parse_args()


def main():
    """Run what the options say, and exit with 1 if anything failed."""
    options = parse_options()
    chosen = {n: m for n, m in targets().items() if options.only in (None, n)}
    if options.case is not None:
        for name, model in chosen.items():
            seed = seed_of(options.seed, name, options.case)
            print(name, run_log_case(seed) if model is None else run_case(model, seed))
        return 0
    tasks = (
        delayed(run)(
            name,
            model,
            range(options.n_networks if isinstance(model, SLOW) else options.n),
            options.seed,
        )
        for name, model in chosen.items()
    )
    pool = Parallel(options.jobs, return_as="generator_unordered")
    n_failed = sum(report(*outcome) for outcome in pool(tasks))
    if options.n_backends:
        # In this process: a worker may start no processes of its own.
        for name, model, backend in backend_tasks(chosen, options.backends):
            n_failed += report(*run_backend(name, model, backend, options.n_backends, options.seed))
    print(f"{len(chosen)} targets, {n_failed} failures")
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
