"""Represent interactions with times, ids and features: building, ordering and hiding them."""

from sklearn_llmrec.interactions._batches import event_batches as event_batches
from sklearn_llmrec.interactions._catalogue import (
    catalogue_of as catalogue_of,
    rows_or_missing as rows_or_missing,
)
from sklearn_llmrec.interactions._entries import as_times as as_times
from sklearn_llmrec.interactions._events import (
    Baskets as Baskets,
    as_events as as_events,
    baskets_in_time as baskets_in_time,
    entry_times as entry_times,
    hidden_in_rows as hidden_in_rows,
    like as like,
    part as part,
    random_baskets as random_baskets,
    stack as stack,
    visible_and_targets as visible_and_targets,
)
from sklearn_llmrec.interactions._hide import (
    cut_at as cut_at,
    events_of_window as events_of_window,
    hide_by_hash as hide_by_hash,
    hide_from_cut as hide_from_cut,
    hide_latest as hide_latest,
)
from sklearn_llmrec.interactions._holdout import holdout_split as holdout_split, n_of as n_of
from sklearn_llmrec.interactions._ids import sorted_ids as sorted_ids
from sklearn_llmrec.interactions._interactions import Interactions
from sklearn_llmrec.interactions._popularity import decayed_popularity as decayed_popularity
from sklearn_llmrec.interactions._sequences import (
    ORDER_CONSTRAINTS as ORDER_CONSTRAINTS,
    ORDERS as ORDERS,
    Sequences as Sequences,
    block_sequences as block_sequences,
    check_order as check_order,
    event_sequences as event_sequences,
    fit_sequences as fit_sequences,
    recency_weights as recency_weights,
    windows as windows,
)
from sklearn_llmrec.interactions._tables import (
    column_names as column_names,
    long_table as long_table,
    n_table_rows as n_table_rows,
    table_column as table_column,
)

__all__ = ["Interactions"]
