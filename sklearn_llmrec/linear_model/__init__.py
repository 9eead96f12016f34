"""Linear item-to-item models."""

from sklearn_llmrec.linear_model._ease import EASE
from sklearn_llmrec.linear_model._slim import SLIM

__all__ = ["EASE", "SLIM"]
