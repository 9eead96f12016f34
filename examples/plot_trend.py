"""
How fast do tastes of a shop change?
====================================

Popularity of the last days is the baseline to beat after a cut in time. A half-life says how fast a
purchase loses its weight. :class:`~sklearn_llmrec.ensemble.TrendReranker` gives the lists of any
model the same sense of time.
"""

# %%
import matplotlib.pyplot as plt

from sklearn_llmrec import PopularityRecommender, TrendReranker
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import time_split

DAY = 86_400  # timestamps are seconds
X = load_online_retail().interactions
past, future = time_split(X, test_size=0.2)
days = [1, 3, 7, 14, 30, 90]
popularity = [PopularityRecommender(half_life=n * DAY).fit(past).score(past, future) for n in days]
trend = [TrendReranker(EASE(), half_life=n * DAY).fit(past).score(past, future) for n in days]
all_times = PopularityRecommender().fit(past).score(past, future)
plain = EASE().fit(past).score(past, future)

# %%
# Dashed lines have no sense of time: popularity of the whole past, and EASE as it is.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(days, trend, "o-", color="C0", label="EASE with trend")
ax.axhline(plain, color="C0", linestyle="--", label="EASE")
ax.plot(days, popularity, "o-", color="C1", label="recent popularity")
ax.axhline(all_times, color="C1", linestyle="--", label="popularity")
ax.set(xscale="log", xlabel="half-life in days", ylabel="nDCG@10 after the cut", ylim=(0, None))
ax.set_xticks(days, days)
ax.minorticks_off()
ax.legend()
plt.show()
