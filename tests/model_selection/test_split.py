"""Splits: the same rows, nothing lost, baskets whole, nothing of the future in what is visible."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_llmrec.interactions._hide import hide_by_hash, hide_latest
from sklearn_llmrec.interactions._interactions import Interactions
from sklearn_llmrec.metrics import ranking_scorer
from sklearn_llmrec.model_selection import (
    SameRows,
    backtest_folds,
    cold_item_split,
    cold_user_split,
    holdout_split,
    interaction_folds,
    leave_last_out,
    strong_generalization_split,
    time_split,
)
from sklearn_llmrec.neighbors import ItemKNN

seeds = st.integers(0, 2**32 - 1)


def dense(seed, n_users=12, n_items=15, density=0.4):
    rng = np.random.default_rng(seed)
    return (rng.uniform(size=(n_users, n_items)) < density) * rng.integers(
        1, 6, (n_users, n_items)
    ).astype(float)


def timed(seed, n_times=6, repeats=False, **keywords):
    """Interactions with many ties in time, so with baskets, and perhaps repeated events."""
    rng = np.random.default_rng(seed)
    X = sp.csr_array(dense(seed, **keywords))
    rows, columns = X.nonzero()
    if repeats:
        more = rng.integers(0, len(rows), len(rows) // 2)
        rows, columns = np.append(rows, rows[more]), np.append(columns, columns[more])
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=X.shape[0])))
    times = rng.integers(0, n_times, len(rows))
    return Interactions(
        (np.ones(len(rows)), columns, indptr),
        shape=X.shape,
        timestamps=times,
        user_ids=np.arange(X.shape[0]) * 10,
        item_ids=np.arange(X.shape[1]) * 10,
    )


def events(X):
    """(row, column, time) of every stored entry, sorted."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    return sorted(zip(rows.tolist(), X.indices.tolist(), X.timestamps.tolist()))


def parted(visible, hidden):
    """Baskets (row, time) with events on both sides."""
    return {(r, t) for r, _, t in events(visible)} & {(r, t) for r, _, t in events(hidden)}


def mix(x):
    mask = 2**64 - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_hash_against_a_loop(seed):
    X = dense(seed, density=np.random.default_rng(seed).uniform(0, 1))
    visible, hidden = hide_by_hash(X)
    np.testing.assert_array_equal(visible + hidden, X)
    for row, hidden_row in zip(X, hidden):
        columns = np.flatnonzero(row).tolist()
        of_row = mix(sum(mix(c) for c in columns) % 2**64)
        ranked = sorted(columns, key=lambda c: (mix(mix(c) ^ of_row) >> 24, c))
        n_hidden = max(1, round(len(columns) / 5)) if len(columns) >= 2 else 0
        assert np.flatnonzero(hidden_row).tolist() == sorted(ranked[:n_hidden])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
def test_share_and_salt_of_what_is_hidden(share):
    X = sp.csr_array(dense(3, 80, 50))
    n = np.diff(X.indptr)
    expected = np.where(n >= 2, np.clip(np.rint(share * n), 1, np.maximum(n - 1, 1)), 0)
    chosen = []
    for salt in (0, 1, 2):
        visible, hidden = hide_by_hash(X, test_size=share, salt=salt)
        np.testing.assert_array_equal((visible + hidden).toarray(), X.toarray())
        np.testing.assert_array_equal(np.diff(hidden.indptr), expected)
        chosen.append(hidden.toarray() != 0)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        common = (chosen[one] & chosen[other]).sum()
        # Independent choices have so many in common.
        by_chance = (expected**2 / np.maximum(n, 1)).sum()
        assert abs(common - by_chance) < 5 * np.sqrt(by_chance) + 1


def test_hash_depends_on_the_set_of_items_only():
    X = sp.csr_array(dense(0, 60, 40))
    hidden = hide_by_hash(X)[1].toarray() != 0
    order = np.random.default_rng(0).permutation(60)
    long = sp.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape
    )
    wide = sp.csr_array((X.data, X.indices, X.indptr), shape=(60, 1000))
    zeros = X.copy()
    zeros.data[:] = 1
    zeros = sp.csr_array(sp.coo_array(zeros) + 0 * sp.eye_array(60, 40))
    for other, expected in (
        (X[order], hidden[order]),
        (X[7:11], hidden[7:11]),
        (X.astype(np.float32), hidden),
        (X.astype(np.int16), hidden),
        (X * 3.5, hidden),
        (long, hidden),
        (wide, hidden),
        (zeros, hidden),
        (X.toarray(), hidden),
        (sp.csr_matrix(X), hidden),
        (X.tocsc(), hidden),
    ):
        found = hide_by_hash(other)[1]
        found = found.toarray() if sp.issparse(found) else found
        np.testing.assert_array_equal(found[:, :40] != 0, expected)


