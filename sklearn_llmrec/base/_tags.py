"""Tags by which a recommender declares its needs, and the scores that it returns."""

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags as SklearnTags


@dataclass(slots=True)
class RecommenderTags:
    """Declare how the base class prepares input for a recommender and reads its scores.

    That negative values are refused is scikit-learn's own tag, ``input_tags.positive_only``.

    Parameters
    ----------
    needs_order : bool, default=False
        Whether a history is read as a sequence. `_fit` and `_score_rows` get X with its times and repeated events, and
        `score` hides the latest events instead of any.
    keeps_input : bool, default=False
        Whether `_fit` and `_score_rows` get X as it was given, an `Interactions` with its tables, instead of a plain
        canonical `csr_array`.
    zero_is_unknown : bool, default=False
        Whether a score of exactly 0 means that nothing is known about the item. The base then ranks such items by
        popularity, below all others.
    predicts_ratings : bool, default=False
        Whether scores are ratings. A row of equal scores then is the level of its user, and stays; of other models the
        base replaces it by popularity.
    ranks_candidates : bool, default=False
        Whether `_topk_rows` takes ``candidates=``, a sorted array of columns.

    Examples
    --------
    >>> from sklearn.utils import get_tags
    >>> from sklearn_llmrec import ItemKNN
    >>> get_tags(ItemKNN()).recommender_tags.zero_is_unknown
    True
    """

    needs_order: bool = False
    keeps_input: bool = False
    zero_is_unknown: bool = False
    predicts_ratings: bool = False
    ranks_candidates: bool = False

    def __getstate__(self) -> dict[str, bool]:
        # skops stores the state of an object as a dict, which slots alone do not give.
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def __setstate__(self, state: dict[str, bool]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


@dataclass(slots=True)
class Tags(SklearnTags):
    """scikit-learn's tags with `recommender_tags`."""

    recommender_tags: RecommenderTags = field(default_factory=RecommenderTags)

    @classmethod
    def extending(cls, tags: SklearnTags) -> "Tags":
        """Return the tags of scikit-learn with the defaults of a recommender."""
        return cls(**{entry.name: getattr(tags, entry.name) for entry in fields(tags)})


class Scores(NamedTuple):
    """Scores of a chunk of rows, and which of them rest on evidence.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_items)
        One finite score per user and item.
    known : ndarray of bool of shape (n_rows, n_items)
        Whether the model knows something about the user and the item. Where it does not, the score comes from a
        fallback such as popularity.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_]
