"""
Do lists follow the tastes of a user?
=====================================

A user with 70 % crime and 30 % comedy often gets nothing but crime, because crime is a little more
likely at every place. :class:`~sklearn_llmrec.ensemble.CalibratedReranker` brings the shares of the
list near those of the history.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import CalibratedReranker
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.linear_model import EASE

data = make_interactions(1000, 300, n_topics=5, concentration=0.3, random_state=0)
X, topic = data.interactions, np.asarray(data["items"]["topic"])
topics = np.eye(5)[topic]
model = CalibratedReranker(
    EASE(), categories=[f"topic {number}" for number in topic], calibration=0.5
)
lists = {
    "EASE": EASE().fit(X).recommend(X, k=10)[0],
    "calibrated": model.fit(X).recommend(X, k=10)[0],
}

# %%
# Take the users whose favourite topic has between 40 and 60 % of their history, and count its share
# of their lists.
shares = (X != 0) @ topics
shares = shares / shares.sum(axis=1, keepdims=True)
favourite = shares.argmax(axis=1)
chosen = np.flatnonzero((shares.max(axis=1) > 0.4) & (shares.max(axis=1) < 0.6))
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
bins = np.linspace(0.15, 1.05, 10)
for name, items in lists.items():
    of_favourite = (topic[items[chosen]] == favourite[chosen, None]).mean(axis=1)
    ax.hist(of_favourite, bins, alpha=0.6, label=f"{name}, mean {of_favourite.mean():.2f}")
ax.axvspan(0.4, 0.6, color="grey", alpha=0.2, label="share in the histories")
ax.set(xlabel="share of the favourite topic in the list of ten", ylabel="users")
ax.legend()
plt.show()
