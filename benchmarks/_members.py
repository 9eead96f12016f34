"""Give benchmarks of ensembles their members: each reads ones, and is fitted once per setting and X."""

from typing import Any, ClassVar

import joblib
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import recommend
from sklearn_llmrec.base import last_step
from sklearn_llmrec.preprocessing import BinarizeTransformer


def of_ones(model):
    """Return a model that reads who chose what, and not how often."""
    return make_pipeline(BinarizeTransformer(), model)


class Remembered(BaseEstimator):
    """Fit a recommender once per setting and X, however often `fit` is called."""

    fits: ClassVar[dict[str, Any]] = {}

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y=None):
        times = getattr(X, "timestamps", None)
        key = joblib.hash((clone(self.estimator), X.data, X.indices, X.indptr, times))
        if key not in self.fits:
            self.fits[key] = clone(self.estimator).fit(X)
        self.fitted_ = self.fits[key]
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return self.fitted_.predict(X)

    def __sklearn_tags__(self):
        # A vote reads from the tags of its members what to hide: the latest events where one needs order.
        return last_step(self.estimator).__sklearn_tags__()

    def recommend(self, X, k=10, **rest):
        return recommend(self.fitted_, X, k, **rest)
