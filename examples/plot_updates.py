"""
How long does a model stay fresh?
=================================

`partial_fit` adds new users, new events and new items to a fitted model, without the old data. Here
a shop's model is frozen in June or updated every month, and both recommend to the customers of the
month after.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_llmrec import Interactions, ItemKNN
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.metrics import ndcg_at_k

frame = load_online_retail(as_frame=True).frame
frame = frame[frame["time"] < "2011-12-01"]
months = pd.period_range("2011-06", "2011-11", freq="M")
month = frame["time"].dt.to_period("M")
columns = {"user": "customer", "item": "stock_code", "timestamp": "time", "repeats": "count"}


def matrix(log, **options):
    return Interactions.from_frame(log, **columns, **options)


catalogue = np.unique(frame["stock_code"])


def quality(model, before, after):
    """Measure the lists of the customers of `before` by what they buy for the first time in `after`."""
    history = matrix(before, items=catalogue)
    bought = matrix(after, users=history.user_ids, items=catalogue)
    items, _ = model.recommend(history.with_items(model.item_ids_), k=10)
    places = np.searchsorted(catalogue, model.item_ids_[items])
    return np.nanmean(ndcg_at_k(bought, places, seen=history, per_user=True))


frozen = ItemKNN().fit(matrix(frame[month < months[0]]))
updated = ItemKNN().fit(matrix(frame[month < months[0]]))
curves = {"frozen in June": [], "updated every month": []}
n_items = [len(updated.item_ids_)]
for now in months:
    before, after = frame[month < now], frame[month == now]
    curves["frozen in June"].append(quality(frozen, before, after))
    curves["updated every month"].append(quality(updated, before, after))
    updated.partial_fit(matrix(after))
    n_items.append(len(updated.item_ids_))
print("items known to the updated model:", n_items)

# %%
# Both models read the same full histories, and products that a model does not know are targets too.
# A frozen model falls behind slowly: the tastes of this shop's customers change less than its
# shelf.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, curve in curves.items():
    ax.plot(months.strftime("%b"), curve, marker="o", label=name)
ax.set(ylabel="nDCG@10 of first purchases in the month", ylim=(0, None))
ax.legend()
plt.show()
