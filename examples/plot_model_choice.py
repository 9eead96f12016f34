"""
Does a random split choose the same model as a split in time?
=============================================================

A random split hides purchases of all times. A split in time hides the last ones, which is what a
service has to predict. Levels of the two cannot be compared, because their targets differ. The
order of the models can: popularity of the last week is the worst model under one split, and far
above popularity of all times under the other.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import compare, holdout_split, time_split

X = load_online_retail().interactions
models = {
    "EASE": EASE(),
    "item kNN": ItemKNN(),
    "popularity, last week": PopularityRecommender(half_life=7 * 86_400),
    "popularity": PopularityRecommender(),
}
splits = {"random": holdout_split(X, random_state=0), "in time": time_split(X, test_size=0.2)}
results = {
    name: compare(models, *split, metrics="ndcg@10", users="with_history")
    for name, split in splits.items()
}

# %%
# Only users with a history before the cut are measured, so that both splits are about the same kind
# of user.
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
places = np.arange(len(models))
for shift, (name, result) in zip((-0.2, 0.2), results.items()):
    heights = [result["ndcg@10"][model] for model in models]
    bars = ax.bar(places + shift, heights, 0.4, label=f"split {name}")
    ax.bar_label(bars, fmt="%.3f", fontsize=8)
ax.set_xticks(places, models)
ax.set(ylabel="nDCG@10", title="The same models, two ways to hide purchases")
ax.legend()
plt.show()
