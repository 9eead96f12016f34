"""Updates by `partial_fit`: parts equal the whole where they can, and any part leaves a usable model."""

import numpy as np
import pytest
import scipy.sparse as sp
from _instances import instances
from hypothesis import given, settings, strategies as st
from sklearn.base import clone

from sklearn_llmrec import ALSRecommender
from sklearn_llmrec.decomposition import _known_rows
from sklearn_llmrec.decomposition._continued import ContinuedFitMixin
from sklearn_llmrec.decomposition._known_rows import KnownRows
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.ensemble import BanditReranker
from sklearn_llmrec.linear_model import EASE, SLIM, NaiveBayesRecommender, SparseEASE
from sklearn_llmrec.neighbors import ItemKNN, P3alpha, RP3beta, UserKNN

EXACT = [
    PopularityRecommender(),
    PopularityRecommender("values"),
    EASE(2.0),
    SparseEASE(2.0, n_neighbors=4),
    SLIM(2.0, l1_regularization=0.1),
    SLIM(2.0, n_neighbors=4, positive=False),
    NaiveBayesRecommender(),
    ItemKNN(5),
    ItemKNN(5, center="baseline", metric="pearson"),
    ItemKNN(5, center="item", metric="pearson_baseline", max_neighbors=2),
    UserKNN(5),
    UserKNN(5, center="user"),
    UserKNN(5, metric="adjusted_cosine"),
    P3alpha(5),
    RP3beta(5),
]
N_ITEMS = 20
THINGS = ["tea", "mug", "jam", "pan", "pot", "rug", "bed", "cup", "hat", "pen"]
TEXTS = [f"{color} {thing}" for color in ("red", "blue") for thing in THINGS]
UPDATED = [
    model.set_params(item_texts=TEXTS) if "item_texts" in model.get_params() else model
    for model in instances()
    if hasattr(model, "partial_fit")
]


def _matrix(rng, n_users):
    values = rng.integers(1, 6, (n_users, N_ITEMS)) * (rng.random((n_users, N_ITEMS)) < 0.3)
    return sp.csr_array(values.astype(float))


@pytest.fixture
def X():
    return _matrix(np.random.default_rng(0), 60)


def _seeded(model):
    model = clone(model)
    return model.set_params(random_state=0) if "random_state" in model.get_params() else model


def _dtypes(value, name="", depth=0):
    """Dtypes of all floating-point arrays that a fitted model holds, by where they are."""
    if isinstance(value, np.ndarray) or sp.issparse(value):
        return {name: value.dtype} if value.dtype.kind == "f" else {}
    if hasattr(value, "__dict__") and type(value).__module__.startswith("sklearn_llmrec"):
        value = vars(value)
    if not isinstance(value, dict) or depth > 4:
        return {}
    return {
        where: dtype
        for key, inner in value.items()
        for where, dtype in _dtypes(inner, f"{name}.{key}", depth + 1).items()
    }


@pytest.mark.parametrize("begin", ["partial_fit", "fit"])
@pytest.mark.parametrize("model", EXACT, ids=repr)
def test_parts_equal_the_whole(model, begin, X):
    whole = model.fit(X).predict(X)
    popularity = model.item_popularity_
    model = clone(model)
    getattr(model, begin)(X[:25])
    kept = model.item_popularity_.copy()
    first = model.item_popularity_
    model.partial_fit(X[25:40]).partial_fit(X[40:])
    np.testing.assert_allclose(model.predict(X), whole, rtol=1e-9)
    np.testing.assert_array_equal(model.item_popularity_, popularity)
    np.testing.assert_array_equal(first, kept)
    assert model.n_users_fit_ == 60


_PART = st.tuples(
    st.sampled_from(["new", "one", "again", "empty", "one event"]),
    st.sampled_from([np.float64, np.float32, np.int8]),
)