def test_hash_hides_all_events_of_an_item():
    X = timed(0, repeats=True)
    visible, hidden = hide_by_hash(X)
    pairs = [{(r, c) for r, c, _ in events(M)} for M in (visible, hidden)]
    assert not pairs[0] & pairs[1]
    assert sorted(events(visible) + events(hidden)) == events(X)


def latest_by_loop(X, n_hidden):
    """The last baskets of every row, as few as hold n_hidden(n) events, never the first."""
    hidden = []
    for row in range(X.shape[0]):
        mine = [e for e in events(X) if e[0] == row]
        times, count = sorted({t for _, _, t in mine}), 0
        while len(times) > 1 and count < n_hidden(len(mine)):
            last = times.pop()
            hidden += [e for e in mine if e[2] == last]
            count += sum(e[2] == last for e in mine)
    return sorted(hidden)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 30), st.booleans())
def test_latest_against_a_loop(seed, n_times, repeats):
    X = timed(seed, n_times, repeats)
    visible, hidden = hide_latest(X, exclude_seen=False)
    assert events(hidden) == latest_by_loop(X, lambda n: max(1, round(n / 5)))
    assert sorted(events(visible) + events(hidden)) == events(X)
    assert visible.user_ids.tolist() == X.user_ids.tolist()
    _, new = hide_latest(X)
    seen = {(r, c) for r, c, _ in events(visible)}
    assert events(new) == [e for e in events(hidden) if e[:2] not in seen]
    _, last = leave_last_out(X, 2, exclude_seen=False)
    assert events(last) == latest_by_loop(X, lambda n: 2)


