"""
Which users does a better model help?
=====================================

A mean over all users hides who gains. :class:`~sklearn_llmrec.inspection.UserActivityDisplay`
splits users by how much is known about them.
"""

# %%
import matplotlib.pyplot as plt

from sklearn_llmrec import ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.inspection import UserActivityDisplay
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import holdout_split

X = load_online_retail().interactions
visible, hidden = holdout_split(X, holdout="latest")
models = {"EASE": EASE(), "item kNN": ItemKNN(), "popularity": PopularityRecommender()}
for model in models.values():
    model.fit(visible)

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
UserActivityDisplay.from_estimator(models, visible, hidden, ax=ax)
plt.show()
