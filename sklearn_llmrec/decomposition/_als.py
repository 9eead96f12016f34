"""ALS: weighted matrix factorisation for implicit feedback."""

import os
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec._kernels import (
    ColumnSteps,
    CommonPart,
    RowSystems,
    blas_threads,
    entry_rows,
    with_data,
)
from sklearn_llmrec.base import (
    COUNTS_SHARE,
    BlockPlace,
    BlockSumsMixin,
    ExplainMixin,
    Phase,
    Statistics,
    Tags,
    Totals,
    check_public_settings,
    presence,
    private_phase,
    private_statistics,
    released_counts,
)
from sklearn_llmrec.decomposition._continued import ContinuedFitMixin, held
from sklearn_llmrec.decomposition._factors import FactorRecommender
from sklearn_llmrec.decomposition._private_als import (
    AUTO_PENALTY,
    item_factors,
    items_above_noise,
    released_sums,
    sum_noise,
    sweep_vector,
)
from sklearn_llmrec.privacy import GaussianMechanism
from sklearn_llmrec.utils import Interval, StrOptions, iterations, tell, threads_for


@dataclass(frozen=True)
class _Past:
    """A quadratic summary of earlier rows for each item, around the current factors of the item.

    Their objective is taken as quadratic there: for item i its matrix is ``gram + (weights[i] curvature + penalty) I``.
    The true one has the interactions' ``weights[i]`` mean p p' in the middle; a multiple of the identity does as well.
    """

    gram: NDArray[np.float64]  # what all pairs, interactions or not, add for every item
    weights: NDArray[
        np.float64
    ]  # what the interactions of each item add to the weight of these pairs
    curvature: float  # the mean of (p' e)^2 over interactions, by weight, and directions e

    def __add__(self, other: "_Past") -> "_Past":
        total = self.weights.sum(), other.weights.sum()
        curvature = np.average([self.curvature, other.curvature], weights=total)
        return _Past(self.gram + other.gram, self.weights + other.weights, float(curvature))


