"""What the parameters of both neighbour models accept, and what is said of them."""

from numbers import Integral, Real
from typing import Any

from sklearn_llmrec.neighbors._similarity import METRICS, WEIGHTINGS
from sklearn_llmrec.utils import COMMON_TEXTS, Interval, StrOptions

NEIGHBOR_CONSTRAINTS: dict[str, Any] = {
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "metric": [StrOptions(set(METRICS))],
    "metric_params": [dict, None],
    "shrinkage": [Interval(Real, 0, None, closed="left")],
    "weighting": [StrOptions(set(WEIGHTINGS)), None],
    "center": [StrOptions({"user", "item", "baseline"}), None],
    "max_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    "regularization": [Interval(Real, 0, None, closed="left")],
    "n_jobs": [None, Integral],
}

_TEXTS = {
    "metric": r"""str
With x the %(asks)s, y its neighbour, and A and B the %(one)ss they have, one of

- "cosine": :math:`x^\top y / (\|x\| \|y\|)`.
- "asymmetric_cosine": :math:`x^\top y / (\|x\|^{2\alpha} \|y\|^{2 - 2\alpha})`. At 1/2 it is the cosine; a
  smaller :math:`\alpha` prefers neighbours with few %(one)ss.
- "adjusted_cosine": the cosine once every value is less the mean of its %(one)s.
- "pearson": the correlation over the %(one)ss that both have, about their means there.
- "pearson_baseline": the same about the baseline that ``center="baseline"`` names, for ratings.
- "jaccard": :math:`x^\top y / (\|x\|^2 + \|y\|^2 - x^\top y)`, of binary values
  :math:`|A \cap B| / |A \cup B|`.
- "dice": :math:`2 x^\top y / (\|x\|^2 + \|y\|^2)`, of binary values :math:`2 |A \cap B| / (|A| + |B|)`.
- "tversky": :math:`|A \cap B| / (|A \cap B| + \alpha |A \setminus B| + \beta |B \setminus A|)`, whatever the
  values. Both 1 give Jaccard's index, both 1/2 Dice's.""",
    "metric_params": """dict or None
"alpha" and "beta" of "tversky", at least 0, and "alpha" of "asymmetric_cosine", from 0 to 1; 0.5 where they are
not given.""",
    "shrinkage": """float
A similarity that rests on n %(one)ss is multiplied by ``n / (n + shrinkage)``; with "pearson_baseline", by
``(n - 1) / (n - 1 + shrinkage)``.""",
    "weighting": """{"auto", "tfidf", "bm25"} or None
Weights of the values before %(lines)s are compared, as
:class:`~sklearn_llmrec.preprocessing.TFIDFTransformer` and
:class:`~sklearn_llmrec.preprocessing.BM25Transformer` give them; %(use)s the values of X
themselves. "auto" is "tfidf" where items are ranked, else None; "adjusted_cosine", "tversky" and the correlations
take none.""",
    "center": """{"user", "item", "baseline"} or None
The baseline of rating prediction: mean of the user, mean of the item, or mean plus shrunken
deviations of both. None ranks, and predicts no ratings.""",
    "max_neighbors": """int or None
How many vote on a rating at most, with `center`: of the `n_neighbors` kept, the most similar %(raters)s. Few of the
nearest may be among them, so keep many. None lets all that are kept vote.""",
    "regularization": """float
L2 regularization of what the neighbours add to the baseline, with `center`: as if a further neighbour of this
similarity voted for the baseline itself.""",
}


def check_max_neighbors(max_neighbors: int | None, center: str | None) -> None:
    """Refuse `max_neighbors` where no ratings are predicted."""
    if max_neighbors is not None and center is None:
        raise ValueError(
            f"max_neighbors={max_neighbors} chooses who votes on a rating, and center=None ranks: give center, or "
            "leave max_neighbors None and choose n_neighbors."
        )


def neighbor_texts(asks: str, one: str, lines: str, use: str, raters: str) -> dict[str, str]:
    """What `documented` says of these parameters.

    The words are for who asks, what both have, where values stand, their use, and which neighbours bear on a rating.
    """
    words = {"asks": asks, "one": one, "lines": lines, "use": use, "raters": raters}
    return COMMON_TEXTS | {name: text % words for name, text in _TEXTS.items()}
