"""Recommenders that learn no taste: baselines that every other model must beat."""

from sklearn_llmrec.dummy._dummy import PopularityRecommender, RandomRecommender

__all__ = ["PopularityRecommender", "RandomRecommender"]
