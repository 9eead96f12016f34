"""Validate, chunk, limit memory, follow fits; the public checks of recommenders are re-exported here."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from sklearn_llmrec.utils._arguments import check_arguments as check_arguments
from sklearn_llmrec.utils._atomic import (
    built_aside as built_aside,
    on_one_state as on_one_state,
    original as original,
    restored_on_error as restored_on_error,
    snapshot as snapshot,
)
from sklearn_llmrec.utils._callbacks import (
    CallbackSupportMixin as CallbackSupportMixin,
    begin_fit as begin_fit,
    end_fit as end_fit,
    iterations as iterations,
    tell as tell,
    with_callbacks as with_callbacks,
)
from sklearn_llmrec.utils._chunks import (
    csr_of as csr_of,
    entry_rows as entry_rows,
    row_chunks as row_chunks,
    rows_between as rows_between,
)
from sklearn_llmrec.utils._content_hash import (
    UnstableContentError as UnstableContentError,
    content_hash as content_hash,
)
from sklearn_llmrec.utils._html import html_table as html_table
from sklearn_llmrec.utils._ids import (
    as_ids as as_ids,
    equal_ids as equal_ids,
    first_repeated as first_repeated,
    id_keys as id_keys,
    id_positions as id_positions,
    ids_of_column as ids_of_column,
    is_missing as is_missing,
    joined_ids as joined_ids,
    kind_of_ids as kind_of_ids,
)
from sklearn_llmrec.utils._input_errors import validated as validated
from sklearn_llmrec.utils._last_step import last_step as last_step
from sklearn_llmrec.utils._memory import require_memory as require_memory
from sklearn_llmrec.utils._optional import require as require
from sklearn_llmrec.utils._sklearn import (
    BaseComposition as BaseComposition,
    HasMethods as HasMethods,
    Interval as Interval,
    StrOptions as StrOptions,
    check_feature_names_in as check_feature_names_in,
    check_method_params as check_method_params,
    fit_context as fit_context,
    fit_single_estimator as fit_single_estimator,
    raise_for_params as raise_for_params,
    validate_parameter_constraints as validate_parameter_constraints,
    validate_params as validate_params,
)
from sklearn_llmrec.utils._stacks import mark_stack as mark_stack, warn_of_stack as warn_of_stack
from sklearn_llmrec.utils._threads import (
    in_threads as in_threads,
    results_in_order as results_in_order,
    slices_for_threads as slices_for_threads,
    threads_for as threads_for,
)
from sklearn_llmrec.utils._times import ages as ages, required_times as required_times
from sklearn_llmrec.utils._validation import (
    check_candidates as check_candidates,
    check_k as check_k,
    check_matrix as check_matrix,
    check_seen as check_seen,
    check_targets as check_targets,
    check_weights as check_weights,
    names_of_events as names_of_events,
    rows_without_entries as rows_without_entries,
)
from sklearn_llmrec.utils._values import (
    as_csr as as_csr,
    as_numeric as as_numeric,
    canonical as canonical,
    cast_values as cast_values,
    narrowed_data as narrowed_data,
    ready_to_sum as ready_to_sum,
    refuse_triples as refuse_triples,
    widened_data as widened_data,
)
from sklearn_llmrec.utils._version import package_version as package_version
from sklearn_llmrec.utils._warnings import warn as warn

if TYPE_CHECKING:
    from sklearn_llmrec.base import (
        EXPECTED_FAILED_CHECKS,
        all_estimators as all_estimators,
        all_recommenders,
        check_recommender,
        parametrize_with_recommender_checks,
    )

__all__ = [
    "EXPECTED_FAILED_CHECKS",
    "all_recommenders",
    "check_recommender",
    "parametrize_with_recommender_checks",
]

_FROM_BASE = {*__all__, "all_estimators"}


def __getattr__(name: str) -> Any:
    # They are on a higher layer: the base imports from here.
    if name in _FROM_BASE:
        return getattr(_import_module("sklearn_llmrec.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
