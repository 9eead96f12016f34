"""
Why was this product recommended?
=================================

The score of many models is a sum over the history, so it can be taken apart: `explain` returns what
every earlier product contributed to the score of a recommended one. The parts sum to the score.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.preprocessing import BinarizeTransformer

shop = load_online_retail()
X, names = BinarizeTransformer().fit_transform(shop.interactions), shop["items"]["description"]
model = EASE().fit(X)
customer = int(np.flatnonzero(np.diff(X.indptr) == 12)[0])
history = X[[customer]]
items, scores = model.recommend(history, k=5)
parts = model.explain(history, items).toarray()
print("sums equal the scores:", np.allclose(parts.sum(axis=1), scores[0], rtol=1e-4, atol=1e-6))

# %%
# One row per recommended product, one column per product of the history.
fig, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
image = ax.imshow(
    parts[:, history.indices], cmap="PuOr", vmin=-abs(parts).max(), vmax=abs(parts).max()
)
ax.set_xticks(range(history.nnz), names[history.indices], rotation=40, ha="right", fontsize=7)
ax.set_yticks(range(5), names[items[0]], fontsize=8)
ax.set_title("What the customer bought (columns) says for what is recommended (rows)")
fig.colorbar(image, label="part of the score", shrink=0.6)
plt.show()
