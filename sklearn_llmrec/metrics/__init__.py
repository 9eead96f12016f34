"""Metrics and scorers: how good lists are, by name, for scikit-learn's searches."""

from sklearn_llmrec.metrics._ab_test import ABTest, ab_sample_size, ab_test
from sklearn_llmrec.metrics._beyond import (
    cold_items_at_k,
    diversity_at_k,
    miscalibration_at_k,
    new_items_at_k,
    novelty_at_k,
    popularity_at_k,
    serendipity_at_k,
)
from sklearn_llmrec.metrics._coverage import (
    entropy_at_k,
    gini_at_k,
    item_coverage_at_k,
    user_coverage_at_k,
)
from sklearn_llmrec.metrics._hits import Ranking as Ranking, make_ranking as make_ranking
from sklearn_llmrec.metrics._inputs import check_lists as check_lists, checked_csr as checked_csr
from sklearn_llmrec.metrics._intervals import (
    PairedTest,
    adjust_p_values,
    bootstrap_interval,
    intervals as intervals,
    paired_test,
    sign_flip_test as sign_flip_test,
    t_test as t_test,
)
from sklearn_llmrec.metrics._offpolicy import (
    OffPolicyEstimate,
    doubly_robust_value,
    ips_value,
    replay_value,
    snips_value,
)
from sklearn_llmrec.metrics._overlap import rank_biased_overlap
from sklearn_llmrec.metrics._ranking import (
    auc_score,
    f1_at_k,
    hit_rate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
)
from sklearn_llmrec.metrics._rating import mae, rating_scorer, rmse
from sklearn_llmrec.metrics._registry import (
    METRICS as METRICS,
    mean as mean,
    parse as parse,
    parse_all as parse_all,
)
from sklearn_llmrec.metrics._scorer import get_ranking_scorer_names, ranking_scorer
from sklearn_llmrec.metrics._scoring import (
    common_holdout as common_holdout,
    has_history as has_history,
    row_matrix as row_matrix,
)
from sklearn_llmrec.metrics._several import ranking_metrics

__all__ = [
    "ABTest",
    "OffPolicyEstimate",
    "PairedTest",
    "ab_sample_size",
    "ab_test",
    "adjust_p_values",
    "auc_score",
    "bootstrap_interval",
    "cold_items_at_k",
    "diversity_at_k",
    "doubly_robust_value",
    "entropy_at_k",
    "f1_at_k",
    "get_ranking_scorer_names",
    "gini_at_k",
    "hit_rate_at_k",
    "ips_value",
    "item_coverage_at_k",
    "mae",
    "map_at_k",
    "miscalibration_at_k",
    "mrr_at_k",
    "ndcg_at_k",
    "new_items_at_k",
    "novelty_at_k",
    "paired_test",
    "popularity_at_k",
    "precision_at_k",
    "r_precision",
    "rank_biased_overlap",
    "ranking_metrics",
    "ranking_scorer",
    "rating_scorer",
    "recall_at_k",
    "replay_value",
    "rmse",
    "serendipity_at_k",
    "snips_value",
    "user_coverage_at_k",
]
