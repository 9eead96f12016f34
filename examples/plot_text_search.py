"""
What do embeddings know about products?
=======================================

:class:`~sklearn_llmrec.text.TextEmbeddingRecommender` turns descriptions into vectors. Products
with similar words lie near each other, so one model recommends by likeness and answers searches in
words. Any transformer of texts will do as its encoder; a sentence encoder also finds products that
share no word with the query.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from sklearn_llmrec import TextEmbeddingRecommender
from sklearn_llmrec.datasets import load_online_retail

shop = load_online_retail()
X, names = shop.interactions, shop["items"]["description"]
model = TextEmbeddingRecommender("{description}").fit(X)
queries = ["christmas decoration", "tea cup", "garden"]
items, _ = model.recommend_text(queries, k=25)
for query, found in zip(queries, items):
    print(f"{query}: {'; '.join(names[found[:3]])}")

# %%
# The first two directions of the vectors that were found show three groups.
vectors = np.asarray(model.item_embeddings_)
plane = PCA(2, random_state=0).fit(vectors[items.ravel()])
fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for query, found in zip(queries, items):
    points = plane.transform(vectors[found])
    ax.scatter(*points.T, label=query)
    side = "right" if points[0, 0] > 0 else "left"
    name = names[found[0]].lower()
    ax.annotate(name, points[0], xytext=(0, 9), textcoords="offset points", ha=side, fontsize=8)
ax.set(
    xlabel="first direction", ylabel="second direction", title="The 25 best products of each search"
)
ax.legend(title="search")
plt.show()
