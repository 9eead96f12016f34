"""Fits from shards of users equal the fit on all of them, for any number of shards, processes and engines."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from _clusters import two_workers
from joblib import parallel_config
from sklearn.base import clone

from sklearn_llmrec import (
    EASE,
    SLIM,
    ALSRecommender,
    Interactions,
    ItemKNN,
    NaiveBayesRecommender,
    P3alpha,
    PopularityRecommender,
    PureSVD,
    RP3beta,
    SparseEASE,
)
from sklearn_llmrec.base import BlockSumsMixin, Totals, _item_blocks
from sklearn_llmrec.distributed import _fit, fit_shards
from sklearn_llmrec.privacy import GaussianMechanism
from sklearn_llmrec.sequence import MarkovRecommender, SequenceKNN, _knn as sequence_knn


def ratings(n_users=300, n_items=60, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = sp.random_array((n_users, n_items), density=0.15, random_state=rng, format="csr")
    X.data = rng.integers(1, 6, X.nnz).astype(dtype)
    X = sp.csr_array(X.astype(dtype))
    # Popular items, as logs have them, and users without interactions.
    X = X + sp.csr_array(
        (rng.random((n_users, n_items)) < rng.power(0.2, n_items) * 0.5).astype(dtype)
    )
    keep = np.ones(n_users, dtype=dtype)
    keep[::17] = 0
    X = sp.csr_array(sp.diags_array(keep) @ X).astype(dtype)
    X.eliminate_zeros()
    return X


def cut(X, n):
    edges = np.linspace(0, X.shape[0], n + 1).astype(int)
    return [X[start:stop] for start, stop in pairwise(edges)]


def same_neighbours(a, b, share=0.999, tol=1e-6):
    """Whether weights agree where both have an entry, and have nearly the same entries."""
    a, b = a.weights_.toarray(), b.weights_.toarray()
    both = (a != 0) & (b != 0)
    assert both.sum() >= share * max((a != 0).sum(), (b != 0).sum())
    np.testing.assert_allclose(a[both], b[both], rtol=0, atol=tol * np.abs(a).max())


@pytest.mark.parametrize("n_shards", [1, 3, 8])
@pytest.mark.parametrize("weighting", ["users", "values"])
def test_popularity_is_counted(n_shards, weighting):
    X = ratings()
    model = fit_shards(PopularityRecommender(weighting), cut(X, n_shards))
    whole = PopularityRecommender(weighting).fit(X)
    np.testing.assert_array_equal(model.item_scores_, whole.item_scores_)
    np.testing.assert_array_equal(model.item_popularity_, whole.item_popularity_)
    assert model.n_users_fit_ == X.shape[0]


def timed(n_users=120, n_items=25, seed=3):
    X = ratings(n_users, n_items, seed)
    times = np.random.default_rng(seed).integers(0, 10**6, X.nnz)
    return Interactions(X, timestamps=times)


@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_popularity_decays_to_the_newest_event_of_all_shards(n_shards):
    X = timed()
    model = fit_shards(PopularityRecommender(half_life=1e5), cut(X, n_shards))
    whole = PopularityRecommender(half_life=1e5).fit(X)
    assert model.reference_ == whole.reference_
    np.testing.assert_allclose(model.item_scores_, whole.item_scores_, rtol=1e-12)


@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_naive_bayes_counts_are_exact(n_shards):
    X = ratings()
    model = fit_shards(NaiveBayesRecommender(), cut(X, n_shards))
    whole = NaiveBayesRecommender().fit(X)
    assert (model.counts_ != whole.counts_).nnz == 0
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_ease_is_exact_on_integers_and_close_elsewhere(n_shards):
    X = ratings()
    plain = EASE(user_exponent=0, value_exponent=1)
    model, whole = fit_shards(plain, cut(X, n_shards)), EASE(**plain.get_params()).fit(X)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=0, atol=1e-15)
    model, whole = fit_shards(EASE(), cut(X, n_shards)), EASE().fit(X)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=0, atol=1e-12)
    # The sum is recovered from the weights, so the model learns on.
    more = ratings(seed=5)
    np.testing.assert_allclose(
        model.partial_fit(more).coef_, EASE().fit(sp.vstack([X, more])).coef_, atol=1e-9
    )


NEIGHBOURS = [
    {},
    {"weighting": "bm25"},
    {"shrinkage": 0, "weighting": None},
    {"metric": "asymmetric_cosine", "metric_params": {"alpha": 0.2}},
    {"metric": "adjusted_cosine"},
    {"metric": "pearson"},
    {"metric": "pearson", "center": "item"},
    {"metric": "pearson_baseline", "center": "baseline", "max_neighbors": 5},
    {"metric": "jaccard"},
    {"metric": "dice", "weighting": None},
    {"metric": "tversky", "metric_params": {"alpha": 0.7, "beta": 0.1}},
    {"center": "user"},
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", NEIGHBOURS, ids=str)
@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_item_neighbours(n_shards, options, dtype, monkeypatch):
    monkeypatch.setattr(_item_blocks, "_BLOCK_ENTRIES", 700)  # several blocks of items
    X = ratings(dtype=dtype)
    model = fit_shards(ItemKNN(15, **options), cut(X, n_shards))
    whole = ItemKNN(15, **options).fit(X)
    assert model.weights_.dtype == whole.weights_.dtype == dtype
    same_neighbours(model, whole)
    tol = 1e-5 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=tol, atol=tol)


def test_signed_values_keep_neighbours():
    X = ratings()
    X.data -= 2.5
    options = {"weighting": None}
    model, whole = fit_shards(ItemKNN(15, **options), cut(X, 3)), ItemKNN(15, **options).fit(X)
    same_neighbours(model, whole)


GRAMS = [
    P3alpha(10),
    RP3beta(10),
    SLIM(50.0),
    SLIM(50.0, n_neighbors=12),
    SparseEASE(n_neighbors=12),
    SparseEASE(n_neighbors=80),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", GRAMS, ids=repr)
@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_walks_and_regressions(n_shards, estimator, dtype, monkeypatch):
    monkeypatch.setattr(_item_blocks, "_BLOCK_ENTRIES", 700)
    X = ratings(dtype=dtype)
    model, whole = fit_shards(estimator, cut(X, n_shards)), clone(estimator).fit(X)
    assert model.weights_.dtype == dtype
    # Sums of float32 Gram matrices are rounded to float32, and coordinate descent ends at a tolerance.
    loose = isinstance(estimator, SLIM | SparseEASE) and dtype == np.float32
    same_neighbours(model, whole, share=0.99 if loose else 0.999, tol=1e-4 if loose else 1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"frequency_exponent": 0}, {"regularization": 3.0, "unobserved_weight": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_als_takes_the_steps_of_one_fit(n_shards, options):
    X = ratings()
    X = sp.csr_array(sp.hstack([X, sp.csr_array((X.shape[0], 2))]))  # items without users
    als = ALSRecommender(7, max_iter=3, random_state=0, **options)
    model, whole = fit_shards(als, cut(X, n_shards)), clone(als).fit(X)
    np.testing.assert_allclose(model.components_, whole.components_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=0, atol=1e-9)
    assert model.regularization_ == pytest.approx(whole.regularization_, rel=1e-14)
    more = ratings(seed=4)
    more = sp.csr_array(sp.hstack([more, sp.csr_array((more.shape[0], 2))]))
    np.testing.assert_allclose(
        model.partial_fit(more).components_, whole.partial_fit(more).components_, atol=1e-7
    )
    with pytest.raises(ValueError, match="keeps no rows"):
        fit_shards(als, [X]).similar_users(X, k=2)


@pytest.mark.parametrize("n_components", [7, 8])
def test_als_in_single_precision_starts_from_the_same_numbers(n_components):
    X = ratings(n_users=301, dtype=np.float32)
    als = ALSRecommender(n_components, max_iter=1, random_state=0)
    model, whole = fit_shards(als, cut(X, 4)), clone(als).fit(X)
    assert model.components_.dtype == np.float32
    scale = np.abs(whole.components_).max()
    np.testing.assert_allclose(model.components_, whole.components_, rtol=0, atol=1e-4 * scale)


def repeated(n_users=130, n_items=25, seed=3):
    """Events with times, some of them equal, users who return to an item, and users of one event or none."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, n_users)
    items = rng.choice(n_items - 2, lengths.sum(), p=rng.dirichlet(np.ones(n_items - 2)))
    indptr = np.append(0, np.cumsum(lengths))
    X = sp.csr_array((np.ones(len(items)), items, indptr), shape=(n_users, n_items))
    return Interactions(X, timestamps=rng.integers(0, 300, len(items)))


