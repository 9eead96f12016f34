"""Metrics against brute force, scikit-learn, hand-computed cases, and the words of their refusals."""

import math
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score
from sklearn.metrics.pairwise import cosine_distances

from sklearn_llmrec import Interactions, metrics

K = 5
LIST_METRICS = [
    "ndcg",
    "graded_ndcg",
    "exponential_ndcg",
    "precision",
    "recall",
    "capped_recall",
    "f1",
    "hit_rate",
    "mrr",
    "map",
    "uncapped_map",
]


def one_user(name, gains, ranked, k):
    """A metric of one user, written as its definition: gains of the targets by item, items best first."""
    n = len(gains)
    hits = [item in gains for item in ranked[:k]]
    value = {"graded_ndcg": float, "exponential_ndcg": lambda g: 2**g - 1}.get(name, lambda g: 1.0)
    if "ndcg" in name:
        dcg = sum(
            value(gains[i]) / math.log2(p + 2) for p, i in enumerate(ranked[:k]) if i in gains
        )
        best = sorted((value(g) for g in gains.values()), reverse=True)[:k]
        return dcg / sum(g / math.log2(p + 2) for p, g in enumerate(best))
    if name == "precision":
        return sum(hits) / k
    if name == "recall":
        return sum(hits) / n
    if name == "capped_recall":
        return sum(hits) / min(k, n)
    if name == "f1":
        p, r = sum(hits) / k, sum(hits) / n
        return 2 * p * r / (p + r) if p + r else 0.0
    if name == "hit_rate":
        return float(any(hits))
    if name == "mrr":
        return 1 / (hits.index(True) + 1) if any(hits) else 0.0
    total = sum(sum(hits[: p + 1]) / (p + 1) for p, hit in enumerate(hits) if hit)
    return total / (n if name == "uncapped_map" else min(k, n))


