"""
What does an approximate index lose?
====================================

:class:`~sklearn_llmrec.neighbors.IndexedRecommender` finds the items of about the largest scores in
an index, and scores these exactly. It pays from about 100,000 items on. `recall` measures which
share of the exact lists it finds.
"""

# %%
import time

import matplotlib.pyplot as plt

from sklearn_llmrec import IndexedRecommender, PureSVD
from sklearn_llmrec.datasets import make_interactions


def milliseconds(model, rows):
    """Measure a list of ten for one row, in the fastest of three passes."""
    passes = []
    for _ in range(3):
        start = time.perf_counter()
        model.recommend(rows, k=10)
        passes.append(time.perf_counter() - start)
    return min(passes) / rows.shape[0] * 1000


sizes = [5_000, 20_000, 80_000]
seconds = {"exact": [], "index": []}
recalls = []
for n_items in sizes:
    X = make_interactions(4000, n_items, n_interactions=200_000, random_state=0).interactions
    exact = PureSVD(32, random_state=0).fit(X)
    indexed = IndexedRecommender(exact, index="ivf", n_probes=3, min_items=0, random_state=0).fit(X)
    seconds["exact"].append(milliseconds(exact, X[:300]))
    seconds["index"].append(milliseconds(indexed, X[:300]))
    recalls.append(indexed.recall(X[:300], k=10))

# %%
# The exact list costs time in proportion to the catalogue, the index much less. The numbers are the
# share of the exact lists that the index finds.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, curve in seconds.items():
    ax.plot(sizes, curve, "o-", label=name)
for size, time_, recall in zip(sizes, seconds["index"], recalls):
    ax.annotate(f"recall {recall:.2f}", (size, time_), xytext=(0, 8), textcoords="offset points")
ax.set(xscale="log", xlabel="items", ylabel="milliseconds per list of ten", ylim=(0, None))
ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
ax.minorticks_off()
ax.margins(x=0.1)
ax.legend()
plt.show()
