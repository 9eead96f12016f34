"""Recommenders that read: language-model embeddings of item texts."""

from sklearn_llmrec.text._cleaner import TextCleaner
from sklearn_llmrec.text._encoder import SentenceEncoder
from sklearn_llmrec.text._recommender import TextEmbeddingRecommender

__all__ = ["SentenceEncoder", "TextCleaner", "TextEmbeddingRecommender"]
