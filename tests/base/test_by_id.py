"""With ``ids=True`` item ids go in and come out: equal to column numbers looked up in a Python dict."""

from datetime import date

import numpy as np
import pytest
import scipy.sparse as sp
from _instances import Backwards
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    ALSRecommender,
    BM25Transformer,
    Interactions,
    ItemKNN,
    LLMReranker,
    MMRReranker,
    SequenceKNN,
    TextEmbeddingRecommender,
    UserKNN,
    VotingRecommender,
    recommend,
)

N = 18
# Ids that are column numbers too, of other items; ids beyond 2^53 and 2^63; texts, dates and objects.
IDS = {
    "reversed": np.arange(N)[::-1],
    "negative": np.arange(N) - 9,
    "wide": 2**53 + np.arange(N),
    "unsigned": np.arange(N, dtype=np.uint64) + np.uint64(2**63),
    "texts": np.array([f"sku {j}" for j in range(N)]),
    "objects": np.array([f"sku {j}" for j in range(N)], dtype=object),
    "dates": np.datetime64("2024-02-01") + np.arange(N),
}
MODELS = [
    ItemKNN(),
    EASE(5.0),
    UserKNN(6),
    ALSRecommender(4, regularization=1.0, random_state=0),
    SequenceKNN(order="values"),
    VotingRecommender([("a", EASE(5.0)), ("b", ItemKNN())]),
    MMRReranker(EASE(5.0), n_candidates=8),
    make_pipeline(BM25Transformer(), ItemKNN()),
    GridSearchCV(ItemKNN(), {"n_neighbors": [3]}, cv=2),
    GridSearchCV(make_pipeline(BM25Transformer(), EASE()), {"ease__regularization": [5.0]}, cv=2),
]


def name_of(model):
    """A name without blanks for reports."""
    last = model.estimator if isinstance(model, GridSearchCV) else model
    return f"{type(model).__name__}-{type(getattr(last, 'steps', [[0, last]])[-1][1]).__name__}"


def matrix(ids):
    rng = np.random.default_rng(3)
    dense = rng.permuted(np.tile(np.arange(1, N + 1), (30, 1)), axis=1) * (
        rng.random((30, N)) < 0.4
    )
    return Interactions(dense.astype(float), item_ids=ids)


def as_ids(columns, ids):
    """The oracle: ids of columns one by one, None in an empty place."""
    known = dict(enumerate(ids.tolist()))
    return [[known.get(column) for column in row] for row in columns.tolist()]


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_lists_hold_the_ids_of_their_columns(model, kind):
    ids = IDS[kind]
    X = matrix(ids)
    model.fit(X)
    columns, scores = recommend(model, X, k=4)
    found, same = recommend(model, X, k=4, ids=True)
    assert found.tolist() == as_ids(columns, ids)
    np.testing.assert_array_equal(scores, same)
    some = [7, 2, 11, 4]
    columns, _ = recommend(model, X, k=4, candidates=some)
    by_id = [ids[some], ids[some].tolist()] if kind != "dates" else [ids[some]]
    for given in by_id:
        found, _ = recommend(model, X, k=4, candidates=given, ids=True)
        assert found.tolist() == as_ids(columns, ids)  # short lists end with None


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("model", MODELS[:4], ids=name_of)
def test_questions_by_id_are_those_by_column(model, kind):
    ids = IDS[kind]
    X = matrix(ids)
    model.fit(X)
    columns, _ = model.recommend(X, k=3, candidates=[1, 5, 6])
    lists, _ = model.recommend(X, k=3, candidates=ids[[1, 5, 6]], ids=True)
    expected = model.explain(X, columns)
    assert (model.explain(X, lists, ids=True) != expected).nnz == 0
    if not hasattr(model, "similar_items"):
        return
    columns, scores = model.similar_items([5, 0], k=6)
    found, same = model.similar_items(ids[[5, 0]], k=6, ids=True)
    assert found.tolist() == as_ids(columns, ids)
    np.testing.assert_array_equal(scores, same)
    assert model.similar_items(ids[5], k=6, ids=True)[0].tolist() == as_ids(columns[:1], ids)


def test_a_method_and_the_function_agree_and_the_matrix_of_candidates_stays():
    X = matrix(IDS["reversed"])
    model = EASE(5.0).fit(X)
    allowed = sp.random_array(X.shape, density=0.6, random_state=0).astype(bool)
    columns, _ = model.recommend(X, k=5, candidates=allowed)
    for found, _ in (
        model.recommend(X, k=5, candidates=allowed, ids=True),
        recommend(model, X, k=5, candidates=allowed, ids=True),
    ):
        assert found.tolist() == as_ids(columns, X.item_ids)


def test_a_number_is_a_column_unless_ids_are_asked_for():
    X = matrix(IDS["reversed"])
    model = ItemKNN().fit(X)
    assert model.similar_items(17, ids=True)[0].tolist() == as_ids(
        model.similar_items(0)[0], X.item_ids
    )
    assert model.recommend(X, 1, candidates=[0])[0].max() == 0
    assert set(model.recommend(X, 1, candidates=[0], ids=True)[0].ravel()) <= {0, None}
    assert model.recommend(X, 1, candidates=[17])[0].max() == 17


def test_models_of_texts_take_ids_too():
    X = matrix(IDS["texts"])
    titles = [f"{word} {thing}" for word in ("red", "blue", "tea") for thing in "abcdef"]
    model = TextEmbeddingRecommender(titles).fit(X)
    columns, _ = model.recommend_text(["red tea"], k=5, candidates=[0, 3, 12])
    found, _ = model.recommend_text(["red tea"], 5, candidates=X.item_ids[[0, 3, 12]], ids=True)
    assert found.tolist() == as_ids(columns, X.item_ids)
    lists, _ = model.recommend(X, k=2, ids=True)
    assert (
        model.explain(X, lists, ids=True) != model.explain(X, model.recommend(X, k=2)[0])
    ).nnz == 0
    reranker = LLMReranker(ItemKNN(), model=Backwards(), item_texts=titles, n_candidates=4).fit(X)
    assert reranker.rerank(X[:3], 4, ids=True).items.tolist() == as_ids(
        reranker.recommend(X[:3], 4)[0], X.item_ids
    )


@pytest.mark.parametrize("model", [*MODELS[:3], *MODELS[-3:]], ids=name_of)
def test_ids_are_known_or_refused_by_name(model):
    X = matrix(IDS["texts"])
    model.fit(X)
    with pytest.raises(
        ValueError, match=r"candidates contains 2 ids .* \['tea', 'jam'\];.*'sku 0'"
    ):
        recommend(model, X, candidates=["tea", "sku 3", "jam"], ids=True)
    with pytest.raises(TypeError, match="candidates contains booleans"):
        recommend(model, X, candidates=np.ones(N, dtype=bool), ids=True)
    plain = sp.csr_array(X.toarray())
    model.fit(plain)
    with pytest.raises(ValueError, match="needs the item ids of the fit"):
        recommend(model, plain, ids=True)


def test_dates_leave_an_empty_place_empty():
    X = matrix(IDS["dates"])
    found, _ = EASE(5.0).fit(X).recommend(X, k=4, candidates=X.item_ids[[3]], ids=True)
    assert found.dtype == X.item_ids.dtype
    assert {day for day in found.ravel().tolist() if day} == {date(2024, 2, 4)}
