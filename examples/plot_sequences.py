"""
When does the order of events matter?
=====================================

A sequential model reads a history as a sequence. It is worth its cost only where the order predicts
something. Here the share of events that follow from the one before is known, because the data are
generated.
"""

# %%
import matplotlib.pyplot as plt

from sklearn_llmrec import ItemKNN
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import compare, leave_last_out
from sklearn_llmrec.sequence import MarkovRecommender, SequenceKNN

models = {
    "SequenceKNN": SequenceKNN(),
    "Markov": MarkovRecommender(),
    "item kNN": ItemKNN(),
    "EASE": EASE(),
}
shares = [0.0, 0.2, 0.4, 0.6, 0.8]
curves = {name: [] for name in models}
for share in shares:
    X = make_interactions(1500, 300, order=share, random_state=0).interactions
    result = compare(models, *leave_last_out(X), metrics="ndcg@10")
    for name in models:
        curves[name].append(result["ndcg@10"][name])

# %%
# The last event of every user is the target.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, curve in curves.items():
    ax.plot(
        shares,
        curve,
        marker="o",
        linestyle="-" if name in ("SequenceKNN", "Markov") else "--",
        label=name,
    )
ax.set(xlabel="share of events that follow from the one before", ylabel="nDCG@10", ylim=(0, None))
ax.legend(title="solid: reads the order")
plt.show()