@st.composite
def cases(draw):
    """Targets, seen items, tied scores, and a cut-off."""
    n_users, n_items = draw(st.integers(1, 5)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = rng.integers(1, 4, (n_users, n_items)) * (rng.random((n_users, n_items)) < 0.35)
    seen = (rng.random((n_users, n_items)) < 0.3).astype(float)
    scores = rng.integers(0, 4, (n_users, n_items)).astype(draw(st.sampled_from(["f4", "f8"])))
    return y, seen, scores, draw(st.integers(1, n_items))


def ranked_items(scores, seen):
    """All items that are not seen, best first, ties by lower number."""
    return [
        [int(i) for i in np.argsort(-row, kind="stable") if not hidden[i]]
        for row, hidden in zip(scores, seen)
    ]


def targets_of(y, seen):
    return [
        {int(i): float(row[i]) for i in np.flatnonzero(row) if not hidden[i]}
        for row, hidden in zip(y, seen)
    ]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(cases(), st.booleans())
def test_list_metrics_are_their_definitions(case, use_seen):
    y, seen, scores, k = case
    seen = seen if use_seen else np.zeros_like(seen)
    gains, lists = targets_of(y, seen), ranked_items(scores, seen)
    names = [f"{name}@{k}" for name in LIST_METRICS] + ["r_precision"]
    given_seen = sp.csr_array(seen) if use_seen else None
    if not any(gains):
        with pytest.raises(ValueError, match="No row of y_true has a target"):
            metrics.ranking_metrics(y, scores, names, seen=given_seen)
        return
    n_items = y.shape[1]
    items = np.array([row + [-1] * (n_items - len(row)) for row in lists])
    for given_pred in (scores, items, items.astype(np.uint8 if items.min() >= 0 else np.int32)):
        found = metrics.ranking_metrics(
            sp.csr_matrix(y), given_pred, names, seen=given_seen, per_user=True
        )
        means = metrics.ranking_metrics(y, given_pred, names, seen=given_seen)
        for name in names:
            short = name.split("@")[0]
            if short == "r_precision":
                want = [
                    len(set(r[: len(g)]) & set(g)) / len(g) if g else np.nan
                    for g, r in zip(gains, lists)
                ]
            else:
                want = [one_user(short, g, r, k) if g else np.nan for g, r in zip(gains, lists)]
            np.testing.assert_allclose(found[name], want, atol=1e-12, err_msg=name)
            assert means[name] == pytest.approx(np.nanmean(want), abs=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_auc_is_that_of_scikit_learn_over_unseen_items(case):
    y, seen, scores, _ = case
    want = []
    for row, hidden, score in zip(y, seen, scores):
        kept = hidden == 0
        target = row[kept] > 0
        want.append(
            roc_auc_score(target, score[kept]) if target.any() and not target.all() else np.nan
        )
    if not ((y > 0) & (seen == 0)).any() or np.isnan(want).all():
        with pytest.raises(ValueError, match="No row"):
            metrics.auc_score(y, scores, seen=seen)
        return
    found = metrics.auc_score(y, scores, seen=seen, per_user=True)
    np.testing.assert_allclose(found, want, atol=1e-12)


def test_lists_that_hold_seen_items_lose_them():
    y = np.array([[0, 0, 0, 1, 1]])
    seen = np.array([[1, 1, 0, 0, 1]])
    # 0 and 1 leave, 3 moves to the front; 4 is a target no more, and leaves too.
    found = metrics.ranking_metrics(y, [[0, 1, 3, 4, 2]], ["mrr@2", "recall@2"], seen=seen)
    assert found == {"mrr@2": 1.0, "recall@2": 1.0}


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("gains", ["binary", "graded", "exponential"])
def test_ndcg_is_that_of_scikit_learn(k, gains):
    rng = np.random.default_rng(k)
    y = rng.integers(0, 5, (30, 20)) * (rng.random((30, 20)) < 0.4)
    y[np.arange(30), rng.integers(0, 20, 30)] = 3
    scores = rng.random((30, 20))
    value = {"binary": y > 0, "graded": y, "exponential": 2.0**y - 1}[gains]
    want = ndcg_score(value.astype(float), scores, k=k)
    assert metrics.ndcg_at_k(y, scores, k=k, gains=gains) == pytest.approx(want, abs=1e-12)


def test_by_hand():
    y = sp.csr_array(np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]]))
    lists = np.array([[3, 0, 1], [0, 1, 2], [0, 1, 2]])
    found = metrics.ranking_metrics(y, lists, [f"{name}@3" for name in LIST_METRICS], per_user=True)
    dcg = (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)
    want = {
        "ndcg": dcg,
        "graded_ndcg": dcg,
        "exponential_ndcg": dcg,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "capped_recall": 2 / 3,
        "f1": 2 / 3,
        "hit_rate": 1,
        "mrr": 1 / 2,
        "map": (1 / 2 + 2 / 3) / 3,
        "uncapped_map": (1 / 2 + 2 / 3) / 3,
    }
    for name, value in want.items():
        np.testing.assert_allclose(found[f"{name}@3"], [value, 0, np.nan])
    assert metrics.recall_at_k(y, lists, k=1) == 0
    assert metrics.map_at_k(y, lists, k=2) == pytest.approx((1 / 2) / 2 / 2)
    assert metrics.map_at_k(y, lists, k=2, denominator="n") == pytest.approx((1 / 2) / 3 / 2)


def test_every_form_of_input_gives_the_same_value():
    rng = np.random.default_rng(0)
    y = (rng.random((12, 9)) < 0.3).astype(float)
    y[:, 0] = 1
    scores = rng.random((12, 9))
    items = np.argsort(-scores, axis=1)
    want = metrics.ndcg_at_k(y, items, k=4)
    forms = [
        sp.csr_matrix,
        sp.csc_array,
        sp.coo_array,
        sp.lil_array,
        Interactions,
        np.ndarray.tolist,
    ]
    for form in forms:
        assert metrics.ndcg_at_k(form(y), items.tolist(), k=4) == want
    zeros = sp.csr_array(y)
    zeros.data[:3] = 0  # stored zeros are no targets
    assert metrics.ndcg_at_k(zeros, items, k=4) == metrics.ndcg_at_k(zeros.toarray(), items, k=4)
    assert metrics.ndcg_at_k(sp.csr_array(y.astype(bool)), items, k=4, gains="graded") == want
    repeated = sp.csr_array((np.ones(3), np.array([4, 1, 4]), np.array([0, 3])), shape=(1, 9))
    kept = repeated.indices.copy()
    assert metrics.recall_at_k(repeated, [[4, 0]], k=2) == 0.5
    np.testing.assert_array_equal(repeated.indices, kept)  # what is given stays as it is
    read_only = items.copy()
    read_only.flags.writeable = False
    assert metrics.ndcg_at_k(y, read_only, k=4) == want


