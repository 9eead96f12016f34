"""`fit_federated`: fit a recommender from sums that clients compute, who keep their rows.

The messages are those of `fit_shards`: a request names a phase of the fit, an answer has the sums of one client. The
server adds the answers, and leaves out clients that fail. Cost: a pass over each client's rows per phase, and one
message of the size of the sums (EASE: n_items squared numbers; ALS: n_items x n_components, three per sweep).
"""

from __future__ import annotations

import shutil
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from sklearn_llmrec._kernels import blas_threads
from sklearn_llmrec.base import (
    BlockPlace,
    BlockSumsMixin,
    Phase,
    Statistics,
    Totals,
)
from sklearn_llmrec.distributed._fit import check_estimator, fit_phases, start_fit
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import warn


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


class FederatedResult(NamedTuple):
    """Result of `fit_federated`.

    Attributes
    ----------
    estimator : recommender
        The fitted clone.
    n_clients : int
        Number of clients in its sums.
    left_out : dict of int to str
        The cause for every client that was left out, by its place in `clients`: ``"no answer"`` with the type of the
        error, ``"late"``, ``"not finite"``, ``"wrong shape"`` or ``"impossible counts"``.
    """

    estimator: Any
    n_clients: int
    left_out: dict[int, str]


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
        model = request.model
        if getattr(self.X, "item_ids", None) is not None and not hasattr(model, "item_ids_"):
            raise ValueError(
                "The rows have item ids, and the fit none: pass item_ids to fit_federated."
            )
        rows = model._prepared(model._check_X(self.X, reset=False))
        with blas_threads(1):
            if request.phase is None:
                totals = Totals.of(rows)
                return {part.name: getattr(totals, part.name) for part in fields(totals)}
            place = BlockPlace(request.first_user, self._folder)
            sums: Statistics = model._statistics(rows, request.phase, place)
            return sums


