import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec.interactions._interactions import Interactions
from sklearn_llmrec.interactions._sequences import (
    Sequences,
    event_sequences,
    fit_sequences,
    recency_weights,
    windows,
)


def log(events, n_items, **options):
    """Interactions from lists of (item, time), repeats kept as duplicate entries."""
    items = np.array([item for row in events for item, _ in row])
    times = np.array([time for row in events for _, time in row])
    bounds = np.append(0, np.cumsum([len(row) for row in events]))
    matrix = (np.ones(len(items)), items, bounds)
    return Interactions(matrix, shape=(len(events), n_items), timestamps=times, **options)


def test_order_of_times_with_repeats_and_ties():
    X = log([[(3, 5), (1, 2), (3, 1)], [], [(2, 7), (0, 7)]], 4)
    sequences = event_sequences(X)
    assert sequences.items.tolist() == [3, 1, 3, 2, 0]  # ties in log order
    assert sequences.bounds.tolist() == [0, 3, 3, 5]
    assert sequences.has_repeats
    assert sequences.ages.tolist() == [2, 1, 0, 1, 0]


def test_order_of_values():
    X = sp.csr_array(np.array([[3, 0, 1.0], [0, 2, -1]]))
    assert event_sequences(X).items.tolist() == [2, 0, 2, 1]
    assert event_sequences(X, "values").items.tolist() == [2, 0, 2, 1]
    timed = Interactions(X, timestamps=[1, 2, 2, 1])
    assert event_sequences(timed).items.tolist() == [0, 2, 2, 1]
    assert event_sequences(timed, "values").items.tolist() == [2, 0, 2, 1]


def test_repeats_of_a_plain_matrix_are_a_sum_and_zeros_are_no_events():
    X = sp.csr_array(
        (np.array([1.0, 2, 2.5, 0]), np.array([0, 0, 1, 2]), np.array([0, 4])), shape=(1, 3)
    )
    assert event_sequences(X).items.tolist() == [1, 0]
    timed = log([[(0, 3), (1, 2), (2, 1)]], 3)
    timed.data[1] = 0
    assert event_sequences(timed).items.tolist() == [2, 0]


def test_no_order_is_refused_at_fit_only():
    binary = sp.csr_array(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"100% of the neighbouring events.*from_frame"):
        fit_sequences(binary, "auto", "Model")
    with pytest.raises(ValueError, match=r"needs the times of events"):
        fit_sequences(binary, "timestamps", "Model")
    assert len(event_sequences(binary, "timestamps")) == 3
    with pytest.raises(ValueError, match="equal times"):
        fit_sequences(Interactions(binary, timestamps=np.ones(12)), "auto", "Model")
    mostly = np.ones(12)
    mostly[0] = 0
    assert len(fit_sequences(Interactions(binary, timestamps=mostly), "auto", "Model")) == 3


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_windows_predict_every_event_but_the_first_once(offset):
    sequences = Sequences(np.arange(23), np.array([0, 1, 1, 3, 13, 23]), 30)
    begin, end = windows(sequences, 4, offset)
    predicted = np.concatenate([np.arange(b + 1, e + 1) for b, e in zip(begin, end)])
    assert sorted(predicted) == [2, *range(4, 13), *range(14, 23)]
    assert (end - begin).max() <= 4


def test_parts_of_sequences():
    sequences = Sequences(np.array([4, 5, 6, 7, 8]), np.array([0, 3, 3, 5]), 9)
    assert sequences.tail(1).items.tolist() == [6, 8]
    assert sequences.take(np.array([2, 0])).items.tolist() == [7, 8, 4, 5, 6]
    rest, last = sequences.without_last(np.array([True, False, False]))
    assert rest.items.tolist() == [4, 5, 7, 8]
    assert last.tolist() == [6]
    assert sequences.padded(-1).tolist() == [[4, 5, 6], [-1, -1, -1], [7, 8, -1]]


def test_recency_weights_add_up_over_repeats():
    sequences = Sequences(np.array([1, 2, 1, 0]), np.array([0, 3, 4]), 3)
    weights = recency_weights(sequences, 0.5, np.float64)
    assert weights.toarray().tolist() == [[0, 1.25, 0.5], [1, 0, 0]]