@pytest.mark.parametrize("max_length", [1, 2, 4, 30])
@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_markov_counts_are_exact(n_shards, max_length):
    X = repeated()
    model = fit_shards(MarkovRecommender(max_length), cut(X, n_shards))
    whole = MarkovRecommender(max_length).fit(X)
    assert len(model.transitions_) == len(whole.transitions_) == min(max_length, 11)
    for of_shards, of_all in zip(model.transitions_, whole.transitions_, strict=True):
        assert of_shards.shape == of_all.shape
        assert (of_shards != of_all).nnz == 0
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [{}, {"n_neighbors": None, "window": 3}, {"window": 1}, {"n_neighbors": 5, "window": 10**6}],
    ids=str,
)
@pytest.mark.parametrize("n_shards", [1, 3, 8])
def test_neighbours_in_time(n_shards, options, dtype, monkeypatch):
    monkeypatch.setattr(_item_blocks, "_BLOCK_ENTRIES", 100)  # several blocks of items
    monkeypatch.setattr(sequence_knn, "_BLOCK_PAIRS", 50)  # and of pairs
    X = repeated().astype(dtype)
    model, whole = (
        fit_shards(SequenceKNN(**options), cut(X, n_shards)),
        SequenceKNN(**options).fit(X),
    )
    assert model.weights_.dtype == whole.weights_.dtype == dtype
    assert model.weights_.nnz
    same_neighbours(model, whole)
    tol = 1e-5 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=tol, atol=tol)


