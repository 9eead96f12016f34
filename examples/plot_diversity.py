"""
What does diversity cost?
=========================

:class:`~sklearn_llmrec.ensemble.MMRReranker` and :class:`~sklearn_llmrec.ensemble.DPPReranker`
reorder the first items of a model so that a list has items of several topics. A little diversity is
free here; much of it costs accuracy.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import DPPReranker, ItemKNN, MMRReranker
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.inspection import TradeOffDisplay
from sklearn_llmrec.model_selection import holdout_split

data = make_interactions(500, 200, random_state=0)
X, y = holdout_split(data.interactions, random_state=0)
topics = np.eye(8)[np.asarray(data["items"]["topic"])]
models = {
    f"MMR {weight}": MMRReranker(ItemKNN(), diversity=weight, item_features=topics).fit(X)
    for weight in (0.0, 0.1, 0.2, 0.3, 0.4, 0.8)
} | {
    f"DPP {weight}": DPPReranker(ItemKNN(), diversity=weight, item_features=topics).fit(X)
    for weight in (0.02, 0.06, 0.1, 0.3)
}

# %%
# A list is diverse when its items are of different topics. Crosses are 95 % intervals over users.
fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
TradeOffDisplay.from_estimator(
    models, X, y, x_metric="diversity@10", y_metric="ndcg@10", item_features=topics, ax=ax
)
plt.show()
