"""Weighting transformers: formulas, what they keep, what they refuse."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_llmrec import Interactions
from sklearn_llmrec.preprocessing import (
    BinarizeTransformer,
    BM25Transformer,
    Log1pTransformer,
    RecencyDecayTransformer,
    RFMTransformer,
    TFIDFTransformer,
    UserMinMaxScaler,
    UserStandardScaler,
)

PLAIN = [
    BM25Transformer(),
    BM25Transformer(0, b=1),
    TFIDFTransformer(),
    TFIDFTransformer("l1", sublinear_tf=True),
    TFIDFTransformer(None),
    Log1pTransformer(),
    BinarizeTransformer(),
    UserMinMaxScaler(),
    UserStandardScaler(),
    UserStandardScaler(with_mean=False),
    UserStandardScaler(with_std=False),
    RecencyDecayTransformer(order="values"),
]
TIMED = [*PLAIN[:-1], RecencyDecayTransformer(), RecencyDecayTransformer(5, reference="user")]
CHECKED = [*PLAIN, RFMTransformer(), RFMTransformer("scores", monetary="mean")]
# RecencyDecayTransformer with order="timestamps" refuses matrices without times, and so every check
# that fits a plain array; order="values" runs the same code on them.


def short(estimator):
    return repr(estimator).replace("Transformer", "")


def ratings(seed=0, shape=(30, 12), density=0.4, dtype=np.float64):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 6, shape) * (rng.random(shape) < density)
    values[3] = 0  # a user without events
    values[4, :2], values[4, 2:] = 3, 0  # a user with one value
    values[5], values[5, 1] = 0, 2  # a user with one event
    values[:, 0] = np.maximum(values[:, 0], values.any(axis=1))  # nearly everyone has item 0
    return sp.csr_array(values.astype(dtype))


def timed(seed=0, dtype=np.float64):
    X = ratings(seed, dtype=dtype)
    times = np.random.default_rng(seed).integers(1_600_000_000, 1_700_000_000, X.nnz)
    return Interactions(
        X,
        timestamps=times,
        user_ids=[f"u{i}" for i in range(X.shape[0])],
        item_ids=np.arange(X.shape[1]) * 10,
        item_features=pd.DataFrame({"price": np.arange(X.shape[1])}),
    )


def repeated():
    """Users with several events of one item, each with its time, in order of the log."""
    return Interactions(
        (np.array([1.0, 2, 4, 8, 3, 5, 5]), [1, 0, 1, 2, 2, 0, 0], [0, 4, 5, 7]),
        shape=(3, 3),
        timestamps=[10, 20, 30, 40, 15, 50, 50],
    )


@parametrize_with_checks(CHECKED)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# -- what all of them keep ------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", PLAIN, ids=short)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_entries_same_container(estimator, dtype):
    X = ratings(dtype=dtype)
    before = X.copy()
    expected = clone(estimator).fit_transform(X)
    assert type(expected) is sp.csr_array
    assert expected.dtype == dtype
    assert expected.data.all()
    np.testing.assert_array_equal(expected.indices, X.indices)
    np.testing.assert_array_equal(expected.indptr, X.indptr)
    for kind in (sp.csr_matrix, sp.csc_array, sp.coo_array):
        result = clone(estimator).fit_transform(kind(X))
        assert isinstance(result, sp.csr_matrix if kind is sp.csr_matrix else sp.csr_array)
        np.testing.assert_array_equal(result.toarray(), expected.toarray())
    dense = clone(estimator).fit_transform(X.toarray())
    assert isinstance(dense, np.ndarray)
    assert dense.dtype == dtype
    np.testing.assert_array_equal(dense, expected.toarray())
    np.testing.assert_array_equal(X.toarray(), before.toarray())


@pytest.mark.parametrize("estimator", TIMED, ids=short)
def test_interactions_stay_interactions(estimator):
    X = timed()
    result = clone(estimator).fit_transform(X)
    assert type(result) is Interactions
    assert result.data.all()
    np.testing.assert_array_equal(result.timestamps, X.timestamps)
    np.testing.assert_array_equal(result.indices, X.indices)
    np.testing.assert_array_equal(result.user_ids, X.user_ids)
    np.testing.assert_array_equal(result.item_ids, X.item_ids)
    pd.testing.assert_frame_equal(result.item_features, X.item_features)
    assert clone(estimator).fit_transform(timed(dtype=np.float32)).dtype == np.float32


@pytest.mark.parametrize("estimator", TIMED, ids=short)
def test_alone_as_in_a_batch_and_unseen_users(estimator):
    fitted = clone(estimator).fit(timed())
    unseen = timed(seed=1)
    batch = fitted.transform(unseen).toarray()
    for row in range(unseen.shape[0]):
        alone = fitted.transform(unseen[[row]]).toarray()
        np.testing.assert_array_equal(alone[0], batch[row])
    again = pickle.loads(pickle.dumps(fitted)).transform(unseen)
    np.testing.assert_array_equal(again.toarray(), batch)


@pytest.mark.parametrize("estimator", TIMED, ids=short)
def test_stored_zeros_are_no_events(estimator):
    X = timed()
    zeros = X.copy()
    zeros.data[::3] = 0
    expected = zeros.copy()
    expected.eliminate_zeros()
    result = clone(estimator).fit_transform(zeros)
    assert result.nnz == expected.nnz
    np.testing.assert_array_equal(result.timestamps, expected.timestamps)
    np.testing.assert_array_equal(
        result.toarray(), clone(estimator).fit_transform(expected).toarray()
    )


@pytest.mark.parametrize("estimator", TIMED[:-2], ids=short)
def test_repeats_summed_before_or_after(estimator):
    X = repeated()
    summed = sp.csr_array(X.toarray())
    fitted = clone(estimator).fit(X)
    result = fitted.transform(X)
    assert result.nnz == X.nnz
    np.testing.assert_array_equal(result.timestamps, X.timestamps)
    expected = clone(estimator).fit(summed).transform(summed)
    np.testing.assert_allclose(result.toarray(), expected.toarray(), rtol=1e-12)


def test_repeats_that_cancel_stay():
    X = sp.csr_array(([2.0, -2, 3], [1, 1, 0], [0, 3]), shape=(1, 2))
    result = Log1pTransformer().fit_transform(X)
    assert result.nnz == 3
    np.testing.assert_allclose(result.toarray(), [[np.log1p(3), 0]])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(2.0**-100, 2.0**100, width=32) | st.just(0.0), min_size=4, max_size=4),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(PLAIN),
    st.sampled_from([np.float32, np.float64]),
)
def test_no_event_becomes_zero(rows, estimator, dtype):
    X = np.array(rows, dtype=dtype)
    result = clone(estimator).fit(X).transform(X)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result != 0, X != 0)


@pytest.mark.parametrize(
    "estimator", [BM25Transformer(), TFIDFTransformer(), TFIDFTransformer("l1")], ids=short
)
def test_negative_values_refused(estimator):
    X = ratings()
    fitted = clone(estimator).fit(X)
    idf = fitted.idf_
    bad = sp.csr_array(-X[:, :5])
    with pytest.raises(
        ValueError, match=f"Negative values in data passed to .*{type(estimator).__name__}"
    ):
        fitted.fit(bad)
    assert fitted.n_features_in_ == X.shape[1]
    assert fitted.idf_ is idf
    with pytest.raises(ValueError, match="Negative values"):
        fitted.transform(sp.csr_array(-X))


def test_set_output_pandas():
    frame = pd.DataFrame(ratings().toarray(), columns=list("abcdefghijkl"))
    result = BM25Transformer().set_output(transform="pandas").fit_transform(frame)
    assert list(result.columns) == list(frame.columns)


# -- formulas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["l1", "l2", None])
@pytest.mark.parametrize("sublinear_tf", [False, True])
def test_tfidf_is_scikit_learns(norm, sublinear_tf):
    train, test = ratings(), ratings(1)
    ours = TFIDFTransformer(norm, sublinear_tf=sublinear_tf).fit(train)
    theirs = TfidfTransformer(norm=norm, sublinear_tf=sublinear_tf).fit(train)
    np.testing.assert_allclose(ours.transform(test).toarray(), theirs.transform(test).toarray())


def test_sublinear_tf_joins_smoothly_below_one():
    X = np.array([[0.2, 0.999999, 1.0, 1.000001]])
    fitted = TFIDFTransformer(None, sublinear_tf=True).fit(X)
    np.testing.assert_allclose(fitted.transform(X) / fitted.idf_, X, rtol=1e-11)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (100, 0.8), (0.5, 0), (2, 1)])
def test_bm25_formula(k1, b):
    train, test = ratings().toarray(), ratings(1).toarray()
    n, df, mean = len(train), (train > 0).sum(axis=0), train.sum() / len(train)
    expected = np.zeros_like(test)
    for u, i in zip(*np.nonzero(test)):
        idf = np.log(1 + (n - df[i] + 0.5) / (df[i] + 0.5))
        discount = k1 * (1 - b + b * test[u].sum() / mean)
        expected[u, i] = idf * test[u, i] * (k1 + 1) / (test[u, i] + discount)
    np.testing.assert_allclose(BM25Transformer(k1, b=b).fit(train).transform(test), expected)


def test_bm25_is_implicits_but_for_the_idf():
    bm25_weight = pytest.importorskip("implicit.nearest_neighbours").bm25_weight
    X = ratings()
    theirs = sp.csr_array(bm25_weight(sp.coo_matrix(X), K1=100, B=0.8))
    n, df = X.shape[0], np.bincount(X.indices, minlength=X.shape[1])
    fitted = BM25Transformer(100, b=0.8).fit(X)
    ours = fitted.transform(X)
    their_idf = (np.log(n) - np.log1p(df))[X.indices]
    np.testing.assert_allclose(ours.data / fitted.idf_[X.indices] * their_idf, theirs.data)


def test_bm25_everyone_has_it():
    result = BM25Transformer().fit_transform(np.ones((5, 3)))
    assert (result > 0).all()


def test_log1p_and_binarize():
    X = np.array([[0.0, 3.0, -3.0]])
    np.testing.assert_allclose(Log1pTransformer().fit_transform(X), [[0, np.log(4), -np.log(4)]])
    np.testing.assert_array_equal(BinarizeTransformer().fit_transform(X), [[0, 1, 1]])


def test_minmax_and_standardised_rows():
    X = ratings().toarray()
    minmax, standard = UserMinMaxScaler((0.5, 2)), UserStandardScaler()
    for row, scaled, centred in zip(X, minmax.fit_transform(X), standard.fit_transform(X)):
        seen = row != 0
        values = row[seen]
        if not seen.any() or np.ptp(values) == 0:
            np.testing.assert_array_equal(scaled[seen], 2)
            np.testing.assert_allclose(centred[seen], 1e-6)
            continue
        share = (values - values.min()) / np.ptp(values)
        np.testing.assert_allclose(scaled[seen], 0.5 + 1.5 * share)
        z = (values - values.mean()) / values.std()
        np.testing.assert_allclose(centred[seen], np.where(np.abs(z) < 1e-6, 1e-6, z))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (1.0, 0.5), (0.1, np.inf), (0.1,), (-1.0, 1.0)])
def test_minmax_refuses_a_range_with_zero(bounds):
    with pytest.raises(ValueError, match="0 < low < high"):
        UserMinMaxScaler(bounds).fit(np.ones((2, 2)))


def test_recency_decay():
    X = repeated()
    fitted = RecencyDecayTransformer(10).fit(X)
    assert fitted.reference_ == 50
    expected = X.data * 0.5 ** ((50 - X.timestamps) / 10)
    np.testing.assert_allclose(fitted.transform(X).data, expected)
    later = Interactions(sp.csr_array([[1.0, 1.0, 0.0]]), timestamps=[60, 40])
    np.testing.assert_allclose(fitted.transform(later).data, [1, 0.5])
    own = RecencyDecayTransformer(10, reference="user").fit_transform(X)
    latest = np.array([40, 15, 50])[np.repeat([0, 1, 2], np.diff(X.indptr))]
    np.testing.assert_allclose(own.data, X.data * 0.5 ** ((latest - X.timestamps) / 10))
    given_time = RecencyDecayTransformer(10, reference=70).fit_transform(X)
    np.testing.assert_allclose(given_time.data, expected / 4)


def test_recency_default_half_life_is_the_median_age():
    X = Interactions(sp.csr_array([[1.0, 1, 1, 1]]), timestamps=[0, 60, 90, 100])
    assert RecencyDecayTransformer().fit(X).half_life_ == 40
    same = Interactions(sp.csr_array([[1.0, 2]]), timestamps=[7, 7])
    np.testing.assert_array_equal(RecencyDecayTransformer().fit_transform(same).data, [1, 2])


def test_recency_of_nanoseconds_is_exact():
    now = 1_700_000_000_000_000_001
    X = Interactions(sp.csr_array([[1.0, 1, 1]]), timestamps=np.array([now - 2, now - 1, now]))
    np.testing.assert_allclose(RecencyDecayTransformer(1).fit_transform(X).data, [0.25, 0.5, 1])


def test_recency_underflow_is_no_zero():
    X = Interactions(sp.csr_array([[1.0, 1]], dtype=np.float32), timestamps=[0, 10**9])
    result = RecencyDecayTransformer(1).fit_transform(X)
    assert result.dtype == np.float32
    assert (result.data > 0).all()


def test_recency_refuses_a_matrix_without_times():
    fitted = RecencyDecayTransformer(10).fit(timed())
    for call in (fitted.fit, fitted.transform, RecencyDecayTransformer().fit):
        with pytest.raises(
            ValueError, match=r"no timestamps. Build it with Interactions.from_frame"
        ):
            call(ratings())
    assert fitted.transform(timed()).nnz


# -- recency, frequency, monetary value -----------------------------------------------------------


def shop(seed=0, n_users=60, n_items=8):
    """Customers with baskets: several events at one time."""
    rng = np.random.default_rng(seed)
    users, items, times, money = [], [], [], []
    for user in range(n_users - 1):  # the last one never buys
        for _ in range(1 + rng.poisson(2)):
            when = int(rng.integers(0, 1000))
            for item in rng.choice(n_items, 1 + rng.integers(3), replace=False):
                users.append(user)
                items.append(item)
                times.append(when)
                money.append(float(rng.integers(1, 100)))
    indptr = np.append(0, np.cumsum(np.bincount(users, minlength=n_users)))
    X = Interactions((money, items, indptr), shape=(n_users, n_items), timestamps=times)
    return X, pd.DataFrame({"user": users, "item": items, "time": times, "money": money})


def test_rfm_values_and_scores_are_pandas():
    X, log = shop()
    rfm = RFMTransformer().set_output(transform="pandas").fit(X)
    result = rfm.transform(X)
    assert list(result.columns) == [
        "recency",
        "frequency",
        "monetary",
        "recency_score",
        "frequency_score",
        "monetary_score",
    ]
    groups = log.groupby("user")
    buyers, nobody = result.iloc[:-1], result.iloc[-1]
    recency = log["time"].max() - groups["time"].max()
    np.testing.assert_array_equal(buyers["recency"], recency)
    np.testing.assert_array_equal(buyers["frequency"], groups["time"].nunique())
    np.testing.assert_allclose(buyers["monetary"], groups["money"].sum())
    expected = pd.qcut(groups["money"].sum(), 5, labels=False) + 1
    np.testing.assert_array_equal(buyers["monetary_score"], expected)
    span = log["time"].max() - log["time"].min()
    assert nobody.tolist() == [span, 0, 0, 1, 1, 1]
    # Monotone: more recent, more often, more money is never scored lower.
    for name, sign in (("recency", -1), ("frequency", 1), ("monetary", 1)):
        ordered = buyers.sort_values(name)[f"{name}_score"].to_numpy()
        assert (np.diff(ordered * sign) >= 0).all()


def test_rfm_unseen_users_are_scored_against_the_fitted_quantiles():
    X, _ = shop()
    rfm = RFMTransformer("scores").fit(X)
    unseen = shop(1)[0]
    batch = rfm.transform(unseen)
    alone = np.vstack([rfm.transform(unseen[[row]]) for row in range(unseen.shape[0])])
    np.testing.assert_array_equal(batch, alone)
    rich = Interactions(sp.csr_array([[1e6] + [0] * 7]), timestamps=[5000])
    np.testing.assert_array_equal(rfm.transform(rich), [[5, 1, 5]])
    assert rfm.segments(rich).tolist() == ["new"]


def test_rfm_segments_and_weights():
    X, _ = shop()
    rfm = RFMTransformer("scores").fit(X)
    scores, segments = rfm.transform(X), rfm.segments(X)
    assert segments[-1] == "no events"
    best = (scores[:, 0] == 5) & (scores[:, 1] == 5)
    assert best.any()
    assert set(segments[best]) == {"champion"}
    worst = (scores[:-1, 0] == 1) & (scores[:-1, 1] == 1)
    assert set(segments[:-1][worst]) == {"hibernating"}
    np.testing.assert_allclose(rfm.user_weights(X), scores.mean(axis=1) / 5)
    only_money = RFMTransformer(score_weights=(0, 0, 2)).fit(X).user_weights(X)
    np.testing.assert_allclose(only_money, scores[:, 2] / 5)
    assert ((only_money >= 0.2) & (only_money <= 1)).all()


def test_rfm_value_per_occasion():
    X, log = shop()
    total, mean = (
        RFMTransformer("values", monetary=how).fit_transform(X) for how in ("sum", "mean")
    )
    np.testing.assert_allclose(mean[:-1, 2], total[:-1, 2] / total[:-1, 1])
    np.testing.assert_array_equal(mean[:, :2], total[:, :2])


def test_rfm_without_times():
    X = ratings()
    rfm = RFMTransformer().fit(X)
    names = ["frequency", "monetary", "frequency_score", "monetary_score"]
    assert rfm.get_feature_names_out().tolist() == names
    result = rfm.transform(X)
    np.testing.assert_array_equal(result[:, 0], np.diff(X.indptr))
    np.testing.assert_array_equal(result[:, 1], X.sum(axis=1))
    assert rfm.user_weights(X).shape == (X.shape[0],)
    with pytest.raises(ValueError, match="fitted without times"):
        rfm.segments(X)
    with pytest.raises(ValueError, match=r"has use_times=True. Build it with Interactions"):
        RFMTransformer(use_times=True).fit(X)
    with pytest.raises(ValueError, match="was fitted with them"):
        RFMTransformer().fit(timed()).transform(X)


def test_rfm_refuses():
    with pytest.raises(ValueError, match="contains no interaction"):
        RFMTransformer().fit(np.zeros((3, 2)))
    for weights in ((1, 1), (0, 0, 0), (1, -1, 1), (1, 1, np.inf)):
        with pytest.raises(ValueError, match="score_weights must be three numbers"):
            RFMTransformer(score_weights=weights).fit(ratings())


def test_rfm_in_a_pipeline_and_a_union():
    X, _ = shop()
    scaled = make_pipeline(RFMTransformer("values"), StandardScaler()).fit_transform(X)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    both = make_union(RFMTransformer("scores"), BinarizeTransformer()).fit_transform(X)
    assert both.shape == (X.shape[0], 3 + X.shape[1])
