"""`fit_federated`: fit a recommender from sums that clients compute, who keep their rows.

The messages are those of `fit_shards`: a request names a phase of the fit, an answer has the sums of one client. The
server adds the answers, and leaves out clients that fail. Cost: a pass over each client's rows per phase, and one
message of the size of the sums (EASE: n_items squared numbers; ALS: n_items x n_components, three per sweep).
"""

from __future__ import annotations

import shutil
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from operator import add
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import clone

from sklearn_llmrec._kernels import blas_threads
from sklearn_llmrec.base import (
    BlockPlace,
    BlockSumsMixin,
    Phase,
    Statistics,
    Totals,
    added_in_a_tree,
)
from sklearn_llmrec.distributed._fit import check_estimator, for_workers
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import warn

_E = TypeVar("_E")


@dataclass(frozen=True)
class FederatedRequest:
    """What the server sends to a client: the model without data, the phase, and the number of users before it.

    Attributes
    ----------
    model : estimator
        Parameters and the catalogue; nothing of any user.
    phase : Phase or None
        None requests the totals, which come first.
    first_user : int
        Number of users of the clients before this one.
    """

    model: Any
    phase: Phase | None = None
    first_user: int = 0


class FederatedResult(NamedTuple, Generic[_E]):
    """Result of `fit_federated`.

    Attributes
    ----------
    estimator : recommender
        The fitted clone.
    n_clients : int
        Number of clients in its sums.
    left_out : dict of str to int
        Number of clients that were left out, by cause: ``"no answer"``, ``"not finite"`` or ``"wrong shape"``.
    """

    estimator: _E
    n_clients: int
    left_out: dict[str, int]


