"""Splits of user-by-item matrices into visible and held-out interactions, and comparison of models."""

from sklearn_llmrec.interactions import holdout_split
from sklearn_llmrec.model_selection._compare import compare
from sklearn_llmrec.model_selection._comparison import Comparison
from sklearn_llmrec.model_selection._measure import (
    Measured as Measured,
    describe_users as describe_users,
    figure as figure,
    measure_and_history as measure_and_history,
    measure_lists as measure_lists,
    named as named,
    warn_if_fitted_on_targets as warn_if_fitted_on_targets,
)
from sklearn_llmrec.model_selection._protocols import (
    cold_item_split,
    cold_user_split,
    strong_generalization_split,
)
from sklearn_llmrec.model_selection._split import SameRows, interaction_folds, leave_last_out
from sklearn_llmrec.model_selection._time_cuts import backtest_folds, time_split

__all__ = [
    "Comparison",
    "SameRows",
    "backtest_folds",
    "cold_item_split",
    "cold_user_split",
    "compare",
    "holdout_split",
    "interaction_folds",
    "leave_last_out",
    "strong_generalization_split",
    "time_split",
]
