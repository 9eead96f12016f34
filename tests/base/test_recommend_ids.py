"""`recommend_ids` and `show`: what `recommend` says about the same rows, with the caller's ids and titles."""

from html.parser import HTMLParser
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    ALSRecommender,
    BM25Transformer,
    Interactions,
    ItemKNN,
    MarkovRecommender,
    MMRReranker,
    PopularityRecommender,
    RecencyDecayTransformer,
    SequenceKNN,
    UserKNN,
    VotingRecommender,
    recommend,
    recommend_ids,
    show,
)
from sklearn_llmrec.model_selection import compare, holdout_split

MODELS = {
    "ItemKNN": ItemKNN(),
    "EASE": EASE(5.0),
    "UserKNN": UserKNN(6),
    "ALS": ALSRecommender(4, regularization=1.0, random_state=0),
    "SequenceKNN": SequenceKNN(order="values"),
    "vote": VotingRecommender([("a", EASE(5.0)), ("b", ItemKNN())]),
    "reranker": MMRReranker(EASE(5.0), n_candidates=8),
    "Pipeline": make_pipeline(BM25Transformer(), ItemKNN()),
    "search": GridSearchCV(ItemKNN(), {"n_neighbors": [3]}, cv=2),
    "search of Pipelines": GridSearchCV(
        make_pipeline(BM25Transformer(), EASE()), {"ease__regularization": [5.0]}, cv=2
    ),
}
N_ITEMS = 18
TITLES = [f"title of {j}" for j in range(N_ITEMS)]


def catalogue(ids):
    return pd.DataFrame({"item": ids, "title": TITLES, "price": np.arange(N_ITEMS) + 0.5})


def matrix(seed=3, n_users=30):
    rng = np.random.default_rng(seed)
    dense = rng.permuted(np.tile(np.arange(1, N_ITEMS + 1), (n_users, 1)), axis=1)
    dense = dense * (rng.random((n_users, N_ITEMS)) < 0.4)
    ids = np.array([f"sku {j}" for j in range(N_ITEMS)])
    users = [f"user {row}" for row in range(n_users)]
    X = Interactions(dense.astype(float), item_ids=ids, user_ids=users)
    X.item_features = catalogue(ids)
    return X


def lists_of(X):
    rows = np.split(X.indices, X.indptr[1:-1])
    return {user: X.item_ids[row].tolist() for user, row in zip(X.user_ids.tolist(), rows)}


def as_lists(frame, users, column="item"):
    return [frame[column][frame["user"] == user].tolist() for user in users]


@pytest.mark.parametrize("name", MODELS)
def test_lists_of_ids_are_rows(name):
    X = matrix()
    model = MODELS[name].fit(X)
    histories = {**lists_of(X[:6]), "nobody": [], "stranger": ["no item", "another"]}
    frame = recommend_ids(model, histories, k=4, item_columns=["title", "price"], item_features=X)
    assert list(frame.columns) == ["user", "item", "rank", "score", "title", "price"]
    rows = Interactions.from_lists(histories, items=X.item_ids)
    found, scores = recommend(model, rows, k=4, ids=True)
    assert as_lists(frame, histories) == [[x for x in one if x] for one in found.tolist()]
    expected = [one[keep] for one, keep in zip(scores, found != None)]  # noqa: E711
    for one, other in zip(as_lists(frame, histories, "score"), expected):
        np.testing.assert_array_equal(one, other)
    assert frame["rank"].groupby(frame["user"]).apply(list).map(lambda r: r == sorted(r)).all()
    title = dict(zip(X.item_ids, TITLES))
    assert frame["title"].tolist() == [title[item] for item in frame["item"]]
    assert frame["price"].tolist() == [TITLES.index(one) + 0.5 for one in frame["title"]]
    cold = as_lists(frame, ["nobody", "stranger"])
    assert cold[0] == cold[1]


def test_who_is_unknown_gets_the_most_popular():
    X = matrix()
    popular = X.item_ids[np.argsort(-(X.toarray() > 0).sum(axis=0), kind="stable")[:5]].tolist()
    for model in (EASE(5.0), ItemKNN(), UserKNN(5), SequenceKNN(order="values")):
        frame = recommend_ids(model.fit(X), [[], ["unknown"]], k=5)
        assert as_lists(frame, [0, 1]) == [popular, popular]


def test_columns_of_a_matrix_are_matched_by_id():
    X, model = matrix(), EASE(5.0).fit(matrix())
    expected = recommend_ids(model, X[:5], k=4, item_columns="title")
    extra = Interactions(np.zeros((1, 2)), item_ids=["new 1", "new 2"], user_ids=["x"])
    other = Interactions.concat([X[:5, ::-1], extra])[:5]
    other.item_features = None
    assert other.shape[1] == N_ITEMS + 2
    got = recommend_ids(model, other, k=4, item_columns="title", item_features=X[:, ::-1])
    pd.testing.assert_frame_equal(got, expected)
    some = X[:5, X.item_columns([f"sku {j}" for j in range(9)])]
    dense = X[:5].toarray()
    dense[:, 9:] = 0
    found, _ = model.recommend(dense, k=4)
    assert as_lists(recommend_ids(model, some, k=4), X.user_ids[:5]) == X.item_ids[found].tolist()
    unnamed = Interactions(X[:5].toarray())
    assert recommend_ids(model, unnamed, k=4)["item"].tolist() == expected["item"].tolist()


