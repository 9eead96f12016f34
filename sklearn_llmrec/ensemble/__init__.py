"""Recommenders made of recommenders."""

from sklearn_llmrec.ensemble._voting import VotingRecommender

__all__ = ["VotingRecommender"]