def test_values_are_times_where_asked():
    X = np.array([[5.0, 1, 0, 9], [2, 2, 2, 0], [0, 0, 4, 0]])
    visible, hidden = hide_latest(X)
    np.testing.assert_array_equal(hidden, [[0, 0, 0, 9], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(visible + hidden, X)
    np.testing.assert_array_equal(leave_last_out(X, order="values")[1], hidden)
    parted_basket = leave_last_out(X, order="values", keep_baskets=False)[1]
    np.testing.assert_array_equal(parted_basket[1], [0, 0, 2, 0])


def test_ties_keep_the_order_of_the_log():
    # Items in the log: 3, 0, 2 at time 9; 1 at time 8.
    X = Interactions(([1.0] * 4, [3, 0, 2, 1], [0, 4]), timestamps=[9, 9, 9, 8])
    visible, y = leave_last_out(X, keep_baskets=False)
    assert y.indices.tolist() == [2]
    assert leave_last_out(visible, keep_baskets=False)[1].indices.tolist() == [0]
    assert leave_last_out(X)[0].indices.tolist() == [1]


@settings(max_examples=25, deadline=None)
@given(
    seeds, st.booleans(), st.sampled_from(["random", "latest"]), st.sampled_from([0.2, 0.5, 1, 3])
)
def test_holdout(seed, repeats, by, test_size):
    X = timed(seed, repeats=repeats)
    visible, y = holdout_split(
        X, holdout=by, test_size=test_size, random_state=seed, exclude_seen=False
    )
    assert not parted(visible, y)
    assert sorted(events(visible) + events(y)) == events(X)
    n, n_hidden = np.diff(X.indptr), np.diff(y.indptr)
    asked = (
        np.maximum(1, np.rint(n * test_size))
        if isinstance(test_size, float)
        else np.full(len(n), test_size)
    )
    several = np.array([len({t for r, _, t in events(X) if r == row}) > 1 for row in range(len(n))])
    assert (n_hidden[~several] == 0).all()
    assert (n_hidden[several] >= np.minimum(asked, 1)[several]).all()
    assert (np.diff(visible.indptr)[n > 0] > 0).all()
    # Without the last basket that was taken, fewer than asked would be hidden, or one basket is all that is left.
    again = holdout_split(X, holdout=by, test_size=test_size, random_state=seed, exclude_seen=False)
    assert events(again[1]) == events(y)


def test_random_holdout_is_random_and_exact_without_times():
    X = dense(0, 50, 40)
    visible, y = holdout_split(X, random_state=0)
    np.testing.assert_array_equal(visible + y, X)
    n = (X != 0).sum(axis=1)
    np.testing.assert_array_equal((y != 0).sum(axis=1), np.maximum(1, np.rint(n / 5)))
    assert (holdout_split(X, random_state=1)[1] != y).any()
    ones = np.ones((4000, 10))
    often = (holdout_split(ones, test_size=0.3, random_state=0)[1] != 0).mean(axis=0)
    np.testing.assert_allclose(often, 0.3, atol=0.03)


@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_array, sp.csr_matrix, sp.coo_array, Interactions]
)
def test_types(kind):
    X = kind(dense(0))
    for split in (hide_by_hash, hide_latest, holdout_split, interaction_folds, cold_item_split):
        for part in split(X)[:2]:
            if kind is Interactions:
                assert type(part) is Interactions
            elif kind is np.asarray:
                assert type(part) is np.ndarray
            else:
                assert isinstance(part, sp.csr_matrix if kind is sp.csr_matrix else sp.csr_array)
            assert part.dtype == X.dtype
            assert part.shape[1] == X.shape[1]


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 5), st.booleans())
def test_folds(seed, n_splits, repeats):
    X = timed(seed, repeats=repeats)
    X_, y_, cv = interaction_folds(X, n_splits, random_state=seed, exclude_seen=False)
    assert X_.shape == y_.shape == (n_splits * X.shape[0], X.shape[1])
    assert X_.user_ids.tolist() == X.user_ids.tolist() * n_splits
    targets = []
    for k, (train, test) in enumerate(cv):
        np.testing.assert_array_equal(train, np.arange(k * X.shape[0], (k + 1) * X.shape[0]))
        np.testing.assert_array_equal(train, test)
        visible, y = X_[train], y_[test]
        assert sorted(events(visible) + events(y)) == events(X)
        assert not parted(visible, y)
        assert (np.diff(visible.indptr)[np.diff(X.indptr) > 0] > 0).all()
        targets += events(y)
    several = {r for r, _, _ in events(X) if len({t for q, _, t in events(X) if q == r}) > 1}
    assert sorted(targets) == [e for e in events(X) if e[0] in several]


def test_folds_are_even():
    _, y_, cv = interaction_folds(np.ones((30, 10)), 5, random_state=0)
    for _, rows in cv:
        np.testing.assert_array_equal(y_[rows].sum(axis=1), 2)
    sparse = np.eye(300) + np.roll(np.eye(300), 1, axis=1)
    _, y_, cv = interaction_folds(sparse, 5, random_state=0)
    assert min(y_[rows].sum() for _, rows in cv) > 80


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, sp.csr_matrix, Interactions])
@pytest.mark.parametrize("n_items", [15, 40])
def test_vanilla_searches(kind, n_items):
    """Known users in scikit-learn's searches, where n_items == n_users too; the refit on X, not on the stack."""
    X = kind(dense(0, 40, n_items))
    grid = {"n_neighbors": [2, 10]}
    X_, y_, cv = interaction_folds(X, 3, random_state=0)
    search = GridSearchCV(ItemKNN(), grid, cv=cv, refit=False, error_score="raise").fit(X_, y_)
    by_hand = [ItemKNN(n_neighbors=10).fit(X_[rows]).score(X_[rows], y_[rows]) for rows, _ in cv]
    assert search.cv_results_["mean_test_score"][1] == pytest.approx(np.mean(by_hand))
    assert ItemKNN(**search.best_params_).fit(X).n_users_fit_ == 40

    visible, y = holdout_split(X, random_state=0)
    search = GridSearchCV(ItemKNN(), grid, cv=SameRows(), error_score="raise").fit(visible, y)
    assert search.best_estimator_.n_users_fit_ == 40
    assert search.n_splits_ == 1


def test_halving_and_dense_estimators():
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    X_, y_, cv = interaction_folds(dense(0, 60, 15), 2, random_state=0)
    search = HalvingGridSearchCV(
        ItemKNN(), {"n_neighbors": [2, 5, 10]}, cv=cv, refit=False, random_state=0, min_resources=30
    )
    assert search.fit(X_, y_).best_params_["n_neighbors"] in (2, 5, 10)
    scores = cross_validate(
        Ridge(), X_, y_, cv=cv, scoring=ranking_scorer("ndcg@5"), error_score="raise"
    )
    assert (scores["test_score"] > 0).all()