@pytest.mark.parametrize("model", EXACT, ids=repr)
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    parts=st.lists(_PART, min_size=1, max_size=4),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_any_parts_equal_the_whole(model, seed, parts, dtype):
    rng = np.random.default_rng(seed)
    start = _matrix(rng, 30)
    blocks = [start]
    for kind, of in parts:
        part = {
            "new": lambda: _matrix(rng, 10),
            "one": lambda: _matrix(rng, 1),
            "again": lambda: start[rng.integers(0, 30, 5)],
            "empty": lambda: sp.csr_array((3, N_ITEMS)),
            "one event": lambda: sp.csr_array(([2.0], ([0], [seed % N_ITEMS])), shape=(1, N_ITEMS)),
        }[kind]()
        blocks.append(part.astype(of))
    everything = sp.csr_array(sp.vstack([block.astype(dtype) for block in blocks], format="csr"))
    whole, updated = clone(model).fit(everything), clone(model).fit(start.astype(dtype))
    for block in blocks[1:]:
        updated.partial_fit(block)
    assert updated.n_users_fit_ == everything.shape[0]
    np.testing.assert_array_equal(updated.item_popularity_, whole.item_popularity_)
    expected = whole.predict(start)
    exact = dtype == np.float64
    np.testing.assert_allclose(
        updated.predict(start), expected, rtol=1e-8 if exact else 1e-3, atol=1e-9 if exact else 1e-3
    )


PARTS = {
    "no event": sp.csr_array((3, N_ITEMS)),
    "one user": "one",
    "users seen before": "again",
    "float32": np.float32,
    "float64": np.float64,
    "integers": np.int64,
    "one event": sp.csr_array(([3.0], ([0], [3])), shape=(1, N_ITEMS)),
    "all items, in order": sp.csr_array(np.arange(1.0, N_ITEMS + 1)[None]),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("model", UPDATED, ids=lambda model: type(model).__name__)
def test_a_model_is_usable_after_any_part(model, part, dtype, X):
    fitted = _seeded(model).fit(X.astype(dtype))
    before, dtypes = fitted.predict(X), _dtypes(fitted)
    given_part = PARTS[part]
    if not sp.issparse(given_part):
        rows = {"one": X[[0]], "again": X[:20]}
        given_part = (
            rows[given_part] if isinstance(given_part, str) else X[20:40].astype(given_part)
        )
    fitted.partial_fit(given_part)
    assert fitted.n_users_fit_ == 60 + (
        0 if isinstance(model, BanditReranker) else given_part.shape[0]
    )
    after = _dtypes(fitted)
    assert {name: after[name] for name in dtypes if name in after} == {
        name: dtypes[name] for name in dtypes if name in after
    }
    for rows in (X, X.astype(np.float32)):
        scores = fitted.predict(rows)
        assert np.isfinite(scores).all()
        assert scores.dtype == rows.dtype
        items, best = fitted.recommend(rows, 5)
        assert (items >= 0).all()
        assert np.isfinite(best).all()
        if hasattr(fitted, "explain"):
            assert np.isfinite(fitted.explain(rows, items[:, 0]).data).all()
        if hasattr(fitted, "similar_items"):
            fitted.similar_items([0, 1], 3)
        if hasattr(fitted, "similar_users"):
            fitted.similar_users(rows, 1)
    if part == "no event" and not isinstance(model, (ItemKNN, UserKNN, BanditReranker)):
        # TF-IDF counts users, and the draws of a bandit differ from call to call.
        np.testing.assert_array_equal(fitted.predict(X), before)


@pytest.mark.parametrize("model", UPDATED, ids=lambda model: type(model).__name__)
def test_a_first_part_without_events_is_refused(model):
    fresh = _seeded(model)
    with pytest.raises(ValueError, match=r"no interaction"):
        fresh.partial_fit(sp.csr_array((3, N_ITEMS)))
    assert not hasattr(fresh, "n_users_fit_")


@pytest.mark.parametrize("model", UPDATED, ids=lambda model: type(model).__name__)
def test_the_docstring_tells_what_repeated_users_do(model):
    text = " ".join(type(model).partial_fit.__doc__.split())
    assert "seen before" in text or "given before" in text


def test_a_part_too_large_for_the_dtype_of_the_model_is_refused(X):
    model = EASE().fit(X.astype(np.float32))
    expected = model.predict(X)
    with pytest.raises(ValueError, match="float32"):
        model.partial_fit(X * 1e12)
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("model", EXACT[2:], ids=repr)
def test_a_failed_part_changes_nothing(model, X):
    model.fit(X)
    expected = model.predict(X)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :-1])
    np.testing.assert_array_equal(model.predict(X), expected)


