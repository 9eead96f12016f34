"""Recommenders that read: language-model embeddings of item texts."""

from sklearn_llmrec.text._bilinear import BilinearContentRecommender
from sklearn_llmrec.text._cleaner import TextCleaner
from sklearn_llmrec.text._cold_start import (
    ContentColdStart,
    ridge_maps as ridge_maps,
    ridge_maps_dual as ridge_maps_dual,
)
from sklearn_llmrec.text._content import (
    CONTENT_CONSTRAINTS as CONTENT_CONSTRAINTS,
    as_vectors as as_vectors,
    embedded as embedded,
    unfitted as unfitted,
)
from sklearn_llmrec.text._content_knn import ContentItemKNN
from sklearn_llmrec.text._content_user_knn import ContentUserKNN
from sklearn_llmrec.text._encoder import SentenceEncoder
from sklearn_llmrec.text._feature_als import FeatureALSRecommender
from sklearn_llmrec.text._l3ae import L3AE
from sklearn_llmrec.text._likelihood_reranker import LikelihoodReranker
from sklearn_llmrec.text._llm_reranker import LLMReranker
from sklearn_llmrec.text._media import AudioEncoder, ImageEncoder
from sklearn_llmrec.text._recommender import TextEmbeddingRecommender
from sklearn_llmrec.text._sentiment import SentimentWeighter
from sklearn_llmrec.text._texts import texts_of_items as texts_of_items
from sklearn_llmrec.text._word_vectors import WordVectorEncoder
from sklearn_llmrec.text._words import title_tokens as title_tokens

__all__ = [
    "L3AE",
    "AudioEncoder",
    "BilinearContentRecommender",
    "ContentColdStart",
    "ContentItemKNN",
    "ContentUserKNN",
    "FeatureALSRecommender",
    "ImageEncoder",
    "LLMReranker",
    "LikelihoodReranker",
    "SentenceEncoder",
    "SentimentWeighter",
    "TextCleaner",
    "TextEmbeddingRecommender",
    "WordVectorEncoder",
]
