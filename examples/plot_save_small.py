"""
How small can a saved model be?
===============================

A bundle is a saved model with all it needs to answer in ids. `save` can store factors as half or
single bytes. Measure how much of the lists stays before you do.
"""

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from sklearn_llmrec import PureSVD, load, save
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.metrics import rank_biased_overlap

X = load_online_retail().interactions
X.item_features = None
model = PureSVD(64, random_state=0).fit(X.astype("float32"))
exact, _ = model.recommend(X, k=10)
sizes, overlaps = [], []
types = ["float32", "float16", "int8"]
with tempfile.TemporaryDirectory() as folder:
    for dtype in types:
        path = Path(folder, f"{dtype}.zip")
        save(path, model, X, dtype=None if dtype == "float32" else dtype)
        sizes.append(path.stat().st_size / 2**20)
        items, _ = load(path).estimator.recommend(X, k=10)
        overlaps.append(rank_biased_overlap(exact, items))

# %%
# Rank-biased overlap is 1 for equal lists; the first places weigh most.
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
bars = ax.bar(types, sizes)
ax.bar_label(bars, [f"overlap {overlap:.3f}" for overlap in overlaps])
ax.set(
    ylabel="MiB on disk", title="A model of 64 factors; overlap of its lists with the exact ones"
)
ax.margins(y=0.15)
plt.show()
