"""
How much does knowledge of the future flatter a model?
======================================================

Under a random split a model is fitted on what other users bought after the purchases that it has to
predict. Here one half of the customers is measured on what they buy after a cut. The other half is
in the fit with the same number of purchases: those before the cut, or random ones of the whole
year.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import Interactions, ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.model_selection import time_split

X = load_online_retail().interactions
X.item_features = X.user_features = None
past, future = time_split(X, cut="2011-10-01")
measured = np.flatnonzero((np.arange(X.shape[0]) % 2 == 0) & (np.diff(past.indptr) > 0))
others = np.arange(1, X.shape[0], 2)

whole_year = X[others].copy()
n_past = past[others].nnz
dropped = np.random.default_rng(0).permutation(whole_year.nnz)[n_past:]
whole_year.data[dropped] = 0
whole_year.eliminate_zeros()
fits = {
    "fitted on the past": Interactions.concat([past[measured], past[others]]),
    "fitted on the whole year of others": Interactions.concat([past[measured], whole_year]),
}
print({name: rows.nnz for name, rows in fits.items()})

# %%
# The targets are the same for both bars of a model. The second bar cannot be had in practice.
models = {"EASE": EASE(), "item kNN": ItemKNN(), "popularity": PopularityRecommender()}
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
places = np.arange(len(models))
for shift, (name, rows) in zip((-0.2, 0.2), fits.items()):
    means, errors = [], []
    for model in models.values():
        items, _ = model.fit(rows).recommend(past[measured], k=10)
        values = ndcg_at_k(future[measured], items, per_user=True)
        values = values[np.isfinite(values)]
        means.append(values.mean())
        errors.append(np.abs(np.array(bootstrap_interval(values)) - values.mean()))
    bars = ax.bar(places + shift, means, 0.4, yerr=np.array(errors).T, capsize=4, label=name)
    ax.bar_label(bars, fmt="%.3f", fontsize=8, label_type="center", color="white")
ax.set_xticks(places, models)
ax.set(ylabel="nDCG@10 after the cut")
ax.margins(y=0.25)
ax.legend()
plt.show()
