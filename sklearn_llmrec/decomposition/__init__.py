"""Factor models."""

from sklearn_llmrec.decomposition._als import ALSRecommender
from sklearn_llmrec.decomposition._item_vectors import GloVeRecommender, Item2Vec

__all__ = ["ALSRecommender", "GloVeRecommender", "Item2Vec"]
