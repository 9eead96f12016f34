"""Figures of recommenders as ``Display`` classes, and audits of privacy and manipulation."""

from sklearn_llmrec.inspection._exposure import ExposureDisplay
from sklearn_llmrec.inspection._interaction_curve import InteractionCurveDisplay
from sklearn_llmrec.inspection._membership import MembershipAudit, membership_audit
from sklearn_llmrec.inspection._metric_at_k import MetricAtKDisplay
from sklearn_llmrec.inspection._shilling import ShillingAudit, shilling_audit
from sklearn_llmrec.inspection._trade_off import TradeOffDisplay
from sklearn_llmrec.inspection._training_curve import TrainingCurveDisplay
from sklearn_llmrec.inspection._user_activity import UserActivityDisplay

__all__ = [
    "ExposureDisplay",
    "InteractionCurveDisplay",
    "MembershipAudit",
    "MetricAtKDisplay",
    "ShillingAudit",
    "TradeOffDisplay",
    "TrainingCurveDisplay",
    "UserActivityDisplay",
    "membership_audit",
    "shilling_audit",
]
