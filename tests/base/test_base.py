"""What the base class promises beyond the common checks."""

import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy
import scipy.sparse as sp
import sklearn
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.fixes import parse_version

from sklearn_llmrec import ALSRecommender, Interactions, ItemKNN, UserKNN, recommend
from sklearn_llmrec.base import BaseRecommender, Scores
from sklearn_llmrec.dummy import PopularityRecommender, RandomRecommender
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.preprocessing import BM25Transformer
from sklearn_llmrec.sequence import SASRec
from sklearn_llmrec.utils._chunks import row_chunks


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    odds = np.where(np.arange(60)[:, None] % 3 == np.arange(40) % 3, 0.5, 0.08)
    return sp.csr_array((rng.random((60, 40)) < odds).astype(float))


FORMS = {
    "csr_matrix": sp.csr_matrix,
    "csr_array": sp.csr_array,
    "Interactions": Interactions,
    "dense": lambda X: X.toarray(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", ["nothing", "bm25", "sklearn-tfidf"])
def test_grid_search_with_no_y_and_no_scoring(X, form, first):
    given = FORMS[form](X)
    model = ItemKNN()
    grid = {"n_neighbors": [2, 10]}
    if first != "nothing":
        step = BM25Transformer() if first == "bm25" else TfidfTransformer()
        if first == "sklearn-tfidf" and form == "dense":
            given = sp.csr_array(given)  # scikit-learn's own refuses dense input
        model, grid = make_pipeline(step, model), {"itemknn__n_neighbors": [2, 10]}
    search = GridSearchCV(model, grid, error_score="raise", cv=3).fit(given)
    assert 0 < search.best_score_ <= 1
    items, _ = recommend(search, given, k=3)
    assert not X.toarray()[np.arange(60)[:, None], items].any()


def test_searches_curves_and_workers(X):
    halving = HalvingGridSearchCV(
        ItemKNN(),
        {"n_neighbors": [2, 5, 10]},
        cv=KFold(3, shuffle=True, random_state=0),
        random_state=0,
    ).fit(X)
    assert np.isfinite(halving.best_score_)
    sizes, train, test = learning_curve(ItemKNN(), X, None, train_sizes=[0.5, 1.0], cv=3)
    assert np.isfinite(test).all()
    one = cross_validate(ItemKNN(), X, cv=3)["test_score"]
    two = cross_validate(ItemKNN(), X, cv=3, n_jobs=2)["test_score"]
    np.testing.assert_allclose(one, two, rtol=1e-12)  # workers may add in another order
    assert cross_val_predict(EASE(), X, X, cv=3).shape == X.shape


def test_a_square_matrix_is_not_confused(X):
    square = sp.csr_array(X[:40])
    search = GridSearchCV(ItemKNN(), {"n_neighbors": [2, 10]}, error_score="raise").fit(square)
    assert recommend(search, square, k=5)[0].shape == (40, 5)


def test_recommend_for_any_multi_output_estimator(X):
    ridge = Ridge().fit(X, X.toarray())
    items, scores = recommend(ridge, X, k=4)
    dense = ridge.predict(X)
    dense[X.nonzero()] = -np.inf
    np.testing.assert_array_equal(items, np.argsort(-dense, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(scores, -np.sort(-dense, axis=1)[:, :4])
    reduced = make_pipeline(TruncatedSVD(5, random_state=0), Ridge()).fit(X, X.toarray())
    items, _ = recommend(reduced, X, k=4, candidates=np.arange(10))
    assert items.max() < 10


def test_recommend_says_what_it_cannot_ask(X):
    for wrong, words in ((EASE, "got <class"), (None, "got None"), (MaxAbsScaler(), "no predict")):
        wrong = wrong.fit(X) if isinstance(wrong, MaxAbsScaler) else wrong
        with pytest.raises(TypeError, match=words):
            recommend(wrong, X)
    search = GridSearchCV(EASE(), {}, cv=2, refit=False).fit(X)
    with pytest.raises(ValueError, match="refit=False: fit the estimator with its best_params_"):
        recommend(search, X)
    for unfitted in (EASE(), GridSearchCV(EASE(), {}), make_pipeline(MaxAbsScaler(), EASE())):
        with pytest.raises(NotFittedError):
            recommend(unfitted, X)
    with pytest.raises(ValueError, match="nobody to recommend to"):
        recommend(Ridge().fit(X.toarray(), X.toarray()), X.toarray()[:0])


def test_recommend_says_what_it_cannot_rank(X):
    one = Ridge().fit(X, X.toarray()[:, 0])
    with pytest.raises(ValueError, match="one score per item"):
        recommend(one, X)


def test_a_pipeline_masks_what_was_seen_before_its_steps(X):
    class DropHalf(TfidfTransformer):
        def transform(self, X, copy=True):
            X = sp.csr_array(X, copy=True)
            X.data[::2] = 0
            return X

    pipeline = make_pipeline(DropHalf(), EASE()).fit(X)
    items, _ = recommend(pipeline, X, k=10)
    assert not X.toarray()[np.arange(60)[:, None], items].any()


def test_chunks_change_nothing(X):
    for model in (
        ItemKNN(5),
        UserKNN(5),
        EASE(),
        ALSRecommender(4, random_state=0),
        RandomRecommender(random_state=0),
    ):
        model.fit(X)
        scores, (items, _) = model.predict(X), model.recommend(X, k=5)
        with sklearn.config_context(working_memory=1e-3):
            np.testing.assert_allclose(model.predict(X), scores, rtol=1e-9)
            np.testing.assert_array_equal(model.recommend(X, k=5)[0], items)
    assert [list(range(s.start, s.stop)) for s in row_chunks(3, 2**40)] == [[0], [1], [2]]


def test_what_is_no_matrix_of_histories_is_refused_with_the_way_to_one(X):
    model = EASE().fit(X)
    # Before 1.15 scipy makes no row of one dimension.
    row = [X[0]] if parse_version(scipy.__version__) >= parse_version("1.15") else []
    for wrong in ([3, 5], X.toarray()[0], *row):
        with pytest.raises(ValueError, match=r"Expected 2D(.|\n)* X\[X.user_rows\(ids\)\]"):
            model.recommend(wrong, k=2)
    with pytest.raises(TypeError, match=r"those of ids are X.item_columns\(ids\)"):
        model.recommend(X, k=2, candidates=["tea", "mug"])
    events = {"a": [1, 2, 3], "b": [2, 2, 1], "rating": [5.0, 4.0, 3.0]}
    for user, item in (("user", "item"), ("UserID", "MovieID"), ("customer_no", "product")):
        log = pd.DataFrame(events).rename(columns={"a": user, "b": item})
        with pytest.raises(ValueError, match=r"a table of events, it seems.*from_frame"):
            EASE().fit(log)
    EASE().fit(pd.DataFrame({"item a": [1, 0], "item b": [1, 1], "user manual": [0, 1]}))


def test_a_mask_of_items_stands_for_their_columns(X):
    model, mask = EASE().fit(X), np.arange(40) % 3 == 0
    expected = model.recommend(X, k=3, candidates=np.flatnonzero(mask))[0]
    for candidates in (mask, pd.Series(mask), mask.tolist()):
        np.testing.assert_array_equal(model.recommend(X, k=3, candidates=candidates)[0], expected)
    assert (model.recommend(X, k=3, candidates=~mask & mask)[0] == -1).all()
    with pytest.raises(ValueError, match="a mask of 39 items, and X has 40 columns"):
        model.recommend(X, k=3, candidates=mask[1:])


def test_no_candidates_are_no_items(X):
    for candidates in ([], np.empty(0), sp.csr_array(X.shape, dtype=bool)):
        items, scores = EASE().fit(X).recommend(X, k=3, candidates=candidates)
        assert (items == -1).all()
        assert (scores == -np.inf).all()


def test_columns_that_are_other_items_than_at_fit_are_refused(X):
    ids = np.array([f"item {n}" for n in range(40)])
    held = Interactions(X, item_ids=ids)
    model = make_pipeline(BM25Transformer(), EASE()).fit(held)
    np.testing.assert_array_equal(model[-1].item_ids_, ids)
    expected = model.predict(held)
    for same in (X, held[:], Interactions(X, item_ids=ids.astype(object)), X.toarray()):
        np.testing.assert_array_equal(model.predict(same), expected)
    swapped = held[:, [1, 0, *range(2, 40)]]
    for call in (model.predict, model.score, lambda given: recommend(model, given, 3)):
        with pytest.raises(ValueError, match=r"column 0 is 'item 1', and was 'item 0' when EASE"):
            call(swapped)
    with pytest.raises(ValueError, match=r"39 features.*items=model\.item_ids_"):
        model[-1].predict(held[:, :39])
    assert not hasattr(model[-1].fit(X), "item_ids_")
    # A fit that fails leaves what was known.
    model[-1].fit(swapped)
    with pytest.raises(ValueError, match="no interaction"):
        model[-1].fit(held * 0)
    assert model[-1].item_ids_[0] == "item 1"
    # A column of a table may be called anything.
    named = pd.DataFrame(X.toarray(), columns=["item_ids", *map(str, range(39))])
    assert not hasattr(EASE().fit(named), "item_ids_")


def test_ties_break_by_the_lower_index():
    X = np.eye(4, 300, k=2)
    items, _ = PopularityRecommender().fit(X).recommend(X[:1] * 0, k=6)
    assert items.tolist() == [[2, 3, 4, 5, 0, 1]]


def test_items_without_evidence_come_in_popularity_order(X):
    model = ItemKNN(n_neighbors=2).fit(X)
    row = np.zeros((1, 40))
    row[0, 3] = 1
    scores = model.predict(row)[0]
    evidence = (row @ model.weights_)[0] != 0
    assert 0 < evidence.sum() < 39
    assert scores[~evidence].max() < scores[evidence].min()
    order = np.argsort(-scores[~evidence], kind="stable")
    popularity = model.item_popularity_[~evidence]
    np.testing.assert_array_equal(order, np.argsort(-popularity, kind="stable"))


def test_a_row_whose_only_item_nobody_bought_gets_popular_items(X):
    unbought = X.toarray()
    unbought[:, 7] = 0
    row = np.zeros((1, 40))
    row[0, 7] = 1
    for model in (ItemKNN(), UserKNN(), EASE(), ALSRecommender(4, random_state=0)):
        items, _ = model.fit(unbought).recommend(row, k=5)
        popular = np.argsort(-model.item_popularity_, kind="stable")
        np.testing.assert_array_equal(items[0], popular[popular != 7][:5], err_msg=str(model))


def test_predict_refuses_what_does_not_fit():
    model = PopularityRecommender().fit(sp.csr_array(([1.0], ([0], [1])), shape=(1, 5_000_000)))
    rows = sp.csr_array((5_000_000, 5_000_000))
    with pytest.raises(MemoryError, match=r"dense score matrix.*Use recommend"):
        model.predict(rows)
    with pytest.raises(MemoryError, match="weight matrix of 5000000 x 5000000 items"):
        EASE().fit(sp.csr_array(([1.0], ([0], [1])), shape=(1, 5_000_000)))


def test_a_fit_that_fails_half_way_changes_nothing(X):
    class Fragile(PopularityRecommender):
        def _fit(self, X):
            super()._fit(X)
            if X.shape[0] < 10:
                raise RuntimeError("half-way")

    model = Fragile().fit(X)
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match="half-way"):
        model.fit(X[:5, :7])
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_parameters_are_named_when_refused(X):
    with pytest.raises(ValueError, match="'n_neighbors' parameter of ItemKNN must be"):
        ItemKNN(n_neighbors=0).fit(X)
    with pytest.raises(TypeError, match="k must be an integer"):
        EASE().fit(X).recommend(X, k=2.5)


def test_targets_that_the_row_already_holds_do_not_count(X):
    model = EASE().fit(X)
    visible = X.toarray()
    visible[:, ::2] = 0
    visible = sp.csr_array(visible)
    hidden = sp.csr_array(X - visible)
    assert model.score(visible, X) == pytest.approx(model.score(visible, hidden))


def test_a_subclass_needs_two_methods(X):
    class Columns(BaseRecommender):
        def _fit(self, X):
            self.scores_ = np.arange(X.shape[1])

        def _score_rows(self, X):
            return np.tile(self.scores_.astype(X.dtype), (X.shape[0], 1))

    assert (
        Columns()
        .fit(X)
        .recommend(X[:1] * 0 + sp.csr_array(([1.0], ([0], [39])), shape=(1, 40)), k=1)[0]
        == 38
    )
    with pytest.raises(TypeError, match="abstract"):
        BaseRecommender()


def test_an_estimator_without_its_extra_says_so_at_fit(X, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    times = sp.csr_array(X * np.arange(1, 41))
    with pytest.raises(ImportError, match=r"torch is needed here.*sklearn-llmrec\[deep\]"):
        SASRec().fit(times)


@pytest.mark.parametrize("through", [lambda m: m.recommend, lambda m: partial(recommend, m)])
def test_seen_items_can_be_given_apart_from_the_history(through):
    rng = np.random.default_rng(0)
    X = (rng.random((30, 12)) < 0.4).astype(float)
    seen = (rng.random((30, 12)) < 0.3).astype(float)
    model = ItemKNN().fit(X)
    scores = model.predict(X)
    items, values = through(model)(X, 3, seen=sp.csr_array(seen))
    for row in range(30):
        allowed = np.where(seen[row] == 0, scores[row], -np.inf)
        best = np.argsort(-allowed, kind="stable")[:3]
        np.testing.assert_allclose(values[row], allowed[best])
        assert not seen[row, items[row]].any()


def test_seen_items_of_another_shape_or_beside_all_items_are_refused():
    X = np.eye(4)[:, :3] + np.eye(4, 3, 1)
    model = ItemKNN().fit(X)
    with pytest.raises(ValueError, match="one row per row of X"):
        model.recommend(X[:2], 1, seen=X)
    with pytest.raises(ValueError, match="exclude_seen=False"):
        model.recommend(X, 1, seen=X, exclude_seen=False)


def test_what_is_known_may_be_read_only():
    class Half(BaseRecommender):
        """Know the first half of the catalogue."""

        def _fit(self, X):
            self.known_ = np.arange(X.shape[1]) < X.shape[1] // 2

        def _score_rows(self, X):
            values = np.tile(np.arange(X.shape[1], dtype=X.dtype), (X.shape[0], 1))
            return Scores(values, np.broadcast_to(self.known_, X.shape))

    X = np.eye(4)[:, [0, 1, 2, 3, 0, 1]]
    X[3] = 0
    model = Half().fit(X)
    scores = model.predict(X)
    np.testing.assert_array_equal(scores[0], np.arange(6))
    np.testing.assert_array_equal(scores[3], model.item_popularity_)
    assert model.known_.sum() == 3
