"""
Does the best predictor of ratings make the best lists?
=======================================================

Explicit ratings answer two questions. A rating model predicts how many stars a user would give,
measured by RMSE. A ranking model predicts what a user will choose, measured by nDCG. The best at
one is not the best at the other.
"""

# %%
import matplotlib.pyplot as plt

from sklearn_llmrec import ItemKNN
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.decomposition import BiasedMF
from sklearn_llmrec.linear_model import EASE, BaselineRecommender
from sklearn_llmrec.metrics import rating_scorer
from sklearn_llmrec.model_selection import holdout_split

X = make_interactions(1500, 300, n_interactions=45_000, ratings=True, random_state=0).interactions
visible, hidden = holdout_split(X, random_state=0)
rating_models = {
    "baseline": BaselineRecommender(),
    "BiasedMF": BiasedMF(8, random_state=0),
    "item kNN, centred": ItemKNN(center="baseline"),
}
points = {}
for name, model in rating_models.items():
    model.fit(visible)
    points[name] = (-rating_scorer("rmse")(model, visible, hidden), model.score(visible, hidden))
ranking = EASE().fit(visible).score(visible, hidden)

# %%
# EASE reads which items were rated and predicts no stars, so it is a line: it has a height and no
# RMSE.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, (error, quality) in points.items():
    ax.scatter(error, quality, s=60, label=name)
ax.axhline(ranking, color="black", linestyle="--", label="EASE, a ranking model")
ax.set(
    xlabel="RMSE of hidden ratings (left is better)",
    ylabel="nDCG@10 (up is better)",
    ylim=(0, None),
)
ax.margins(x=0.3)
ax.legend(loc="center right")
plt.show()
