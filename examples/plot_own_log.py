"""
How does a log of events become a matrix?
=========================================

A log has one line per event. :meth:`~sklearn_llmrec.interactions.Interactions.from_frame` makes one
row per user and one column per item of it, and weighs kinds of events: here a purchase counts as
much as five views.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_llmrec import Interactions, ItemKNN, recommend_ids

rng = np.random.default_rng(0)
user = rng.integers(0, 30, 600)
item = (user % 3) * 6 + rng.geometric(0.3, 600) % 6  # three tastes, six products each
log = pd.DataFrame(
    {
        "customer": [f"c{number:02}" for number in user],
        "sku": [f"s{number:02}" for number in item],
        "event": rng.choice(["view", "cart", "purchase"], 600, p=[0.7, 0.2, 0.1]),
        "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90, 600), unit="D"),
    }
)
log.head()

# %%
# Ids become rows and columns in their sorted order, and `report_` counts what was read, dropped and
# merged.
X = Interactions.from_frame(
    log,
    user="customer",
    item="sku",
    event="event",
    event_weights={"view": 1, "cart": 3, "purchase": 5},
    timestamp="when",
)
X.report_

# %%
# Lists come back in ids, also for a user whom the log does not know.
model = ItemKNN(n_neighbors=5).fit(X)
recommend_ids(model, {"a new customer": ["s00", "s02"]}, k=3)

# %%
# The matrix, with customers of one taste beside each other: three blocks of products.
order = np.argsort(np.arange(30) % 3, kind="stable")
fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
image = ax.imshow(X.toarray()[order], aspect="auto", cmap="Blues")
ax.set(
    xlabel="product",
    ylabel="customers, by taste",
    title="Each cell: weighted sum of the events",
    xticks=range(0, 18, 3),
    xticklabels=X.item_ids[::3],
    yticks=[],
)
fig.colorbar(image, label="weight")
plt.show()
