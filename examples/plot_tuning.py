"""
How many neighbours should a model have?
========================================

Recommenders are scikit-learn estimators, so ``GridSearchCV`` tunes them with neither a target nor a
scorer: every recommender hides a part of each row and measures nDCG@10 on it.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_llmrec import ItemKNN
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.preprocessing import BinarizeTransformer, BM25Transformer

X = load_online_retail().interactions
pipeline = Pipeline([("weights", BM25Transformer()), ("knn", ItemKNN())])
grid = {
    "weights": [BinarizeTransformer(), BM25Transformer()],
    "knn__n_neighbors": [5, 10, 20, 50, 100, 200],
}
search = GridSearchCV(pipeline, grid, cv=3).fit(X)
search.best_params_

# %%
# Each fold measures users whom its fit did not see. BM25 lowers the weight of products that
# everyone buys.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
results = search.cv_results_
for weights in grid["weights"]:
    name = type(weights).__name__
    chosen = [type(value).__name__ == name for value in results["param_weights"]]
    ax.errorbar(
        results["param_knn__n_neighbors"][chosen].astype(int),
        results["mean_test_score"][chosen],
        results["std_test_score"][chosen],
        marker="o",
        capsize=3,
        label=name,
    )
ax.set(xscale="log", xlabel="n_neighbors", ylabel="nDCG@10, mean and deviation of 3 folds")
ax.legend()
plt.show()
