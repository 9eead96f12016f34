"""Define what a recommender is: the base class, its mixins, `recommend` and the checks of the contract."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from sklearn_llmrec.base._biases import Biases as Biases, Center as Center
from sklearn_llmrec.base._block_sums import (
    BlockPlace as BlockPlace,
    BlockSumsMixin,
    Phase as Phase,
    Statistics as Statistics,
    Totals as Totals,
    added_in_a_tree as added_in_a_tree,
)
from sklearn_llmrec.base._by_id import (
    candidates_of_ids as candidates_of_ids,
    ids_of_columns as ids_of_columns,
)
from sklearn_llmrec.base._explain import (
    ExplainMixin,
    check_lists_to_explain as check_lists_to_explain,
    columns_of as columns_of,
)
from sklearn_llmrec.base._forget import forget
from sklearn_llmrec.base._inner_product import InnerProductMixin
from sklearn_llmrec.base._item_blocks import (
    ItemBlocksMixin as ItemBlocksMixin,
    columns_of_factors as columns_of_factors,
    first_block as first_block,
    item_blocks as item_blocks,
    items_of as items_of,
    join_rows as join_rows,
    read_factor as read_factor,
    work_of_items as work_of_items,
    write_factors as write_factors,
)
from sklearn_llmrec.base._item_to_item import (
    ItemToItemRecommender,
)
from sklearn_llmrec.base._last_step import needs_order as needs_order
from sklearn_llmrec.base._named import named as named
from sklearn_llmrec.base._partial_fit import KeepsRowsMixin as KeepsRowsMixin, PartialFitMixin
from sklearn_llmrec.base._private import (
    COUNTS_SHARE as COUNTS_SHARE,
    NoisyGram as NoisyGram,
    check_public_settings as check_public_settings,
    count_vector as count_vector,
    equal_norm_rows as equal_norm_rows,
    next_private_phase as next_private_phase,
    packed_triangle as packed_triangle,
    presence as presence,
    private_phase as private_phase,
    private_statistics as private_statistics,
    released_counts as released_counts,
    unpacked_triangle as unpacked_triangle,
)
from sklearn_llmrec.base._ratings import RatingMixin
from sklearn_llmrec.base._recommend import recommend
from sklearn_llmrec.base._recommend_ids import recommend_ids
from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.base._refit_on import refit_on
from sklearn_llmrec.base._show import RecommendationTable, show
from sklearn_llmrec.base._similar import SimilarItemsMixin
from sklearn_llmrec.base._tags import RecommenderTags, Scores, Tags
from sklearn_llmrec.utils import last_step as last_step

if TYPE_CHECKING:
    from sklearn_llmrec.base._discovery import (
        all_estimators as all_estimators,
        all_recommenders as all_recommenders,
    )
    from sklearn_llmrec.base._estimator_checks import (
        EXPECTED_FAILED_CHECKS as EXPECTED_FAILED_CHECKS,
        check_recommender as check_recommender,
        parametrize_with_recommender_checks as parametrize_with_recommender_checks,
    )

__all__ = [
    "BaseRecommender",
    "BlockSumsMixin",
    "ExplainMixin",
    "InnerProductMixin",
    "ItemToItemRecommender",
    "PartialFitMixin",
    "RatingMixin",
    "RecommendationTable",
    "RecommenderTags",
    "Scores",
    "SimilarItemsMixin",
    "Tags",
    "forget",
    "recommend",
    "recommend_ids",
    "refit_on",
    "show",
]

_LAZY = {
    "EXPECTED_FAILED_CHECKS": "_estimator_checks",
    "all_estimators": "_discovery",
    "all_recommenders": "_discovery",
    "check_recommender": "_estimator_checks",
    "parametrize_with_recommender_checks": "_estimator_checks",
}


def __getattr__(name: str) -> Any:
    # The checks import test tools, the discovery every subpackage.
    if name in _LAZY:
        return getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