class FederatedClient:
    """Answer the requests of a federated fit by sums over rows that stay here.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        The rows of this client, over the common catalogue.
    folder : str or Path, default=None
        Where the factors of its users are kept between phases of ALS; None takes a temporary folder.

    See Also
    --------
    fit_federated : The side of the server.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import EASE
    >>> from sklearn_llmrec.distributed import FederatedClient, fit_federated
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=float)
    >>> clients = [FederatedClient(X[:2]).answer, FederatedClient(X[2:]).answer]
    >>> result = fit_federated(EASE(regularization=1.0), clients, n_items=3)
    >>> np.allclose(result.estimator.coef_, EASE(regularization=1.0).fit(X).coef_)
    True
    """

    def __init__(self, X: Any, folder: str | Path | None = None) -> None:
        self.X = X
        if folder is None:
            folder = mkdtemp(prefix="sklearn-llmrec-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._folder = Path(folder)

    def answer(self, request: FederatedRequest) -> Statistics:
        """Compute the sums that a request names.

        Parameters
        ----------
        request : FederatedRequest

        Returns
        -------
        answer : dict of str to array or number
            Sums over the rows of this client; nothing else leaves it.
        """
        rows = request.model._prepared(request.model._check_X(self.X, reset=False))
        with blas_threads(1):
            if request.phase is None:
                totals = Totals.of(rows)
                return {part.name: getattr(totals, part.name) for part in fields(totals)}
            place = BlockPlace(request.first_user, self._folder)
            sums: Statistics = request.model._statistics(rows, request.phase, place)
            return sums


def fit_federated(
    estimator: _E,
    clients: Sequence[Callable[[FederatedRequest], Statistics]],
    *,
    n_items: int,
    item_ids: ArrayLike | None = None,
    dtype: Any = np.float64,
    min_clients: int = 2,
) -> FederatedResult[_E]:
    """Fit a recommender on rows that stay with their clients, from sums over them.

    The result is that of ``estimator.fit`` on the rows of all clients that are not left out, but for the rounding of
    sums. With ``privacy=`` (`EASE`), the server adds the noise once, to the sum over all clients: it must be trusted
    with the sums, and only what it publishes is private.

    Parameters
    ----------
    estimator : recommender
        One that `fit_shards` accepts; a clone is fitted.
    clients : sequence of callables
        Each takes a `FederatedRequest` and returns its answer, like `FederatedClient.answer`, over any transport. A
        client that raises, or whose answer has numbers that are not finite or arrays of another shape, is left out,
        with a warning at the end.
    n_items : int
        Number of items in the common catalogue.
    item_ids : array-like of shape (n_items,), default=None
        Their ids, where clients have ids.
    dtype : {float64, float32}, default=float64
        Of the values of all clients.
    min_clients : int, default=2
        Fewest clients of which a model is made.

    Returns
    -------
    result : FederatedResult

    Raises
    ------
    TypeError
        If the fit of the estimator is no sum over users.
    ValueError
        If fewer than `min_clients` are left.

    Notes
    -----
    A client that fails after its totals were added takes the fit back to its start, without that client. A private fit
    continues without it instead, since a new start would spend the budget again.

    References
    ----------
    M. Ammad-ud-din et al. (2019), "Federated collaborative filtering for privacy-preserving personalized recommendation
    system", arXiv:1901.09888.
    """
    check_estimator(estimator)
    private = getattr(estimator, "privacy", None) is not None
    one = np.ones(1, dtype=dtype)
    catalogue = Interactions((one, ([0], [0])), shape=(1, n_items), item_ids=item_ids)
    remaining, left_out = list(clients), Counter[str]()
    while True:
        model = clone(estimator)
        model._validate_params()
        model._check_X(catalogue, reset=True)
        model._dtype_ = np.dtype(dtype)
        server = _Server(model, remaining, left_out, catalogue, min_clients)
        if server.fit(restart=not private):
            break
    if left_out:
        causes = ", ".join(f"{n} {cause}" for cause, n in sorted(left_out.items()))
        warn(f"{left_out.total()} of {len(clients)} clients were left out of the fit: {causes}.")
    return FederatedResult(model, len(remaining), dict(left_out))


class _Server:
    """One run of the phases, over the clients that remain."""

    def __init__(
        self,
        model: BlockSumsMixin,
        clients: list[Callable[[FederatedRequest], Statistics]],
        left_out: Counter[str],
        catalogue: Interactions,
        min_clients: int,
    ) -> None:
        self._model, self._clients, self._left_out = model, clients, left_out
        self._worker = for_workers(model)
        # A client of one made-up user: answers must have the shapes of its answers, which are in no sum.
        self._example = FederatedClient(catalogue)
        self._min_clients = min_clients

    def fit(self, *, restart: bool) -> bool:
        """Run all phases; return False if a client failed after the totals and all has to start again."""
        model = self._model
        totals = [Totals(**answer) for answer in self._answers(None, [0] * len(self._clients))]
        total = added_in_a_tree(totals, add)
        if getattr(model, "privacy", None) is None:
            model.n_users_fit_, model.item_popularity_ = total.n_users, total.popularity
        before = [0, *accumulate(part.n_users for part in totals)]
        phase = model._plan(total)
        while phase is not None:
            n_clients = len(self._clients)
            sums = added_in_a_tree(self._answers(phase, before), model._add)
            if restart and len(self._clients) < n_clients:
                return False
            phase = model._advance(phase, sums)
        return True

    def _answers(self, phase: Phase | None, before: list[int]) -> list[Statistics]:
        """Return the sound answers, and forget the clients of all others."""
        expected = self._example.answer(FederatedRequest(self._worker, phase))
        answers, kept = [], []
        error: Exception | None = None
        for client, first_user in zip(self._clients, before):
            try:
                answer = client(FederatedRequest(self._worker, phase, first_user))
            except Exception as failure:  # whatever happens to a client: it is counted and reported
                fault: str | None = "no answer"
                error = failure
            else:
                fault = _fault(answer, expected)
            if fault is None:
                answers.append(answer)
                kept.append((client, first_user))
            else:
                self._left_out[fault] += 1
        if len(kept) < self._min_clients:
            raise ValueError(
                f"{len(kept)} of {len(kept) + self._left_out.total()} clients gave sound answers, and min_clients is "
                f"{self._min_clients}; left out: {dict(self._left_out)}."
            ) from error
        self._clients[:] = [client for client, _ in kept]
        before[: len(kept)] = [first_user for _, first_user in kept]
        return answers


def _fault(answer: Any, expected: Statistics) -> str | None:
    """Return what is wrong with an answer, or None."""
    if not isinstance(answer, dict) or answer.keys() != expected.keys():
        return "wrong shape"
    for name, like in expected.items():
        if like is None or isinstance(like, np.dtype):
            if answer[name] != like:
                return "wrong shape"
            continue
        value = answer[name]
        if not sp.issparse(value):
            value = np.asarray(value)
        if value.shape != getattr(like, "shape", ()) or value.dtype.kind not in "biufc":
            return "wrong shape"
        numbers = value.data if sp.issparse(value) else value
        # Limits of no values are infinite.
        sound = ~np.isnan(numbers) if name in ("smallest", "largest") else np.isfinite(numbers)
        if not sound.all():
            return "not finite"
    return None
