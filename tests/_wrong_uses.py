"""Uses that are wrong, or look wrong, as newcomers write them, on the log of a small shop.

`REFUSED` holds a use with the error, and words of its cause and of its remedy; `FINE` a use that is right after all, with a
check of its result; `BY_OTHERS` a use that scikit-learn, scipy or Python refuses first, with the words of `docs/errors.md`.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_llmrec
from sklearn_llmrec import (
    EASE,
    ALSRecommender,
    BiasedMF,
    BM25Transformer,
    BPRRecommender,
    Interactions,
    ItemKNN,
    PureSVD,
    SASRec,
    SentenceEncoder,
    SequenceKNN,
    TextEmbeddingRecommender,
    UserKNN,
    VotingRecommender,
    recommend,
    recommend_ids,
    refit_on,
)
from sklearn_llmrec.datasets import fetch_movielens
from sklearn_llmrec.metrics import ndcg_at_k, ranking_metrics, ranking_scorer
from sklearn_llmrec.model_selection import SameRows, compare, holdout_split, time_split

N_USERS, N_ITEMS = 60, 24
WORDS = ["red", "blue", "tea", "cake", "garden", "party", "wall", "desk", "kitchen", "travel"]


# Tables of uses read best with one use in a line.
# ruff: noqa: E501
# fmt: off


def _shop():
    """A log of 60 customers (ids 1001 to 1060), 24 products (ids 500 to 523), stars and days."""
    rng = np.random.default_rng(7)
    n = 900
    log = pd.DataFrame({
        "user": 1001 + np.concatenate([np.arange(N_USERS), rng.integers(0, N_USERS, n - N_USERS)]),
        "item": 500 + np.concatenate([np.arange(n - 600) % N_ITEMS, rng.integers(0, N_ITEMS, 600)]),
        "stars": rng.integers(1, 6, n).astype(float),
        "day": pd.Timestamp("2023-05-01") + pd.to_timedelta(rng.permutation(n), unit="h"),
    })
    X = Interactions.from_frame(log, user="user", item="item", timestamp="day", repeats="count")
    R = Interactions.from_frame(log, user="user", item="item", value="stars", repeats="last")
    visible, hidden = holdout_split(X, random_state=0)
    products = pd.DataFrame({
        "item": 500 + np.arange(N_ITEMS),
        "title": [f"{WORDS[j % 10]} {WORDS[j // 3]} no {j}" for j in range(N_ITEMS)],
    })
    return SimpleNamespace(
        log=log, X=X, R=R, visible=visible, hidden=hidden, products=products,
        plain=sp.csr_array((X.data, X.indices, X.indptr), shape=X.shape),
        pivot=log.pivot_table(index="user", columns="item", values="stars"),
        model=ItemKNN().fit(X), texts=products["title"].tolist(),
    )


S = _shop()


def frame(**changes):
    """Build the matrix of the log with some columns changed."""
    return from_log(S.log.assign(**changes))


def from_log(log, **options):
    return Interactions.from_frame(log, **{"user": "user", "item": "item", **options})


def described(**options):
    return from_log(S.log, item_features=S.products, **options)


def two(**options):
    return VotingRecommender([("a", EASE()), ("b", ItemKNN())], **options)


# name: (use, error, words of the cause, words of the remedy)
REFUSED = {
    # -- X that is no matrix ---------------------------------------------------------------------------------------
    "transposed matrix": (lambda: S.model.recommend(S.plain.T), ValueError, "24 features", r"pass X\.T"),
    "transposed interactions": (lambda: S.model.predict(S.X.T), ValueError, "transposed", r"X\.T"),
    "log with dates": (lambda: ItemKNN().fit(S.log), TypeError, "'day' of X contains dates", "from_frame"),
    "polars log with dates": (lambda: EASE().fit(pl.from_pandas(S.log)), TypeError, "dates", "from_frame"),
    "log of numbers": (lambda: ItemKNN().fit(S.log[["user", "item", "stars"]]), ValueError, "table of events", "from_frame"),
    "polars log": (lambda: EASE().fit(pl.from_pandas(S.log[["user", "item"]])), ValueError, "table of events", "from_frame"),
    "lazy log": (lambda: EASE().fit(pl.from_pandas(S.log).lazy()), TypeError, "lazy", "collect it"),
    "dates in a transformer": (lambda: BM25Transformer().fit(S.log), TypeError, "dates", "from_frame"),
    "log to Interactions": (lambda: Interactions(S.log[["user", "item"]]), TypeError, "columns", "from_frame"),
    "path to fit": (lambda: ItemKNN().fit("shop.csv"), TypeError, "'shop.csv'", "read_csv"),
    "list of tuples": (lambda: ItemKNN().fit([("ann", "tea", 3.0)]), ValueError, "'ann'", "from_frame"),
    "list of dicts to fit": (lambda: ItemKNN().fit([{"user": 1}]), TypeError, "dict", "from_frame"),
    "triples as a matrix": (lambda: ItemKNN().fit(S.log[["user", "item", "stars"]].drop_duplicates(["user", "item"]).to_numpy()), ValueError, "triples", "from_frame"),
    "log with repeats as a matrix": (lambda: ItemKNN().fit(S.log[["user", "item", "stars"]].to_numpy()), ValueError, "triples", "from_frame"),
    "lists of ids": (lambda: ItemKNN().fit([[500, 501], [502]]), ValueError, "inhomogeneous", "from_frame"),
    "pivot with NaN": (lambda: ItemKNN().fit(S.pivot), ValueError, "NaN", r"fillna\(0\)"),
    "pivot with NaN to Interactions": (lambda: Interactions(S.pivot), ValueError, "NaN", r"fillna\(0\)"),
    "pivot with NaN to a transformer": (lambda: BM25Transformer().fit(S.pivot), ValueError, "NaN", r"fillna\(0\)"),
    "NaN in an array": (lambda: EASE().fit(np.array([[1, np.nan], [0, 1]])), ValueError, "NaN", r"fillna\(0\)"),
    "infinity in an array": (lambda: EASE().fit(np.array([[1, np.inf], [0, 1]])), ValueError, "infinity", "Drop or clip"),
    "texts in an array": (lambda: EASE().fit(np.array([["a", "b"]])), ValueError, "string to float", "numeric .* matrix"),
    "dates in an array": (lambda: EASE().fit(np.array([["2024-01-01"] * 2], dtype="datetime64[s]")), TypeError, "dates", "from_frame"),
    "no interaction": (lambda: EASE().fit(sp.csr_array((5, 4))), ValueError, r"\(5, 4\)", "nothing to learn"),
    "one column": (lambda: EASE().fit(S.log[["item"]]), ValueError, "one column", "from_frame"),
    "log and ratings as X, y": (lambda: ItemKNN().fit(S.log[["user", "item"]], S.log["stars"]), ValueError, "table of events", "from_frame"),
    "negative ratings": (lambda: ALSRecommender().fit(-S.plain), ValueError, "Negative values", "Drop or clip"),
    "negative ratings to BPR": (lambda: BPRRecommender().fit(-S.plain), ValueError, "Negative values", "Drop or clip"),
    "features of another fit": (lambda: S.model.predict(from_log(S.log[S.log.item < 510])), ValueError, "10 features", "items=model.item_ids_"),
    "items of another fit": (lambda: S.model.predict(frame(item=S.log.item + 9)), ValueError, "other item ids", "items=model.item_ids_"),
    # -- who asks for what -------------------------------------------------------------------------------------------
    "k above the items": (lambda: S.model.recommend(S.X, k=99), ValueError, "k=99", "between 1 and .* 24"),
    "k of zero": (lambda: S.model.recommend(S.X, k=0), ValueError, "k=0", "between 1"),
    "k as a float": (lambda: S.model.recommend(S.X, k=5.0), TypeError, r"5\.0 of type float", "integer"),
    "k as a text": (lambda: S.model.similar_items(3, k="5"), TypeError, "'5' of type str", "integer"),
    "user id alone": (lambda: S.model.recommend(1007), ValueError, "Expected 2D", "user_rows"),
    "user id and row": (lambda: S.model.recommend(7, S.X[[7]]), ValueError, "Expected 2D", "user_rows"),
    "list of item ids": (lambda: S.model.recommend([500, 503]), ValueError, "Expected 2D", "item ids is no row.*from_frame"),
    "lists of item ids": (lambda: S.model.recommend([[500, 503, 507]]), ValueError, "3 features", "item ids is no row.*from_frame"),
    "ragged lists of item ids": (lambda: S.model.recommend([[500], [503, 507]]), ValueError, "inhomogeneous", "item ids is no row"),
    "texts as a row": (lambda: S.model.recommend([["tea", "jam"]]), ValueError, "string to float", "item ids is no row"),
    "user name as X": (lambda: S.model.recommend("ann"), TypeError, "'ann'", "from_frame"),
    "row of one dimension": (lambda: S.model.recommend(S.plain.toarray()[0]), ValueError, "Expected 2D", r"X\[\[row\]\]"),
    "N": (lambda: S.model.recommend(S.X, N=5), TypeError, "'N'", "called 'k'"),
    "N of the function": (lambda: recommend(S.model, S.X, N=5), TypeError, "'N'", "called 'k'"),
    "filter_already_liked_items": (lambda: S.model.recommend(S.X, filter_already_liked_items=False), TypeError, "filter_already", "'exclude_seen'"),
    "userid and user_items": (lambda: S.model.recommend(userid=3, user_items=S.X[[3]]), TypeError, "'userid'", "user_rows"),
    "misspelt argument": (lambda: S.model.recommend(S.X, exclude_sen=True), TypeError, "exclude_sen", "'exclude_seen'"),
    "exclude_seen by position": (lambda: S.model.recommend(S.X, 5, False), TypeError, "too many positional", "exclude_seen=..."),
    "pair of a prediction": (lambda: S.model.predict(1007, 505), TypeError, "too many positional", r"predict\(X\)\[row, column\]"),
    "factors": (lambda: ALSRecommender(factors=16), TypeError, "'factors'", "'n_components'"),
    "iterations": (lambda: ALSRecommender(16, iterations=5), TypeError, "'iterations'", "'max_iter'"),
    "k of a constructor": (lambda: ItemKNN(k=20), TypeError, "'k'", "'n_neighbors'"),
    "constructor by position": (lambda: ItemKNN(20, "cosine"), TypeError, "too many positional", "metric=..."),
    "no members": (lambda: VotingRecommender(), TypeError, "missing .* 'estimators'", "parameters are: estimators"),
    "candidates as text columns": (lambda: S.model.recommend(S.X, candidates=["500"]), TypeError, "dtype <U3", "ids=True|item_columns"),
    "candidates out of range": (lambda: S.model.recommend(S.X, candidates=[500]), ValueError, "column 500", "ids=True"),
    "candidates of an unknown id": (lambda: S.model.recommend(S.X, candidates=[500, 999], ids=True), ValueError, "999", "Leave unknown ids out"),
    "candidates as text ids": (lambda: S.model.recommend(S.X, candidates=["500"], ids=True), (ValueError, TypeError), "500", "types|texts"),
    "candidates as a short mask": (lambda: S.model.recommend(S.X, candidates=np.ones(9, bool)), ValueError, "mask of 9", "24 columns"),
    "a mask in the place of ids": (lambda: S.model.recommend(S.X, candidates=np.ones(24, bool), ids=True), TypeError, "booleans", r"item_ids_\[mask\]"),
    "candidates of another shape": (lambda: S.model.recommend(S.X, candidates=sp.eye_array(24, dtype=bool)), ValueError, r"\(24, 24\)", "must be equal"),
    "ids without ids": (lambda: ItemKNN().fit(S.plain).recommend(S.plain, ids=True), ValueError, "without", "item_ids"),
    "similar to an id": (lambda: S.model.similar_items(505), ValueError, "505", "ids=True"),
    "similar to a title": (lambda: S.model.similar_items("tea"), TypeError, "dtype <U3", "ids=True"),
    "similar to an unknown id": (lambda: S.model.similar_items([505, 3], ids=True), ValueError, r"\[3\]", "Leave unknown ids out"),
    "explain an id": (lambda: S.model.explain(S.X[:1], [505]), ValueError, "505", "ids=True"),
    "explain a text": (lambda: S.model.explain(S.X[:1], ["tea"]), TypeError, "dtype <U3", "ids=True"),
    "explain an unknown id": (lambda: S.model.explain(S.X[:1], [3], ids=True), ValueError, r"\[3\]", "Leave unknown ids out"),
    "explain too few": (lambda: S.model.explain(S.X[:2], [3]), ValueError, r"\(1,\) and 2 rows", "one item per row"),
    "ids of texts in user_rows": (lambda: S.X.user_rows(["1001"]), (ValueError, TypeError), "1001", r"1002|numbers"),
    "unknown user id": (lambda: S.X.user_rows([7]), ValueError, r"\[7\]", "such as"),
    "not fitted": (lambda: ItemKNN().recommend(S.X), NotFittedError, "not fitted", "Call 'fit'"),
    "score not fitted": (lambda: ItemKNN().score(S.X), NotFittedError, "not fitted", "Call 'fit'"),
    "a class": (lambda: recommend(ItemKNN, S.X), TypeError, "class", "fitted recommender"),
    "lists of other rows": (lambda: S.X.to_frame(S.model.recommend(S.X[:2], k=2)[0]), ValueError, "2 rows and the matrix 60", r"X\[rows\]"),
    "titles that X has not": (lambda: S.X[:2].to_frame(S.model.recommend(S.X[:2], k=2)[0], item_columns="title"), ValueError, "carries none", "item_features"),
    "new items without ids to partial_fit": (lambda: ItemKNN().fit(S.X).partial_fit(np.ones((1, 30))), ValueError, "30 features", "items of the fit"),
    "text ids to partial_fit": (lambda: ItemKNN().fit(S.X).partial_fit(Interactions(np.ones((1, 2)), item_ids=["a", "b"])), ValueError, "two kinds", "convert"),
    "plain matrices to refit_on": (lambda: refit_on(S.model, S.plain, S.plain), TypeError, "csr_array", r"Interactions\(M"),
    "a search that was not fitted to refit_on": (lambda: refit_on(GridSearchCV(ItemKNN(), {}), S.X, S.X), ValueError, "no best_estimator_", "fit it"),
    "list of ids to recommend_ids": (lambda: recommend_ids(S.model, [500, 503]), TypeError, "number 0 is 500", r"\[\[\.\.\.\]\]"),
    "matrix to recommend_ids": (lambda: recommend_ids(S.model, S.plain), TypeError, "matrix of shape", r"Interactions\(X, item_ids"),
    "text ids to recommend_ids": (lambda: recommend_ids(S.model, [["500"]]), ValueError, "two kinds", "convert"),
    "titles that nobody knows": (lambda: recommend_ids(S.model, [[500]], item_columns="title"), ValueError, "no table of items", "item_features"),
    "lists for a model without ids": (lambda: Interactions.from_lists([[500]], items=ItemKNN().fit(S.plain)), ValueError, "without item ids", "pass the ids"),
    "matrices without ids to concat": (lambda: Interactions.concat([S.X, Interactions(S.plain)]), ValueError, "no user_ids", "from_frame"),
    "plain matrices to concat": (lambda: Interactions.concat([S.plain, S.plain]), TypeError, "csr_array", r"Interactions\(M"),
    "more columns to partial_fit": (lambda: ItemKNN().fit(S.plain).partial_fit(np.ones((1, 30))), ValueError, "30 features", "items of the fit"),
    # -- the log -----------------------------------------------------------------------------------------------------
    "column that is not there": (lambda: from_log(S.log, user="customer"), ValueError, r"\['customer'\]", "it has .*'user'"),
    "path as a log": (lambda: from_log("shop.csv"), TypeError, "got str", "read_csv"),
    "records as a log": (lambda: from_log(S.log.to_dict("records")), TypeError, "got list", r"pandas\.DataFrame"),
    "dict as a log": (lambda: from_log({"user": [1], "item": [2]}), TypeError, "got dict", r"pandas\.DataFrame"),
    "record array as a log": (lambda: from_log(S.log.to_records()), TypeError, "got recarray", r"pandas\.DataFrame"),
    "matrix as a log": (lambda: from_log(S.plain), TypeError, "got csr_array", r"Interactions\(matrix\)"),
    "lazy frame as a log": (lambda: from_log(pl.from_pandas(S.log).lazy()), TypeError, "lazy", "collect"),
    "dates as texts": (lambda: from_log(S.log.assign(day="2024-01-01"), timestamp="day"), TypeError, "'day' has type", "to_datetime"),
    "values as texts": (lambda: from_log(S.log.assign(stars="5"), value="stars"), TypeError, "'stars' has type", "to_numeric"),
    "repeats of an unknown kind": (lambda: from_log(S.log, repeats="first"), ValueError, "'first'", "'mean'.*'last'"),
    "basket of unknown ids": (lambda: from_log(pd.DataFrame({"user": [1], "item": [7]}), items=S.model.item_ids_), ValueError, r"\[7\]", "convert"),
    "features with another id column": (lambda: from_log(S.log, item_features=S.products.rename(columns={"item": "sku"})), ValueError, "no column 'item'", "it has .*sku"),
    "features with text ids": (lambda: from_log(S.log, item_features=S.products.assign(item=S.products.item.astype(str))), ValueError, "two kinds|texts", "numbers"),
    "features with ids twice": (lambda: from_log(S.log, item_features=pd.concat([S.products] * 2)), ValueError, "ids twice", "one row per id"),
    # -- models ------------------------------------------------------------------------------------------------------
    "too few texts": (lambda: TextEmbeddingRecommender(["a", "b"]).fit(S.X), ValueError, "2 entries", "one text per item"),
    "template of no column": (lambda: TextEmbeddingRecommender("{name}").fit(described()), ValueError, r"\['name'\]", r"\['item', 'title'\]"),
    "SASRec on equal values": (lambda: SASRec(max_iter=1).fit((S.plain > 0).astype(float)), ValueError, "no order", "timestamp="),
    "members without names": (lambda: VotingRecommender([EASE()]).fit(S.X), ValueError, r"\[EASE\(\)\]", r"\(name, estimator\)"),
    "too few weights": (lambda: two(weights=[1]).fit(S.X), ValueError, r"shape \(1,\)", "one number per member"),
    "weights by another word": (lambda: two(weights="learned").fit(S.X), ValueError, "'learned'", "'learn'"),
    "parameter of another type": (lambda: ItemKNN("20").fit(S.X), ValueError, "'20'", "int in the range"),
    "metric that is not there": (lambda: UserKNN(metric="euclidean").fit(S.X), ValueError, "'euclidean'", "cosine"),
    "encoder that is not there": (lambda: TextEmbeddingRecommender(S.texts, encoder=SentenceEncoder("no/model")).fit(S.X), OSError, "no/model", "folder"),
    # -- measuring ---------------------------------------------------------------------------------------------------
    "targets of other rows": (lambda: S.model.score(S.visible, S.hidden[:9]), ValueError, r"\(9, 24\)", "holdout_split"),
    "targets and lists swapped": (lambda: ndcg_at_k(S.model.recommend(S.X, 5)[0], S.hidden), TypeError, "y_pred is sparse", "targets come first"),
    "matrix as lists": (lambda: ndcg_at_k(S.hidden, S.visible), TypeError, "y_pred is sparse", "one list per row"),
    "same rows without y": (lambda: GridSearchCV(ItemKNN(), {"n_neighbors": [5]}, cv=SameRows()).fit(S.X), ValueError, "y is None", r"holdout_split\(X\)"),
    "ratings as an order": (lambda: SequenceKNN().fit(S.R), ValueError, "X carries no order", "timestamps"),
    "metric without a cut-off": (lambda: ranking_scorer("ndcg"), ValueError, "needs a cut-off", "'ndcg@10'"),
    "metric in capitals": (lambda: ranking_scorer("NDCG@10"), ValueError, "'NDCG@10'", "Did you mean 'ndcg@10'"),
    "metric with a slip": (lambda: ranking_metrics(S.hidden, S.model.recommend(S.X, 5)[0], metrics="recal@5"), ValueError, "'recal@5'", "Did you mean 'recall@5'"),
    "cut-off of zero": (lambda: ranking_scorer("precision@0"), ValueError, "positive integer", "'precision@10'"),
    "cut after the end": (lambda: time_split(S.X, cut="2033-01-01"), ValueError, "one side of the cut is empty", "Dates are unix seconds"),
    "twenty as a share": (lambda: time_split(S.X, test_size=20), ValueError, "got 20", "between 0 and 1"),
    "split in time without times": (lambda: time_split(S.plain, test_size=0.2), ValueError, "times?", "timestamp"),
    "no data set of this name": (lambda: fetch_movielens("9M"), ValueError, "9M", "100k"),
    "no such name at the top": (lambda: sklearn_llmrec.ItemKnn, AttributeError, "'ItemKnn'", r"sklearn_llmrec\.ItemKNN"),
    "function of a subpackage": (lambda: sklearn_llmrec.ndcg_at_k, AttributeError, "'ndcg_at_k'", r"metrics\.ndcg_at_k"),
}

# name: optional package that the use reaches before it is refused
NEEDS = {"SASRec on equal values": "torch", "encoder that is not there": "sentence_transformers"}

# name: (use, error, words that docs/errors.md answers)
BY_OTHERS = {
    "scoring by name": (lambda: cross_val_score(ItemKNN(), S.X, scoring="ndcg@10"), ValueError, "The 'scoring' parameter of"),
    "sparse y to cross_val_score": (lambda: cross_val_score(ItemKNN(), S.visible, S.hidden), ValueError, "The 'y' parameter of cross_val_score must be an array-like or None"),
    "grid without the step": (lambda: GridSearchCV(make_pipeline(BM25Transformer(), ItemKNN()), {"n_neighbors": [5]}).fit(S.X), ValueError, "Invalid parameter 'n_neighbors' for estimator Pipeline"),
    "search.recommend": (lambda: GridSearchCV(ItemKNN(), {"n_neighbors": [5]}).fit(S.X).recommend(S.X), AttributeError, "'GridSearchCV' object has no attribute 'recommend'"),
    "pipeline.recommend": (lambda: make_pipeline(BM25Transformer(), ItemKNN()).fit(S.X).recommend(S.X), AttributeError, "'Pipeline' object has no attribute 'recommend'"),
    "centred by StandardScaler": (lambda: make_pipeline(StandardScaler(), ItemKNN()).fit(S.X), ValueError, "Cannot center sparse matrices"),
    "user id as a row number": (lambda: S.X[[500]], IndexError, "index (500) out of range"),
    "np.matrix": (lambda: ItemKNN().fit(np.asmatrix(np.eye(3))), TypeError, "np.matrix is not supported"),
    "no columns named": (lambda: Interactions.from_frame(S.log), TypeError, "missing 2 required keyword-only arguments: 'user' and 'item'"),
}


def _equal_lists(one, other):
    return bool((S.model.recommend(one, 3)[0] == S.model.recommend(other, 3)[0]).all())


# name: (use, check of its result)
FINE = {
    "coo matrix": (lambda: sp.coo_matrix(S.plain), lambda found: _equal_lists(found, S.X)),
    "int matrix": (lambda: S.plain.astype(int), lambda found: _equal_lists(found, S.X)),
    "dense matrix": (lambda: S.plain.toarray(), lambda found: _equal_lists(found, S.X)),
    "filled pivot": (lambda: EASE().fit(S.pivot.fillna(0)).predict(S.pivot.fillna(0)), lambda found: np.isfinite(found).all()),
    "bool matrix": (lambda: EASE().fit(np.eye(4, dtype=bool)).predict(np.eye(4, dtype=bool)), lambda found: found.shape == (4, 4)),
    "one user": (lambda: ItemKNN().fit(np.array([[1, 0, 1]])).recommend(np.array([[1, 0, 0]]), 1)[0], lambda found: found.tolist() == [[2]]),
    "more neighbours than items": (lambda: ItemKNN(5000).fit(S.X).predict(S.X), lambda found: np.isfinite(found).all()),
    "more components than items": (lambda: PureSVD(500).fit(S.X).components_, lambda found: len(found) <= N_ITEMS),
    "negative ratings in a linear model": (lambda: EASE().fit(-S.plain).predict(-S.plain), lambda found: np.isfinite(found).all()),
    "ids as categories": (lambda: frame(item=S.log.item.astype(str).astype("category")).item_ids, lambda found: found[0] == "500"),
    "polars with categories": (lambda: from_log(pl.from_pandas(S.log).with_columns(pl.col("item").cast(pl.String).cast(pl.Categorical))).item_ids, lambda found: found[0] == "500"),
    "polars log": (lambda: from_log(pl.from_pandas(S.log), timestamp="day", repeats="count"), lambda found: (found != S.X).nnz == 0),
    "dates with a zone": (lambda: from_log(S.log.assign(day=S.log.day.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")), timestamp="day").timestamps, lambda found: (found == S.X.timestamps).all()),
    "dates of Python": (lambda: from_log(S.log.assign(day=S.log.day.dt.date), timestamp="day").timestamps, lambda found: (found % 86400 == 0).all()),
    "users without ids": (lambda: frame(user=S.log.user.where(S.log.index > 9)).report_, lambda found: found["missing"] == 10),
    "ids with gaps stay integers": (lambda: frame(user=S.log.user.where(S.log.index > 9)).user_ids, lambda found: found.dtype.kind == "i"),
    "ratings that are missing": (lambda: from_log(S.log.assign(stars=S.log.stars.where(S.log.index > 9)), value="stars").report_, lambda found: found["missing"] == 10),
    "repeated ratings, the last": (lambda: from_log(S.log, value="stars", timestamp="day", repeats="last"), lambda found: found.max() <= 5),
    "repeated ratings, the mean": (lambda: from_log(S.log, value="stars", repeats="mean"), lambda found: found.max() <= 5),
    "basket with an unknown id": (lambda: from_log(pd.DataFrame({"user": 1, "item": [501, 7]}), items=S.model.item_ids_), lambda found: found.nnz == found.report_["other_items"] == 1),
    "texts as a series": (lambda: TextEmbeddingRecommender(S.products["title"]).fit(S.X).predict(S.X), lambda found: np.ptp(found) > 0),
    "texts as a column name": (lambda: TextEmbeddingRecommender("title").fit(described()).item_texts_, lambda found: found == S.texts),
    "models in a list": (lambda: compare([ItemKNN(), EASE()], S.visible, S.hidden)["ndcg@10"], lambda found: set(found) == {"ItemKNN", "EASE"}),
    "one metric by name": (lambda: compare({"a": ItemKNN()}, S.visible, S.hidden, metrics="ndcg@5")["ndcg@5"], lambda found: 0 <= found["a"] <= 1),
    "no y in a validation": (lambda: cross_val_score(ItemKNN(), S.X), lambda found: len(found) == 5),
    "new users by train_test_split": (lambda: (lambda a, b: ItemKNN().fit(a).score(b))(*train_test_split(S.X, random_state=0)), lambda found: 0 < found < 1),
    "search over a pipeline by ids": (lambda: recommend(GridSearchCV(make_pipeline(BM25Transformer(), ItemKNN()), {"itemknn__n_neighbors": [5]}, cv=SameRows()).fit(S.visible, S.hidden), S.X, 2, ids=True)[0], lambda found: set(found.ravel()) <= set(range(500, 524))),
    "ratings for a rating model": (lambda: BiasedMF(2, random_state=0).fit(S.R).predict(S.R), lambda found: 1 <= found.mean() <= 5),
    "order of values": (lambda: SequenceKNN(order="values").fit(np.array([[1, 2, 3], [3, 2, 1], [2, 3, 1.0]])).predict(np.array([[1, 2, 0.0]])), lambda found: np.isfinite(found).all()),
}
