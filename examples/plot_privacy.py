"""
What does privacy cost?
=======================

A :class:`~sklearn_llmrec.privacy.GaussianMechanism` adds noise to the sums that a model is computed
from, so that nobody can infer from the model whether any one user was in the data. Epsilon is the
budget: the smaller, the more private.
"""

# %%
import matplotlib.pyplot as plt

from sklearn_llmrec import ItemKNN, PopularityRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import holdout_split
from sklearn_llmrec.privacy import GaussianMechanism

X = make_interactions(20_000, 300, random_state=0).interactions
visible, hidden = holdout_split(X, random_state=0)
budgets = [0.3, 1.0, 3.0, 10.0]
models = {"EASE": EASE, "item kNN": ItemKNN, "popularity": PopularityRecommender}

# %%
# Noise cannot be seeded in a real private fit, so the points move a little from run to run.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for color, (name, kind) in zip(("C0", "C1", "C2"), models.items()):
    private = [
        kind(privacy=GaussianMechanism(epsilon, delta=1e-6)).fit(visible).score(visible, hidden)
        for epsilon in budgets
    ]
    ax.plot(budgets, private, "o-", color=color, label=name)
    ax.axhline(kind().fit(visible).score(visible, hidden), color=color, linestyle="--", linewidth=1)
ax.set(
    xscale="log",
    xlabel="epsilon",
    ylabel="nDCG@10",
    ylim=(0, None),
    title="20,000 users; dashed: without privacy",
)
ax.set_xticks(budgets, budgets)
ax.minorticks_off()
ax.legend()
plt.show()
