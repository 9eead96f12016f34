"""What a request for one row does not do: validate twice, build tags, copy or cast the model."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec import ALSRecommender, ItemKNN, UserKNN, VotingRecommender
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.decomposition import BPRRecommender, PureSVD
from sklearn_llmrec.linear_model import EASE, SLIM
from sklearn_llmrec.neighbors import RP3beta
from sklearn_llmrec.sequence import SequenceKNN

N_ITEMS = 20_000


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return sp.random_array((400, 60), density=0.2, format="csr", random_state=rng, dtype=np.float64)


@pytest.mark.parametrize("model", [ItemKNN(), EASE(), ALSRecommender(n_components=4), UserKNN()])
def test_a_request_builds_no_tags(model, X, monkeypatch):
    model.fit(X)
    expected = model.recommend(X[[3]], k=5)

    def refuse(self):
        raise AssertionError("tags were built for a request")

    monkeypatch.setattr(type(model), "__sklearn_tags__", refuse)
    for got, wanted in zip(model.recommend(X[[3]], k=5), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", [ItemKNN(n_neighbors=20), RP3beta(), SequenceKNN(), UserKNN()])
def test_a_request_allocates_less_than_a_row_of_the_model(model, dtype):
    """The sums of a sparse product take `n_items` numbers; nothing takes the size of the model."""
    rng = np.random.default_rng(0)
    X = sp.random_array(
        (2_000, N_ITEMS), density=2e-3, format="csr", random_state=rng, dtype=np.float64
    )
    model.fit(X)
    row = X[[5]].astype(dtype)
    model.recommend(row, k=5)
    model_bytes = sum(matrix.data.nbytes for matrix in vars(model).values() if sp.issparse(matrix))
    tracemalloc.start()
    try:
        model.recommend(row, k=5)
        assert tracemalloc.get_traced_memory()[1] < min(40 * N_ITEMS, model_bytes)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("model", [ItemKNN(n_neighbors=100), RP3beta()])
def test_rows_with_64_bit_indices_do_not_convert_the_model(model):
    """SciPy would convert the indices of a sparse model in each product with such a row."""
    rng = np.random.default_rng(0)
    X = sp.random_array((2_000, N_ITEMS), density=2e-3, format="csr", random_state=rng)
    model.fit(X)
    row = X[[5]]
    wide = row.copy()
    wide.indices, wide.indptr = row.indices.astype(np.int64), row.indptr.astype(np.int64)
    expected = model.predict(row)
    model.predict(wide)
    tracemalloc.start()
    try:
        scores = model.predict(wide)
        assert tracemalloc.get_traced_memory()[1] < model.weights_.indices.nbytes / 2
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(scores, expected)
    assert wide.indices.dtype == np.int64  # the caller's row is as it was


@pytest.mark.parametrize("widened", ["indices", "indptr"])
@pytest.mark.parametrize("model", [RP3beta(), ItemKNN(), PureSVD(5, random_state=0), UserKNN()])
def test_indices_of_two_sizes_give_the_same_model(model, widened, X):
    mixed = X.copy()
    setattr(mixed, widened, getattr(X, widened).astype(np.int64))
    expected = clone(model).fit(X).predict(X)
    np.testing.assert_array_equal(clone(model).fit(mixed).predict(mixed), expected)


def test_rows_of_another_dtype_do_not_convert_a_network_in_each_call():
    pytest.importorskip("torch")
    from sklearn_llmrec.sequence import SASRec

    rng = np.random.default_rng(0)
    X = sp.random_array((50, N_ITEMS), density=1e-3, format="csr", random_state=rng)
    model = SASRec(
        64, max_iter=1, early_stopping=False, order="values", device="cpu", random_state=0
    )
    model.fit(X.astype(np.float32))
    row = X[[5]]
    expected = model.recommend(row, k=5)[1]
    tracemalloc.start()
    try:
        values = model.recommend(row, k=5)[1]
        assert tracemalloc.get_traced_memory()[1] < model.item_vectors_.nbytes / 2
    finally:
        tracemalloc.stop()
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("model", [ItemKNN(n_neighbors=30), RP3beta(), SLIM(), SequenceKNN()])
def test_candidates_are_chosen_inside_the_product(model, X, monkeypatch):
    candidates = np.arange(0, 60, 2)
    model.fit(X)
    scores = model.predict(X)
    scores[X.toarray() != 0] = -np.inf
    scores[:, 1::2] = -np.inf
    expected = np.lexsort((np.tile(np.arange(60), (400, 1)), -scores), axis=1)[:, :5]

    def refuse(self, *args):
        raise AssertionError("all items were scored")

    monkeypatch.setattr(BaseRecommender, "_best", refuse)
    items, values = model.recommend(X, k=5, candidates=candidates)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_allclose(values, np.take_along_axis(scores, expected, axis=1), rtol=1e-9)


def test_a_vote_validates_its_input_once(X, monkeypatch):
    vote = VotingRecommender([("knn", ItemKNN()), ("ease", EASE()), ("users", UserKNN())]).fit(X)
    expected, calls = vote.predict(X[:7]), []
    check = BaseRecommender._check_X

    def counted(self, X, *, reset):
        calls.append(type(self).__name__)
        return check(self, X, reset=reset)

    monkeypatch.setattr(BaseRecommender, "_check_X", counted)
    np.testing.assert_array_equal(vote.predict(X[:7]), expected)
    assert calls == ["VotingRecommender"]


def test_weights_are_checked_in_a_vote_with_a_sequential_member(X):
    vote = VotingRecommender([("order", SequenceKNN()), ("knn", ItemKNN())]).fit(X)
    row = X[[0]].copy()
    row.data[0] = 1e17  # a time, but no weight
    with pytest.raises(ValueError, match="values as large as"):
        vote.predict(row)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e16, -1e16])
@pytest.mark.parametrize("model", [ItemKNN(), BPRRecommender(max_iter=1)])
def test_a_plain_row_is_still_refused(model, bad, X):
    model.fit(X)
    row = X[[0]].copy()
    row.data[1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity|values as large|Negative values"):
        model.recommend(row)
