"""Values as large and as small as float32 can be computed with, and beyond."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_llmrec import Interactions, ItemKNN, UserKNN
from sklearn_llmrec.decomposition import NMFRecommender, PureSVD
from sklearn_llmrec.ensemble import VotingRecommender
from sklearn_llmrec.linear_model import EASE, SLIM, SparseEASE
from sklearn_llmrec.neighbors import P3alpha, RP3beta
from sklearn_llmrec.sequence import SequenceKNN

METRICS = ["cosine", "asymmetric_cosine", "adjusted_cosine", "jaccard", "dice"]
# Of powers of two, which round nothing: some 1e9 and 1e-12.
SIZES = [2.0**30, 2.0**-40]


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    D = rng.integers(1, 6, (40, 20)) * (rng.random((40, 20)) < 0.3)
    return sp.csr_array(D.astype(np.float32))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "model",
    [
        *(kind(5, metric=metric) for kind in (ItemKNN, UserKNN) for metric in METRICS),
        # All neighbours: two shared entries correlate by 1 or -1, and rounding breaks such ties.
        *(kind(50, metric="pearson") for kind in (ItemKNN, UserKNN)),
        ItemKNN(5, center="baseline", metric="pearson_baseline"),
        UserKNN(5, center="user"),
        P3alpha(5),
        RP3beta(5),
        PureSVD(4, random_state=0),
        NMFRecommender(3, tol=0.0, max_iter=20, random_state=0),
        EASE(3.0, value_exponent=1.0),
        SparseEASE(3.0, n_neighbors=5),
        SLIM(3.0, l1_regularization=0.5, tol=0.0),
    ],
    ids=repr,
)
def test_scores_scale_with_the_values(model, size, X):
    """Penalties are in the unit of squared values; all else is free of units."""
    expected = _shares(model.fit(X).predict(X))
    scaled = type(model)(**model.get_params())
    if isinstance(model, (EASE, SparseEASE, SLIM)):
        scaled.set_params(regularization=3.0 * size**2)
    if isinstance(model, SLIM):
        scaled.set_params(l1_regularization=0.5 * size**2)
    large = X * np.float32(size)
    got = _shares(scaled.fit(large).predict(large))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def _shares(scores):
    """In units of the row's largest: those of rows without evidence, and of walks, do not grow with the values."""
    assert scores.dtype == np.float32
    return scores / abs(scores).max(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("size", "dtype", "message"),
    [
        (1e11, np.float32, r"as large as 1e\+11: EASE takes at most 1e\+10 in float32.*Divide"),
        (-1e11, np.float32, r"as large as 1e\+11"),
        (1e16, np.float64, r"as large as 1e\+16: EASE takes at most 1e\+15 in float64"),
        (1e-16, np.float32, "No value of X is larger than 1e-16: EASE needs one.*Multiply"),
        (-1e-16, np.float64, "No value of X is larger than 1e-16"),
    ],
)
def test_sizes_that_are_refused(size, dtype, message, X):
    pattern = sp.csr_array((X != 0).astype(dtype))
    model = EASE().fit(pattern)
    expected = model.predict(pattern)
    with pytest.raises(ValueError, match=message):
        model.fit(pattern * dtype(size))
    np.testing.assert_array_equal(model.predict(pattern), expected)
    if abs(size) > 1:
        for method in (model.recommend, model.partial_fit):
            with pytest.raises(ValueError, match=message):
                method(pattern * dtype(size))
    else:  # a row may have faded away, whatever stands beside it
        assert np.isfinite(model.predict(pattern * dtype(size))).all()


def test_times_may_have_any_size(X):
    """Nanoseconds as values, of which models of order read the order."""
    times = X.astype(np.float64)
    times.data = 1.7e18 + 1e12 * np.random.default_rng(0).permutation(X.nnz)
    model = VotingRecommender([("a", SequenceKNN()), ("b", SequenceKNN(decay=0.5))])
    assert np.isfinite(model.fit(times).predict(times)).all()
    timed = Interactions(X, timestamps=times.data)
    assert np.isfinite(ItemKNN().fit(timed).predict(timed)).all()
    model.set_params(b=ItemKNN())
    with pytest.raises(ValueError, match=r"as large as 1.7e\+18: ItemKNN"):
        model.fit(times)