def _initial_factors(
    seed: int, n_before: int, n_rows: int, n_components: int, dtype: Any
) -> NDArray[Any]:
    """Return the start of some rows of factors: those after `n_before` others of one stream of random numbers."""
    rng = np.random.default_rng(seed)
    skipped = n_before * n_components
    if np.dtype(dtype).itemsize == 4:
        # Two numbers of 32 bits are drawn at a time.
        rng.bit_generator.advance(skipped // 2)  # type: ignore[attr-defined]
        rng.random(skipped % 2, dtype=np.float32)
    else:
        rng.bit_generator.advance(skipped)  # type: ignore[attr-defined]
    factors: NDArray[Any] = 0.01 * rng.random((n_rows, n_components), dtype=dtype)
    return factors


# Steps of conjugate gradients per sweep, from the factors of the sweep before.
_STEPS = 2


class ALSRecommender(ContinuedFitMixin, BlockSumsMixin, ExplainMixin, FactorRecommender):
    r"""Matrix factorisation of implicit feedback by alternating least squares.

    Minimises, over user factors p and item factors q,

    .. math:: \sum_{u,i} c_{ui} (1[x_{ui} > 0] - p_u^\top q_i)^2
       + \lambda \Bigl(\sum_u \Bigl(\frac{f_u}{\bar f_U}\Bigr)^\nu \|p_u\|^2
       + \sum_i \Bigl(\frac{f_i}{\bar f_I}\Bigr)^\nu \|q_i\|^2\Bigr),
       \qquad c_{ui} = w_0 + \text{confidence} \cdot x_{ui},

    with :math:`f_u` the sum of the weights :math:`c_{ui}` of a row, :math:`f_i` that of a column, and
    :math:`\bar f` their means. With :math:`\nu = 0` this is the method of Hu, Koren and Volinsky; with
    :math:`\nu > 0` the frequency-scaled regularisation of iALS. (iALS has the target 0 instead of 1 where
    it weighs an interaction as an unobserved pair. On binary data that changes the unit of the
    scores, and of :math:`\lambda`, and nothing else.)

    The factors of a row, seen at `fit` or not, are the least-squares solution for that row given the item factors, so
    new users need no refit. As a transformer the estimator gives these user factors to any other model.

    Parameters
    ----------
    n_components : int, default=64
        Number of factors.
    confidence : float, default=4.0
        How much a unit of X adds to the weight of an interaction (the paper's alpha).
    unobserved_weight : float, default=1.0
        The weight of a pair without interaction, :math:`w_0`.
    regularization : float or "auto", default="auto"
        The L2 penalty on factors, :math:`\lambda`. "auto" takes it from the rows given to `fit`, see Notes.
    frequency_exponent : float, default=1.0
        How much more the factors of frequent users and items are penalised, :math:`\nu`: 0 to 1.
    max_iter : int, default=15
        Sweeps over users and items.
    warm_start : bool, default=False
        Whether `fit` continues from the item factors of the last fit, for `max_iter` more sweeps over the rows that
        it is given. The factors of the users are solved anew, so these rows may be others than before.
    random_state : int, RandomState instance or None, default=None
        Initial factors. Equal seeds give bit-equal factors.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.
    verbose : bool, default=False
        Whether to print every sweep.
    privacy : GaussianMechanism, default=None
        Fit with user-level differential privacy: see :class:`~sklearn_llmrec.privacy.GaussianMechanism`, and Notes.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), dtype of X
        Item factors, one column per item.
    n_iter_ : int
        Sweeps of the last fit.
    regularization_ : float
        The penalty used. `partial_fit` keeps what "auto" gave for the rows of the last `fit`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    privacy_spent_ : tuple (epsilon, delta)
        What the fit spent; only with `privacy`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.linear_model.EASE : Often better where the catalogue is small enough.

    Notes
    -----
    A sweep is O(nnz n_components + (n_users + n_items) n_components^2): two steps of conjugate
    gradients for every row and column, in a basis where what all of them share is the identity. On
    MovieLens-1M the objective then ends where exact sweeps end. Negative values are refused: a
    disliked item is no confident interaction.

    ``regularization="auto"`` is half of the largest singular value that a matrix of independent entries would have,

    .. math:: \lambda = \frac{1}{2} (w_0 + \text{confidence} \cdot \bar x)
       \left(\sqrt{n / n_U} + \sqrt{n / n_I}\right),

    with :math:`n` interactions of mean value :math:`\bar x`, of :math:`n_U` users and :math:`n_I` items that have
    any. Factors other than zero need a singular value above :math:`\lambda` in the matrix of :math:`c_{ui}` at the
    interactions; so dense data get a large penalty, sparse data a small one. The half, `confidence` and
    `frequency_exponent` were chosen on validation parts of MovieLens-1M and Online Retail, and of parts of these with
    fewer users or less active ones.

    The rows given to `fit` are remembered with their factors, which the fold-in computes: to rank
    them again costs a look-up. That takes, beside the item factors, ``n_users n_components``
    numbers, and keeps the arrays of X.

    With `privacy`, neighbouring data sets differ by one user, and the catalogue is public. Rows are read as ones. A
    tenth of the budget releases noisy counts (sensitivity 1), in which a row of m items counts 1 / sqrt(m) for each:
    `item_popularity_`. They choose the items that have factors; the rest is divided equally among `max_iter`
    sweeps, and the ledger is charged at each. In a sweep the factors p of a user are solved from the user's row and
    released item factors, and scaled to length 1. A row of m chosen items adds
    :math:`\sqrt{.9 / m} \, p` to the sums of each of them and :math:`\sqrt{.1 / m} \, p p^\top` to the Gram matrix of
    all users: squared norms of .9 and at most .1, so the release of both has sensitivity 1. Item factors are
    regressions on released numbers. They, counts and the number of users are all that is kept of the users of the fit:
    the lists of one user reveal of another what the budget allows (joint differential privacy).
    `frequency_exponent` has no effect, ``regularization="auto"`` is 1, and noise is added to the penalty of items.
    `random_state` sets the start and not the noise. Noise grows with `n_components` and `max_iter`: pass few, such as
    ``ALSRecommender(16, max_iter=3, confidence=1)``. Private `EASE` ranks better on MovieLens-1M.
    A sweep is a fold-in of all users and O((n_users + n_items) n_components^2). `partial_fit`, `warm_start` and
    `similar_users` are refused.

    References
    ----------
    S. Rendle, W. Krichene, L. Zhang, Y. Koren, "Revisiting the performance of iALS on item recommendation benchmarks",
    RecSys 2022, arXiv:2110.14037.
    S. Chien, P. Jain, W. Krichene, S. Rendle, S. Song, A. Thakurta, L. Zhang, "Private alternating least squares:
    practical private matrix completion with tighter rates", ICML 2021, arXiv:2107.09802: with `privacy`.
    M. Gavish, D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE Transactions on
    Information Theory 2014: the singular values of independent entries.
    Y. Hu, Y. Koren, C. Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
    G. Takacs, I. Pilaszy, D. Tikk, "Applications of the conjugate gradient method for implicit feedback collaborative
    filtering", RecSys 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import ALSRecommender
    >>> X = np.kron(np.eye(2), np.ones((4, 3)))
    >>> X[0, 2] = 0
    >>> model = ALSRecommender(n_components=2, random_state=0).fit(X)
    >>> items, scores = model.recommend(X[:1], k=1)
    >>> items
    array([[2]])
    >>> model.transform(X).shape
    (8, 2)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "confidence": [Interval(Real, 0, None, closed="neither")],
        "unobserved_weight": [Interval(Real, 0, None, closed="neither")],
        "regularization": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "frequency_exponent": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
        "privacy": [GaussianMechanism, None],
    }
    _training_only = ("_past_",)
    _past_: _Past

    def __init__(
        self,
        n_components: int = 64,
        *,
        confidence: float = 4.0,
        unobserved_weight: float = 1.0,
        regularization: float | str = "auto",
        frequency_exponent: float = 1.0,
        max_iter: int = 15,
        warm_start: bool = False,
        random_state: int | RandomState | None = None,
        n_jobs: int | None = None,
        verbose: bool | int = False,
        privacy: GaussianMechanism | None = None,
    ) -> None:
        self.n_components = n_components
        self.confidence = confidence
        self.unobserved_weight = unobserved_weight
        self.regularization = regularization
        self.frequency_exponent = frequency_exponent
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.privacy = privacy

    def _prepared(self, X: sp.csr_array) -> sp.csr_array:
        """Return canonical rows; with `privacy` their values are ones."""
        X = super()._prepared(X)
        return X if self.privacy is None else presence(X)

    def _fit(self, X: sp.csr_array) -> None:
        if self.privacy is None:
            super()._fit(X)
        else:
            BlockSumsMixin._fit(self, X)

    def _systems(self, X: sp.csr_array, mean: float | None) -> tuple[RowSystems, float]:
        """Return the regressions of the rows of X and the mean frequency that scales their penalties."""
        added = (self.confidence * X.data).astype(X.dtype, copy=False)
        right = added + X.dtype.type(self.unobserved_weight)
        frequencies = self._frequencies(X)
        mean = float(frequencies.mean()) if mean is None else mean
        penalties = self._penalties(frequencies, mean)
        threads = threads_for(self.n_jobs, X.shape[0])
        return RowSystems(X, added, right, penalties, n_threads=threads), mean

    def _frequencies(self, X: sp.csr_array) -> NDArray[np.float64]:
        sums = np.bincount(entry_rows(X), weights=X.data, minlength=X.shape[0])
        return self.unobserved_weight * X.shape[1] + self.confidence * sums

    def _penalties(
        self, frequencies: NDArray[np.float64], mean: float
    ) -> float | NDArray[np.float64]:
        if not self.frequency_exponent or self.privacy is not None:
            return self.regularization_
        return self.regularization_ * (frequencies / mean) ** self.frequency_exponent

    def _regularization(self, X: sp.csr_array) -> float:
        return self._regularization_of(Totals.of(X))

    def _regularization_of(self, totals: Totals) -> float:
        if not isinstance(self.regularization, str):
            return float(self.regularization)
        if self.privacy is not None:
            return AUTO_PENALTY
        n = max(totals.n_entries, 1)
        users, items = totals.n_active_users, int(np.count_nonzero(totals.popularity))
        weight = self.unobserved_weight + self.confidence * totals.column_sums.sum() / n
        edge = np.sqrt(n / max(users, 1)) + np.sqrt(n / max(items, 1))
        return float(0.5 * weight * edge)

    def _gram(self, factors: NDArray[Any]) -> NDArray[Any]:
        with blas_threads(1):
            gram: NDArray[Any] = self.unobserved_weight * (factors.T @ factors)
        return gram

    def _extend_items(self, X: sp.csr_array) -> None:
        super()._extend_items(X)
        past = self._past_
        weights = np.append(past.weights, np.zeros(X.shape[1] - len(past.weights)))
        self._past_ = _Past(past.gram, weights, past.curvature)

    def _add_to_past(self, X: sp.csr_array, *, first: bool) -> None:
        """Summarise the rows of a fit, so that a later `partial_fit` does not overwrite them."""
        P = self._known_rows_.values  # type: ignore[union-attr]
        by_user, by_item = (self.confidence * X.sum(axis=axis) for axis in (1, 0))
        curvature = by_user @ np.einsum("ud,ud->u", P, P) / (self.n_components * by_user.sum())
        past = _Past(self._gram(P).astype(np.float64), by_item.astype(np.float64), float(curvature))
        self._past_ = past if first else self._past_ + past

    def _item_systems(self, X: sp.csr_array, Q: NDArray[Any]) -> tuple[RowSystems, NDArray[Any]]:
        """Return the regressions of items on new rows plus earlier rows, and the additions to their right sides.

        Each item has one entry of weight zero; its column has the additions as factors.

        The right sides come in by an entry of weight zero for each item, whose column has them for factors.
        """
        past, n_items = self._past_, X.shape[1]
        columns, new = X.T.tocsr(), self.confidence * np.bincount(X.indices, X.data, n_items)
        frequencies = self.unobserved_weight * self.n_users_fit_ + past.weights + new
        penalties = past.weights * past.curvature + self._penalties(
            frequencies, float(frequencies.mean())
        )
        right = Q @ past.gram + penalties[:, None] * Q
        pattern = with_data(columns, np.ones(columns.nnz, dtype=bool))
        both = sp.hstack([pattern, sp.eye_array(n_items, dtype=bool)], format="csr")
        is_interaction = both.indices < X.shape[0]
        values = np.zeros((2, both.nnz), dtype=X.dtype)
        values[0, is_interaction] = self.confidence * columns.data
        values[1, is_interaction] = self.unobserved_weight + values[0, is_interaction]
        values[1, ~is_interaction] = 1
        threads = effective_n_jobs(self.n_jobs)
        systems = RowSystems(both, values[0], values[1], penalties, n_threads=threads)
        return systems, right.astype(X.dtype)

    def _sweep(
        self, X: sp.csr_array, continued: bool = False, kept: NDArray[np.int64] | None = None
    ) -> None:
        self._known_rows_ = self._by_norm_ = None  # of an earlier fit
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        P = _initial_factors(seed, 0, X.shape[0], self.n_components, X.dtype)
        Q = _initial_factors(seed, X.shape[0], X.shape[1], self.n_components, X.dtype)
        if kept is None or not isinstance(self.regularization, str):
            self.regularization_ = self._regularization(X)
        users, self._mean_frequency_ = self._systems(X, None)
        if continued:
            Q = np.ascontiguousarray(self.components_.T.astype(X.dtype))
            P = users.solve_fully(Q, self._gram(Q))
        if kept is None:
            items, _ = self._systems(X.T.tocsr(), None)
            right, common = None, X.dtype.type(0)
        else:
            items, right = self._item_systems(X, Q)
            common = self._past_.gram.astype(X.dtype)

        def fitted() -> dict[str, Any]:
            learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
            current = {"components_": Q.T, "_common_part_": self._common_part(Q)}
            return learned | current

        for sweep in iterations(self, self.max_iter, X=X, fitted=fitted):
            self.n_iter_ = sweep + 1
            P = users.solve(Q, self._gram(Q), start=P, max_iter=_STEPS)
            factors = P if right is None else np.vstack([P, right])
            new = items.solve(factors, self._gram(P) + common, start=Q, max_iter=_STEPS)
            Q = held(new, Q, kept)
            tell(self, f"sweep {sweep + 1} of {self.max_iter}")
        self.components_ = Q.T
        self._remember(X)
        self._add_to_past(X, first=kept is None)

    # -- from sums over blocks of users: these solve for their users, and add up sums for the items --------------

    _maxima = frozenset({"least"})

    def _plan(self, totals: Totals) -> Phase:
        self.regularization_ = self._regularization_of(totals)
        if self.privacy is not None:
            check_public_settings(self, warm_start=False)
            return private_phase(totals)
        values = self.confidence * totals.column_sums
        n_users, n_items = totals.n_users, totals.n_items
        self._mean_frequency_ = self.unobserved_weight * n_items + values.sum() / n_users
        frequencies = self.unobserved_weight * n_users + values
        penalties = self._penalties(frequencies, float(frequencies.mean()))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        known = {
            "seed": seed,
            "penalties": np.broadcast_to(np.asarray(penalties, dtype=np.float64), n_items),
            "weights": values,
            "regularization": self.regularization_,
            "mean": self._mean_frequency_,
            "Q": _initial_factors(seed, n_users, n_items, self.n_components, totals.dtype),
            "sweep": 0,
        }
        return Phase("least", known)

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        if self.privacy is not None:
            return self._private_statistics(X, phase)
        known, Q, folder = phase.known, phase.known["Q"], place.folder
        if phase.name == "least":
            return {"least": -self._frequencies(X).min(initial=np.inf)}
        self.regularization_ = known["regularization"]
        systems, _ = self._systems(X, known["mean"])
        if phase.name == "past":
            P = systems.solve_fully(Q, known["common"])
            weights = self.confidence * X.sum(axis=1)
            return {
                "gram": self._gram(P).astype(np.float64),
                "curvature": float(weights @ np.einsum("ud,ud->u", P, P)),
            }
        assert folder is not None
        sweep, n_items = known["sweep"], X.shape[1]
        if phase.name == "direction":
            P = np.load(folder / f"users-{sweep}.npy", mmap_mode="r")
            return {"sums": systems.column_sums(P, known["Z"], right=False, n_columns=n_items)}
        if sweep:
            start = np.load(folder / f"users-{sweep - 1}.npy")
        else:
            shape = X.shape[0], self.n_components
            start = _initial_factors(known["seed"], place.first_user, *shape, X.dtype)
        P = systems.solve(Q, known["common"], start=start, max_iter=_STEPS)
        # Under another name first, so that a process that ends early leaves no half of a file.
        unfinished = folder / f"unfinished-{os.getpid()}.npy"
        np.save(unfinished, P)
        unfinished.replace(folder / f"users-{sweep}.npy")
        (folder / f"users-{sweep - 2}.npy").unlink(missing_ok=True)
        return {
            "gram": self._gram(P),
            "sums": systems.column_sums(P, Q, right=True, n_columns=n_items),
        }

    def _advance(self, phase: Phase, total: Statistics) -> Phase | None:
        if self.privacy is not None:
            return self._advance_privately(phase, total, self.privacy)
        known, Q = dict(phase.known), phase.known["Q"]
        if phase.name == "least":
            least = self._penalties(np.array(-total["least"]), known["mean"])
            return self._sweep_phase({**known, "least": float(least)})
        if phase.name == "past":
            mass = self.n_components * known["weights"].sum()
            curvature = total["curvature"] / mass if mass else 0.0
            self._past_ = _Past(total["gram"], known["weights"], float(curvature))
            return None
        if phase.name == "users":
            penalties = known["penalties"]
            common = CommonPart(total["gram"], float(penalties.min()), Q.dtype)
            filled = self.item_popularity_ > 0
            steps = ColumnSteps(common, penalties, Q, total["sums"], filled)
            self._steps_, n_left = steps, _STEPS
        else:
            steps, n_left = self._steps_, known["n_left"] - 1
            steps.step(total["sums"])
        if n_left:
            return Phase("direction", {**known, "n_left": n_left, "Z": steps.direction})
        del self._steps_
        self.n_iter_ = known["sweep"] + 1
        tell(self, f"sweep {self.n_iter_} of {self.max_iter}")
        known |= {"Q": steps.solution(), "sweep": self.n_iter_}
        if self.n_iter_ < self.max_iter:
            return self._sweep_phase(known)
        self.components_ = np.asfortranarray(known["Q"].T)
        self._derive()
        self._prepare_fold_in()
        self._known_rows_ = None  # rows are where their shards are
        return Phase("past", {**known, "common": self._common_part_})

    # -- with privacy: sums over users are released with noise, and nothing else of the rows is kept ---------------

    def _private_statistics(self, X: sp.csr_array, phase: Phase) -> Statistics:
        """Return the sums of a phase of a private fit; factors of users depend on their row and on released factors."""
        if phase.name == "private counts":
            return private_statistics(X, phase)
        X, Q = sp.csr_array(X[:, phase.known["items"]]), phase.known["Q"]
        self.regularization_ = phase.known["regularization"]
        systems, _ = self._systems(X, 1.0)
        return {"sums": sweep_vector(X, systems.solve_fully(Q, phase.known["common"]))}

    def _advance_privately(
        self, phase: Phase, total: Statistics, mechanism: GaussianMechanism
    ) -> Phase | None:
        """Release the sums of a phase; from those of a sweep come the next item factors."""
        known, share = dict(phase.known), (1 - COUNTS_SHARE) / self.max_iter
        if phase.name == "private counts":
            counts = released_counts(total["counts"], mechanism, share=COUNTS_SHARE)
            self.n_users_fit_ = max(1, round(counts.n_users))
            self.item_popularity_ = np.maximum(counts.per_item, 0)
            items = items_above_noise(
                counts.per_item, self.n_components, sum_noise(mechanism, share)
            )
            # The start depends on the seed and on released counts, so it is public.
            rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
            start = rng.standard_normal((len(items), self.n_components)) / len(items) ** 0.5
            known |= {"items": items, "sweep": 0, "regularization": self.regularization_}
            return self._private_phase(known, start.astype(known["dtype"]))
        items, self.n_iter_ = known["items"], known["sweep"] + 1
        released = released_sums(
            total["sums"],
            known["Q"].shape,
            mechanism,
            share=share,
            label=f"sums of {len(items)} items in sweep {self.n_iter_}",
        )
        Q = item_factors(
            released,
            self.item_popularity_[items],
            confidence=self.confidence,
            unobserved_weight=self.unobserved_weight,
            penalty=self.regularization_,
        ).astype(known["dtype"])
        tell(self, f"sweep {self.n_iter_} of {self.max_iter}")
        if self.n_iter_ < self.max_iter:
            return self._private_phase({**known, "sweep": self.n_iter_}, Q)
        self.components_ = np.zeros(
            (self.n_components, known["n_items"]), known["dtype"], order="F"
        )
        self.components_[:, items] = Q.T
        self._mean_frequency_ = 1.0  # all penalties are equal
        self._derive()
        self._prepare_fold_in()
        self._known_rows_ = None
        self.privacy_spent_ = mechanism.spent()
        return None

    def _private_phase(self, known: dict[str, Any], Q: NDArray[Any]) -> Phase:
        """Return the phase in which users are solved for, given released item factors."""
        common = CommonPart(self._gram(Q), self.regularization_, Q.dtype)
        return Phase("private users", {**known, "Q": Q, "common": common})

    def _sweep_phase(self, known: dict[str, Any]) -> Phase:
        """Return the phase that solves for the users given the factors of the items."""
        Q = known["Q"]
        return Phase(
            "users", {**known, "common": CommonPart(self._gram(Q), known["least"], Q.dtype)}
        )

    def _common_part(self, Q: NDArray[Any]) -> CommonPart:
        """Return what the regressions of all rows on the item factors share, at the penalty of an empty row."""
        no_items = np.array(self.unobserved_weight * len(Q))
        least = self._penalties(no_items, self._mean_frequency_)
        return CommonPart(self._gram(Q), float(least), Q.dtype)

    def _prepare_fold_in(self) -> None:
        self._common_part_ = self._common_part(self.components_.T)

    def _fold_in(self, X: sp.csr_array) -> NDArray[Any]:
        systems, _ = self._systems(X, self._mean_frequency_)
        return systems.solve_fully(self.components_.T, self._common_part_)

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        """Return contributions: factors are linear in the weighted preferences of a row, so an item needs one solve."""
        Q = self.components_.T.astype(np.float64)
        C = self.unobserved_weight + self.confidence * X.data.astype(np.float64)
        penalties = np.broadcast_to(
            self._penalties(self._frequencies(X), self._mean_frequency_), X.shape[0]
        )
        everyone = self.unobserved_weight * (Q.T @ Q)
        values = np.empty(X.nnz)
        for row, (start, stop) in enumerate(pairwise(X.indptr)):
            factors, extra = Q[X.indices[start:stop]], C[start:stop] - self.unobserved_weight
            normal = everyone + factors.T @ (extra[:, None] * factors)
            normal[np.diag_indices(len(normal))] += penalties[row]
            values[start:stop] = C[start:stop] * (factors @ np.linalg.solve(normal, Q[items[row]]))
        return with_data(X, values)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
