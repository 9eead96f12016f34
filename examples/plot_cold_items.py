"""
Can a product be recommended on its first day?
==============================================

Collaborative models know nothing about a product without purchases.
:class:`~sklearn_llmrec.text.ContentColdStart` learns from known products how a description leads to
purchases, and applies it to new ones. The model inside stays as it is for known products.
"""

# %%
# A fifth of all products is removed from the fit and ranked among itself, as if all were new today.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_llmrec import ContentColdStart, RandomRecommender, TextEmbeddingRecommender, recommend
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.model_selection import cold_item_split

shop = load_online_retail()
products = np.flatnonzero(shop["items"]["is_product"])
visible, hidden, new = cold_item_split(shop.interactions[:, products], random_state=0)
words = TfidfVectorizer(min_df=2, sublinear_tf=True)
models = {
    "learned from descriptions": ContentColdStart(EASE(), "{description}", encoder=words),
    "similar descriptions": TextEmbeddingRecommender("{description}"),
    "random": RandomRecommender(random_state=0),
}

# %%
# Only the new products may be recommended: `candidates`.
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, model in models.items():
    items, _ = recommend(model.fit(visible), visible, k=10, candidates=new)
    values = ndcg_at_k(hidden, items, per_user=True)
    values = values[np.isfinite(values)]
    mean, (low, high) = values.mean(), bootstrap_interval(values)
    ax.barh(name, mean, xerr=[[mean - low], [high - mean]], capsize=4)
ax.invert_yaxis()
ax.set(xlabel="nDCG@10 among new products", title="Recommending what nobody has bought yet")
plt.show()
