"""Weights of events from review texts."""

from numbers import Real
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.text._texts import as_texts
from sklearn_llmrec.utils import HasMethods, StrOptions


class SentimentWeighter(TransformerMixin, BaseEstimator):
    """Convert a column of review texts to a column of weights, before `Interactions` is built.

    Weights lie between -1 (disliked) and 1 (liked). An event without a text gets `missing`.

    Parameters
    ----------
    text : str, default="review"
        Column of the texts.
    classifier : classifier, default=None
        A scikit-learn classifier of texts with two classes, usually a pipeline, fitted or not. The
        weight is ``2 p - 1``, p being the probability of its second class. `fit` fits an unfitted
        one on the targets that it is given. None is VADER, a lexicon of English words, which needs
        ``pip install vaderSentiment``.
    output : str, default="weight"
        Column of the weights in the result.
    missing : float, default=0.0
        Weight of events without a text.
    negative : {"keep", "clip", "split"}, default="keep"
        What becomes of weights below zero. "keep": nothing. "clip": they become zero. "split": they
        become zero, and a second column, ``"<output>_negative"``, contains their absolute values, to
        build a matrix of dislikes.

    Attributes
    ----------
    classifier_ : object
        The fitted classifier, or VADER's analyzer.

    See Also
    --------
    sklearn_llmrec.Interactions.from_frame : Builds the matrix, with ``value="weight"``.

    Notes
    -----
    Equal texts are read once. How well weights reflect what people think depends on the classifier;
    none is claimed here.

    References
    ----------
    C. Hutto, E. Gilbert, "VADER: A parsimonious rule-based model for sentiment analysis of social
    media text", ICWSM 2014.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_llmrec.text import SentimentWeighter
    >>> known = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
    ...     ["good cup", "good pot", "bad cup", "bad pot"], [1, 1, 0, 0]
    ... )
    >>> log = pd.DataFrame(
    ...     {"user": ["ann", "bob"], "item": ["tea", "tea"], "review": ["good tea", "bad"]}
    ... )
    >>> weighted = SentimentWeighter(classifier=known).fit_transform(log)
    >>> (weighted["weight"] > 0).tolist()
    [True, False]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "text": [str],
        "classifier": [HasMethods(["fit", "predict_proba"]), None],
        "output": [str],
        "missing": [Real],
        "negative": [StrOptions({"keep", "clip", "split"})],
    }

    def __init__(
        self,
        text: str = "review",
        *,
        classifier: Any = None,
        output: str = "weight",
        missing: float = 0.0,
        negative: str = "keep",
    ) -> None:
        self.text = text
        self.classifier = classifier
        self.output = output
        self.missing = missing
        self.negative = negative

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the classifier where it is not fitted yet.

        Parameters
        ----------
        X : dataframe
            The event log: a pandas, polars or pyarrow table.
        y : array-like of shape (n_events,), default=None
            Two classes, the disliked one first in sorted order; only read where the classifier is
            not fitted.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If the classifier is VADER and it is not installed.
        ValueError
            If there is no such column, or the classifier has other than two classes.
        """
        self._validate_params()
        texts = self._texts(X)
        if self.classifier is None:
            self.classifier_ = _vader()
            return self
        if hasattr(self.classifier, "classes_"):
            self.classifier_ = self.classifier
        elif y is None:
            raise ValueError(
                "The classifier is not fitted: pass a fitted one, or the classes as y."
            )
        else:
            self.classifier_ = clone(self.classifier).fit(texts, y)
        if len(self.classifier_.classes_) != 2:
            raise ValueError(
                "The classifier must have two classes, the disliked one first; it knows "
                f"{list(self.classifier_.classes_)}."
            )
        return self

    def transform(self, X: Any) -> Any:
        """Return the table with the weights.

        Parameters
        ----------
        X : dataframe
            The event log.

        Returns
        -------
        weighted : dataframe
            Of the same library, with the column `output`.
        """
        check_is_fitted(self)
        texts = self._texts(X)
        unique = sorted({text for text in texts if text})
        weight_of = dict(zip(unique, self._polarity(unique).tolist())) if unique else {}
        weights = np.array([weight_of.get(text, float(self.missing)) for text in texts])
        frame = nw.from_native(X, eager_only=True)
        columns = {self.output: weights}
        if self.negative != "keep":
            columns[self.output] = np.maximum(weights, 0)
        if self.negative == "split":
            columns[f"{self.output}_negative"] = np.maximum(-weights, 0)
        backend = nw.get_native_namespace(frame)
        return frame.with_columns(
            **{
                name: nw.new_series(name, values.tolist(), backend=backend)
                for name, values in columns.items()
            }
        ).to_native()

    def _texts(self, X: Any) -> list[str]:
        frame = nw.from_native(X, eager_only=True)
        if self.text not in frame.columns:
            raise ValueError(
                f"The table has no column {self.text!r}: there are {list(frame.columns)}."
            )
        return as_texts(frame[self.text].to_native(), self.text)

    def _polarity(self, texts: list[str]) -> NDArray[np.float64]:
        if self.classifier is None:
            return np.array([self.classifier_.polarity_scores(text)["compound"] for text in texts])
        return 2 * np.asarray(self.classifier_.predict_proba(texts))[:, 1] - 1

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags


def _vader() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "vaderSentiment":
            raise
        raise ImportError(
            "Without a classifier, SentimentWeighter reads with VADER, which is not installed: "
            "pip install vaderSentiment, or pass a classifier of texts."
        ) from error
    return SentimentIntensityAnalyzer()