def test_many_items_and_many_rows_cross_the_blocks_of_the_table():
    rng = np.random.default_rng(3)
    for n_users, n_items in [(300, 20_000), (40, 3_000_000), (5000, 7)]:
        y = sp.csr_array(
            (np.ones(n_users), (np.arange(n_users), rng.integers(n_items, size=n_users))),
            shape=(n_users, n_items),
        )
        items = (rng.integers(n_items, size=(n_users, 1)) + np.arange(5)) % n_items
        items[::2, 0] = y.indices[::2]
        items[::2, 1:] = -1
        want = [y.indices[i] in items[i] for i in range(n_users)]
        np.testing.assert_array_equal(metrics.hit_rate_at_k(y, items, k=5, per_user=True), want)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_beyond_accuracy_metrics_are_their_definitions(case):
    y, seen, scores, k = case
    n_users, n_items = y.shape
    rng = np.random.default_rng(int(scores.sum()))
    features = rng.random((n_items, 3)) * (rng.random((n_items, 3)) < 0.7)
    popularity = rng.integers(0, 9, n_items)
    lists = [row[:k] for row in ranked_items(scores, seen)]
    items = np.array([row + [-1] * (k - len(row)) for row in lists])
    shown = [i for row in lists for i in row]
    if not shown:
        with pytest.raises(ValueError, match="No list contains an item"):
            metrics.item_coverage_at_k(items, n_items, k=k)
        return
    counts = np.bincount(shown, minlength=n_items)
    assert metrics.item_coverage_at_k(items, n_items, k=k) == np.mean(counts > 0)
    assert metrics.user_coverage_at_k(items, n_items, k=k) == np.mean([len(r) == k for r in lists])
    differences = np.abs(counts[:, None] - counts[None, :]).sum()
    assert metrics.gini_at_k(items, n_items, k=k) == pytest.approx(
        differences / (2 * n_items * counts.sum())
    )
    share = counts[counts > 0] / counts.sum()
    assert metrics.entropy_at_k(items, n_items, k=k) == pytest.approx(
        -np.sum(share * np.log2(share))
    )

    def check(found, want):
        np.testing.assert_allclose(found, want, atol=1e-9)

    distance = cosine_distances(features)
    want = [
        np.mean([distance[i, j] for i, j in combinations(r, 2)]) if len(r) > 1 else np.nan
        for r in lists
    ]
    for form in (np.asarray, sp.csr_array, sp.coo_matrix):
        if np.isnan(want).all():
            break
        check(metrics.diversity_at_k(items, form(features), k=k, per_user=True), want)
    information = -np.log2(np.maximum(popularity, 1) / 50)
    check(
        metrics.novelty_at_k(items, popularity, n_users=50, k=k, per_user=True),
        [np.mean(information[r]) if r else np.nan for r in lists],
    )
    check(
        metrics.popularity_at_k(items, popularity, k=k, per_user=True),
        [np.mean(popularity[r]) if r else np.nan for r in lists],
    )
    check(
        metrics.cold_items_at_k(items, popularity, k=k, per_user=True),
        [np.mean(popularity[r] == 0) if r else np.nan for r in lists],
    )
    profile = (rng.random(y.shape) < 0.5).astype(float)
    check(
        metrics.new_items_at_k(items, profile, k=k, per_user=True),
        [np.mean([profile[u, i] == 0 for i in r]) if r else np.nan for u, r in enumerate(lists)],
    )
    gains = targets_of(y, seen)
    if any(gains):
        order = ranked_items(np.tile(popularity, (n_users, 1)), seen)
        check(
            metrics.serendipity_at_k(y, items, popularity, k=k, seen=seen, per_user=True),
            [
                len(set(r) & set(g) - set(o[:k])) / k if g else np.nan
                for g, r, o in zip(gains, lists, order)
            ],
        )