SEQUENTIAL = [MarkovRecommender(3), SequenceKNN(10)]


@pytest.mark.parametrize("estimator", SEQUENTIAL, ids=repr)
def test_order_may_be_in_the_values(estimator):
    X = timed()
    by_values = sp.csr_array((X.timestamps.astype(float), X.indices, X.indptr), shape=X.shape)
    model = fit_shards(estimator, cut(by_values, 3))
    np.testing.assert_array_equal(model.predict(by_values), clone(estimator).fit(X).predict(X))


@pytest.mark.parametrize("estimator", SEQUENTIAL, ids=repr)
def test_empty_shards_need_no_times(estimator):
    X, empty = repeated(), sp.csr_array((4, 25))
    estimator = clone(estimator).set_params(order="timestamps")
    model = fit_shards(estimator, [empty, X[:70], empty, X[70:]])
    assert model.n_users_fit_ == X.shape[0] + 8
    np.testing.assert_array_equal(model.predict(X), clone(estimator).fit(X).predict(X))
    # Users of one event each have no pairs.
    single = Interactions(sp.eye_array(25, format="csr"), timestamps=np.arange(25))
    model = fit_shards(estimator, cut(single, 3))
    np.testing.assert_array_equal(
        model.predict(single), clone(estimator).fit(single).predict(single)
    )


@pytest.mark.parametrize("estimator", SEQUENTIAL, ids=repr)
def test_the_order_of_users_matters_to_no_count(estimator):
    X = repeated()
    model = fit_shards(estimator, cut(X, 3)[::-1])
    np.testing.assert_allclose(
        model.predict(X), clone(estimator).fit(X).predict(X), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("estimator", SEQUENTIAL, ids=repr)
def test_shards_without_order_are_refused_as_by_fit(estimator):
    X = repeated()
    ones = sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)
    same_time = Interactions(ones, timestamps=np.ones(X.nnz))
    for unordered in (ones, same_time):
        with pytest.raises(ValueError, match="no order") as of_fit:
            clone(estimator).fit(unordered)
        with pytest.raises(ValueError, match="no order") as of_shards:
            fit_shards(estimator, cut(unordered, 3))
        assert str(of_fit.value) == str(of_shards.value)
    # All users together decide: one shard may have equal times by chance.
    start = X.indptr[40]
    times = np.append(np.ones(start), X.timestamps[start:])
    partly = Interactions(ones, timestamps=times)
    model = fit_shards(estimator, [partly[:40], partly[40:]])
    np.testing.assert_array_equal(model.predict(X), clone(estimator).fit(partly).predict(X))
    with pytest.raises(ValueError, match="timestamps to all shards, or to none"):
        fit_shards(estimator, [X[:70], ones[70:]])
    by_time = clone(estimator).set_params(order="timestamps")
    with pytest.raises(ValueError, match="needs the times of events"):
        fit_shards(by_time, [X[:70], ones[70:]])


def state(model):
    """Every array of a fitted model."""
    found = {}
    for name, value in (model if isinstance(model, dict) else vars(model)).items():
        if isinstance(value, np.ndarray):
            found[name] = value
        elif sp.issparse(value):
            found |= {
                f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")
            }
        elif isinstance(value, list):
            parts = {str(number): part for number, part in enumerate(value)}
            found |= {f"{name}.{part}": array for part, array in state(parts).items()}
    return found


