"""Nearest-neighbour recommenders."""

from sklearn_llmrec.neighbors._indexed import IndexedRecommender
from sklearn_llmrec.neighbors._item_knn import ItemKNN
from sklearn_llmrec.neighbors._similarity import (
    RowIndex as RowIndex,
    weighted as weighted,
    weighting_of as weighting_of,
    without_diagonal as without_diagonal,
)
from sklearn_llmrec.neighbors._user_knn import UserKNN
from sklearn_llmrec.neighbors._walks import P3alpha, RP3beta

__all__ = ["IndexedRecommender", "ItemKNN", "P3alpha", "RP3beta", "UserKNN"]
