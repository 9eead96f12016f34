"""Recommenders that combine other recommenders."""

from sklearn_llmrec.ensemble._bandit import BanditReranker
from sklearn_llmrec.ensemble._calibrated import CalibratedReranker
from sklearn_llmrec.ensemble._dpp import DPPReranker
from sklearn_llmrec.ensemble._fallback import FallbackRecommender
from sklearn_llmrec.ensemble._mmr import MMRReranker
from sklearn_llmrec.ensemble._reranker import (
    BaseReranker,
)
from sklearn_llmrec.ensemble._rules import RuleReranker, boost, cap_per_category, reserve_slots
from sklearn_llmrec.ensemble._stacking import StackingRecommender
from sklearn_llmrec.ensemble._switch import SwitchRecommender
from sklearn_llmrec.ensemble._trend import TrendReranker
from sklearn_llmrec.ensemble._voting import VotingRecommender

__all__ = [
    "BanditReranker",
    "BaseReranker",
    "CalibratedReranker",
    "DPPReranker",
    "FallbackRecommender",
    "MMRReranker",
    "RuleReranker",
    "StackingRecommender",
    "SwitchRecommender",
    "TrendReranker",
    "VotingRecommender",
    "boost",
    "cap_per_category",
    "reserve_slots",
]
