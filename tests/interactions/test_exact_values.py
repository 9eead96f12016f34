"""Values of every type are summed and compared as float64 or Python's integers are, or refused."""

from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.preprocessing import MaxAbsScaler, Normalizer

from sklearn_llmrec import Interactions, ItemKNN, UserKNN, recommend
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.interactions import hide_by_hash, hide_latest
from sklearn_llmrec.metrics import ndcg_at_k, recall_at_k, replay_value, rmse
from sklearn_llmrec.model_selection import holdout_split, interaction_folds, leave_last_out
from sklearn_llmrec.preprocessing import (
    BM25Transformer,
    Log1pTransformer,
    RFMTransformer,
    TFIDFTransformer,
)
from sklearn_llmrec.utils import as_csr, canonical

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
SHAPE = (4, 5)


@st.composite
def repeated_entries(draw):
    """Rows, columns and values of an integer type, with duplicates whose sums leave its range."""
    kind = draw(st.sampled_from(INTEGERS))
    info = np.iinfo(kind)
    largest = min(info.max, 2**40)
    value = st.sampled_from([1, largest, largest // 2 + 1, max(info.min, -(2**40))])
    entry = st.tuples(st.integers(0, 3), st.integers(0, 4), value)
    entries = draw(st.lists(entry, min_size=1, max_size=30))
    rows, columns, values = zip(*entries, strict=True)
    return np.array(rows), np.array(columns), np.array(values, kind), entries


def exact_sums(entries):
    """Dense float64 matrix of the sums, from Python's integers."""
    sums = {}
    for row, column, value in entries:
        sums[row, column] = sums.get((row, column), 0) + value
    dense = np.zeros(SHAPE)
    for place, value in sums.items():
        dense[place] = value
    return dense


def with_duplicates(rows, columns, values):
    """The same entries as matrices of several formats, duplicates stored one by one."""
    order = np.lexsort((columns, rows))
    indptr = np.searchsorted(rows[order], np.arange(SHAPE[0] + 1))
    csr = sp.csr_array((values[order], columns[order], indptr), shape=SHAPE)
    coo = sp.coo_array((values, (rows, columns)), shape=SHAPE)
    return [coo, sp.coo_matrix(coo), csr, sp.csr_matrix(csr), sp.csc_array(csr)]


@settings(max_examples=80, deadline=None)
@given(repeated_entries())
def test_sums_of_duplicates_do_not_wrap(drawn):
    rows, columns, values, entries = drawn
    expected = exact_sums(entries)
    for M in with_duplicates(rows, columns, values):
        before = M.data.copy()
        found = canonical(as_csr(M))
        assert np.array_equal(found.toarray(), expected), type(M)
        assert found.data.all()
        assert np.array_equal(M.data, before)
        if np.abs(expected).max() <= np.iinfo(values.dtype).max:
            assert found.dtype == values.dtype


@settings(max_examples=80, deadline=None)
@given(repeated_entries())
def test_interactions_sum_duplicates_without_wrapping(drawn):
    rows, columns, values, entries = drawn
    expected = exact_sums(entries)
    coo, _, csr, _, csc = with_duplicates(rows, columns, values)
    times = np.arange(len(values))
    for X in (
        Interactions((values, (rows, columns)), shape=SHAPE),
        Interactions(coo),
        Interactions(coo, timestamps=times),
        Interactions((values, (rows, columns)), shape=SHAPE, timestamps=times),
    ):
        assert np.array_equal(X.toarray(), expected)
    for X in (Interactions(csr), Interactions(csc), Interactions(csr, timestamps=times)):
        shared = sp.csr_array(X)
        X.sum_duplicates()
        assert np.array_equal(X.toarray(), expected)
        assert np.array_equal(canonical(shared).toarray(), expected)


@settings(max_examples=60, deadline=None)
@given(repeated_entries())
def test_splits_metrics_and_popularity_read_the_sums(drawn):
    rows, columns, values, entries = drawn
    expected = exact_sums(entries)
    for M in with_duplicates(rows, columns, values):
        for visible, hidden in (
            hide_by_hash(M),
            hide_latest(M),
            holdout_split(M, random_state=0),
            leave_last_out(M, order="values"),
        ):
            assert np.array_equal((visible + hidden).toarray(), expected)
        if not expected.any():
            continue
        lists = np.argsort(-expected, axis=1)[:, :2]
        assert recall_at_k(M, lists, k=2) == recall_at_k(expected, lists, k=2)
        assert rmse(M, np.zeros(SHAPE)) == pytest.approx(rmse(expected, np.zeros(SHAPE)))
        if expected.min() >= 0:
            graded = ndcg_at_k(M, lists, k=2, gains="graded")
            assert graded == pytest.approx(ndcg_at_k(expected, lists, k=2, gains="graded"))
            for weighting in ("users", "values"):
                model = PopularityRecommender(weighting=weighting)
                found, wanted = model.fit(M).predict(M), model.fit(expected).predict(expected)
                np.testing.assert_allclose(found, wanted)
            unseen = recommend(MaxAbsScaler_and_popularity(expected), M, 5)[0]
            for row, items in enumerate(unseen):
                assert not expected[row, items[items >= 0]].any()


def MaxAbsScaler_and_popularity(X):
    """A fitted Pipeline: what is seen is read from the matrix as given."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(MaxAbsScaler(), PopularityRecommender()).fit(X)


@settings(max_examples=40, deadline=None)
@given(repeated_entries())
def test_transformers_read_the_sums(drawn):
    rows, columns, values, entries = drawn
    expected = exact_sums(entries)
    if values.min() < 0 or not values.any():
        return
    for M in with_duplicates(rows, columns, values):
        summed = expected
        for transformer in (BM25Transformer(), TFIDFTransformer(), Log1pTransformer()):
            found = transformer.fit_transform(M).toarray()
            np.testing.assert_allclose(found, transformer.fit_transform(summed), rtol=1e-12)
        money = RFMTransformer(output="values").fit(M).transform(M)[:, -1]
        np.testing.assert_allclose(money, summed.sum(axis=1))


NUMBERS = {
    **{kind: lambda v, kind=kind: pd.Series(np.array(v, kind)) for kind in INTEGERS},
    "float16": lambda v: pd.Series(np.array(v, np.float16)),
    "float32": lambda v: pd.Series(np.array(v, np.float32)),
    "Int8": lambda v: pd.Series(v, dtype="Int8"),
    "int8[pyarrow]": lambda v: pd.Series(v, dtype="int8[pyarrow]"),
    "polars": lambda v: pl.Series(v, dtype=pl.Int8),
    "decimal": lambda v: pl.Series(v).cast(pl.Decimal(10, 2)),
    "arrow": lambda v: pa.array(v, pa.int8()),
}


@pytest.mark.parametrize("kind", NUMBERS)
@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 127)),
        min_size=1,
        max_size=40,
    )
)
def test_logs_are_summed_exactly(kind, events):
    users, items, values = (list(part) for part in zip(*events, strict=True))
    column = NUMBERS[kind](values)
    if isinstance(column, pl.Series):
        log = pl.DataFrame({"u": users, "i": items, "v": column})
    elif isinstance(column, pa.Array):
        log = pa.table({"u": users, "i": items, "v": column})
    else:
        log = pd.DataFrame({"u": users, "i": items, "v": column})
    for dtype in (None, np.float32, np.int64, np.uint16, np.int8):
        sums = {}
        for user, item, value in events:
            sums[user, item] = sums.get((user, item), 0) + value
        arguments = {"user": "u", "item": "i", "value": "v", "dtype": dtype}
        if dtype is np.int8 and max(sums.values()) > 127:
            with pytest.raises(ValueError, match="dtype=int8 cannot represent the value"):
                Interactions.from_frame(log, **arguments)
            continue
        X = Interactions.from_frame(log, **arguments)
        rows, columns = X.user_ids.tolist(), X.item_ids.tolist()
        found = X.tocoo()
        assert {
            (rows[r], columns[c]): v for r, c, v in zip(found.row, found.col, found.data.tolist())
        } == sums


def test_large_integers_and_fractions():
    log = pd.DataFrame({"u": [0, 0, 1], "i": [0, 0, 1], "v": [2**60 + 1, 1, 3]})
    arguments = {"user": "u", "item": "i", "value": "v"}
    X = Interactions.from_frame(log, dtype=np.int64, **arguments)
    assert X.toarray().tolist() == [[2**60 + 2, 0], [0, 3]]
    halves = log.assign(v=[0.25, 0.25, 2.0])
    with pytest.raises(ValueError, match=r"dtype=int32 cannot represent the value 0\.5"):
        Interactions.from_frame(halves, dtype=np.int32, **arguments)
    with pytest.raises(ValueError, match=r"dtype=float32 cannot represent the value 2e\+300"):
        Interactions.from_frame(log.assign(v=1e300), dtype=np.float32, **arguments)
    with pytest.raises(ValueError, match="dtype must be float32, float64"):
        Interactions.from_frame(log, dtype=np.float16, **arguments)
    with pytest.raises(ValueError, match="dtype=uint8 cannot represent the value -1"):
        Interactions(np.array([[-1.0, 2.0]]), dtype=np.uint8)
    netted = log.assign(v=[1, -3, 2])
    X = Interactions.from_frame(netted, nonpositive="net", dtype=np.uint8, **arguments)
    assert X.toarray().tolist() == [[2]]


@pytest.mark.parametrize(
    "kind", [np.float16, np.longdouble, object, ">f8", ">f4", ">i4", np.uint8, bool]
)
def test_dense_matrices_of_any_type(kind):
    D = (make_interactions(n_users=40, n_items=12, random_state=0).interactions.toarray() > 0) * 3.0
    D = D if kind is not bool else (D > 0) * 1.0
    X = D.astype(kind)
    assert np.array_equal(Interactions(X).toarray().astype(float), D)
    assert np.array_equal(
        Interactions((X[0], (np.zeros(12, int), np.arange(12)))).toarray()[0], D[0]
    )
    for split in (
        holdout_split(X, random_state=0),
        leave_last_out(X, order="values"),
        hide_by_hash(X),
        interaction_folds(X, 2, random_state=0)[:2],
    ):
        assert all(part.dtype == X.dtype for part in split)
    visible, hidden = holdout_split(X, random_state=0)
    wanted = holdout_split(D, random_state=0)
    for found, expected in zip((visible, hidden), wanted, strict=True):
        assert np.array_equal(found.astype(float), expected)
    np.testing.assert_allclose(
        Log1pTransformer().fit_transform(X), Log1pTransformer().fit_transform(D), rtol=1e-3
    )
    if kind is not object:
        from sklearn.pipeline import make_pipeline

        pipeline = make_pipeline(Normalizer(), ItemKNN()).fit(X)
        assert recommend(pipeline, X, 2)[0].shape == (40, 2)
    items = recommend(ItemKNN().fit(D), X, 3)[0]
    assert np.array_equal(items, recommend(ItemKNN().fit(D), D, 3)[0])
    assert ndcg_at_k(X, items, k=3) == ndcg_at_k(D, items, k=3)


@pytest.mark.parametrize(
    "X",
    [np.array([["a", "b"]] * 2), np.ones((2, 2), complex), np.array([["x", 1], [1, 2]], object)],
)
def test_what_is_no_number_is_refused_with_the_remedy(X):
    for call in (
        Interactions,
        lambda X: holdout_split(X, random_state=0),
        lambda X: ndcg_at_k(X, [[0], [1]], k=1),
        ItemKNN().fit,
    ):
        with pytest.raises((TypeError, ValueError), match=r"number|Complex|convert"):
            call(X)


def test_item_numbers_of_unsigned_types():
    y = np.eye(3)
    assert recall_at_k(y, np.array([[0], [1], [2]], np.uint64), k=1) == 1
    with pytest.raises(ValueError, match="recommends item 18446744073709551615"):
        recall_at_k(y, np.array([[2**64 - 1], [1], [2]], np.uint64), k=1)
    model = PopularityRecommender().fit(y + 1)
    items, _ = model.recommend(y, 2, exclude_seen=False, candidates=np.array([0, 2], np.uint64))
    assert items.dtype == np.int64
    ids = np.array([2**63, 2**63 + 1], np.uint64)
    assert replay_value([1.0, 1.0], ids, ids[[0, 0]]).n_effective == 1
    with pytest.raises(ValueError, match="two kinds"):
        replay_value([1.0], ["1"], [1])


# -- similarities that cancel ----------------------------------------------------------------------


def exact_columns(X):
    """Dot products of the columns of an integer matrix as Python's integers."""
    columns = [[int(value) for value in column] for column in X.T]
    return [[sum(a * b for a, b in zip(one, other)) for other in columns] for one in columns]


SIGNED = st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=3, max_size=8).map(
    np.array
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["cosine", "asymmetric_cosine"])
@pytest.mark.parametrize("shrinkage", [0.0, 2.0])
@settings(max_examples=30, deadline=None)
@given(SIGNED)
def test_neighbours_are_those_whose_products_do_not_cancel(metric, shrinkage, dtype, X):
    if not X.any():
        return
    parameters = {"metric": metric, "shrinkage": shrinkage, "weighting": None}
    model = ItemKNN(5, **parameters).fit(X.astype(dtype))
    exact = np.array(exact_columns(X), dtype=object) != 0
    exact &= ~np.eye(5, dtype=bool)
    assert np.array_equal(model.weights_.toarray() != 0, exact.astype(bool))
    few = ItemKNN(2, **parameters).fit(X.astype(dtype)).weights_.toarray()
    assert np.array_equal((few != 0).sum(axis=0), np.minimum(exact.sum(axis=0), 2))
    full = model.weights_.toarray()
    for column in range(5):
        kept, dropped = few[:, column] != 0, (few[:, column] == 0) & (full[:, column] != 0)
        if dropped.any():
            assert full[kept, column].min() >= full[dropped, column].max() - 1e-6


@settings(max_examples=30, deadline=None)
@given(SIGNED)
def test_correlations_that_cancel_are_no_neighbours(X):
    if not X.any():
        return
    model = ItemKNN(5, metric="pearson", shrinkage=0.0).fit(X.astype(float))
    found = model.weights_.toarray() != 0
    for i in range(5):
        for j in range(5):
            shared = [row for row in X.tolist() if row[i] and row[j]]
            if i == j or len(shared) < 1:
                continue
            n = len(shared)
            means = [Fraction(sum(row[c] for row in shared), n) for c in (i, j)]
            covariance = sum((row[i] - means[0]) * (row[j] - means[1]) for row in shared)
            assert found[i, j] == (covariance != 0), (i, j)


def test_the_mean_of_equal_values_leaves_nothing():
    X = np.array([[0.1, 0.1, 0.1, 0], [0.7, 0.7, 0.7, 0], [1, 3, 0, 2], [0, 2, 1, 3]])
    for dtype in (np.float64, np.float32):
        # The first two users rate all alike: once their means are taken, they compare to nobody.
        model = ItemKNN(3, metric="adjusted_cosine", shrinkage=0.0).fit(X.astype(dtype))
        without = ItemKNN(3, metric="adjusted_cosine", shrinkage=0.0).fit(X[2:].astype(dtype))
        np.testing.assert_allclose(model.weights_.toarray(), without.weights_.toarray(), atol=1e-6)


def test_a_user_with_cancelled_products_is_not_similar():
    X = np.array([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [0, 0, 1]])
    users, values = UserKNN(4, weighting=None).fit(X).similar_users(X[:1], k=4)
    assert users.tolist() == [[0, 2, -1, -1]]
    assert values[0, :2] == pytest.approx([1, -1])


# -- triples ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_triples_are_refused_wherever_a_matrix_is_taken(seed, with_times, fractions):
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(60 * 40)[: rng.integers(30, 300)]
    values = rng.integers(1, 6, len(pairs)) * (0.5 if fractions else 1.0)
    columns = [pairs // 40, pairs % 40, values, rng.integers(10**9, 2 * 10**9, len(pairs))]
    triples = np.column_stack(columns[: 4 if with_times else 3])
    for take in (
        ItemKNN().fit,
        Interactions,
        BM25Transformer().fit,
        lambda X: holdout_split(X, random_state=0),
        lambda X: ItemKNN().fit(sp.csr_array(X)),
    ):
        with pytest.raises(ValueError, match=r"looks like triples.*Interactions\.from_frame"):
            take(triples)


def _log_with_repeats(kind, rng):
    """Draw user, item, rating (and time) of a log in which users choose items again."""
    n = int(rng.integers(250, 600))
    users, items = rng.integers(0, 60, n), rng.integers(0, 20, n)
    columns = [users, items, rng.integers(1, 6, n), 10**9 + rng.permutation(10**6)[:n]]
    if kind == "raw ids":
        return np.column_stack([users + 1001, items + 500, columns[2]])
    if kind == "fractions":
        return np.column_stack([users + 1001, items + 500, columns[2] / 2])
    if kind == "sorted by user":
        return np.column_stack(columns[:3])[np.argsort(users)]
    if kind == "sorted by time":
        return np.column_stack(columns)[np.argsort(columns[3])]
    return np.column_stack(columns[:3])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["raw ids", "fractions", "sorted by user", "sorted by time", "row numbers"]),
)
def test_triples_with_repeated_pairs_are_refused(seed, kind):
    triples = _log_with_repeats(kind, np.random.default_rng(seed))
    assert len(np.unique(triples[:, :2], axis=0)) < len(triples)
    for take in (ItemKNN().fit, Interactions):
        with pytest.raises(ValueError, match=r"looks like triples.*Interactions\.from_frame"):
            take(triples)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(3, 4),
    st.sampled_from(["ratings", "counts", "poisson", "times", "one item that all have"]),
)
def test_matrices_of_few_items_are_fitted_whatever_repeats(seed, n_items, kind):
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(20, 400)), n_items
    X = {
        "ratings": rng.integers(1, 6, shape),
        "counts": rng.geometric(rng.choice([0.05, 0.2, 0.5]), shape),
        "poisson": rng.poisson(30, shape) + 1,
        "times": 10**9 + rng.permutation(10**6)[: shape[0] * n_items].reshape(shape),
        "one item that all have": rng.geometric(0.1, shape),
    }[kind].astype(float)
    if kind == "one item that all have":
        X[:, 2] = rng.integers(1, 6, len(X))
        X[:, [0, 1]] *= rng.random((len(X), 2)) < rng.uniform(0.1, 0.6)  # most users have few items
    elif kind != "times":
        X *= rng.random(shape) < rng.uniform(0.1, 0.9)
    X[0] = 1.0
    ItemKNN(1).fit(X)


