"""Nearest-neighbour recommenders."""

from sklearn_llmrec.neighbors._item_knn import ItemKNN
from sklearn_llmrec.neighbors._user_knn import UserKNN
from sklearn_llmrec.neighbors._walks import P3alpha, RP3beta

__all__ = ["ItemKNN", "P3alpha", "RP3beta", "UserKNN"]
