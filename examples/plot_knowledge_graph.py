"""
Which facts speak for a new item?
=================================

A knowledge graph has facts about items: a brand, a material, a place.
:func:`~sklearn_llmrec.graph.explain_paths` splits the score of a recommended item into the facts
that it shares with the history, and the rest.
"""

# %%
# Facts are made from the table of products: the colour, the material and the kind of thing that a
# description names.
import matplotlib.pyplot as plt
import numpy as np

from sklearn_llmrec import ContentColdStart, KnowledgeGraph, KnowledgeGraphEncoder, explain_paths
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.model_selection import cold_item_split

WORDS = {
    "colour": ["RED", "BLUE", "PINK", "WHITE", "BLACK", "GREEN", "IVORY"],
    "material": ["WOODEN", "GLASS", "CERAMIC", "METAL", "PAPER", "ENAMEL", "FELT", "ZINC"],
    "kind": [
        "BAG",
        "MUG",
        "CLOCK",
        "CANDLE",
        "BOX",
        "BOWL",
        "SIGN",
        "CARD",
        "TIN",
        "FRAME",
        "LIGHTS",
        "DOLL",
        "NAPKINS",
        "PLATE",
        "TRAY",
    ],
    "motif": [
        "CHRISTMAS",
        "HEART",
        "RETROSPOT",
        "STAR",
        "VINTAGE",
        "SPACEBOY",
        "FLOWER",
        "BIRD",
        "BUTTERFLY",
        "PAISLEY",
    ],
}
shop = load_online_retail()
X, names = shop.interactions, shop["items"]["description"]
triples = [
    (item, relation, word)
    for item, name in zip(X.item_ids.tolist(), names)
    for relation, words in WORDS.items()
    for word in words
    if word in name.split()
]
graph = KnowledgeGraph(triples)
print(len(triples), "facts, for example", triples[0])

# %%
# Rank products that nobody has had yet for a customer with a long history.
visible, _, new = cold_item_split(X, random_state=0)
model = ContentColdStart(EASE(), encoder=KnowledgeGraphEncoder(graph)).fit(visible)
customer = int(np.argsort(np.diff(visible.indptr))[-30])
items, _ = model.recommend(visible[[customer]], k=5, candidates=new)
paths = explain_paths(model, visible[[customer]], items, n_paths=None)

# %%
# The contributions of one item sum to its score.
fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
kinds = {}
for place, item in enumerate(items[0]):
    end = 0.0
    for path in (path for path in paths if path.item == item):
        color = kinds.setdefault(path.relation, f"C{len(kinds)}")
        ax.barh(place, path.contribution, left=end, color=color, edgecolor="white")
        if path.entity is not None and path.contribution > 0.05 * abs(ax.get_xlim()[1]):
            middle = end + path.contribution / 2
            ax.text(middle, place, path.entity.lower(), ha="center", va="center", fontsize=7)
        end += path.contribution
ax.set_yticks(range(len(items[0])), names[items[0]])
ax.invert_yaxis()
ax.set(xlabel="contribution to the score", title="New products for one customer, by shared facts")
handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in kinds.values()]
fig.legend(handles, kinds, loc="outside right upper")
plt.show()
