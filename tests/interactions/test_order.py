from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import sklearn_llmrec.sequence
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


def is_refused(X, order="auto"):
    try:
        fit_sequences(X, order, "Model")
    except ValueError:
        return True
    return False


def has_no_order(rows):
    """Oracle: most rows of two or more values have more equal than different neighbours in sorted order."""
    rows = [[value for value in row if value != 0] for row in rows]
    least = min(3, max(len(row) for row in rows))  # two values are equal by chance
    verdicts = []
    for row in rows:
        ordered = sorted(row) if len(row) >= least else []
        ties = [a == b for a, b in pairwise(ordered)]
        if ties:
            verdicts.append(2 * sum(ties) > len(ties))
    limit = 0.5 if len(verdicts) >= 30 else 0.75
    return bool(verdicts) and sum(verdicts) / len(verdicts) > limit


@pytest.mark.parametrize("seed", range(5))
def test_a_matrix_is_refused_if_most_rows_have_mostly_equal_values(seed):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(60):
        rows = rng.integers(rng.integers(3, 9), size=(rng.choice([4, 40]), 6)).astype(float)
        X = sp.csr_array(rows)
        X.data[rng.random(X.nnz) < 0.1] = 0  # stored zeros are no events
        found.append(is_refused(X))
        assert found[-1] == has_no_order(X.toarray())
        assert is_refused(Interactions(X, timestamps=np.arange(X.nnz)), "values") == found[-1]
    assert 5 < sum(found) < 55


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ([[1, 1, 2]], False),  # half of the pairs tie
        ([[1, 1, 1, 2]], True),
        ([[1, 1, 1, 2, 3]], False),
        ([[1, 1, 1, 1], [1, 2, 3, 4]], False),  # half of the rows
        ([[1, 1, 1, 1], [2, 2, 2, 2], [1, 2, 3, 4]], True),
        ([[1, 1, 1, 1], [1, 0, 0, 0], [0, 2, 0, 0]], True),  # rows of one event say nothing
        ([[1, 0, 0, 0], [0, 2, 0, 0]], False),
        ([[1, 1, 0, 0], [2, 2, 0, 0], [1, 2, 3, 0]], False),  # rows of three decide
        ([[1, 1, 0, 0], [2, 2, 0, 0], [1, 2, 0, 0]], True),
    ],
)
def test_the_limits_of_equal_values(rows, refused):
    assert is_refused(sp.csr_array(np.tile(np.array(rows, dtype=float), (30, 1)))) == refused


@pytest.mark.parametrize(
    ("n_rows", "n_tied", "refused"),
    [(29, 21, False), (29, 22, True), (30, 16, True), (30, 15, False)],
)
def test_few_rows_need_a_larger_share(n_rows, n_tied, refused):
    rows = np.tile([1.0, 2, 3, 4], (n_rows, 1))
    rows[:n_tied] = 1
    assert is_refused(sp.csr_array(rows)) == refused


def test_equal_times_are_accepted_if_any_differ():
    rows = sp.csr_array(np.ones((3, 4)))
    times = np.zeros(12)
    assert is_refused(Interactions(rows, timestamps=times))
    times[-1] = 1
    assert not is_refused(Interactions(rows, timestamps=times))


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2**24), (np.float16, 2**11)])
def test_times_that_a_type_rounds_are_refused(dtype, limit):
    exact = np.arange(limit - 3, limit + 1).astype(dtype)
    above = np.append(exact, np.nextafter(exact[-1], dtype(np.inf)))
    assert not is_refused(sp.csr_array(exact[None].astype(np.float32)))
    X = sp.csr_array(above[None].astype(np.float32))
    X.data = above
    with pytest.raises(ValueError, match=rf"rounds numbers above {limit}.*float64"):
        fit_sequences(X, "auto", "Model")
    assert len(event_sequences(X).items) == 5
    with pytest.raises(ValueError, match=rf"rounds numbers above {limit}.*float64"):
        Interactions(sp.csr_array(np.ones((1, 5))), timestamps=above)
    assert Interactions(sp.csr_array(np.ones((1, 4))), timestamps=exact).timestamps.dtype == float


def ratings(n_users=60, n_items=12, seed=0):
    rng = np.random.default_rng(seed)
    shown = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :6]
    X = np.zeros((n_users, n_items))
    values = rng.choice(np.arange(1.0, 6), p=[0.05, 0.05, 0.15, 0.35, 0.4], size=shown.shape)
    np.put_along_axis(X, shown, values, axis=1)
    return X, shown


MODELS = [
    name
    for name in sklearn_llmrec.sequence.__all__
    if isinstance(getattr(sklearn_llmrec.sequence, name), type)
]


@pytest.mark.parametrize("name", MODELS)
def test_every_sequential_model_refuses_what_has_no_order(name):
    model = getattr(sklearn_llmrec.sequence, name)()
    if "device" in model.get_params():
        pytest.importorskip("torch")
        model.set_params(max_iter=1, n_components=4, random_state=0)
    if name == "LMRecommender":
        pytest.importorskip("transformers")
    X, shown = ratings()
    with pytest.raises(ValueError, match=f"{name} learns from the order.*from_frame"):
        model.fit(X)
    seconds = np.zeros_like(X)
    gaps = np.random.default_rng(1).integers(20, 120, shown.shape)
    np.put_along_axis(seconds, shown, 1.7e9 + np.cumsum(gaps, axis=1), axis=1)
    with pytest.raises(ValueError, match=f"{name} reads the values of X as times.*float64"):
        model.fit(seconds.astype(np.float32))
    model.fit(seconds)
    for history in (X, X > 0, seconds.astype(np.float32)):
        assert np.isfinite(model.predict(history[:2])).all()


@pytest.mark.parametrize("seed", range(20))
def test_equal_times_keep_the_order_of_the_log_when_duplicates_are_summed(seed):
    rng = np.random.default_rng(seed)
    items, times = rng.integers(5, size=(2, 12, 9)) // [[[1]], [[2]]]
    bounds = np.arange(0, items.size + 1, items.shape[1])
    X = Interactions(
        (np.ones(items.size), items.ravel(), bounds), shape=(12, 5), timestamps=times.ravel()
    )
    # The sum of an item's events has the latest time, and at that time the place of the last of them.
    expected = []
    for row, when in zip(items.tolist(), times.tolist()):
        last = {}
        for place, (item, time) in enumerate(zip(row, when)):
            last[item] = max(last.get(item, (time, place)), (time, place))
        expected += sorted(last, key=last.get)
    X.sum_duplicates()
    assert X.indices[X.event_order()].tolist() == expected
    assert event_sequences(X).items.tolist() == expected
    log = pd.DataFrame(
        {"user": np.repeat(np.arange(12), 9), "item": items.ravel(), "time": times.ravel()}
    )
    read = Interactions.from_frame(log, user="user", item="item", timestamp="time")
    assert read.item_ids[read.indices[read.event_order()]].tolist() == expected


def test_no_order_is_refused_at_fit_only():
    binary = sp.csr_array(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"100% of the rows.*mostly equal.*from_frame"):
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