@pytest.mark.parametrize("model", [SequenceKNN(), MarkovRecommender()], ids=repr)
def test_the_order_of_a_list_is_the_order_of_events(model):
    rng = np.random.default_rng(0)
    chains = [[(start + step) % 8 for step in range(5)] for start in rng.integers(0, 8, 60)]
    model.fit(Interactions.from_lists(chains))
    frame = recommend_ids(model, {"to 6": [2, 6], "to 2": [6, 2]}, k=1)
    assert dict(zip(frame["user"], frame["item"])) == {"to 6": 7, "to 2": 3}


def test_a_list_has_no_dates_to_measure_ages_by():
    X = matrix()
    X.timestamps = np.arange(X.nnz) + 10**9
    model = make_pipeline(RecencyDecayTransformer(half_life=100), ItemKNN()).fit(X)
    with pytest.raises(ValueError, match="timestamps"):
        recommend_ids(model, [["sku 1"]])
    frame = recommend_ids(model, [["sku 1"]], timestamps=[[10**9]], k=3)
    row = Interactions(X[:1] * 0, item_ids=X.item_ids)
    row = Interactions.from_lists([["sku 1"]], items=X, timestamps=[[10**9]])
    assert frame["item"].tolist() == recommend(model, row, k=3, ids=True)[0][0].tolist()


@pytest.mark.parametrize("fitted_with_ids", [True, False])
def test_a_bundle_brings_ids_and_titles(fitted_with_ids):
    X = matrix()
    model = ItemKNN().fit(X if fitted_with_ids else sp.csr_array(X.toarray()))
    bundle = SimpleNamespace(
        estimator=model, item_ids=X.item_ids, item_features=catalogue(X.item_ids)
    )
    asked = {"k": 3, "item_columns": "title"}
    expected = recommend_ids(ItemKNN().fit(X), lists_of(X[:3]), **asked, item_features=X)
    pd.testing.assert_frame_equal(recommend_ids(bundle, lists_of(X[:3]), **asked), expected)
    expected = recommend_ids(bundle, X[:3], **asked)
    shown = show({"bundle": bundle}, X, ["user 2"], k=3)
    assert shown.lists["bundle"][0] == expected["title"][expected["user"] == "user 2"].tolist()


def test_any_estimator_that_scores_items():
    X = matrix()
    ridge = Ridge(100.0).fit(X.toarray(), X.toarray())
    frame = recommend_ids(ridge, lists_of(X[:2]), k=3, items=X.item_ids)
    rows = Interactions.from_lists(lists_of(X[:2]), items=X.item_ids)
    rows.timestamps = None
    found, _ = recommend(ridge, rows, k=3)
    assert as_lists(frame, X.user_ids[:2]) == X.item_ids[found].tolist()


def test_candidates_seen_items_and_libraries():
    X = matrix()
    model = EASE(5.0).fit(X)
    history = lists_of(X[:1])["user 0"]
    some = [*history[:2], "sku 1"]
    frame = recommend_ids(model, [history], k=4, candidates=some, exclude_seen=False)
    assert set(frame["item"]) == set(some)
    assert recommend_ids(model, [history], k=4, candidates=history)["item"].tolist() == []
    assert type(recommend_ids(model, [[]], library="polars")).__module__.startswith("polars")
    nobody = recommend_ids(model, [], item_columns="title", item_features=X)
    assert (len(nobody), list(nobody.columns)[-1]) == (0, "title")


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda m, X: recommend_ids(m, ["sku 1"]), TypeError, r"number 0 is 'sku 1'.*\[\[\.\.\.\]\]"),
        (lambda m, X: recommend_ids(m, X.toarray()), TypeError, "matrix of shape.*Interactions"),
        (lambda m, X: recommend_ids(m, sp.csr_matrix(X)), TypeError, "matrix of shape"),
        (lambda m, X: recommend_ids(m, [[1]]), ValueError, "two kinds"),
        (lambda m, X: recommend_ids(m, [["sku 1"]], k=99), ValueError, "k=99"),
        (lambda m, X: recommend_ids(m, [["sku 1"]], item_columns="title"), ValueError, "pass item_features"),
        (lambda m, X: recommend_ids(m, X, item_columns="name"), ValueError, "'name'"),
        (lambda m, X: recommend_ids(m, X, item_columns="title", item_features=np.eye(3)), ValueError, "3 rows and"),
        (lambda m, X: recommend_ids(m, X, timestamps=[[1]]), ValueError, "has its own"),
        (lambda m, X: recommend_ids(m, Interactions(np.ones((1, 3)))), ValueError, "3 columns without item_ids"),
        (lambda m, X: recommend_ids(EASE, [[]]), TypeError, "fitted recommender"),
        (lambda m, X: recommend_ids(m, [[]], items=["a"]), ValueError, "1 ids and EASE was fitted on 18"),
        (lambda m, X: recommend_ids(EASE().fit(X.toarray()), [[]]), ValueError, "without item ids"),
        (lambda m, X: recommend_ids(m, [[]], candidates=["x"]), ValueError, "no item ids of the fit"),
        (lambda m, X: show(m, X, ["nobody"]), ValueError, "nobody"),
        (lambda m, X: show(m, X.toarray(), [99]), ValueError, "row numbers from 0 to 29"),
        (lambda m, X: show([], X), ValueError, "at least one"),
        (lambda m, X: show(m, X, item_columns="name"), ValueError, "'name'"),
    ],
)  # fmt: skip
def test_misuse_is_refused_by_name(ask, error, words):
    X = matrix()
    with pytest.raises(error, match=words):
        ask(EASE(5.0).fit(X), X)