@settings(max_examples=25, deadline=None)
@given(seeds, st.booleans(), st.sampled_from([None, 1, 3, 5]))
def test_time_cut(seed, repeats, cut):
    X = timed(seed, repeats=repeats)
    visible, y = time_split(X, cut=cut, exclude_seen=False)
    assert sorted(events(visible) + events(y)) == events(X)
    assert visible.timestamps.max() < y.timestamps.min()
    if cut is None:
        # At least a fifth, unless that would leave nothing before the cut.
        assert y.nnz >= 0.2 * X.nnz or len(np.unique(visible.timestamps)) == 1
        later = X.timestamps > y.timestamps.min()
        assert later.sum() < 0.2 * X.nnz
    else:
        assert visible.timestamps.max() < cut <= y.timestamps.min()
    _, near = time_split(X, cut=2, horizon=2, exclude_seen=False)
    assert set(near.timestamps.tolist()) <= {2, 3}


def test_time_cut_by_dates():
    X = Interactions(
        sp.csr_array(np.ones((1, 3))),
        timestamps=np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "M8[s]"),
    )
    for cut in ("2024-01-02", np.datetime64("2024-01-02"), 1704153600):
        assert time_split(X, cut=cut)[0].nnz == 1


def test_the_future_never_reaches_a_fit():
    """Items planted in the future, whatever the protocol in time, are in no visible matrix."""
    rng = np.random.default_rng(0)
    past = sp.csr_array(dense(0, 80, 20))
    X = Interactions(sp.hstack([past, sp.csr_array(np.ones((80, 5)))], format="csr"))
    X.timestamps = np.where(
        X.indices < 20, rng.integers(0, 1000, X.nnz), rng.integers(1000, 2000, X.nnz)
    )
    visible, y = time_split(X, cut=1000)
    assert visible.indices.max() < 20
    model = ItemKNN().fit(visible)
    assert (model.item_popularity_[20:] == 0).all()
    X_, y_, cv = backtest_folds(X, cuts=[500, 800, 1000])
    ends = [800, 1000, np.inf]
    for (rows, _), cut, end in zip(cv, [500, 800, 1000], ends):
        assert X_[rows].timestamps.max() < cut
        assert cut <= y_[rows].timestamps.min()
        assert y_[rows].timestamps.max() < end
        assert X_[rows].indices.max() < 20
    # Changing what comes after a cut changes no fit.
    other = X.copy()
    other.data[other.timestamps >= 800] = 7
    same = backtest_folds(other, cuts=[500, 800])[0]
    np.testing.assert_array_equal(same.toarray(), X_[:160].toarray())


def test_backtest_by_share():
    X = timed(3, n_times=1000)
    X_, y_, cv = backtest_folds(X, 4, exclude_seen=False)
    seen = [X_[rows].nnz for rows, _ in cv]
    np.testing.assert_allclose(seen, X.nnz * np.arange(1, 5) / 5, atol=1)
    assert seen[-1] + y_[cv[-1][0]].nnz == X.nnz
    with pytest.raises(ValueError, match="must ascend"):
        backtest_folds(timed(0, n_times=2), 5)


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from(["random", "latest"]))
def test_strong_generalization(seed, by):
    X = timed(seed, n_times=1000, n_users=30)
    X_, y_, train, valid, test = strong_generalization_split(
        X, n_validation=5, n_test=0.2, holdout=by, random_state=seed
    )
    np.testing.assert_array_equal(np.sort(np.concatenate([train, valid, test])), np.arange(30))
    assert (len(valid), len(test)) == (5, 6)
    np.testing.assert_array_equal(X_[train].toarray(), X[train].toarray())
    assert y_[train].nnz == 0
    known = X[train].toarray().any(axis=0)
    held = np.append(valid, test)
    np.testing.assert_array_equal((X_[held] + y_[held]).toarray(), X[held].toarray() * known)
    n = np.diff((X_ + y_)[held].indptr)
    # Baskets of this X are single events but for a few.
    assert (np.diff(y_[held].indptr) >= (n * 0.2 + 1e-9).astype(int)).all()
    assert (np.diff(y_[held].indptr)[n < 5] == 0).all()


