"""
When is a vote better than its best member?
===========================================

:class:`~sklearn_llmrec.ensemble.VotingRecommender` adds the normalised scores of its members. It
gains where members err on different users. Weights can be equal or learned from hidden
interactions.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import ALSRecommender, UserKNN, VotingRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import compare, holdout_split
from sklearn_llmrec.sequence import SequenceKNN

X = load_online_retail().interactions
visible, hidden = holdout_split(X, holdout="latest")
members = [
    ("EASE", EASE()),
    ("user kNN", UserKNN()),
    ("ALS", ALSRecommender(32, random_state=0)),
    ("SequenceKNN", SequenceKNN()),
]
models = dict(members) | {
    "vote, equal weights": VotingRecommender(members),
    "vote, learned weights": VotingRecommender(members, weights="learn", learn_users=1000),
}
result = compare(models, visible, hidden, metrics="ndcg@10")
result

# %%
# The bars are the paired differences to the best member, with 95 % intervals.
values = result.per_user["ndcg@10"]
names = list(result.names)
best = max(dict(members), key=lambda name: result["ndcg@10"][name])
differences = values - values[names.index(best)]
means = np.nanmean(differences, axis=1)
errors = 1.96 * np.nanstd(differences, axis=1) / np.sqrt(differences.shape[1])
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
colors = ["C1" if name.startswith("vote") else "C0" for name in names]
ax.barh(names, means, xerr=errors, color=colors, capsize=4)
ax.axvline(0, color="black", linewidth=1)
ax.invert_yaxis()
ax.set(xlabel=f"nDCG@10 minus that of {best}")
plt.show()