class _Cells(HTMLParser):
    """The texts of table cells, row by row; unbalanced tags raise."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_models_are_shown_beside_the_history():
    X = matrix()
    X.timestamps = np.random.default_rng(0).permutation(X.nnz)
    models = {
        "EASE": EASE(5.0).fit(X),
        "pipe": make_pipeline(BM25Transformer(), ItemKNN()).fit(X),
        "search": GridSearchCV(ItemKNN(), {"n_neighbors": [3]}, cv=2).fit(X),
        "other": PopularityRecommender().fit(X[:, ::-1][:, :12]),
    }
    shown = show(models, X, ["user 4", "user 0"], k=3, n_history=2)
    title = dict(zip(X.item_ids, TITLES))
    for name, model in models.items():
        rows = X[X.user_rows(["user 4", "user 0"])]
        found = recommend_ids(model, rows, k=3)
        expected = [[title[x] for x in one] for one in as_lists(found, ["user 4", "user 0"])]
        assert shown.lists[name] == expected
    for row, latest, n_had in zip((4, 0), shown.histories, shown.n_had):
        items = X[[row]].indices[X[[row]].event_order()][::-1]
        assert latest == [TITLES[item] for item in items[:2]]
        assert n_had == len(items)
    frame = shown.to_frame()
    assert frame["EASE"].tolist() == list(chain.from_iterable(shown.lists["EASE"]))
    assert frame["rank"].tolist() == [1, 2, 3] * 2
    text = repr(shown)
    assert text.count("\n\n") == 1
    assert all(title in text for titles in shown.lists["pipe"] for title in titles)
    rows = _Cells(shown._repr_html_()).rows
    assert rows[0][1:] == list(models)
    assert [row[1] for row in rows if not row[0].startswith("had")] == frame["EASE"].tolist()


def test_texts_cannot_break_the_page():
    X = Interactions(np.eye(3), user_ids=["<b>", "&", "c"], item_ids=["<script>", "b", "c"])
    model = PopularityRecommender().fit(X)
    for page in (show({"<i>": model}, X, k=2)._repr_html_(), X._repr_html_()):
        cells = [cell for row in _Cells(page).rows for cell in row]
        assert any("<script>" in cell for cell in cells)
        assert "<script>" not in page


def test_titles_that_are_missing_are_ids():
    X = matrix()
    X.item_features = X.item_features.assign(title=[None, *TITLES[1:]])
    shown = show(
        EASE(5.0).fit(X), X, item_columns=["title", "price"], k=N_ITEMS, exclude_seen=False
    )
    first = shown.lists["EASE"][0]
    assert "0.5" in first  # only the price of item 0 is known
    assert "title of 1, 1.5" in first
    assert "sku 0" in show(EASE(5.0).fit(X), X, k=N_ITEMS, exclude_seen=False).lists["EASE"][0]


def test_a_matrix_and_a_comparison_have_a_page():
    X = matrix()
    X.timestamps = np.full(X.nnz, 1_700_000_000)
    rows = _Cells(X._repr_html_()).rows
    facts = dict(row for row in rows if len(row) == 2)
    assert facts["users"] == "30"
    assert "2023-11-14 22:13:20 UTC" in facts["times"]
    assert facts["item_features"] == "item, title, price"
    assert facts["user 0"].startswith(f"{X.item_ids[X.indices[0]]}: {X.data[0]:g}, ")
    assert facts["..."] == "25 more users"
    X.timestamps = None  # equal times are one basket, which no split divides
    visible, hidden = holdout_split(X, random_state=0)
    metrics = ["ndcg@10", "item_coverage@10"]
    result = compare([EASE(5.0), PopularityRecommender()], visible, hidden, metrics=metrics)
    rows = _Cells(result._repr_html_()).rows
    heads = [row for row in rows if row[0] == "model"]
    assert len(heads) == 3
    assert "p" in heads[0]
    for metric, row in (("ndcg@10", rows[1]), ("item_coverage@10", rows[4])):
        assert row[:2] == [result.names[0], f"{result[metric][result.names[0]]:.4f}"]
