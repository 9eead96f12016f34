"""
Does feedback improve the lists?
================================

:class:`~sklearn_llmrec.ensemble.BanditReranker` starts from the opinion of a model and learns from
clicks how often every item is taken when it is shown. The clicks are simulated, so the best
possible list is known.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import BanditReranker, PopularityRecommender
from sklearn_llmrec.datasets import make_interactions

X = make_interactions(200, 60, random_state=0).interactions
rng = np.random.default_rng(0)
rates = rng.beta(1, 6, X.shape[1])  # the truth: how often an item is clicked when shown
best = np.sort(rates)[-5:].mean()
policies = {
    "Thompson sampling": {"policy": "thompson"},
    "UCB": {"policy": "ucb"},
    "epsilon-greedy": {"policy": "epsilon_greedy", "epsilon": 0.1},
}

# %%
# Each round shows five items to 20 users and feeds their clicks back.
nobody = np.zeros((20, X.shape[1]))
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, settings in policies.items():
    means = []
    for seed in range(3):
        clicks = np.random.default_rng(seed)
        model = BanditReranker(
            PopularityRecommender(), n_candidates=60, random_state=seed, **settings
        ).fit(X)
        curve = []
        for _ in range(40):
            items, _ = model.recommend(nobody, k=5)
            curve.append(rates[items].mean())
            shown = np.zeros(nobody.shape)
            np.put_along_axis(shown, items, 1, axis=1)
            model.partial_fit(shown, shown * (clicks.random(shown.shape) < rates))
        means.append(curve)
    ax.plot(np.mean(means, axis=0), label=name)
ax.axhline(best, color="black", linestyle="--", label="best possible")
ax.set(xlabel="round", ylabel="mean click rate of the items shown", ylim=(0, None))
ax.legend(loc="lower right")
plt.show()
