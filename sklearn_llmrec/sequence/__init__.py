"""Models of order: the user's history as a language. Importing this takes no torch."""

from sklearn_llmrec.sequence._knn import SequenceKNN, SessionKNN
from sklearn_llmrec.sequence._markov import MarkovRecommender

__all__ = ["MarkovRecommender", "SequenceKNN", "SessionKNN"]
