"""
Which products go with what a customer bought?
==============================================

The shortest way to recommendations by name: load a shop's year, fit
:class:`~sklearn_llmrec.neighbors.ItemKNN`, and read the list of one customer.
"""

# %%
# The data have one row per customer, one column per product, and a table with the names of the
# products.
import matplotlib.pyplot as plt

from sklearn_llmrec import ItemKNN
from sklearn_llmrec.datasets import load_online_retail

shop = load_online_retail()
X, names = shop.interactions, shop["items"]["description"]
model = ItemKNN().fit(X)
X.shape

# %%
# The first customer bought one product.
history = X[[0]]
print("bought:", *names[history.indices])

# %%
# `recommend` returns column numbers and scores, the best first.
items, scores = model.recommend(history, k=8)

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.barh(names[items[0]][::-1], scores[0][::-1])
ax.set(xlabel="score", title=f"After {names[history.indices[0]].lower()}")
plt.show()
