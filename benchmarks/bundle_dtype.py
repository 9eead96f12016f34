"""Measure what float16 and int8 cost in bundles: size, nDCG@10 and the share of the ten items that stay."""

import tempfile
from pathlib import Path

import numpy as np

from sklearn_llmrec import ALSRecommender, PureSVD, load, save
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split

DTYPES = (None, "float16", "int8")


def main():
    X = load_online_retail().interactions
    visible, targets = holdout_split(X.astype(np.float32), random_state=0)
    print("| model | dtype | MiB of the bundle | nDCG@10 | items of the ten that stay |")
    print("|---|---|---|---|---|")
    for model in (PureSVD(64, random_state=0), ALSRecommender(64, max_iter=5, random_state=0)):
        model.fit(visible)
        plain, _ = model.recommend(visible, 10)
        for dtype in DTYPES:
            with tempfile.TemporaryDirectory() as folder:
                path = save(Path(folder) / "model.zip", model, dtype=dtype)
                size = path.stat().st_size / 2**20
                items, _ = load(path).estimator.recommend(visible, 10)
            stay = np.mean([np.isin(a, b).mean() for a, b in zip(items, plain, strict=True)])
            quality = ndcg_at_k(targets, items, seen=visible)
            name = type(model).__name__
            print(
                f"| `{name}` | {dtype or model.components_.dtype} | {size:.1f} | {quality:.4f} | {stay:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
