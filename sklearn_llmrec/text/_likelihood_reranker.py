"""Rerank by the likelihood of each candidate after the history, under a local language model."""

from __future__ import annotations

import json
from collections import Counter
from numbers import Integral
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_llmrec.text._llm_answers import read_gains
from sklearn_llmrec.text._llm_base import LanguageModelReranker
from sklearn_llmrec.text._llm_client import ChatFailed, Count, Session, asked, model_name
from sklearn_llmrec.text._prompts import likelihood_prefix, likelihood_text
from sklearn_llmrec.utils import Interval, require


class LikelihoodReranker(LanguageModelReranker):
    r"""Rerank the first items of a recommender by the likelihood of their texts.

    A local causal language model reads the history in a prompt. A candidate with the text t scores by

    .. math:: g_i = \log p(t_i \mid \text{history}) - \log p(t_i),

    what the history adds to the likelihood of the text: without the second term short texts and common
    words would win. The order by g is blended with the order of the base,

    .. math:: s_i = (1 - b) \, r^{base}_i + b \, r^{model}_i,

    with r places brought to [0, 1] and b the `blend`. The model writes nothing, so candidates are all that
    can come out. Where it gives no finite numbers in time, the row keeps the order of the base, and a
    warning says how many did.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    model : str, path, model, callable or None, default=None
        A causal model of transformers: a folder or a name, loaded as float32, or a model object, used as it
        is and where it is, with its `tokenizer`. Or a function that takes the prompt and a list of texts
        and returns the log-likelihood of each after the prompt; one that raises counts as a failure. None
        uses no model: the base order is kept, with a warning.
    tokenizer : tokenizer, default=None
        The tokenizer of a model object.
    item_texts : array-like of str of shape (n_items,), str or None, default=None
        What the model reads about items: texts; or the name of a column of the item features that X
        carries at fit, or a template over several, such as ``"{title} by {brand}"``. None reads the
        item ids that X carries, else "item 0", "item 1"...
    blend : float, default=0.5
        Weight of the model's order, from 0 to 1. Tune it: with a `cache`, a search over it calls the model once.
    max_length : int, default=20
        How many items of the history the model reads: the latest ones or, if X has no times, those with the largest
        values. Fewer if the model has no room for them.
    budget : float, default=None
        Seconds that one call of `predict`, `recommend` or `rerank` may spend on the model, all rows
        together. None sets no limit. A row under way when they are spent finishes in its thread.
    batch_size : int, default=32
        How many candidates of a row the model reads at once.
    device : str, default="auto"
        Where a model that is loaded computes: "cpu", "cuda", ...; "auto" is a GPU where there is one.
    cache : str or path, default=None
        Folder that keeps the numbers; files are named by a hash of model and texts, which are not stored. A model
        object is known by its weights, its make-up and its tokenizer. A function is identified by its attribute
        `cache_key` (a text), else by its code and the values that it reads. A function whose values cannot be
        identified, such as an open connection, is not cached, with a warning. None keeps nothing.
    n_candidates : int, default=20
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    item_texts_ : list of str
        The texts in use.
    report_ : RerankReport
        What the model did since `fit`, in this process: `lists`, `reranked`, `from_cache`, `fallen_back` by cause,
        `requests`, `prompt_tokens` (tokens that a model, not a function, read) and `seconds`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    LLMReranker : Request an order in words from any model.
    sklearn_llmrec.sequence.LMRecommender : Train a small language model on the histories themselves.

    Notes
    -----
    A row costs one pass over the prompt, whose keys and values all candidates share, and one short batch of
    candidates; likelihoods without history are found once per text. Batches never mix rows, so a row alone
    and in a batch gets the same numbers. A model object is copied by `clone` and pickled with the
    estimator; a name or folder is not. Empty rows are not scored.

    Nothing is claimed here about the quality of zero-shot reranking: measure it with your model on
    your data; ``blend=0`` is the base.

    References
    ----------
    A. Holtzman et al., "Surface form competition: why the highest probability answer isn't always right", EMNLP
    2021 (the unconditional likelihood). Y. Hou et al., "Large language models are zero-shot rankers for
    recommender systems", ECIR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.text import LikelihoodReranker
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0]])
    >>> titles = ["red tea", "garden rake", "spade", "tea pot"]
    >>> def likes_words_of_the_prompt(prompt, texts):
    ...     return [sum(word in prompt for word in text.split()) for text in texts]
    >>> reranker = LikelihoodReranker(
    ...     PopularityRecommender(), model=likes_words_of_the_prompt, item_texts=titles, blend=1.0
    ... )
    >>> items, _ = reranker.fit(X).recommend([[1, 0, 0, 0]], k=3)
    >>> [titles[item] for item in items[0]]
    ['tea pot', 'garden rake', 'spade']
    """

    _parameter_constraints = {
        **LanguageModelReranker._parameter_constraints,
        "model": [str, PathLike, callable, None],
        "tokenizer": [callable, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        model: Any = None,
        tokenizer: Any = None,
        item_texts: ArrayLike | str | None = None,
        blend: float = 0.5,
        max_length: int = 20,
        budget: float | None = None,
        batch_size: int = 32,
        device: str = "auto",
        cache: str | PathLike[str] | None = None,
        n_candidates: int = 20,
        exclude_seen: bool = True,
    ) -> None:
        self.estimator = estimator
        self.model = model
        self.tokenizer = tokenizer
        self.item_texts = item_texts
        self.blend = blend
        self.max_length = max_length
        self.budget = budget
        self.batch_size = batch_size
        self.device = device
        self.cache = cache
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _fit(self, X: Any) -> None:
        self._scorer()  # what cannot be loaded is said now
        super()._fit(X)

    def _scorer(self) -> Any:
        """Return the object that computes the gains of texts.

        Raises
        ------
        TypeError
            If a model object comes without its tokenizer.
        """
        if self.model is None:
            return None
        if isinstance(self.model, (str, PathLike)):
            require("torch", extra="llm")
            require("transformers", extra="llm")
            from sklearn_llmrec.text._causal import load_scorer

            return load_scorer(fspath(self.model), self.device)
        if hasattr(self.model, "config") and hasattr(self.model, "state_dict"):
            if self.tokenizer is None:
                raise TypeError(
                    f"model is a {type(self.model).__name__} and tokenizer is None: pass the "
                    "tokenizer of the model, or the folder of both as model."
                )
            require("torch", extra="llm")
            from sklearn_llmrec.text._causal import CausalScorer

            return CausalScorer(self.model, self.tokenizer)
        return FunctionScorer(self.model)

    def _new_session(self, deadline: float) -> Session:
        scorer = self._scorer()

        name, cache = self._cache_of(lambda: scorer.content)

        def complete(question: Any, deadline: float, count: Count) -> str:
            count("requests")
            found = scorer.gains(*question, self.batch_size, deadline=deadline, count=count)
            try:
                return json.dumps([float(gain) for gain in found])
            except (TypeError, ValueError):
                pass
            raise ChatFailed("unreadable", "the model returned no list of numbers")

        def key(question: Any) -> bytes:
            history, texts = question
            read = [
                likelihood_prefix([]),
                likelihood_prefix(history),
                *map(likelihood_text, texts),
            ]
            return json.dumps([name, *read]).encode()

        return Session(complete, key, cache, deadline, n_jobs=1)

    def _question(self, history: list[str], candidates: list[str]) -> tuple[list[str], list[str]]:
        return history, candidates

    def _read(self, answer: str, n: int) -> tuple[list[int], Counter[str]]:
        return read_gains(answer, n), Counter()


class FunctionScorer:
    """Gains computed by a function instead of a model."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.alone: dict[str, float] = {}

    @property
    def content(self) -> str:
        """Return the name of the function in the keys of the cache."""
        return model_name(self.function)

    def gains(
        self,
        history: list[str],
        texts: list[str],
        batch_size: int,
        *,
        deadline: float,
        count: Count,
    ) -> Any:
        """Return the gain in log-likelihood of every text due to the history, as the function returns it."""
        tails = [likelihood_text(text) for text in texts]
        new = [tail for tail in dict.fromkeys(tails) if tail not in self.alone]
        if new:
            found = np.ravel(asked(self.function, likelihood_prefix([]), new))
            self.alone.update(zip(new, found.tolist()))
        given = np.ravel(asked(self.function, likelihood_prefix(history), tails))
        alone = [self.alone.get(tail, np.nan) for tail in tails]
        return given - alone if len(given) == len(tails) else given
