"""Transformers that reweight interactions, and customer value as features."""

from sklearn_llmrec.preprocessing._recency import RecencyDecayTransformer
from sklearn_llmrec.preprocessing._rfm import RFMTransformer
from sklearn_llmrec.preprocessing._scaling import UserMinMaxScaler, UserStandardScaler
from sklearn_llmrec.preprocessing._values import BinarizeTransformer, Log1pTransformer
from sklearn_llmrec.preprocessing._weighting import BM25Transformer, TFIDFTransformer

__all__ = [
    "BM25Transformer",
    "BinarizeTransformer",
    "Log1pTransformer",
    "RFMTransformer",
    "RecencyDecayTransformer",
    "TFIDFTransformer",
    "UserMinMaxScaler",
    "UserStandardScaler",
]