@pytest.mark.parametrize("n_items", [3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_small_catalogues_are_no_triples(n_items, seed):
    rng = np.random.default_rng(seed)
    ratings = rng.integers(0, 6, (200, n_items)).astype(float)
    counts = rng.poisson(30, (200, n_items)).astype(float) + 1
    for X in (
        ratings,
        counts,
        rng.random((200, n_items)),
        np.eye(n_items)[rng.integers(0, n_items, 50)],
    ):
        ItemKNN(1).fit(X)


# -- what a subclass returns -----------------------------------------------------------------------


class FromTable(BaseRecommender):
    """Scores that are the model's own array, a view of it, read-only, or its own sparse matrix."""

    _zero_is_no_evidence = True

    def __init__(self, way="own"):
        self.way = way

    def _fit(self, X):
        self.table_ = np.array([[0.0, 3, 1, 2, 0], [1, 1, 1, 1, 1], [5, 0, 0, 4, 2]]).astype(
            X.dtype
        )
        self.sparse_ = sp.csr_array(self.table_)
        self.sparse_.data[0] = 0  # stored

    def _score_rows(self, X):
        if self.way == "own" and X.shape[0] == 3:
            return self.table_
        if self.way == "sparse" and X.shape[0] == 3:
            return self.sparse_
        view = self.table_[: X.shape[0]]
        view.flags.writeable = self.way != "read-only"
        return view


@pytest.mark.parametrize("way", ["own", "view", "read-only", "sparse"])
def test_scores_of_a_subclass_are_never_overwritten(way):
    X = np.array([[1.0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]])
    model = FromTable(way).fit(X)
    table, stored = model.table_.copy(), model.sparse_.data.copy()
    scores = model.predict(X)
    for candidates in (None, [0, 1, 2, 3], sp.csr_array(np.ones((3, 5), bool))):
        items, _ = model.recommend(X, 2, candidates=candidates)
        masked = np.where(X != 0, -np.inf, scores)
        masked[:, 4] = masked[:, 4] if candidates is None or sp.issparse(candidates) else -np.inf
        assert np.array_equal(items, np.argsort(-masked, axis=1, kind="stable")[:, :2])
    assert np.array_equal(model.predict(X), scores)
    assert np.array_equal(model.table_, table)
    assert np.array_equal(model.sparse_.data, stored)
