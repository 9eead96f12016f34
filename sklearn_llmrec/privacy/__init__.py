"""Release statistics with noise, so that no one user changes what is published by much, and count what was spent."""

from sklearn_llmrec.privacy._gaussian import GaussianMechanism
from sklearn_llmrec.privacy._ledger import PrivacyBudgetError, PrivacyLedger

__all__ = ["GaussianMechanism", "PrivacyBudgetError", "PrivacyLedger"]
