"""Linear item-to-item models."""

from sklearn_llmrec.linear_model._ease import EASE

__all__ = ["EASE"]
