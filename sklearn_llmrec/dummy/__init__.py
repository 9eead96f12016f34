"""Recommenders that learn no taste: the floor that every other one has to clear."""

from sklearn_llmrec.dummy._dummy import PopularityRecommender, RandomRecommender

__all__ = ["PopularityRecommender", "RandomRecommender"]
