"""
Is the difference between two models more than luck?
====================================================

:func:`~sklearn_llmrec.model_selection.compare` measures all models on the same users. The
difference of two models has its own bootstrap interval over users. It is much narrower than the
intervals of the two means, because both models are measured on the same easy and hard users.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import ItemKNN, UserKNN
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.metrics import bootstrap_interval
from sklearn_llmrec.model_selection import compare, holdout_split

X = make_interactions(400, 200, random_state=0).interactions
visible, hidden = holdout_split(X, random_state=0)
models = {"EASE": EASE(), "item kNN": ItemKNN(), "user kNN": UserKNN()}
result = compare(models, visible, hidden, metrics="ndcg@10", reference="item kNN")
result

# %%
# `per_user` has one value per user and model. Subtract them user by user, and compute the interval
# of the mean.
values = result.per_user["ndcg@10"]
reference = list(result.names).index("item kNN")
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3), sharey=True, layout="constrained")
for row in range(len(result.names)):
    for ax, sample in ((left, values[row]), (right, values[row] - values[reference])):
        mean = np.nanmean(sample)
        low, high = bootstrap_interval(sample[np.isfinite(sample)])
        ax.errorbar(
            mean, row, xerr=[[mean - low], [high - mean]], fmt="o", capsize=4, color=f"C{row}"
        )
left.set_ylim(-0.5, 2.5)
left.set(yticks=range(3), yticklabels=result.names, xlabel="nDCG@10", title="Means overlap")
right.axvline(0, color="grey", linewidth=1)
right.set(xlabel="nDCG@10 minus that of item kNN", title="Paired differences do not")
plt.show()
