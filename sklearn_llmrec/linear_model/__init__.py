"""Linear item-to-item models and linear baselines."""

from sklearn_llmrec.linear_model._baseline import BaselineRecommender
from sklearn_llmrec.linear_model._ease import (
    EASE,
    inverse_spd as inverse_spd,
    noise_level as noise_level,
    popularity_factors as popularity_factors,
    require_gram_memory as require_gram_memory,
    weights_of_gram as weights_of_gram,
)
from sklearn_llmrec.linear_model._naive_bayes import NaiveBayesRecommender
from sklearn_llmrec.linear_model._slim import SLIM
from sklearn_llmrec.linear_model._sparse_ease import SparseEASE

__all__ = ["EASE", "SLIM", "BaselineRecommender", "NaiveBayesRecommender", "SparseEASE"]