def _summary(model, X):
    """Gram matrix of the user factors, weights of the items, and the mean square of a factor over interactions."""
    P = model.transform(X).astype(float)
    weights = model.confidence * X.toarray()
    squares = (P**2).mean(axis=1)
    curvature = (weights.sum(axis=1) @ squares) / weights.sum()
    return model.unobserved_weight * P.T @ P, weights.sum(axis=0), curvature, weights.sum()


def test_als_items_solve_the_regression_on_new_rows_and_the_summary_of_all_earlier_parts(X):
    # Parts of quite different values, so that their curvatures differ and the weights of both matter.
    first, second, third = X[:30], 6 * X[30:40], X[40:]
    model = ALSRecommender(
        3, regularization=0.5, frequency_exponent=0.0, max_iter=400, random_state=0
    )
    model.fit(first)
    of_first = _summary(model, first)
    model.partial_fit(second)
    of_second = _summary(model, second)
    Q_before = model.components_.T.copy()
    model.partial_fit(third)

    gram = of_first[0] + of_second[0]
    weights = of_first[1] + of_second[1]
    curvature = (of_first[2] * of_first[3] + of_second[2] * of_second[3]) / (
        of_first[3] + of_second[3]
    )
    P, D = model.transform(third), third.toarray()
    for item in np.flatnonzero(D.any(axis=0)):
        held = gram + (weights[item] * curvature + model.regularization) * np.eye(3)
        added = model.confidence * D[:, item]
        normal = model.unobserved_weight * P.T @ P + (P.T * added) @ P + held
        right = P.T @ np.where(D[:, item] > 0, model.unobserved_weight + added, 0)
        expected = np.linalg.solve(normal, right + held @ Q_before[item])
        np.testing.assert_allclose(model.components_[:, item], expected, rtol=1e-4, atol=1e-6)


def test_known_rows_are_verified_entry_by_entry(monkeypatch):
    """Rows whose hashes collide are told apart by their entries."""
    rng = np.random.default_rng(0)
    X = _matrix(rng, 40)
    other = X.copy()
    other.data = other.data + 1
    monkeypatch.setattr(
        _known_rows, "row_hashes", lambda M: np.full(M.shape[0], 7, dtype=np.uint64)
    )
    known = KnownRows(X, np.arange(40.0)[:, None])
    for asked in (X, other, X[::-1]):
        place = known.find(asked)
        for row, found in zip(asked.toarray(), place, strict=True):
            if found >= 0:
                np.testing.assert_array_equal(row, X[[found]].toarray()[0])


def test_only_rows_of_equal_hash_are_compared(monkeypatch):
    X = _matrix(np.random.default_rng(0), 40)
    X = X[np.diff(X.indptr) > 0]
    other = X.copy()
    other.data = other.data + 1  # the same lengths, other values
    known, compared = KnownRows(X, np.zeros((X.shape[0], 1))), []
    select = _known_rows._select
    monkeypatch.setattr(
        _known_rows, "_select", lambda M, rows: compared.append(len(rows)) or select(M, rows)
    )
    assert (known.find(other) == -1).all()
    assert compared == []
    assert (known.find(X) >= 0).all()
    assert compared == [X.shape[0]] * 2


@pytest.mark.parametrize(
    "model",
    [
        model
        for model in UPDATED
        if isinstance(model, ContinuedFitMixin) and hasattr(model, "similar_users")
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_part_without_events_keeps_the_users_that_are_compared(model, X):
    fitted = _seeded(model).fit(X)
    expected = fitted.similar_users(X, 3)
    fitted.partial_fit(sp.csr_array((2, N_ITEMS)))
    np.testing.assert_array_equal(fitted.similar_users(X, 3)[0], expected[0])
