"""The trend reranker against a sort by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    Interactions,
    PopularityRecommender,
    RecencyDecayTransformer,
    TrendReranker,
    recommend,
)
from sklearn_llmrec.base import BaseRecommender


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    taste = np.arange(60)[:, None] % 3 == np.arange(40) % 3
    held = sp.csr_array((rng.random((60, 40)) < np.where(taste, 0.4, 0.08)).astype(float))
    return Interactions(held, timestamps=rng.integers(0, 1000, held.nnz))


@pytest.mark.parametrize("exponent", [0.5, 2.0])
def test_candidates_are_sorted_by_score_times_trend(X, exponent):
    model = TrendReranker(EASE(), half_life=100, exponent=exponent, n_candidates=15).fit(X)
    recent = PopularityRecommender(half_life=100).fit(X).item_scores_
    total = PopularityRecommender().fit(X).item_scores_
    factors = (recent / total) ** exponent
    assert_allclose(model.trend_, factors)
    scores = EASE().fit(X).predict(X)
    items = model.recommend(X, k=15)[0]
    for row in range(60):
        unseen = np.setdiff1d(np.arange(40), X[[row]].indices)
        candidates = unseen[np.argsort(-scores[row, unseen], kind="stable")][:15]
        own = scores[row, candidates]
        product = np.where(own > 0, own * factors[candidates], own / factors[candidates])
        assert_array_equal(items[row], candidates[np.argsort(-product, kind="stable")])
        assert (product[:-1] != product[1:]).any()


def test_exponent_zero_keeps_the_lists_of_the_base(X):
    model = TrendReranker(EASE(), half_life=100, exponent=0).fit(X)
    assert_array_equal(model.recommend(X, 10)[0], EASE().fit(X).recommend(X, 10)[0])


class Below(BaseRecommender):
    """Score every item alike, below zero."""

    def _fit(self, X):
        pass

    def _score_rows(self, X):
        scores = np.full(X.shape, -1.0)
        scores[:, 0] = -1.1
        return scores


def test_a_trend_never_lowers_a_score_below_zero():
    held = sp.csr_array(np.ones((3, 4)))
    times = np.tile([0, 0, 50, 100], 3)
    model = TrendReranker(Below(), half_life=50).fit(Interactions(held, timestamps=times))
    row = np.array([[0.0, 1.0, 0.0, 0.0]])
    assert_array_equal(model.recommend(row, k=3)[0], [[3, 2, 0]])


def test_an_item_without_interactions_has_the_trend_of_all(X):
    wide = sp.hstack([sp.csr_array(X), sp.csr_array((60, 1))], format="csr")
    wide = Interactions(wide, timestamps=X.timestamps)
    model = TrendReranker(EASE(), half_life=100, exponent=1).fit(wide)
    weights = 2.0 ** (-(X.timestamps.max() - X.timestamps) / 100)
    assert_allclose(model.trend_[40], weights.mean())


def test_times_are_needed_at_fit_only(X):
    with pytest.raises(ValueError, match="TrendReranker needs to know when"):
        TrendReranker(EASE(), half_life=100).fit(sp.csr_array(X))
    with pytest.warns(UserWarning, match=r"span \d+ half-lives.*seconds for dates"):
        model = TrendReranker(EASE(), half_life=1e-3).fit(X)  # factors underflow
    assert_array_equal(recommend(model, sp.csr_array(X), 5)[0], model.recommend(X, 5)[0])


def test_a_base_whose_pipeline_reads_times_is_reranked_too(X):
    base = make_pipeline(RecencyDecayTransformer(200), EASE(20.0))
    model = TrendReranker(base, half_life=100).fit(X)
    nobody = np.zeros((1, 40))
    assert_array_equal(
        model.recommend(nobody, 40)[0], model.recommend(sp.csr_array((1, 40)), 40)[0]
    )
    lists = model.recommend(X, 5)[0]
    fitted = clone(base).fit(X)
    expected = TrendReranker(base, half_life=100, n_candidates=5).fit(X).recommend(X, 5)[0]
    assert_array_equal(np.sort(expected), np.sort(recommend(fitted, X, 5)[0]))
    assert (lists != recommend(fitted, X, 5)[0]).any()
