"""Nearest-neighbour recommenders."""

from sklearn_llmrec.neighbors._knn import ItemKNN, UserKNN

__all__ = ["ItemKNN", "UserKNN"]