def fit_federated(
    estimator: Any,
    clients: Sequence[Callable[[FederatedRequest], Statistics]],
    *,
    n_items: int,
    item_ids: ArrayLike | None = None,
    dtype: Any = np.float64,
    min_clients: int = 2,
    timeout: float | None = None,
) -> FederatedResult:
    """Fit a recommender on rows that stay with their clients, from sums over them.

    The result is that of ``estimator.fit`` on the rows of all clients that are not left out, but for the rounding of
    sums. With ``privacy=``, the server adds the noise once per phase, to the sum over all clients: it must be trusted
    with the sums, and only what it publishes is private.

    Parameters
    ----------
    estimator : recommender
        One that `fit_shards` accepts; a clone is fitted.
    clients : sequence of callables
        Each takes a `FederatedRequest` and returns its answer, like `FederatedClient.answer`, over any transport. A
        client that raises, or whose answer is late or not sound, is left out, with a warning at the end. An answer is
        sound if its numbers are finite, its arrays have the right shapes, and its counts are possible. Sums that are
        false but plausible are not detected.
    n_items : int
        Number of items in the common catalogue.
    item_ids : array-like of shape (n_items,), default=None
        Their ids, which are needed where the rows of clients have ids: columns must be the same items everywhere.
    dtype : {float64, float32}, default=float64
        Of the values of all clients.
    min_clients : int, default=2
        Fewest clients of which a model is made.
    timeout : float, default=None
        Seconds to wait for an answer; None waits for ever.

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
    catalogue = Interactions(
        (one, ([0], [0])), shape=(1, n_items), item_ids=item_ids, timestamps=[0]
    )
    remaining, left_out = dict(enumerate(clients)), dict[int, str]()
    while True:
        model, worker = start_fit(estimator, catalogue, dtype)
        server = _Server(model, worker, remaining, left_out, catalogue, min_clients, timeout)
        if server.fit(restart=not private):
            break
    if left_out:
        warn(
            f"{len(left_out)} of {len(clients)} clients were left out of the fit: {_by_cause(left_out)}."
        )
    return FederatedResult(model, len(remaining), left_out)


def _by_cause(left_out: dict[int, str]) -> str:
    """Return how many clients were left out for each cause, and their places."""
    places: dict[str, list[int]] = {}
    for place, cause in sorted(left_out.items()):
        places.setdefault(cause, []).append(place)
    return ", ".join(f"{len(found)} {cause} (clients {found})" for cause, found in places.items())


class _Server:
    """One run of the phases, over the clients that remain."""

    def __init__(
        self,
        model: BlockSumsMixin,
        worker: BlockSumsMixin,
        clients: dict[int, Callable[[FederatedRequest], Statistics]],
        left_out: dict[int, str],
        catalogue: Interactions,
        min_clients: int,
        timeout: float | None,
    ) -> None:
        self._model, self._worker = model, worker
        self._clients, self._left_out = clients, left_out
        # A client of one made-up user: answers must have the shapes of its answers, which are in no sum.
        self._example = FederatedClient(catalogue)
        self._min_clients, self._timeout = min_clients, timeout

    def fit(self, *, restart: bool) -> bool:
        """Run all phases; return False if a client failed after the totals and all has to start again."""
        totals = [
            Totals(**answer) for answer in self._answers(None, dict.fromkeys(self._clients, 0))
        ]
        before = dict(zip(self._clients, accumulate((part.n_users for part in totals), initial=0)))

        def sums_of(phase: Phase) -> list[Statistics] | None:
            n_clients = len(self._clients)
            answers = self._answers(phase, before)
            return None if restart and len(self._clients) < n_clients else answers

        return fit_phases(self._model, totals, sums_of)

    def _answers(self, phase: Phase | None, before: dict[int, int]) -> list[Statistics]:
        """Return the sound answers, and forget the clients of all others."""
        expected = self._example.answer(FederatedRequest(self._worker, phase))
        answers: list[Statistics] = []
        error: Exception | None = None
        for place, client in list(self._clients.items()):
            request = FederatedRequest(self._worker, phase, before[place])
            try:
                answer = (
                    client(request) if self._timeout is None else self._in_time(client, request)
                )
                fault = _fault(answer, expected)
            except TimeoutError:
                fault = "late"
            except Exception as failure:  # whatever happens to a client: it is named and reported
                fault, error = f"no answer ({type(failure).__name__})", failure
            if fault is None:
                answers.append(answer)
            else:
                self._left_out[place] = fault
                del self._clients[place]
        if len(answers) < self._min_clients:
            raise ValueError(
                f"{len(answers)} of {len(answers) + len(self._left_out)} clients gave sound answers, and min_clients "
                f"is {self._min_clients}; left out: {_by_cause(self._left_out)}."
            ) from error
        return answers

    def _in_time(
        self, client: Callable[[FederatedRequest], Statistics], request: FederatedRequest
    ) -> Statistics:
        """Return the answer of a client that gives it within the timeout.

        Raises
        ------
        TimeoutError
            If it does not.
        """
        found: dict[str, Any] = {}

        def answer() -> None:
            try:
                found["answer"] = client(request)
            except Exception as failure:
                found["failure"] = failure

        # A thread that does not keep the process alive.
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        thread.join(self._timeout)
        if "failure" in found:
            raise found["failure"]
        if "answer" not in found:
            raise TimeoutError(f"The client did not answer within {self._timeout} seconds.")
        result: Statistics = found["answer"]
        return result


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
    return "impossible counts" if _impossible(answer) else None


def _impossible(answer: Statistics) -> bool:
    """Return whether totals contradict themselves; False for other sums."""
    if "popularity" not in answer:
        return False
    n_users, n_active = float(answer["n_users"]), float(answer["n_active_users"])
    popularity = np.asarray(answer["popularity"], dtype=np.float64)
    return bool(
        not 0 <= n_active <= n_users
        or (popularity < 0).any()
        or (popularity > n_active).any()
        or (popularity != np.floor(popularity)).any()
        or popularity.sum() != float(answer["n_entries"])
    )
