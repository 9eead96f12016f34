"""Factor models."""

from sklearn_llmrec.decomposition._als import ALSRecommender
from sklearn_llmrec.decomposition._biased_mf import BiasedMF
from sklearn_llmrec.decomposition._bpr import BPRRecommender
from sklearn_llmrec.decomposition._item_vectors import GloVeRecommender, Item2Vec
from sklearn_llmrec.decomposition._lightgcn import LightGCN
from sklearn_llmrec.decomposition._mult_vae import MultVAERecommender
from sklearn_llmrec.decomposition._nmf import NMFRecommender
from sklearn_llmrec.decomposition._svd import PureSVD
from sklearn_llmrec.decomposition._svdpp import SVDpp

__all__ = [
    "ALSRecommender",
    "BPRRecommender",
    "BiasedMF",
    "GloVeRecommender",
    "Item2Vec",
    "LightGCN",
    "MultVAERecommender",
    "NMFRecommender",
    "PureSVD",
    "SVDpp",
]