def test_strong_generalization_hides_a_fifth():
    _, y_, train, valid, test = strong_generalization_split(np.ones((100, 10)), random_state=0)
    np.testing.assert_array_equal(y_[valid].sum(axis=1), 2)
    np.testing.assert_array_equal(y_[test].sum(axis=1), 2)
    assert len(train) == 80


@pytest.mark.parametrize("n_visible", [0, 1, 3])
def test_cold_users(n_visible):
    X = timed(0, n_times=10**6, n_users=20, density=0.6)
    X_, y_, [(train, test)] = cold_user_split(X, test_size=5, n_visible=n_visible, random_state=0)
    assert len(test) == 5
    np.testing.assert_array_equal(X_[train].toarray(), X[train].toarray())
    np.testing.assert_array_equal((X_ + y_).toarray(), X.toarray())
    np.testing.assert_array_equal(np.diff(X_[test].indptr), n_visible)
    if n_visible:
        for row in test:
            assert X_[[row]].timestamps.max() < y_[[row]].timestamps.min()
    X_, y_, [(train, test)] = cold_user_split(X.toarray(), holdout="random", n_visible=n_visible)
    np.testing.assert_array_equal((X_[test] != 0).sum(axis=1), n_visible)
    cross_validate(ItemKNN(), X_, scoring=None, cv=[(train, train)], error_score="raise")


def test_cold_items():
    X = timed(0)
    visible, y, items = cold_item_split(X, test_size=4, random_state=0)
    assert len(items) == 4
    assert y.nnz == np.isin(X.indices, items).sum()
    assert not np.isin(visible.indices, items).any()
    assert sorted(events(visible) + events(y)) == events(X)
    X.timestamps = X.indices
    assert cold_item_split(X, test_size=2, holdout="latest")[2].tolist() == [13, 14]
    with pytest.raises(ValueError, match="leave none of 15"):
        cold_item_split(X, test_size=15)


@pytest.mark.parametrize(
    "split",
    [
        lambda X: holdout_split(X, holdout="latest"),
        leave_last_out,
        time_split,
        backtest_folds,
        cold_user_split,
        lambda X: cold_item_split(X, holdout="latest"),
        lambda X: strong_generalization_split(X, holdout="latest"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, Interactions])
def test_absent_times_are_refused(split, kind):
    with pytest.raises(ValueError, match="This split needs times, and X has none"):
        split(kind(np.ones((12, 4))))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X: holdout_split(X, holdout="newest"), "holdout must be"),
        (lambda X: holdout_split(X, test_size=1.5), "test_size must be"),
        (lambda X: holdout_split(X, test_size=0), "test_size must be"),
        (lambda X: holdout_split(X, holdout="latest", order="time"), "order must be"),
        (lambda X: leave_last_out(X, 0), "n must be"),
        (lambda X: interaction_folds(X, 1), "n_splits must be"),
        (lambda X: backtest_folds(X, 0), "n_splits must be"),
        (lambda X: backtest_folds(X, cuts=[3, 2]), "must ascend"),
        (lambda X: time_split(X, test_size=3), "test_size must be"),
        (lambda X: time_split(X, cut=X.timestamps.min()), "one side of the cut is empty"),
        (lambda X: time_split(X, cut=X.timestamps.max() + 1), "one side of the cut is empty"),
        (lambda X: time_split(X, cut="1969-01-01"), "is the time -31536000, and the events"),
        (lambda X: strong_generalization_split(X, fold_in=1), "fold_in must be"),
        (lambda X: strong_generalization_split(X, n_test=12), "leave none of 12"),
        (lambda X: cold_user_split(X, n_visible=-1), "n_visible must be"),
        (lambda X: cold_user_split(X, test_size=12), "leave none of 12"),
        (lambda X: hide_by_hash(X.toarray()[0]), "Expected 2D array"),
        (lambda X: hide_by_hash(X * np.nan), "NaN"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(timed(0))


def test_empty_rows_and_columns():
    X = Interactions(np.zeros((4, 3)))
    X.timestamps = []
    for split in (hide_by_hash, hide_latest, holdout_split, leave_last_out, interaction_folds):
        visible, y = split(X)[:2]
        assert visible.nnz == y.nnz == 0
    with pytest.raises(ValueError, match="nothing to cut"):
        time_split(X)