def assert_bit_equal(a, b):
    a, b = state(a), state(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


SUMS = [
    PopularityRecommender("values"),
    NaiveBayesRecommender(),
    EASE(),
    ItemKNN(15),
    ItemKNN(15, metric="pearson_baseline", center="baseline"),
    RP3beta(10),
    SparseEASE(n_neighbors=10),
    ALSRecommender(8, max_iter=3, random_state=0),
    *SEQUENTIAL,
]


def histories(estimator):
    """Matrices with times for models that need an order."""
    return repeated() if estimator in SEQUENTIAL else ratings()


@pytest.mark.parametrize("estimator", SUMS, ids=lambda e: repr(e)[:40])
def test_processes_change_no_bit(estimator):
    shards = cut(histories(estimator), 5)
    assert_bit_equal(fit_shards(estimator, shards), fit_shards(estimator, shards, n_jobs=2))


@pytest.mark.parametrize("backend", ["multiprocessing", "threading"])
def test_other_backends_change_no_bit(backend):
    # The first returns no results one by one.
    shards = cut(ratings(), 5)
    with parallel_config(backend=backend, n_jobs=2):
        assert_bit_equal(fit_shards(ItemKNN(15), shards), fit_shards(ItemKNN(15), shards, n_jobs=1))


@pytest.fixture(scope="module")
def client():
    with two_workers() as connected:
        yield connected


@pytest.mark.parametrize("estimator", SUMS, ids=lambda e: repr(e)[:40])
def test_a_cluster_of_two_workers_changes_no_bit(estimator, client):
    shards = cut(histories(estimator), 5)
    assert_bit_equal(fit_shards(estimator, shards), fit_shards(estimator, shards, client=client))


def test_the_estimator_itself_stays_unfitted_and_ids_are_kept():
    X = Interactions(ratings(), item_ids=[f"i{j}" for j in range(60)])
    estimator = EASE()
    model = fit_shards(estimator, cut(X, 3))
    assert not hasattr(estimator, "coef_")
    assert model.item_ids_.tolist() == X.item_ids.tolist()
    items, _ = model.recommend(X[:3], k=2, ids=True)
    assert items.shape == (3, 2)


def test_empty_shards_change_nothing():
    X = ratings()
    empty = sp.csr_array((4, 60))
    model = fit_shards(EASE(), [empty, X[:100], empty, X[100:]])
    assert model.n_users_fit_ == 308
    np.testing.assert_allclose(model.coef_, EASE().fit(X).coef_, atol=1e-12)


@pytest.mark.parametrize("estimator", [ItemKNN(15), ItemKNN(15, metric="pearson"), RP3beta(10)])
def test_empty_shards_and_empty_factors_of_neighbours(estimator):
    X = ratings()
    empty = sp.csr_array((4, 60))
    model = fit_shards(estimator, [empty, X[:100], empty, X[100:]])
    whole = clone(estimator).fit(sp.csr_array(sp.vstack([empty, X[:100], empty, X[100:]])))
    same_neighbours(model, whole)
    # Rows of equal values have no deviation from their means, so no entry is left to multiply.
    ones = sp.csr_array((X != 0).astype(float))
    assert fit_shards(ItemKNN(metric="adjusted_cosine"), cut(ones, 2)).weights_.nnz == 0


def test_tasks_of_blocks_of_items_do_not_grow_with_the_catalogue(monkeypatch):
    monkeypatch.setattr(_item_blocks, "_BLOCK_ENTRIES", 50_000)
    sizes = {}

    def measured(function, tasks, **rest):
        if function is _fit._best_of_items:
            sizes[max(len(pickle.dumps(task)) for task in tasks)] = len(tasks)
        return run_tasks(function, tasks, **rest)

    run_tasks = _fit.run_tasks
    monkeypatch.setattr(_fit, "run_tasks", measured)
    for n_items in (60, 3000):
        X = Interactions(ratings(n_items=n_items), item_ids=[f"item {j}" for j in range(n_items)])
        fit_shards(ItemKNN(5), cut(X, 3))
    assert max(sizes) < 1000
    assert max(sizes.values()) > 1


def test_sums_of_products_learn_what_factors_on_a_disk_do(monkeypatch):
    monkeypatch.setattr(_item_blocks, "_BLOCK_ENTRIES", 700)
    X = ratings()
    for estimator in (ItemKNN(15), ItemKNN(15, metric="jaccard"), RP3beta(10)):
        summed = clone(estimator)
        summed._check_X(X, reset=True)
        summed.item_popularity_ = Totals.of(X).popularity
        BlockSumsMixin._fit(summed, X)
        same_neighbours(summed, fit_shards(estimator, cut(X, 3)))


@pytest.mark.parametrize("estimator", SUMS, ids=lambda e: repr(e)[:40])
def test_shards_without_users_change_no_bit(estimator):
    shards = cut(histories(estimator), 3)
    none = shards[0][:0]
    padded = [none, shards[0], none, none, *shards[1:], none]
    assert_bit_equal(fit_shards(estimator, shards), fit_shards(estimator, padded))


def test_shards_without_users_have_the_same_items():
    X = Interactions(ratings(), item_ids=np.arange(60))
    other = Interactions(sp.csr_array((0, 60)), item_ids=np.arange(60) + 1)
    with pytest.raises(ValueError, match="other item ids"):
        fit_shards(EASE(), [X, other])
    with pytest.raises(ValueError, match="features"):
        fit_shards(EASE(), [X, sp.csr_array((0, 59))])


def test_shards_with_repeated_events_stay_as_they_are():
    X = repeated()
    shards = cut(X, 3)
    fit_shards(PopularityRecommender(half_life=10.0), shards)
    for shard, before in zip(shards, cut(X, 3), strict=True):
        for part in ("data", "indices", "indptr", "timestamps"):
            np.testing.assert_array_equal(getattr(shard, part), getattr(before, part))


def test_scratch_is_made_and_left_empty(tmp_path):
    scratch = tmp_path / "shared" / "scratch"
    for _ in range(2):
        fit_shards(ItemKNN(5), cut(ratings(), 3), scratch=scratch)
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_scratch_that_is_a_file_is_named_before_any_work(tmp_path, place):
    (tmp_path / "file").write_text("")
    shards = [lambda: pytest.fail("a shard was read"), *cut(ratings(), 2)]
    with pytest.raises(ValueError, match=f"scratch='.*{place}' is a file, or lies below one"):
        fit_shards(ItemKNN(5), shards, scratch=tmp_path / place)


def test_workers_get_an_absolute_scratch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = set()

    class Shown(ItemKNN):
        def _statistics(self, X, phase, place):
            folders.add(place.folder)
            return super()._statistics(X, phase, place)

    fit_shards(Shown(5), cut(ratings(), 3), scratch="scratch")
    assert len(folders) == 3
    assert all(folder.is_absolute() for folder in folders)


class OwnFit(EASE):
    """Another fit than that of the sums of its base class."""

    def _fit(self, X):
        super()._fit(X[:1])


def test_refusals():
    X = ratings()
    with pytest.raises(TypeError, match=r"PureSVD cannot.*EASE.*ItemKNN"):
        fit_shards(PureSVD(5), cut(X, 2))
    with pytest.raises(TypeError, match="OwnFit cannot"):
        fit_shards(OwnFit(), cut(X, 2))
    with pytest.raises(ValueError, match="privacy"):
        fit_shards(EASE(privacy=GaussianMechanism(1.0, 1e-5)), cut(X, 2))
    with pytest.raises(ValueError, match="privacy"):
        fit_shards(ALSRecommender(privacy=GaussianMechanism(1.0, 1e-5)), cut(X, 2))
    with pytest.raises(ValueError, match="at least one"):
        fit_shards(EASE(), [])
    with pytest.raises(ValueError, match="features"):
        fit_shards(EASE(), [X, X[:, :50]])
    with pytest.raises(ValueError, match="Shard 1 has values of float32"):
        fit_shards(EASE(), [X, X.astype(np.float32)])
    with pytest.raises(ValueError, match="contains no interaction"):
        fit_shards(EASE(), [sp.csr_array((3, 4)), sp.csr_array((2, 4))])
    a, b = (Interactions(X, item_ids=np.arange(60) + shift) for shift in (0, 1))
    with pytest.raises(ValueError, match="other item ids"):
        fit_shards(EASE(), [a, b])
    with pytest.raises(ValueError, match="regularization"):
        fit_shards(EASE(-1), [X])
    pytest.importorskip("dask.distributed", reason="Dask is not installed")
    with pytest.raises(TypeError, match=r"distributed.Client, got str"):
        fit_shards(EASE(), [X], client="scheduler:8786")


def test_neighbours_without_rows_refuse_further_training():
    X = ratings()
    model = fit_shards(ItemKNN(5), cut(X, 2))
    with pytest.raises(ValueError, match="partial_fit needs"):
        model.partial_fit(X)
