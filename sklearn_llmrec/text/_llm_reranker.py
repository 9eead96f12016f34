"""Rerank with a language model whose answers are validated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base import check_lists_to_explain
from sklearn_llmrec.text._http import chat_url
from sklearn_llmrec.text._llm_answers import read_ranking, read_reasons
from sklearn_llmrec.text._llm_base import LanguageModelReranker
from sklearn_llmrec.text._llm_client import ChatEndpoint, Count, Session, asked, model_name
from sklearn_llmrec.text._prompts import Messages, explain_messages, rank_messages
from sklearn_llmrec.utils import Interval, check_arguments


class LLMReranker(LanguageModelReranker):
    r"""Rerank the first items of a recommender with a language model.

    The model sees the texts of the history and of the candidates, numbered, and answers with the
    numbers in a new order. It can move candidates and nothing else: numbers it invents are dropped,
    repeated ones count once, candidates it omits follow in the order of the base. Then

    .. math:: s_i = (1 - b) \, r^{base}_i + b \, r^{model}_i,

    with r places brought to [0, 1] and b the `blend`. Where the model gives no usable answer in time,
    the row keeps the order of the base, and a warning says how many did.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    model : str, callable or None, default=None
        Name of the model at the endpoint, or a function. A function takes the messages (a list of dictionaries with
        "role" and "content") and returns the answer as a text. If it raises, this counts as a failure: the type of
        the exception is shown, its text is logged at level DEBUG only. None uses no model: the base order is kept,
        with a warning.
    base_url : str, default="http://localhost:8000/v1"
        The OpenAI-compatible endpoint; ``/chat/completions`` is added. Proxies of the environment are used, but not for
        this machine (localhost).
    item_texts : array-like of str of shape (n_items,), str or None, default=None
        What the model reads about items: texts; or the name of a column of the item features that X
        carries at fit, or a template over several, such as ``"{title} by {brand}"``. None reads the
        item ids that X carries, else "item 0", "item 1"...
    blend : float, default=0.5
        Weight of the model's order, from 0 to 1. Tune it: with a `cache`, a search over it calls the model once.
    instructions : str, default=None
        A sentence that is added to the instructions of the prompt.
    max_length : int, default=20
        How many items of the history the model reads: the last ones by time, or, where X carries no
        times, those with the largest values.
    budget : float, default=None
        Seconds that one call of `predict`, `recommend`, `rerank` or `reasons` may spend on waiting
        for the model, all rows together. None sets no limit.
    timeout : float, default=30
        Seconds for one request.
    max_retries : int, default=2
        How often a request is repeated after a failure that may pass: no connection, no answer in time, or a status
        of 408, 409, 425, 429 or from 500 on.
    backoff : float, default=0.5
        Seconds before the first repetition, doubled for each next one; or what the server requests (Retry-After), up
        to 30 seconds.
    max_tokens : int, default=512
        Longest answer.
    cache : str or path, default=None
        Folder that keeps answers; files are named by a hash of model and prompt, which are not stored. Only answers
        that could be read are kept. A function is identified by its attribute `cache_key` (a text), else by its code
        and the values that it reads. A function whose values cannot be identified, such as an open connection, is not
        cached, with a warning. None keeps nothing.
    api_key_env : str, default="OPENAI_API_KEY"
        Name of the environment variable that contains the key. It is read for every request; a key is
        never a parameter, so it is never printed or pickled.
    n_candidates : int, default=20
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.
    n_jobs : int, default=None
        Number of requests under way at once. None means 1.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    item_texts_ : list of str
        The texts in use.
    report_ : RerankReport
        What the model did since `fit`, in this process: `lists`, `reranked`, `from_cache`, `fallen_back` by cause,
        `requests`, `retries`, `prompt_tokens`, `completion_tokens` and `seconds`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    LikelihoodReranker : By what a local model finds likely, instead of what it says.

    Notes
    -----
    Empty rows are not sent. Titles and histories of users go to the endpoint: see that you may send
    them. Nothing is claimed here about the quality of zero-shot reranking: measure it with your model
    on your data; ``blend=0`` is the base.

    References
    ----------
    W. Sun et al., "Is ChatGPT good at search? Investigating large language models as re-ranking
    agents", EMNLP 2023 (listwise prompts). Y. Hou et al., "Large language models are zero-shot
    rankers for recommender systems", ECIR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.text import LLMReranker
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0]])
    >>> def backwards(messages):
    ...     return '{"ranking": [3, 2, 2, 9]}'
    >>> reranker = LLMReranker(PopularityRecommender(), model=backwards, blend=1.0).fit(X)
    >>> result = reranker.rerank([[1, 0, 0, 0]], k=3)
    >>> result.items
    array([[3, 2, 1]])
    >>> result.counts["repeated"], result.counts["invented"], result.counts["omitted"]
    (1, 1, 1)
    """

    _parameter_constraints = {
        **LanguageModelReranker._parameter_constraints,
        "model": [str, callable, None],
        "base_url": [str],
        "instructions": [str, None],
        "timeout": [Interval(Real, 0, None, closed="neither")],
        "max_retries": [Interval(Integral, 0, None, closed="left")],
        "backoff": [Interval(Real, 0, None, closed="left")],
        "max_tokens": [Interval(Integral, 1, None, closed="left")],
        "api_key_env": [str],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        model: str | Callable[[Messages], str] | None = None,
        base_url: str = "http://localhost:8000/v1",
        item_texts: ArrayLike | str | None = None,
        blend: float = 0.5,
        instructions: str | None = None,
        max_length: int = 20,
        budget: float | None = None,
        timeout: float = 30.0,
        max_retries: int = 2,
        backoff: float = 0.5,
        max_tokens: int = 512,
        cache: str | PathLike[str] | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        n_candidates: int = 20,
        exclude_seen: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.model = model
        self.base_url = base_url
        self.item_texts = item_texts
        self.blend = blend
        self.instructions = instructions
        self.max_length = max_length
        self.budget = budget
        self.timeout = timeout
        self.max_retries = max_retries
        self.backoff = backoff
        self.max_tokens = max_tokens
        self.cache = cache
        self.api_key_env = api_key_env
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> None:
        if isinstance(self.model, str):
            chat_url(self.base_url)  # a bad address is said now
        super()._fit(X)

    # -- the call under way -----------------------------------------------------------------------

    def _new_session(self, deadline: float) -> Session:
        endpoint = ChatEndpoint(
            base_url=self.base_url,
            model=self.model if isinstance(self.model, str) else "",
            api_key_env=self.api_key_env,
            timeout=self.timeout,
            max_retries=self.max_retries,
            backoff=self.backoff,
            max_tokens=self.max_tokens,
        )
        function = self.model
        complete: Callable[[Messages, float, Count], str] = endpoint.ask
        name, cache = self._cache_of(self._model_name)
        if not isinstance(function, str):
            complete = partial(_ask_function, function)
        return Session(
            complete=complete,
            key=lambda messages: (
                name.encode("utf-8", "surrogatepass") + b"\0" + endpoint.payload(messages)
            ),
            cache=cache,
            deadline=deadline,
            n_jobs=self.n_jobs or 1,
        )

    def _model_name(self) -> str:
        return (
            f"at {self.base_url}" if isinstance(self.model, str) else f"by {model_name(self.model)}"
        )

    def _question(self, history: list[str], candidates: list[str]) -> Messages:
        return rank_messages(history, candidates, self.instructions)

    def _read(self, answer: str, n: int) -> tuple[list[int], Counter[str]]:
        return read_ranking(answer, n)

    @check_arguments
    def reasons(self, X: Any, items: ArrayLike, *, ids: bool = False) -> list[list[Bunch]]:
        """Request a reason in words for every recommended item from the model.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories.
        items : array-like of shape (n_users,) or (n_users, k)
            What was recommended: one column number per row, or lists as `recommend` returns them; -1
            is nothing. With ``ids=True`` item ids, with None for nothing.
        ids : bool, default=False
            Whether `items` and the `item` of every reason are item ids instead of column numbers.

        Returns
        -------
        reasons : list of lists of Bunch
            One per row and item: `item`, `reason` (None where the model gave none) and `generated`,
            always True: the text is the model's guess, not how the item was chosen.

        Raises
        ------
        ValueError
            If there is not one item, or one list of items, per row; with ``ids=True``, if the model
            was fitted without item ids or does not know one of them.
        """
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        given = check_lists_to_explain(self, items, X.shape, ids)
        lists = [[int(item) for item in row if item >= 0] for row in given]
        histories = self._histories(X)
        filled = [row for row, line in enumerate(lists) if line]
        read: list[Any] = [None] * len(lists)
        with self._session() as session:
            chats = [explain_messages(histories[row], self._texts(lists[row])) for row in filled]
            sizes = [len(lists[row]) for row in filled]
            for row, answer in zip(filled, self._asked(session, chats, sizes, read_reasons)):
                read[row] = answer.found
        named = self.item_ids_.tolist() if ids else range(X.shape[1])
        return [
            [
                Bunch(item=named[item], reason=reason, generated=True)
                for item, reason in zip(line, reasons or [None] * len(line))
            ]
            for line, reasons in zip(lists, read)
        ]


def _ask_function(function: Any, messages: Messages, deadline: float, count: Count) -> str:
    """Call a function instead of an endpoint."""
    count("requests")
    return str(asked(function, messages))
