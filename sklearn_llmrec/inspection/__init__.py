"""Figures of recommenders as ``Display`` classes; matplotlib is imported when one is drawn."""

from sklearn_llmrec.inspection._exposure import ExposureDisplay
from sklearn_llmrec.inspection._interaction_curve import InteractionCurveDisplay
from sklearn_llmrec.inspection._metric_at_k import MetricAtKDisplay
from sklearn_llmrec.inspection._trade_off import TradeOffDisplay
from sklearn_llmrec.inspection._training_curve import TrainingCurveDisplay
from sklearn_llmrec.inspection._user_activity import UserActivityDisplay

__all__ = [
    "ExposureDisplay",
    "InteractionCurveDisplay",
    "MetricAtKDisplay",
    "TradeOffDisplay",
    "TrainingCurveDisplay",
    "UserActivityDisplay",
]
