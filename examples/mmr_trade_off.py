"""What diversity costs: nDCG against the diversity of lists, for settings of MMRReranker and DPPReranker.

    python examples/mmr_trade_off.py [figure.png]

Synthetic interactions with known topics of items; a list is diverse when its items are of different topics.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import numpy as np

from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.ensemble import DPPReranker, MMRReranker
from sklearn_llmrec.inspection import TradeOffDisplay
from sklearn_llmrec.model_selection import holdout_split
from sklearn_llmrec.neighbors import ItemKNN

data = make_interactions(n_users=500, n_items=200, random_state=0)
X, y = holdout_split(data.interactions, random_state=0)
topics = np.eye(8)[np.asarray(data["items"]["topic"])]
models = {
    f"MMR {d}": MMRReranker(ItemKNN(), diversity=d, item_features=topics).fit(X)
    for d in (0.0, 0.1, 0.2, 0.3, 0.4, 0.8)
} | {
    f"DPP {d}": DPPReranker(ItemKNN(), diversity=d, item_features=topics).fit(X)
    for d in (0.02, 0.06, 0.1, 0.3)
}
display = TradeOffDisplay.from_estimator(
    models, X, y, x_metric="diversity@10", y_metric="ndcg@10", item_features=topics
)
for name, point in display.points.items():
    print(f"{name:14s} diversity {point[0][0]:.3f}   nDCG@10 {point[1][0]:.4f}")
display.figure_.savefig(sys.argv[1] if len(sys.argv) > 1 else "mmr_trade_off.png", dpi=120)
