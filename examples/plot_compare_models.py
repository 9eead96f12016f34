"""
Which model ranks best at each length of the list?
==================================================

Purchases up to October are the past, and products that are new to a customer after it are the
targets. :class:`~sklearn_llmrec.inspection.MetricAtKDisplay` draws a metric against the length of
the list, with bootstrap intervals over users.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import ALSRecommender, ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.inspection import MetricAtKDisplay
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import time_split
from sklearn_llmrec.preprocessing import BinarizeTransformer

X = load_online_retail(repeats="keep").interactions
past, future = time_split(X, cut="2011-10-10")
models = {
    "EASE": make_pipeline(BinarizeTransformer(), EASE()),
    "item kNN": ItemKNN(),
    "ALS": ALSRecommender(32, random_state=0),
    "popularity": PopularityRecommender(),
}
for model in models.values():
    model.fit(past)

# %%
# Longer lists find more of what is bought later. The order of the models stays the same at most
# lengths.
fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
MetricAtKDisplay.from_estimator(models, past, future, metric="recall", ax=ax)
plt.show()
