"""nDCG@10 of the classical models at their defaults, or as printed, on MovieLens-1M and Online Retail.

    python benchmarks/classical_quality.py --datasets ml-1m online-retail

MovieLens-1M: items with 5 or more ratings, all as ones. Online Retail: counts of invoice lines. Both split 80/20 at
random per user (seed 0), models fitted on the training part, all users with targets ranked over the whole catalogue,
seen items left out, binary relevance, ties by lower column. One run, one seed, no intervals. CPU seconds are those of
the fit.
"""

import argparse
import time

import scipy.sparse as sp
from _data import add_data_option, movielens_1m, random_split

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.decomposition import BPRRecommender, LightGCN, MultVAERecommender, PureSVD
from sklearn_llmrec.linear_model import EASE, SLIM, SparseEASE
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.neighbors import RP3beta

DATA = {"ml-1m": movielens_1m, "online-retail": lambda _: load_online_retail().interactions}
MODELS = {
    "ItemKNN()": ItemKNN(),
    "UserKNN()": UserKNN(),
    "RP3beta()": RP3beta(),
    "SLIM()": SLIM(),
    "EASE()": EASE(),
    "EASE(1000)": EASE(1000),
    "EASE(200)": EASE(200),
    "SparseEASE()": SparseEASE(),
    "ALSRecommender(random_state=0)": ALSRecommender(random_state=0),
    "PureSVD(random_state=0)": PureSVD(random_state=0),
    "BPRRecommender(random_state=0)": BPRRecommender(random_state=0),
    "MultVAERecommender(random_state=0)": MultVAERecommender(random_state=0),
    "LightGCN(max_iter=100,random_state=0)": LightGCN(max_iter=100, random_state=0),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--datasets", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    args = parser.parse_args()
    print("| model | data | nDCG@10 | fit CPU s |\n|---|---|---|---|")
    for dataset in args.datasets:
        train, test = (
            sp.csr_array(part.astype("float32")) for part in random_split(DATA[dataset](args.data))
        )
        for name in args.models:
            start = time.process_time()
            model = MODELS[name].fit(train)
            seconds = time.process_time() - start
            items, _ = model.recommend(train, 10)
            quality = ndcg_at_k(test, items, k=10)
            print(f"| `{name}` | {dataset} | {quality:.4f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
