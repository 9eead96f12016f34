"""The blend without training against its members, each fitted and standardised by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import zscore

from sklearn_llmrec import (
    Interactions,
    MarkovRecommender,
    SequenceKNN,
    SessionKNN,
    SparseEASE,
    make_sequence_blend,
)
from sklearn_llmrec.base import needs_order
from sklearn_llmrec.dummy import PopularityRecommender


def histories(n_repeats):
    """Walks over a ring of 12 items; items may repeat in a history."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 12, 80)
    items = (starts[:, None] + np.cumsum(rng.choice([1, 1, 2], (80, 5 + n_repeats)), axis=1)) % 12
    n = items.shape[1]
    return Interactions(
        (np.ones(items.size), items.ravel(), np.arange(0, items.size + 1, n)),
        shape=(80, 12),
        timestamps=np.tile(np.arange(n), 80),
    )


def by_hand(X, rows, *others):
    """Scores of the members; the linear one sees ones, summed over repeats."""
    ones = (X.toarray() > 0).astype(float)
    scores = [
        SequenceKNN().fit(X).predict(rows),
        SessionKNN().fit(X).predict(rows),
        SparseEASE().fit(ones).predict((rows.toarray() > 0).astype(float)),
        *(other.fit(X).predict(rows) for other in others),
    ]
    return [zscore(one, axis=1) for one in scores]


@pytest.mark.parametrize("n_repeats", [0, 9])
def test_each_member_gets_what_it_needs(n_repeats):
    X = histories(n_repeats)
    parts = by_hand(X, X[:20])
    assert_allclose(make_sequence_blend().fit(X).predict(X[:20]), np.mean(parts, axis=0), atol=1e-9)
    weighted = make_sequence_blend(weights=[1, 2, 0.5]).fit(X).predict(X[:20])
    assert_allclose(weighted, np.average(parts, axis=0, weights=[1, 2, 0.5]), atol=1e-9)


def test_further_members_vote_too():
    X = histories(0)
    blend = make_sequence_blend(MarkovRecommender(), PopularityRecommender()).fit(X)
    parts = by_hand(X, X[:20], MarkovRecommender(), PopularityRecommender())
    assert_allclose(blend.predict(X[:20]), np.mean(parts, axis=0), atol=1e-9)
    names = [
        "sequenceknn",
        "sessionknn",
        "sparseease",
        "markovrecommender",
        "popularityrecommender",
    ]
    assert list(blend.named_estimators_) == names
    twice = make_sequence_blend(SessionKNN(300), SessionKNN(500))
    assert [name for name, _ in twice.estimators][1::2] == ["sessionknn", "sessionknn-2"]
    assert twice.estimators[-1][0] == "sessionknn-3"


def test_it_is_a_sequential_model_of_which_order_matters():
    X = histories(0)
    blend = make_sequence_blend()
    assert needs_order(blend)
    reverse = X.copy()
    reverse.timestamps = X.timestamps.max() - X.timestamps
    there, back = (blend.fit(one).predict(X[:20]) for one in (X, reverse))
    assert not np.allclose(there, back)
    plain = X.copy()
    plain.data = X.timestamps + 1.0
    values = np.asarray(plain.toarray())  # times as the values of a plain matrix
    if X.has_canonical_format:
        assert_array_equal(
            blend.fit(values).recommend(values, 3)[0], blend.fit(X).recommend(X, 3)[0]
        )
