"""Print how far fake profiles push five items into the lists of every family on ML-1M, and what simple defences do.

    python benchmarks/shilling.py

Fake profiles, 5 for 100 users (302), promote five items of the less popular half, with 10 filler items
each: short profiles tie the targets closest to the fillers. Fits per model: without
profiles, under three attacks, and under the bandwagon attack with two defences. Rows of the table are averages over
`--seeds` draws of targets, profiles and hidden interactions.
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
from _data import add_data_option, movielens_1m

from sklearn_llmrec import (
    EASE,
    SLIM,
    ALSRecommender,
    BPRRecommender,
    ItemKNN,
    MultVAERecommender,
    PopularityRecommender,
    PureSVD,
    RP3beta,
    SparseEASE,
    UserKNN,
)
from sklearn_llmrec.inspection import shilling_audit
from sklearn_llmrec.privacy import GaussianMechanism

MODELS = {
    "PopularityRecommender": PopularityRecommender,
    "ItemKNN": ItemKNN,
    "UserKNN": UserKNN,
    "RP3beta": RP3beta,
    "EASE": EASE,
    "EASE, private (epsilon 2)": lambda: EASE(privacy=GaussianMechanism(2.0, 1e-5)),
    "SparseEASE": SparseEASE,
    "ALSRecommender": lambda: ALSRecommender(random_state=0),
    "PureSVD": lambda: PureSVD(random_state=0),
    "BPRRecommender": lambda: BPRRecommender(random_state=0),
    "SLIM": SLIM,
    # A training of half a minute on one core: ten fits. The step size is the better of two (.001, .003) on a validation
    # part of the training part; annealing and weight follow hybrid_quality.py.
    "MultVAERecommender": lambda: MultVAERecommender(
        batch_size=200,
        learning_rate=0.003,
        max_iter=18,
        annealing=15,
        kl_weight=0.2,
        early_stopping=False,
        device="cpu",
        random_state=0,
    ),
}
CASES = [
    ("random", None),
    ("average", None),
    ("bandwagon", None),
    ("bandwagon", "row_weights"),
    ("bandwagon", "near_duplicates"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--profiles", type=float, default=0.05, help="share of the users")
    parser.add_argument("--filler", type=int, default=10, help="filler items of a profile")
    args = parser.parse_args()
    X = movielens_1m(args.data)
    X = sp.csr_array((X.data, X.indices, X.indptr), shape=X.shape)
    names = [attack if defence is None else f"{attack}, {defence}" for attack, defence in CASES]
    print("| model | before | " + " | ".join(names) + " | nDCG@10 before | lost to bandwagon | s |")
    print("|---" * (len(CASES) + 5) + "|", flush=True)
    for name in args.models:
        start = time.perf_counter()
        found = {
            case: [
                shilling_audit(
                    MODELS[name](),
                    X,
                    case[0],
                    defence=case[1],
                    n_profiles=args.profiles,
                    n_filler=args.filler,
                    random_state=seed,
                )
                for seed in range(args.seeds)
            ]
            for case in CASES
        }
        bandwagon = found["bandwagon", None]
        before = np.mean([audit.hit_rate_before for audit in bandwagon])
        after = [np.mean([audit.hit_rate_after for audit in audits]) for audits in found.values()]
        ndcg = np.mean([audit.ndcg_before for audit in bandwagon])
        lost = ndcg - np.mean([audit.ndcg_after for audit in bandwagon])
        seconds = time.perf_counter() - start
        cells = " | ".join(f"{rate:.4f}" for rate in after)
        print(f"| {name} | {before:.4f} | {cells} | {ndcg:.3f} | {lost:.4f} | {seconds:.0f} |")
        removed = found["bandwagon", "near_duplicates"][0]
        print(
            f"  near_duplicates removed {removed.n_removed_profiles} of {removed.n_profiles} profiles, "
            f"{removed.n_removed_users} users",
            flush=True,
        )


if __name__ == "__main__":
    main()