def test_miscalibration_is_the_divergence_of_the_mixes():
    genres = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 2], [0, 0, 0]])
    profile = np.array([[5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    items = np.array([[2, 0], [2, 3], [0, 1], [0, 1]])
    p = np.array([3 / 4, 1 / 4])
    q = 0.99 * np.array([1 / 2, 0]) + 0.01 * p
    want = [np.sum(p * np.log(p / q)), 0, np.nan, np.nan]
    for form in (np.asarray, sp.csr_array):
        found = metrics.miscalibration_at_k(items, profile, form(genres), k=2, per_user=True)
        np.testing.assert_allclose(found, want, atol=1e-12)


def test_diversity_over_item_columns_compares_who_had_them():
    X = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert metrics.diversity_at_k([[0, 1], [0, 2]], X.T, k=2, per_user=True) == pytest.approx(
        [0, 1]
    )
    y, seen = np.array([[0, 1, 0], [1, 0, 0]]), np.array([[1, 0, 0], [0, 1, 1]])
    lists = np.array(
        [[1, 2], [0, -1]]
    )  # both users of items 1 and 2 are the same; one item has no pairs
    assert metrics.ranking_metrics(y, lists, "diversity@2", seen=seen) == {
        "diversity@2": pytest.approx(0, abs=1e-12)
    }


def test_rating_errors_read_observed_entries_only():
    y = sp.csr_array(np.array([[5.0, 0, 1], [0, 0, 0], [0, 3, 0]]))
    predicted = np.array([[4.0, np.nan, 3], [9, 9, 9], [np.inf, 3, 0]])
    assert metrics.rmse(y, predicted) == pytest.approx(np.sqrt(5 / 3))
    assert metrics.mae(y, predicted) == pytest.approx(1)
    np.testing.assert_allclose(metrics.rmse(y, predicted, per_user=True), [np.sqrt(2.5), np.nan, 0])
    np.testing.assert_allclose(metrics.mae(y, predicted, per_user=True), [1.5, np.nan, 0])


Y = np.array([[0, 0, 1, 1], [0, 1, 0, 0]])
LISTS = np.array([[2, 0], [3, 1]])


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (
            ValueError,
            "y_pred has 1 rows and y_true has 2",
            lambda: metrics.ndcg_at_k(Y, LISTS[:1], k=2),
        ),
        (
            ValueError,
            r"Scores \(floating\) of shape \(2, 2\) do not fit",
            lambda: metrics.ndcg_at_k(Y, LISTS * 1.0, k=2),
        ),
        (
            ValueError,
            "contain NaN, first in row 1, column 2",
            lambda: metrics.ndcg_at_k(Y, np.array([[1.0] * 4, [1, 1, np.nan, 1]]), k=2),
        ),
        (
            ValueError,
            "contain NaN, first in row 1, column 2",
            lambda: metrics.auc_score(Y, np.array([[1.0] * 4, [1, 1, np.nan, 1]])),
        ),
        (
            ValueError,
            "k must be between 1 and the number of items, 4; got k=5",
            lambda: metrics.ndcg_at_k(Y, LISTS, k=5),
        ),
        (
            ValueError,
            "has 2 items a row, and k=3 needs more",
            lambda: metrics.ndcg_at_k(Y, LISTS, k=3),
        ),
        (ValueError, "k must be between 1", lambda: metrics.ndcg_at_k(Y, LISTS, k=-1)),
        (TypeError, "k must be an integer", lambda: metrics.ndcg_at_k(Y, LISTS, k=2.0)),
        (
            ValueError,
            "Row 1 recommends item 3 twice",
            lambda: metrics.ndcg_at_k(Y, [[2, 0], [3, 3]], k=2),
        ),
        (
            ValueError,
            "Row 1 recommends item 4 at place 1, and there are items 0 to 3",
            lambda: metrics.ndcg_at_k(Y, [[2, 0], [3, 4]], k=2),
        ),
        (
            ValueError,
            "Row 0 recommends item -2 at place 0",
            lambda: metrics.ndcg_at_k(Y, [[-2, 0], [3, 2]], k=2),
        ),
        (ValueError, "got 1 dimension", lambda: metrics.ndcg_at_k(Y, [2, 3], k=2)),
        (TypeError, "integers", lambda: metrics.ndcg_at_k(Y, [["a", "b"], ["c", "d"]], k=2)),
        (TypeError, "y_pred is sparse", lambda: metrics.ndcg_at_k(Y, sp.csr_array(Y), k=2)),
        (
            TypeError,
            "y_true must contain numbers.*from_frame",
            lambda: metrics.ndcg_at_k([["a", "b"]], [[0]], k=1),
        ),
        (
            ValueError,
            r"y_true must be a matrix of shape \(n_users, n_items\)",
            lambda: metrics.ndcg_at_k([1, 0], [[0]], k=1),
        ),
        (
            ValueError,
            "y_true contains NaN or infinity, first in row 1, column 0",
            lambda: metrics.ndcg_at_k([[1.0, 0], [np.nan, 1]], [[0], [0]], k=1),
        ),
        (
            ValueError,
            r"seen has shape \(1, 4\) and y_true has shape \(2, 4\)",
            lambda: metrics.ndcg_at_k(Y, LISTS, k=2, seen=Y[:1]),
        ),
        (
            ValueError,
            "that is not among the seen items",
            lambda: metrics.ndcg_at_k(Y, LISTS, k=2, seen=Y),
        ),
        (
            ValueError,
            "No row of y_true has a target: there is nothing",
            lambda: metrics.ndcg_at_k(Y * 0, LISTS, k=2),
        ),
        (
            ValueError,
            "'gains' parameter of ndcg_at_k must be a str among",
            lambda: metrics.ndcg_at_k(Y, LISTS, k=2, gains="linear"),
        ),
        (
            ValueError,
            "'denominator' parameter of recall_at_k",
            lambda: metrics.recall_at_k(Y, LISTS, k=2, denominator="k"),
        ),
        (
            ValueError,
            "'per_user' parameter",
            lambda: metrics.mrr_at_k(Y, LISTS, k=2, per_user="yes"),
        ),
        (
            ValueError,
            "needs y_true >= 0, and it contains -1",
            lambda: metrics.ndcg_at_k(-Y, LISTS, k=2, gains="graded"),
        ),
        (
            ValueError,
            "meant for grades",
            lambda: metrics.ndcg_at_k(Y * 500, LISTS, k=2, gains="exponential"),
        ),
        (
            ValueError,
            "up to 2, and the lists contain 1",
            lambda: metrics.r_precision(Y, LISTS[:, :1]),
        ),
        (ValueError, "auc_score needs scores of all items", lambda: metrics.auc_score(Y, LISTS)),
        (
            ValueError,
            "Unknown metric 'nDCG@10'. Did you mean 'ndcg@10'",
            lambda: metrics.ranking_metrics(Y, LISTS, "nDCG@10"),
        ),
        (
            ValueError,
            "Unknown metric 'banana@3'. Known: auc, capped_recall@k",
            lambda: metrics.ranking_metrics(Y, LISTS, "banana@3"),
        ),
        (
            ValueError,
            "'ndcg' needs a cut-off: say 'ndcg@10'",
            lambda: metrics.ranking_metrics(Y, LISTS, "ndcg"),
        ),
        (
            ValueError,
            "cut-off of 'ndcg@x' must be a positive integer",
            lambda: metrics.ranking_metrics(Y, LISTS, "ndcg@x"),
        ),
        (
            ValueError,
            "'auc' takes no cut-off",
            lambda: metrics.ranking_metrics(Y, Y * 1.0, "auc@3"),
        ),
        (
            ValueError,
            "'auc' needs scores of all items",
            lambda: metrics.ranking_metrics(Y, LISTS, "auc"),
        ),
        (
            ValueError,
            "'novelty@2' needs the popularity",
            lambda: metrics.ranking_metrics(Y, LISTS, "novelty@2"),
        ),
        (
            ValueError,
            "'diversity@2' needs item_features",
            lambda: metrics.ranking_metrics(Y, LISTS, "diversity@2"),
        ),
        (
            ValueError,
            "'new_items@2' needs seen=",
            lambda: metrics.ranking_metrics(Y, LISTS, "new_items@2"),
        ),
        (
            ValueError,
            "list of different names",
            lambda: metrics.ranking_metrics(Y, LISTS, ["mrr@2", "mrr@2"]),
        ),
        (ValueError, "list of different names", lambda: metrics.ranking_metrics(Y, LISTS, [])),
        (TypeError, "a name or a list of names", lambda: metrics.ranking_metrics(Y, LISTS, 10)),
        (ValueError, "Unknown metric 10", lambda: metrics.ranking_metrics(Y, LISTS, [10])),
        (
            ValueError,
            "'gini@2' is one number for all users",
            lambda: metrics.ranking_metrics(Y, LISTS, "gini@2", per_user=True),
        ),
        (
            ValueError,
            r"popularity must contain one number per item, shape \(4,\)",
            lambda: metrics.ranking_metrics(Y, LISTS, "novelty@2", popularity=[1, 2]),
        ),
        (
            ValueError,
            "popularity must be finite and >= 0",
            lambda: metrics.novelty_at_k(LISTS, [1, 2, 3, -1.0], k=2),
        ),
        (
            ValueError,
            "item_features must have one row per item, 4",
            lambda: metrics.ranking_metrics(Y, LISTS, "diversity@2", item_features=np.eye(3)),
        ),
        (
            TypeError,
            "encode text and categories first",
            lambda: metrics.diversity_at_k(LISTS, np.array([["a"]] * 4), k=2),
        ),
        (
            ValueError,
            "item_features >= 0",
            lambda: metrics.miscalibration_at_k(LISTS, Y, -np.eye(4), k=2),
        ),
        (
            ValueError,
            "profile has 1 rows and there are 2 lists",
            lambda: metrics.new_items_at_k(LISTS, Y[:1], k=2),
        ),
        (ValueError, "Row 0 recommends item 1 twice", lambda: metrics.gini_at_k([[1, 1]], 4, k=2)),
        (
            TypeError,
            "Lists must contain item numbers",
            lambda: metrics.gini_at_k([[1.0, 2]], 4, k=2),
        ),
        (
            ValueError,
            "lists have 2 items, and k=3 needs more",
            lambda: metrics.gini_at_k(LISTS, 4, k=3),
        ),
        (
            ValueError,
            "not defined for any row",
            lambda: metrics.diversity_at_k(LISTS, np.eye(4), k=1),
        ),
        (
            ValueError,
            r"y_pred has shape \(2, 2\) and y_true has shape \(2, 4\)",
            lambda: metrics.rmse(Y, LISTS),
        ),
        (
            ValueError,
            "contains NaN at an observed entry, first in row 0, column 3",
            lambda: metrics.mae(Y, np.array([[0, 0, 1, np.nan], [0.0] * 4])),
        ),
        (ValueError, "got k=0", lambda: metrics.ndcg_at_k(Y, LISTS, k=0)),
        (
            ValueError,
            "Lists are of several lengths",
            lambda: metrics.mrr_at_k(Y, [[0], [1, 2]], k=2),
        ),
        (ValueError, "Lists are of several lengths", lambda: metrics.gini_at_k([[0], [1, 2]], 4)),
        (ValueError, "y_true contains no rating", lambda: metrics.rmse(Y * 0, Y)),
        (TypeError, "y_pred is sparse", lambda: metrics.rmse(Y, sp.csr_array(Y))),
    ],
)
def test_refusals_say_what_is_wrong(error, words, call):
    with pytest.raises(error, match=words):
        call()


def test_half_precision_is_read():
    half = Y.astype(np.float16)
    assert metrics.recall_at_k(half, LISTS, k=2) == metrics.recall_at_k(Y, LISTS, k=2)


def test_an_empty_list_and_items_out_of_reach():
    y = np.array([[1, 0, 0], [0, 1, 0]])
    scores = np.array([[-np.inf, -np.inf, 0.5], [0.1, 0.2, 0.3]])
    assert metrics.recall_at_k(y, scores, k=3, per_user=True).tolist() == [0, 1]
    assert metrics.hit_rate_at_k(y, [[-1, -1], [-1, 1]], k=2, per_user=True).tolist() == [0, 1]
    assert np.isnan(metrics.popularity_at_k([[-1], [0]], [3, 1, 1], k=1, per_user=True)[0])
