"""Measure recent popularity, decay in the fit and the trend reranker under a cut in time.

    python benchmarks/time_split.py retail [retail-events latest-small]

One cut for all users hides the latest fifth of the log (`time_split`); a second cut inside the past chooses half-lives
and exponents, and the test is read once. nDCG@10, full ranking over the catalogue, seen items left out, users with
targets; means for users with and without history before the cut apart. All as ones, EASE(200) throughout. Without a
`FallbackRecommender` users without history get the popularity of all times.

retail: a customer and a product are one entry, at the latest purchase. retail-events: every purchase is an event, so
that the cut shows all that happened before it. latest-small: items with 5 or more ratings.
"""

import argparse

import _data
import numpy as np
from _members import of_ones
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    BinarizeTransformer,
    FallbackRecommender,
    PopularityRecommender,
    RecencyDecayTransformer,
    TrendReranker,
)
from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import compare, time_split

DAY = 86_400
SHORT = [days * DAY for days in (1, 3, 7, 14, 30)]
LONG = [days * DAY for days in (30, 90, 180)]
DATA = {
    "retail": lambda _: load_online_retail().interactions,
    "retail-events": lambda _: load_online_retail(repeats="keep").interactions,
    "latest-small": _data.latest_small,
}


def tuned(name, model, grid, visible, valid):
    """The model with the setting of the highest nDCG@10 on the cut in the past."""
    score, best = ranking_scorer("ndcg@10"), (-np.inf, {})
    for params in ParameterGrid(grid):
        figure = score(clone(model).set_params(**params).fit(visible), visible, valid)
        best = max(best, (figure, params), key=lambda pair: pair[0])
    chosen = {key: value / DAY if "half_life" in key else value for key, value in best[1].items()}
    print(f"{name}: {best[0]:.4f} on validation with {chosen} (half-lives in days)", flush=True)
    return clone(model).set_params(**best[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _data.add_data_option(parser)
    parser.add_argument("data_sets", nargs="+", choices=list(DATA))
    arguments = parser.parse_args()
    for name in arguments.data_sets:
        X = DATA[name](arguments.data).astype(np.float32)
        past, future = time_split(X, test_size=0.2)
        cut = time_split(past, test_size=0.2)
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {past.nnz} before the cut", flush=True)
        ease = of_ones(EASE(200.0))
        aged = make_pipeline(BinarizeTransformer(), RecencyDecayTransformer(), EASE(200.0))
        recent = tuned("recent", PopularityRecommender(), {"half_life": SHORT}, *cut)
        aged = tuned("decay", aged, {"recencydecaytransformer__half_life": LONG}, *cut)
        trend = {"half_life": SHORT[1:], "exponent": [0.25, 0.5, 1.0]}
        models = {"popularity": PopularityRecommender(), "recent popularity": recent}
        models |= {"EASE": ease, "EASE, decay": aged}
        for kind, base in (("EASE", ease), ("EASE, decay", aged)):
            known = tuned(f"{kind}, trend", TrendReranker(base, half_life=DAY), trend, *cut)
            models[f"{kind}, trend"] = known
            models[f"{kind}, trend; recent"] = FallbackRecommender(
                [("known", known), ("new", recent)]
            )
        print(compare(models, past, future, random_state=0), flush=True)


if __name__ == "__main__":
    main()
