"""Factor models."""

from sklearn_llmrec.decomposition._als import ALSRecommender

__all__ = ["ALSRecommender"]
