"""
How many purchases does a new user need?
========================================

A fitted model scores a user it has never seen from the row alone, without a refit. Here a model is
fitted on two thirds of the users, and recommends to the others from their latest `n` events. Their
last three events are the targets, whatever `n` is.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import leave_last_out

X = make_interactions(4000, 300, n_topics=20, order=0, random_state=0).interactions
visible, targets = leave_last_out(X, n=3)
enough = np.flatnonzero(np.diff(visible.indptr) >= 12)
new = enough[enough % 3 == 0]
known = np.setdiff1d(np.arange(X.shape[0]), new)
models = {"EASE": EASE(), "item kNN": ItemKNN(), "popularity": PopularityRecommender()}
for model in models.values():
    model.fit(X[known])


def latest(rows, n):
    """Keep the last `n` events of each row."""
    kept = rows.copy()
    kept.data[:] = 0
    ends = np.repeat(rows.indptr[1:], np.diff(rows.indptr))
    order = rows.event_order()
    kept.data[order[ends - np.arange(rows.nnz) <= n]] = 1
    kept.eliminate_zeros()
    return kept


# %%
# The first event is worth the most. Without any, each model gives the most popular items.
numbers = [0, 1, 2, 3, 5, 8, 12]
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, model in models.items():
    curve = []
    for n in numbers:
        history = latest(visible[new], n)
        items, _ = model.recommend(history, k=10)
        curve.append(ndcg_at_k(targets[new], items))
    ax.plot(numbers, curve, marker="o", label=name)
ax.set(xlabel="visible events of a new user", ylabel="nDCG@10", xticks=numbers, ylim=(0, None))
ax.legend()
plt.show()
