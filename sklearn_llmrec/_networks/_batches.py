"""Make batches of windows for training, grouped by length so that there is little padding."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions import Sequences, windows

# How many batches are sorted by length together: more leaves less filling, and less chance in who meets whom.
_BUCKET = 32
# An epoch has about this many steps or more, in batches of at least so many rows: limits that count epochs, as those of
# early stopping do, would end a training on few rows after a few hundred steps.
_STEPS, _SMALLEST_BATCH = 100, 16


class Batch(NamedTuple):
    """Rows of item numbers, padded on the right; a target of -1 is none."""

    inputs: NDArray[np.int64]
    lengths: NDArray[np.int64]
    targets: NDArray[np.int64]


def every_nth_row(batch: Batch, first: int, step: int) -> Batch:
    """Return the rows ``first, first + step, ...`` of a batch; without any, one row that has no target."""
    # Gradients are exchanged by all processes, also by one that has no row of the batch.
    empty = first >= len(batch.lengths)
    rows = slice(0, 1) if empty else slice(first, None, step)
    lengths = batch.lengths[rows]
    places = slice(0, int(lengths.max()))
    targets = batch.targets[rows, places]
    return Batch(
        batch.inputs[rows, places], lengths, np.full_like(targets, -1) if empty else targets
    )


def bucketed(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield batches of row numbers of similar length, in random order; batches are smaller where rows are few."""
    batch_size = min(batch_size, max(_SMALLEST_BATCH, len(lengths) // _STEPS))
    order = rng.permutation(len(lengths))
    bucket = np.arange(len(order)) // (_BUCKET * batch_size)
    order = order[np.lexsort((lengths[order], bucket))]
    starts = np.arange(0, len(order), batch_size)
    for start in rng.permutation(starts):
        yield order[start : start + batch_size]


def gather(
    items: NDArray[np.int64], begin: NDArray[np.int64], lengths: NDArray[np.int64], fill: int
) -> NDArray[np.int64]:
    steps = np.arange(lengths.max())
    positions = np.minimum(begin[:, None] + steps, len(items) - 1)
    return np.where(steps < lengths[:, None], items[positions], fill)


def next_item_batches(
    sequences: Sequences, max_length: int, batch_size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield one epoch of batches in which every event except the first of a row is a target once.

    Histories longer than `max_length` are cut into windows at places that change from epoch to epoch.
    """
    begin, end = windows(sequences, max_length, int(rng.integers(max_length)))
    for rows in bucketed(end - begin, batch_size, rng):
        lengths = (end - begin)[rows]
        yield Batch(
            gather(sequences.items, begin[rows], lengths, 0),
            lengths,
            gather(sequences.items, begin[rows] + 1, lengths, -1),
        )


def masked_batches(
    sequences: Sequences,
    max_length: int,
    batch_size: int,
    rng: np.random.Generator,
    share: float,
) -> Iterator[Batch]:
    """Yield one epoch of batches in which a share of the events is masked; the masked events are the targets.

    A masked event has the number ``n_items``.

    In a tenth of the rows only the last event is masked, as when ranking.
    """
    begin, end = windows(sequences, max_length, int(rng.integers(max_length)))
    end = end + 1  # a window of events here, not of steps
    begin = np.maximum(begin, end - max_length)
    for rows in bucketed(end - begin, batch_size, rng):
        lengths = (end - begin)[rows]
        inputs = gather(sequences.items, begin[rows], lengths, 0)
        real = np.arange(inputs.shape[1]) < lengths[:, None]
        masked = real & (rng.random(inputs.shape) < share)
        last_only = (rng.random(len(rows)) < 0.1) | ~masked.any(axis=1)
        masked[last_only] = False
        masked[last_only, lengths[last_only] - 1] = True
        targets = np.where(masked, inputs, -1)
        yield Batch(np.where(masked, sequences.n_items, inputs), lengths, targets)


def history_batches(
    sequences: Sequences, max_length: int, batch_size: int, mask: bool
) -> Iterator[tuple[NDArray[np.int64], Any]]:
    """Yield the row numbers and the batch of the latest events of all non-empty rows, sorted by length.

    With `mask`, the number ``n_items`` is appended in place of the event to come.
    """
    recent = sequences.tail(max_length - mask)
    lengths = recent.lengths
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        size = lengths[rows]
        inputs = recent.take(rows).padded(0, int(size.max()) + mask)
        if mask:
            inputs[np.arange(len(rows)), size] = sequences.n_items
        yield rows, Batch(inputs, size + mask, inputs)
