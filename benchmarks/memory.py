"""Peak memory above the data, of fits and lists with a million users and 200,000 items, 20 million interactions.

    python benchmarks/memory.py ItemKNN
    python benchmarks/memory.py ALSRecommender --users 100000
    python benchmarks/memory.py SparseEASE --users 50000 --jobs 1

Lists are made for all users, or for the first of them (`--users`): what they take does not grow with the users but
for the lists themselves, 12 bytes an entry.
"""

import argparse
import time

from _data import LARGE
from peers._run import resident_mb

from sklearn_llmrec.utils import all_recommenders


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=["ItemKNN", "ALSRecommender", "SparseEASE"])
    parser.add_argument("--users", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    X = LARGE["1m-users"]()
    model = dict(all_recommenders())[args.model](n_jobs=args.jobs)
    # The peak of drawing the data is not that of the model: Linux counts anew from here.
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    loaded = resident_mb()
    start = time.process_time()
    model.fit(X)
    fit, at_fit = time.process_time() - start, _peak()
    start = time.process_time()
    items, _ = model.recommend(X[: args.users] if args.users else X)
    print(
        f"{args.model}: fit {fit:.0f} CPU s, {at_fit - loaded:.0f} MiB above the data; lists of {len(items):,} users "
        f"{time.process_time() - start:.0f} CPU s, {_peak() - loaded:.0f} MiB"
    )


def _peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
