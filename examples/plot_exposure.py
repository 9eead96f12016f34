"""
Who gets the places in the lists?
=================================

Two models of equal accuracy can differ in how many items they ever show.
:class:`~sklearn_llmrec.inspection.ExposureDisplay` draws the share of all places that go to the
least recommended items: the diagonal would give every item the same.
"""

# %%
import matplotlib.pyplot as plt

from sklearn_llmrec import ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.decomposition import PureSVD
from sklearn_llmrec.inspection import ExposureDisplay
from sklearn_llmrec.linear_model import EASE

X = load_online_retail().interactions
models = {
    "item kNN": ItemKNN(),
    "EASE": EASE(),
    "PureSVD": PureSVD(random_state=0),
    "popularity": PopularityRecommender(),
}
lists = {name: model.fit(X).recommend(X, k=10)[0] for name, model in models.items()}

# %%
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ExposureDisplay.from_predictions(lists, X.shape[1], ax=ax)
plt.show()
