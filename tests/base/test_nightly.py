"""A nightly update on real data: the last 3,000 events of ML-latest-small (33 users, 316 new items)."""

import numpy as np
import pandas as pd
import pytest
from _data import data_root
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    ALSRecommender,
    BM25Transformer,
    Interactions,
    ItemKNN,
    NaiveBayesRecommender,
    PopularityRecommender,
    RP3beta,
    SparseEASE,
    TextEmbeddingRecommender,
    recommend_ids,
    refit_on,
)
from sklearn_llmrec.metrics import ndcg_at_k
from sklearn_llmrec.model_selection import holdout_split

pytestmark = pytest.mark.slow
N_EVENTS = 3000


@pytest.fixture(scope="module")
def nights():
    """The matrix of yesterday and of the last night, each with the catalogue of its own log."""
    try:
        folder = data_root() / "ml-latest-small"
        ratings = pd.read_csv(folder / "ratings.csv")
        movies = pd.read_csv(folder / "movies.csv")
    except (SystemExit, OSError):
        pytest.skip("ml-latest-small is not here")
    ratings = ratings.sort_values("timestamp", kind="stable")
    columns = {"user": "userId", "item": "movieId", "timestamp": "timestamp"}
    parts = [
        Interactions.from_frame(part, **columns, item_features=movies)
        for part in (ratings[:-N_EVENTS], ratings[-N_EVENTS:])
    ]
    for part in parts:
        part.user_ids = None  # every row of an update counts as a new user
    return parts


def test_the_night_is_what_it_is_said_to_be(nights):
    old, new = nights
    assert new.shape[0] == 33
    assert len(set(new.item_ids) - set(old.item_ids)) == 316


@pytest.mark.parametrize(
    "model",
    [PopularityRecommender(), NaiveBayesRecommender(), ItemKNN(), RP3beta(), SparseEASE(n_neighbors=20)],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_item_to_item_models_equal_a_refit(model, nights):
    old, new = nights
    whole = Interactions.concat(nights)
    updated = type(model)(**model.get_params()).fit(old).partial_fit(new)
    expected = model.fit(whole)
    assert updated.item_ids_.tolist() == whole.item_ids.tolist()
    rows = whole[-33:]
    np.testing.assert_allclose(updated.predict(rows), expected.predict(rows), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(updated.recommend(rows, 10)[0], expected.recommend(rows, 10)[0])


def test_ease_equals_a_refit(nights):
    whole = Interactions.concat(nights)
    kept = whole.item_ids[np.bincount(whole.indices, minlength=whole.shape[1]) >= 12]
    rng = np.random.default_rng(0)
    old, new = (
        part.with_items(rng.permutation(kept[np.isin(kept, part.item_ids)])) for part in nights
    )
    updated = EASE(200.0).fit(old).partial_fit(new)
    rows = Interactions.concat([old, new]).with_items(updated)
    expected = EASE(200.0).fit(rows)
    np.testing.assert_allclose(updated.predict(rows[-33:]), expected.predict(rows[-33:]), atol=1e-8)


def test_als_stays_near_a_refit(nights):
    old, new = nights
    whole = Interactions.concat(nights)
    visible, hidden = holdout_split(whole, random_state=0)
    n_old = old.shape[0]
    parts = [
        visible[:n_old].with_items(old),
        visible[n_old:].with_items(new),
    ]
    updated = ALSRecommender(random_state=0).fit(parts[0]).partial_fit(parts[1])
    refitted = ALSRecommender(random_state=0).fit(visible)
    found = updated.score(visible, hidden), refitted.score(visible, hidden)
    assert abs(found[0] - found[1]) <= 0.002, found


def test_text_models_rank_the_new_items(nights):
    old, new = nights
    model = TextEmbeddingRecommender("{title} {genres}").fit(old).partial_fit(new)
    whole = Interactions.concat(nights)
    refitted = TextEmbeddingRecommender("{title} {genres}").fit(whole)
    unseen = np.arange(old.shape[1], whole.shape[1])
    assert model.item_embeddings_[unseen].any(axis=1).mean() > 0.9
    history = whole[-33:].copy()
    targets = history[:, :]
    targets.data[targets.indices < old.shape[1]] = 0
    history.data[history.indices >= old.shape[1]] = 0
    for X in (history, targets):
        X.eliminate_zeros()
    found = {}
    for name, one in (("updated", model), ("refitted", refitted)):
        items, scores = one.recommend(history, 10, candidates=unseen)
        assert (items >= 0).all()
        found[name] = ndcg_at_k(targets, items, k=10)
    shuffled = np.random.default_rng(0).permuted(np.tile(unseen, (33, 1)), axis=1)[:, :10]
    assert found["updated"] > 1.5 * ndcg_at_k(targets, shuffled, k=10)
    assert found["updated"] > 0.8 * found["refitted"]


def test_pipelines_and_searches_are_refitted(nights):
    pipeline = make_pipeline(BM25Transformer(), ItemKNN(50))
    search = GridSearchCV(pipeline, {"itemknn__n_neighbors": [20, 50]}, cv=2).fit(nights[0])
    before = search.best_estimator_
    updated = refit_on(search, *nights)
    expected = type(before)(before.steps).fit(Interactions.concat(nights))
    title = {"item_columns": "title", "item_features": Interactions.concat(nights)}
    histories = [nights[1].item_ids[:3].tolist(), []]
    pd.testing.assert_frame_equal(
        recommend_ids(updated, histories, **title), recommend_ids(expected, histories, **title)
    )
    assert search.best_estimator_ is before
